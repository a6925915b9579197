/** What must not grow with what is there: counted, not timed. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { abc, engineOver, Ledger, makeStore, until } from "../support/pipelines.ts"

describe("watching", () => {
  it.effect("one look at all tasks shows all that has changed by then", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const gate = yield* Effect.makeLatch()
      let lists = 0
      const slow = {
        ...store,
        list: () => {
          lists += 1
          return Stream.unwrap(Effect.as(gate.await, store.list({})))
        }
      }
      yield* Effect.gen(function*() {
        const seen = new Set<string>()
        yield* Effect.fork(Stream.runForEach(CheckMateEngine.watchAll(), (summary) =>
          Effect.sync(() => {
            if (summary.status === "Succeeded") seen.add(summary.taskId)
          })))
        yield* until(() => lists === 1)
        const tasks = Array.from({ length: 50 }, (_, number) => `t${number}`)
        yield* Effect.forEach(
          tasks,
          (taskId) => CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } })
        )
        yield* gate.open
        yield* until(() => seen.size === tasks.length)
        yield* Effect.repeatN(Effect.yieldNow(), 2_000)
        expect(lists).toBeLessThanOrEqual(4)
      }).pipe(Effect.provide(engineOver(slow)))
    }))
})
