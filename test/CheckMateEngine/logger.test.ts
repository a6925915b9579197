/** A logger that throws: what logs dies of it, as Effect has it, and an engine must not. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Schedule, TestClock } from "effect"
import { BindLock } from "effect-checkmate"
import { TaskIOError } from "effect-checkmate/CheckMateError"
import { abc, engineService, failing, hangingInB, Ledger, makeStore, rest, until } from "../support/pipelines.ts"

const broken = Logger.replace(
  Logger.defaultLogger,
  Logger.make(() => {
    throw new Error("the logger is broken")
  })
)

const options = { taskId: "t", input: { seed: 1 } }
const cutOff = new TaskIOError({ operation: "look", location: "here", problem: "cut off" })

describe("a logger that throws", () => {
  it.scoped("keeps no attempt from being undone and made again, and no task from going on after a crash", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const crashing = yield* engineService(store)
      yield* Effect.forkScoped(crashing.run(hangingInB(ledger), options))
      yield* until(() => ledger.count("run b") === 1)
      const engine = yield* engineService(store)
      const definition = abc(ledger, { fail: failing({ b: 1 }), retry: Schedule.recurs(1) })
      expect(yield* engine.resume(definition, "t")).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "run b", "undo b", "run b", "run c"])
    }).pipe(Effect.provide(broken)))

  it.scoped("keeps no letter from being read", () =>
    Effect.gen(function*() {
      const { arrivals: _, ...store } = yield* makeStore
      const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
      const ledger = new Ledger()
      let looks = 0
      const waiting = Effect.suspend(() => ++looks === 1 ? Effect.fail(cutOff) : store.waiting)
      const one = yield* engineService({ ...store, waiting }, lock)
      const other = yield* engineService(store, lock)
      const run = yield* Effect.fork(one.run(hangingInB(ledger), options))
      yield* until(() => ledger.count("run b") === 1)
      yield* TestClock.adjust("1 second")
      expect(looks).toBeGreaterThan(1)
      const cancelling = yield* Effect.fork(other.cancel("t"))
      yield* Effect.repeat(store.waiting, { until: (all) => all.length > 0 })
      yield* TestClock.adjust("2 seconds")
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskCancelledError" })
      yield* Fiber.join(cancelling)
    }).pipe(Effect.provide(broken)))

  it.scoped("keeps nothing that is due from being removed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const other = yield* engineService(store)
      for (const taskId of ["one", "two"]) yield* other.run(abc(new Ledger()), { ...options, taskId })
      let removals = 0
      const remove = (taskId: string) => ++removals === 1 ? Effect.fail(cutOff) : store.remove(taskId)
      const engine = yield* engineService({ ...store, remove }, undefined, { retention: { keep: { Succeeded: 0 } } })
      yield* TestClock.adjust("3 hours")
      yield* rest
      expect(yield* engine.find()).toEqual([])
    }).pipe(Effect.provide(broken)))

  it.scoped("fails a stage that logs, which is undone", () =>
    Effect.gen(function*() {
      const engine = yield* engineService(yield* makeStore)
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: (stage) => stage === "b" ? Effect.log("working") : Effect.void })
      expect(String(yield* Effect.cause(engine.run(definition, options)))).toContain("the logger is broken")
      expect(ledger.entries).toEqual(["run a", "run b", "undo b"])
    }).pipe(Effect.provide(broken)))
})
