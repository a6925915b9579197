import { describe, expect, it } from "@effect/vitest"
import { DateTime, Deferred, Effect, Exit, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { BindLock, CheckMateEngine, CheckMateError, TaskIO } from "effect-checkmate"
import { Faults } from "effect-checkmate/testing"
import { abc, Ledger, makeStore } from "../support/pipelines.ts"

const output = { seed: 1, a: 2, b: 3, c: 4 }
const options = { taskId: "t", input: { seed: 1 } }

/** A store and a lock that outlive the engines over them, and engines with and without faults. */
const world = Effect.gen(function*() {
  const store = yield* makeStore
  const lock = yield* Effect.provide(BindLock.BindLock, BindLock.layerMemory)
  const sound = Layer.merge(
    Layer.succeed(TaskIO.TaskIO, TaskIO.make(store)),
    Layer.succeed(BindLock.BindLock, lock)
  )
  return {
    store,
    taskIO: TaskIO.make(store),
    healthy: Layer.provide(CheckMateEngine.layer, sound),
    faulty: (plan: Faults.Plan) =>
      CheckMateEngine.layer.pipe(Layer.provideMerge(Faults.layer(plan)), Layer.provide(sound))
  }
})

/** Runs under a plan, then without: what went wrong, and what each engine did. */
const runAndResume = (plan: Faults.Plan) =>
  Effect.gen(function*() {
    const { faulty, healthy, taskIO } = yield* world
    const ledger = new Ledger()
    const first = yield* Effect.gen(function*() {
      const exit = yield* Effect.exit(CheckMateEngine.run(abc(ledger), options))
      return { exit, appends: yield* Faults.count("append"), opens: yield* Faults.count("open") }
    }).pipe(Effect.provide(faulty(plan)))
    const before = [...ledger.entries]
    const kept = (yield* taskIO.read("t")).length
    const resumed = yield* Effect.exit(Effect.provide(CheckMateEngine.run(abc(ledger), options), healthy))
    return { ...first, before, kept, resumed, ledger }
  })

const failureOf = (exit: Exit.Exit<unknown, unknown>): unknown => Exit.isFailure(exit) ? Exit.causeOption(exit) : exit

const failsWith = (exit: Exit.Exit<unknown, unknown>, expected: object) =>
  expect(failureOf(exit)).toMatchObject(Option.some({ error: expected }))

describe("Faults, under an engine", () => {
  it.effect("an empty plan changes nothing, and counts", () =>
    Effect.gen(function*() {
      const { appends, before, exit, opens } = yield* runAndResume([])
      expect(exit).toEqual(Exit.succeed(output))
      expect([appends, opens]).toEqual([4, 1])
      expect(before).toEqual(["run a", "run b", "run c"])
    }))

  it.effect("what takes mail receives it and acknowledges it, of which each can fail", () =>
    Effect.gen(function*() {
      const { faulty, taskIO } = yield* world
      const plan = [Faults.fail("receive", { nth: 2 }), Faults.dropAcknowledgement("acknowledge", { nth: 1 })]
      yield* Effect.gen(function*() {
        const io = yield* TaskIO.TaskIO
        const asked = Effect.all([Faults.count("receive"), Faults.count("acknowledge")])
        expect(yield* io.take("t")).toEqual([])
        expect(yield* asked).toEqual([1, 0])
        yield* io.send("t", { _tag: "Pause", at: yield* DateTime.now })
        failsWith(yield* Effect.exit(io.take("t")), { operation: "receive" })
        expect(yield* taskIO.waiting).toEqual(["t"])
        failsWith(yield* Effect.exit(io.take("t")), { operation: "acknowledge" })
        expect(yield* taskIO.waiting).toEqual([])
        expect(yield* asked).toEqual([3, 1])
      }).pipe(Effect.provide(faulty(plan)))
    }))

  it.effect("fail: the append is not done, and the task goes on from there", () =>
    Effect.gen(function*() {
      const { appends, exit, kept, ledger, resumed } = yield* runAndResume([Faults.fail("append", { nth: 3 })])
      failsWith(exit, { _tag: "TaskIOError", operation: "append", taskId: "t" })
      expect([appends, kept]).toEqual([3, 4])
      expect(resumed).toEqual(Exit.succeed(output))
      // b ran, and that it had is not in the journal.
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "run b", "run c"])
    }))

  it.effect("fail: with an error of one's own, at every occurrence", () =>
    Effect.gen(function*() {
      const error = new CheckMateError.TaskIOError({ operation: "open", location: "disk", problem: "full" })
      const { before, exit, kept, resumed } = yield* runAndResume([Faults.fail("open", { error })])
      expect(exit).toEqual(Exit.fail(error))
      expect([before, kept]).toEqual([[], 0])
      expect(resumed).toEqual(Exit.succeed(output))
    }))

  it.effect("fail: the lock, with its own error", () =>
    Effect.gen(function*() {
      const { exit, opens, resumed } = yield* runAndResume([Faults.fail("acquire")])
      failsWith(exit, { _tag: "BindLockError", taskId: "t" })
      expect(opens).toBe(0)
      expect(resumed).toEqual(Exit.succeed(output))
    }))

  it.effect("dropAcknowledgement: what was written counts, and does not run again", () =>
    Effect.gen(function*() {
      const { exit, kept, ledger, resumed } = yield* runAndResume([Faults.dropAcknowledgement("append", { nth: 3 })])
      failsWith(exit, { _tag: "TaskIOError", operation: "append" })
      expect(kept).toBe(6)
      expect(resumed).toEqual(Exit.succeed(output))
      expect([ledger.count("run a"), ledger.count("run b"), ledger.count("run c")]).toEqual([1, 1, 1])
    }))

  it.effect("dropAcknowledgement: of the last append, so that the task has succeeded all the same", () =>
    Effect.gen(function*() {
      const { before, exit, ledger, resumed } = yield* runAndResume([Faults.dropAcknowledgement("append", { nth: 4 })])
      failsWith(exit, { _tag: "TaskIOError" })
      expect(resumed).toEqual(Exit.succeed(output))
      expect(ledger.entries).toEqual(before)
    }))

  it.effect("dropAcknowledgement: of a binding, which is let go of", () =>
    Effect.gen(function*() {
      const { exit, resumed } = yield* runAndResume([Faults.dropAcknowledgement("acquire")])
      failsWith(exit, { _tag: "BindLockError" })
      expect(resumed).toEqual(Exit.succeed(output))
    }))

  it.effect("duplicate: an append that is delivered twice is refused the second time, and stands once", () =>
    Effect.gen(function*() {
      const { exit, kept, ledger, resumed } = yield* runAndResume([Faults.duplicate("append", { nth: 2 })])
      failsWith(exit, { _tag: "StaleWriterError", taskId: "t" })
      expect(kept).toBe(4)
      expect(resumed).toEqual(Exit.succeed(output))
      expect(ledger.count("run a")).toBe(1)
    }))

  it.effect("duplicate: a claim made twice leaves the second one in force", () =>
    Effect.gen(function*() {
      const { exit } = yield* runAndResume([Faults.duplicate("open")])
      expect(exit).toEqual(Exit.succeed(output))
    }))

  it.effect("loseLock: after an append, the work stops and nothing more is written", () =>
    Effect.gen(function*() {
      const { appends, exit, kept, ledger, resumed } = yield* runAndResume([
        Faults.loseLock("append", { nth: 2, reason: "it went to another engine" })
      ])
      failsWith(exit, { _tag: "BindingLostError", problem: "it went to another engine" })
      expect([appends, kept]).toEqual([2, 4])
      expect(resumed).toEqual(Exit.succeed(output))
      expect(ledger.count("run a")).toBe(1)
    }))

  it.effect("loseLock: as soon as it is acquired", () =>
    Effect.gen(function*() {
      const { exit, resumed } = yield* runAndResume([Faults.loseLock("acquire")])
      failsWith(exit, { _tag: "BindingLostError" })
      expect(resumed).toEqual(Exit.succeed(output))
    }))

  it.effect("delay: by the Clock", () =>
    Effect.gen(function*() {
      const { faulty } = yield* world
      const fiber = yield* Effect.fork(
        Effect.provide(CheckMateEngine.run(abc(new Ledger()), options), faulty([Faults.delay("append", "1 hour")]))
      )
      for (let hours = 0; hours < 3; hours++) yield* TestClock.adjust("1 hour")
      expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
      yield* TestClock.adjust("1 hour")
      expect(yield* Fiber.join(fiber)).toEqual(output)
    }))

  it.effect("die: the process hangs, whatever it is asked, and another one goes on", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const faults = yield* Faults.make([Faults.die("append", { nth: 2, when: "after" })])
      const ledger = new Ledger()
      const over = (driver: TaskIO.Encoded) =>
        Layer.provide(
          CheckMateEngine.layer,
          Layer.merge(Layer.succeed(TaskIO.TaskIO, TaskIO.make(driver)), BindLock.layerMemory)
        )
      const run = CheckMateEngine.run(abc(ledger), options)
      const mortal = faults.taskIO(store)
      const dead = yield* Effect.forkDaemon(Effect.provide(run, over(mortal)))
      yield* faults.died
      const asking = yield* Effect.forkDaemon(mortal.read("t", 0))
      expect(yield* Effect.provide(run, over(store))).toEqual(output)
      expect(yield* Fiber.poll(dead)).toEqual(Option.none())
      expect(yield* Fiber.poll(asking)).toEqual(Option.none())
      expect(yield* faults.count("append")).toBe(2)
    }))

  it.effect("several faults of one call all take place", () =>
    Effect.gen(function*() {
      const { faulty, taskIO } = yield* world
      const plan = [Faults.delay("append", "1 hour", { nth: 1 }), Faults.dropAcknowledgement("append", { nth: 1 })]
      const fiber = yield* Effect.fork(
        Effect.exit(Effect.provide(CheckMateEngine.run(abc(new Ledger()), options), faulty(plan)))
      )
      yield* TestClock.adjust("59 minutes")
      expect(yield* taskIO.read("t")).toEqual([])
      yield* TestClock.adjust("1 minute")
      failsWith(yield* Fiber.join(fiber), { _tag: "TaskIOError" })
      expect((yield* taskIO.read("t")).length).toBe(2)
    }))
})

describe("Faults, over drivers", () => {
  const summary = {
    taskId: "t",
    checkMate: "abc",
    status: "Running",
    succeeded: 0,
    stages: 3,
    tags: [],
    createdAt: "2024-01-01T00:00:00.000Z",
    updatedAt: "2024-01-01T00:00:00.000Z"
  } as const

  it.effect("every operation of a store can fail, and is counted", () =>
    Effect.gen(function*() {
      const on = ["open", "read", "list", "remove", "send", "receive", "acknowledge", "waiting"] as const
      const faults = yield* Faults.make(on.map((operation) => Faults.fail(operation, { nth: 1 })))
      const driver = faults.taskIO(yield* makeStore)
      const all = Effect.all([
        Effect.scoped(driver.open("t")),
        driver.read("t", 0),
        Stream.runCollect(driver.list({})),
        driver.remove("t"),
        driver.send("t", "hello"),
        driver.receive("t"),
        driver.acknowledge("t", []),
        driver.waiting
      ].map((effect) => Effect.exit<unknown, unknown, never>(effect)))
      for (const exit of yield* all) failsWith(exit, { _tag: "TaskIOError" })
      for (const exit of yield* all) expect(Exit.isSuccess(exit)).toBe(true)
      for (const operation of on) expect([operation, yield* faults.count(operation)]).toEqual([operation, 2])
    }))

  it.effect("a list that fails after it was read, and a message that is sent twice", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.make([Faults.dropAcknowledgement("list", { nth: 1 }), Faults.duplicate("send")])
      const driver = faults.taskIO(yield* makeStore)
      yield* Effect.scoped(Effect.flatMap(driver.open("t"), (journal) => journal.append(0, ["{}"], summary)))
      expect(yield* Effect.flip(Stream.runCollect(driver.list({})))).toMatchObject({ operation: "list" })
      expect([...(yield* Stream.runCollect(driver.list({})))]).toEqual([summary])
      yield* driver.send("t", "hello")
      expect((yield* driver.receive("t")).map(({ message }) => message)).toEqual(["hello", "hello"])
    }))

  it.effect("a binding is still lost by itself, where the plan only might take it", () =>
    Effect.gen(function*() {
      const gone = yield* Deferred.make<string>()
      const { holder } = yield* Effect.scoped(
        Effect.flatMap(BindLock.BindLock, (lock) => lock.acquire("t"))
      ).pipe(Effect.provide(BindLock.layerMemory))
      const faults = yield* Faults.make([Faults.loseLock("append", { nth: 9 })])
      const lock = faults.bindLock({
        acquire: () => Effect.succeed({ holder, lost: Deferred.await(gone) }),
        holder: () => Effect.succeed(Option.some(holder))
      })
      yield* Effect.scoped(Effect.gen(function*() {
        const binding = yield* lock.acquire("t")
        yield* Deferred.succeed(gone, "its lease ran out")
        expect(yield* binding.lost).toBe("its lease ran out")
      }))
      expect(yield* lock.holder("t")).toEqual(Option.some(holder))
      expect(yield* faults.count("holder")).toBe(1)
    }))
})
