/** Tasks that somebody removes from a store, as `clean` does, while they are copied from it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { CheckMateEngine, TaskIO } from "effect-checkmate"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { abc, engineOver, Ledger } from "../support/pipelines.ts"

/** A store out of which a task goes before the nth look at it. */
const removedBefore = (nth: number, driver: TaskIO.Encoded) => {
  let looks = 0
  const look = <A, E, R>(taskId: string, self: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => looks++ === nth ? Effect.zipRight(Effect.orDie(driver.remove(taskId)), self) : self)
  return {
    wasRemoved: () => looks > nth,
    driver: {
      ...driver,
      open: (taskId, atLeast) => look(taskId, driver.open(taskId, atLeast)),
      read: (taskId, from) => look(taskId, driver.read(taskId, from)),
      receive: (taskId) => look(taskId, driver.receive(taskId))
    } satisfies TaskIO.Encoded
  }
}

/** Copies a task that goes at some moment, and may have been copied before. */
const copied = Effect.fnUntraced(function*(options: Parameters<typeof TaskIO.copy>[2], nth: number, isThere: boolean) {
  const source = yield* MemoryDriver.make
  const target = yield* MemoryDriver.make
  yield* Effect.provide(CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }), engineOver(source))
  const records = yield* source.read("t", 0)
  if (isThere) yield* TaskIO.copy(TaskIO.make(source), TaskIO.make(target))
  const { driver, wasRemoved } = removedBefore(nth, source)
  const report = yield* TaskIO.copy(TaskIO.make(driver), TaskIO.make(target), options)
  return {
    records,
    report,
    there: yield* target.read("t", 0),
    left: yield* source.read("t", 0),
    wasRemoved: wasRemoved()
  }
})

describe("a copy of a task that is removed meanwhile", () => {
  for (const options of [{}, { claim: true }, { removeFromSource: true }]) {
    it.effect(`is none, or one of all of it, whenever that is, with ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        for (const isThere of [false, true]) {
          for (let nth = 0, removed = true; removed; nth++) {
            const { left, records, report, there, wasRemoved } = yield* copied(options, nth, isThere)
            removed = wasRemoved
            const [outcome] = [...report.copied, ...report.skipped]
            const isGone = outcome?._tag === "Skipped" && outcome.reason === "gone"
            expect({ nth, isThere, failed: report.failed, there }).toEqual({
              nth,
              isThere,
              failed: [],
              there: isGone && !isThere ? [] : records
            })
            if (removed) expect(left).toEqual([])
          }
        }
      }))
  }
})
