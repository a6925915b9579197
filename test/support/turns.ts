/** A process is to hear signals and timers also where its store answers at once: tests of such a store. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { CheckMate, CheckMateEngine, Stage } from "effect-checkmate"
import { abc, Ledger, Numbers } from "./pipelines.ts"

/** How many turns the event loop has while something is done. */
export const turnsOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let turns = 0
    let next = setImmediate(function count() {
      turns += 1
      next = setImmediate(count)
    })
    return yield* Effect.ensuring(Effect.map(self, () => turns), Effect.sync(() => clearImmediate(next)))
  })

/** How many of a task's 500 stages, which are done at once, are done before the event loop turns. */
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
        expect(yield* turnsOf(Effect.forEach(Array.from({ length: 200 }, (_, time) => time), run))).toBeGreaterThan(0)
        expect(yield* turnsOf(Effect.repeatN(CheckMateEngine.get("t-0"), 999))).toBeGreaterThan(0)
      }).pipe(Effect.provide(engine)))
  })
