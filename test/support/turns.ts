/** A process is to hear signals and timers also where its store answers at once: tests of such a store. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { CheckMate, CheckMateEngine, Stage } from "effect-checkmate"
import { abc, Ledger, Numbers } from "./pipelines.ts"

/** How often something is done, one time after another, until the event loop has turned; a thousand times at most. */
const timesUntilTurn = <E, R>(work: (time: number) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    yield* Stage.yieldToEventLoop
    let turned = false
    let times = 0
    setImmediate(() => {
      turned = true
    })
    yield* Effect.repeat(Effect.suspend(() => work(times++)), { until: () => turned || times === 1_000 })
    return times
  })

const stagesUntilTurn = Effect.gen(function*() {
  let turned = false
  let done = 0
  const stages = Array.from({ length: 500 }, (_, index) =>
    Stage.make(Numbers, `stage-${index}`, {
      execute: () =>
        Effect.sync(() => {
          if (index === 0) {
            setImmediate(() => {
              turned = true
            })
          }
          if (!turned) done += 1
        })
    }))
  yield* CheckMateEngine.run(CheckMate.make("quick", { state: Numbers, input: [], stages }), { input: {} })
  return done
})

export const describeTurns = (name: string, engine: Layer.Layer<CheckMateEngine.CheckMateEngine, unknown>) =>
  describe(`${name}, asked one thing after another, lets the event loop turn`, () => {
    it.live("for a task whose stages are done at once", () =>
      Effect.gen(function*() {
        expect(yield* stagesUntilTurn).toBeLessThan(500)
      }).pipe(Effect.provide(engine)))

    it.live("for tasks that are run, and looked at", () =>
      Effect.gen(function*() {
        const run = (time: number) =>
          CheckMateEngine.run(abc(new Ledger()), { taskId: `t-${time}`, input: { seed: 1 } })
        expect(yield* timesUntilTurn(run)).toBeLessThan(1_000)
        expect(yield* timesUntilTurn(() => CheckMateEngine.get("t-0"))).toBeLessThan(1_000)
      }).pipe(Effect.provide(engine)))
  })
