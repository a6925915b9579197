import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Chunk,
  Context,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schedule,
  Scope,
  Stream,
  TestClock
} from "effect"
import { BindLock, CheckMate, CheckMateEngine, CheckMateError, Stage, TaskIO } from "effect-checkmate"
import { logged, recorder } from "../support/logs.ts"
import {
  abc,
  Boom,
  engineOver,
  engineService,
  failing,
  hangingInB,
  inMemory,
  Ledger,
  losing,
  makeStore,
  Numbers,
  statusOf,
  until,
  withAppends
} from "../support/pipelines.ts"

/** Two engines over one store and one lock, as two processes have them. */
const twoEngines = Effect.gen(function*() {
  const store = yield* makeStore
  const lock = yield* Layer.build(BindLock.layerMemory)
  const engine = engineService(store, Layer.succeedContext(lock))
  return [yield* engine, yield* engine] as const
})

describe("cancel", () => {
  it.effect("interrupts a running stage at once, rolls its attempt back, and says so to whoever ran it", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const fiber = yield* Effect.fork(CheckMateEngine.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* CheckMateEngine.cancel("t", { reason: "enough" })
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "TaskCancelledError", reason: "enough" })
      expect(ledger.entries).toEqual(["run a", "run b", "interrupted b", "undo b"])
      expect(yield* statusOf("t")).toEqual({ _tag: "Cancelled", reason: "enough" })
      const [, cutOff] = (yield* CheckMateEngine.get("t")).stages
      expect(cutOff?.status).toMatchObject({ _tag: "Failed", attempt: 1, failure: { kind: "Interruption" } })
    })))

  it.effect("with rollback, rolls back every stage that succeeded", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = hangingInB(ledger)
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* CheckMateEngine.cancel("t", { rollback: definition })
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "TaskCancelledError" })
      expect(ledger.entries).toEqual(["run a", "run b", "interrupted b", "undo b", "undo a"])
      expect(yield* statusOf("t")).toEqual({ _tag: "Cancelled" })
    })))

  it.effect("reaches a task that another engine runs, through the mailbox", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoEngines
      const ledger = new Ledger()
      const fiber = yield* Effect.fork(one.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const cancelling = yield* Effect.fork(other.cancel("t", { reason: "from afar" }))
      for (let round = 0; round < 5; round++) yield* TestClock.adjust("500 millis")
      yield* Fiber.join(cancelling)
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "TaskCancelledError", reason: "from afar" })
      expect((yield* other.get("t")).task.status).toMatchObject({ _tag: "Cancelled" })
    }).pipe(Effect.scoped))

  it.effect("settles a task that nobody runs, with and without a rollback", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 2 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "kept", input: { seed: 1 } }))
      yield* CheckMateEngine.cancel("kept")
      expect(yield* statusOf("kept")).toEqual({ _tag: "Cancelled" })
      expect(ledger.count("undo a")).toBe(0)
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "undone", input: { seed: 1 } }))
      yield* CheckMateEngine.cancel("undone", { rollback: definition, reason: "no" })
      expect(yield* statusOf("undone")).toEqual({ _tag: "Cancelled", reason: "no" })
      expect(ledger.count("undo a")).toBe(1)
    })))

  it.effect("is idempotent, and refuses a task that has succeeded", () =>
    inMemory(Effect.gen(function*() {
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* CheckMateEngine.cancel("t")
      yield* CheckMateEngine.cancel("t")
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "done", input: { seed: 1 } })
      expect(yield* Effect.flip(CheckMateEngine.cancel("done"))).toMatchObject({
        _tag: "TaskStatusError",
        status: "Succeeded"
      })
    })))

  it.effect("with rollback, rolls back what an earlier one without it has left, once", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 1 }), failUndo: failing({ a: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* CheckMateEngine.cancel("t")
      const cancel = CheckMateEngine.cancel("t", { reason: "no stock", rollback: definition })
      expect(yield* Effect.flip(cancel)).toMatchObject({ _tag: "RollbackFailedError", stage: "a" })
      yield* CheckMateEngine.cancel("t")
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "undo a"])
      yield* cancel
      yield* cancel
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "undo a", "undo a"])
      expect(yield* statusOf("t")).toEqual({ _tag: "Cancelled", reason: "no stock" })
    })))

  it.effect("with rollback, undoes the attempt that a process has left which is gone, and that was cancelled since", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const gone = new CheckMateError.TaskIOError({ operation: "append", location: "disk", problem: "gone" })
      const dying = withAppends(
        store,
        (append, records) => records.some((record) => record.includes("StageSucceeded")) ? Effect.fail(gone) : append
      )
      const definition = abc(ledger)
      const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
      expect(yield* Effect.flip(Effect.provide(run, engineOver(dying)))).toEqual(gone)
      const engine = engineOver(store)
      yield* Effect.provide(CheckMateEngine.cancel("t"), engine)
      expect(ledger.entries).toEqual(["run a"])
      yield* Effect.provide(CheckMateEngine.cancel("t", { rollback: definition }), engine)
      expect(ledger.entries).toEqual(["run a", "undo a"])
    }))

  it.scoped("with rollback, that comes in while one without it is written, rolls back", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 1 }) })
      const [writing, goOn] = [yield* Effect.makeLatch(), yield* Effect.makeLatch()]
      const store = withAppends(yield* makeStore, (append, records) =>
        records.some((record) =>
            record.includes("TaskCancelled")
          )
          ? Effect.zipRight(writing.open, Effect.zipRight(goOn.await, append))
          : append)
      const engine = yield* engineService(store)
      yield* Effect.exit(engine.run(definition, { taskId: "t", input: { seed: 1 } }))
      const first = yield* Effect.fork(engine.cancel("t"))
      yield* writing.await
      const second = yield* Effect.fork(engine.cancel("t", { rollback: definition }))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* goOn.open
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      expect(ledger.count("undo a")).toBe(1)
      expect((yield* engine.get("t")).task.status).toEqual({ _tag: "Cancelled" })
    }))

  it.effect("a cancelled task runs again only by retryFrom", () =>
    inMemory(Effect.gen(function*() {
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* CheckMateEngine.cancel("t")
      expect(yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))).toMatchObject({
        _tag: "TaskCancelledError"
      })
      expect(yield* CheckMateEngine.retryFrom(definition, "t", "b")).toMatchObject({ c: 4 })
    })))
})

describe("pause", () => {
  it.effect("stops at the next boundary, with the checkpoint written, and run goes on", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, {
        fail: (stage) =>
          stage === "a" && ledger.count("run a") === 1
            ? Effect.orDie(CheckMateEngine.pause("t")).pipe(Effect.provide(here))
            : Effect.void
      })
      const here = yield* Effect.context<CheckMateEngine.CheckMateEngine>()
      expect(yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))).toMatchObject({
        _tag: "TaskPausedError"
      })
      expect(ledger.entries).toEqual(["run a"])
      expect(yield* statusOf("t")).toEqual({ _tag: "Paused" })
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "run c"])
    })))

  it.effect("stops a task that waits for a retry at once", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("waiting", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "waits", {
            retry: Schedule.spaced("1 hour"),
            execute: () => Effect.zipRight(ledger.note("run"), Effect.fail(new Boom({ stage: "waits", status: 500 })))
          })
        ]
      })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* until(() => ledger.count("run") === 1)
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* CheckMateEngine.pause("t")
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "TaskPausedError" })
    })))

  it.effect("reaches a task that another engine runs", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoEngines
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
      const fiber = yield* Effect.fork(one.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const pausing = yield* Effect.fork(other.pause("t"))
      for (let round = 0; round < 3; round++) yield* TestClock.adjust("500 millis")
      yield* gate.open
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "TaskPausedError" })
      for (let round = 0; round < 3; round++) yield* TestClock.adjust("500 millis")
      yield* Fiber.join(pausing)
      expect(ledger.entries).toEqual(["run a", "run b"])
    }).pipe(Effect.scoped))

  it.effect("refuses a task that is over", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      expect(yield* Effect.flip(CheckMateEngine.pause("t"))).toMatchObject({ _tag: "TaskStatusError" })
    })))
})

describe("one engine at a time", () => {
  it.effect("a task held elsewhere is TaskBoundError, naming the holder and since when", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoEngines
      const ledger = new Ledger()
      yield* TestClock.adjust("1 hour")
      yield* Effect.fork(one.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* TestClock.adjust("1 minute")
      const error = yield* Effect.flip(other.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }))
      expect(error).toMatchObject({ _tag: "TaskBoundError", holder: "this process" })
      expect(String(error)).toContain("1970-01-01T01:00:00.000Z")
      expect(yield* Effect.flip(other.remove("t"))).toEqual(error)
      expect(Option.isSome((yield* other.get("t")).holder)).toBe(true)
    }).pipe(Effect.scoped))

  it.effect("where its lock knows when an engine began, or when it bound the task, since when is the later one of that and the take-up", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* TestClock.adjust("1 hour")
      const run = CheckMateEngine.run(abc(new Ledger(), { fail: failing({ b: 1 }) }), {
        taskId: "t",
        input: { seed: 1 }
      })
      yield* Effect.exit(Effect.provide(run, engineOver(store)))
      for (const [hours, told] of [[0, 1], [2, 2]] as const) {
        const since = DateTime.unsafeMake(hours * 3_600_000)
        const lock = Layer.succeed(BindLock.BindLock, {
          acquire: (taskId) => Effect.fail(new CheckMateError.TaskBoundError({ taskId, holder: "other", since })),
          holder: () => Effect.succeedSome({ name: "other", since })
        })
        const seen = yield* Effect.all([Effect.flip(run), CheckMateEngine.get("t")]).pipe(
          Effect.map(([error, view]) => [error, Option.getOrUndefined(view.holder)]),
          Effect.provide(engineOver(store, lock))
        )
        expect(seen).toMatchObject(Array.from({ length: 2 }, () => ({ since: DateTime.unsafeMake(told * 3_600_000) })))
      }
    }))

  it.effect("run can wait for it instead", () =>
    Effect.gen(function*() {
      const [one, other] = yield* twoEngines
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
      const first = yield* Effect.fork(one.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const second = yield* Effect.fork(
        other.run(definition, { taskId: "t", input: { seed: 1 }, whenBound: "wait" })
      )
      yield* TestClock.adjust("1 second")
      yield* gate.open
      yield* Fiber.join(first)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(second)).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "run c"])
    }).pipe(Effect.scoped))

  it.effect("who waits for it does not wait for a lock that cannot be reached any more", () =>
    Effect.gen(function*() {
      const bound = new CheckMateError.TaskBoundError({ taskId: "t", holder: "other", since: yield* DateTime.now })
      const out = new CheckMateError.BindLockError({
        taskId: "t",
        operation: "acquire",
        location: "net",
        problem: "unplugged"
      })
      let tries = 0
      const lock = Layer.succeed(BindLock.BindLock, {
        acquire: () => Effect.suspend(() => Effect.fail(++tries < 3 ? bound : out)),
        holder: () => Effect.succeedNone
      })
      const engine = yield* engineService(yield* makeStore, lock)
      const options = { taskId: "t", input: { seed: 1 }, whenBound: "wait" } as const
      const run = yield* Effect.fork(Effect.flip(engine.run(abc(new Ledger()), options)))
      yield* TestClock.adjust("1 second")
      expect(Option.map(yield* Fiber.poll(run), String)).toEqual(Option.some(String(Exit.succeed(out))))
    }).pipe(Effect.scoped))

  it.effect("promise 3: an engine whose journal was claimed by another cannot write, and its work ends", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const frozen = abc(ledger, { fail: (stage) => stage === "a" ? gate.await : Effect.void })
      const fiber = yield* Effect.fork(
        Effect.provide(CheckMateEngine.run(frozen, { taskId: "t", input: { seed: 1 } }), engineOver(store))
      )
      yield* until(() => ledger.count("run a") === 1)
      // Another process, whose lock knows nothing of the first, takes the task over and finishes it.
      const other = new Ledger()
      yield* Effect.provide(CheckMateEngine.run(abc(other), { taskId: "t", input: { seed: 1 } }), engineOver(store))
      const journal = yield* store.read("t", 0)
      yield* gate.open
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "StaleWriterError" })
      expect(ledger.entries).toEqual(["run a"])
      expect(yield* store.read("t", 0)).toEqual(journal)
    }))

  it.effect("losing the binding interrupts the stage, and nothing is rolled back behind the new owner's back", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const takenOver = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(Effect.provide(
        CheckMateEngine.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }),
        engineOver(store, losing(takenOver))
      ))
      yield* until(() => ledger.count("run b") === 1)
      const journal = yield* store.read("t", 0)
      yield* takenOver.open
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "BindingLostError" })
      expect(ledger.entries).toEqual(["run a", "run b", "interrupted b"])
      expect(yield* store.read("t", 0)).toEqual(journal)
    }))

  /** An engine whose first binding is lost when it is told to be, and whose later ones are not. */
  const losingOnce = Effect.gen(function*() {
    const store = yield* makeStore
    const takenOver = yield* Effect.makeLatch()
    let bound = 0
    return { store, takenOver, engine: yield* engineService(store, losing(takenOver, () => ++bound === 1)) }
  })

  /** Waits for a fiber while time passes. */
  const inTime = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) =>
    Effect.zipRight(
      Effect.repeat(Effect.zipRight(TestClock.adjust("250 millis"), Fiber.poll(fiber)), { until: Option.isSome }),
      Fiber.join(fiber)
    )

  it.effect("whoever waits for a task is given what another engine makes of it that takes it over midway", () =>
    Effect.gen(function*() {
      const { engine, store, takenOver } = yield* losingOnce
      const ledger = new Ledger()
      const options = { taskId: "t", input: { seed: 1 } }
      const fiber = yield* Effect.fork(engine.run(hangingInB(ledger), { ...options, whenBound: "wait" }))
      yield* until(() => ledger.count("run b") === 1)
      const output = yield* Effect.provide(CheckMateEngine.run(abc(new Ledger()), options), engineOver(store))
      const journal = yield* store.read("t", 0)
      yield* takenOver.open
      expect(yield* inTime(fiber)).toEqual(output)
      expect(ledger.entries).toEqual(["run a", "run b", "interrupted b"])
      expect(yield* store.read("t", 0)).toEqual(journal)
    }).pipe(Effect.scoped))

  it.effect("so is who hears of it by the journal, and goes on with what the other engine left", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const engine = yield* engineService(store)
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const frozen = abc(ledger, { fail: (stage) => stage === "a" ? gate.await : Effect.void })
      const options = { taskId: "t", input: { seed: 1 } }
      const fiber = yield* Effect.fork(
        engine.resume(frozen, "t", { whenBound: "wait" }).pipe(
          Effect.catchTag("TaskNotFoundError", () => engine.run(frozen, { ...options, whenBound: "wait" }))
        )
      )
      yield* until(() => ledger.count("run a") === 1)
      const other = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit(Effect.provide(CheckMateEngine.run(other, options), engineOver(store)))
      yield* gate.open
      expect(yield* inTime(fiber)).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "run c"])
    }).pipe(Effect.scoped))

  it.effect("who waits for a task that was taken over, and removed since, does not begin it anew", () =>
    Effect.gen(function*() {
      const { engine, store, takenOver } = yield* losingOnce
      const ledger = new Ledger()
      const fiber = yield* Effect.fork(
        engine.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 }, whenBound: "wait" })
      )
      yield* until(() => ledger.count("run b") === 1)
      yield* Effect.zipRight(CheckMateEngine.cancel("t"), CheckMateEngine.remove("t")).pipe(
        Effect.provide(engineOver(store))
      )
      yield* takenOver.open
      expect(yield* Effect.flip(inTime(fiber))).toMatchObject({ _tag: "BindingLostError" })
      expect(ledger.entries).toEqual(["run a", "run b", "interrupted b"])
      expect(yield* store.read("t", 0)).toEqual([])
    }).pipe(Effect.scoped))

  it.effect("who waits for a task that is lost as often as it is taken up tries again at intervals, until the engine ends", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const request = { taskId: "t", input: { seed: 1 } }
      const first = CheckMateEngine.run(abc(new Ledger(), { fail: failing({ b: 1 }) }), request)
      yield* Effect.exit(Effect.provide(first, engineOver(store)))
      const turns = Effect.repeatN(Effect.yieldNow(), 200)
      let bound = 0
      const always = yield* Effect.makeLatch(true)
      const lock = losing(always, () => ++bound !== 4)
      for (const ends of [true, false]) {
        const before = bound
        const scope = yield* Scope.make()
        const engine = yield* Scope.extend(engineService(store, lock), scope)
        const fiber = yield* Effect.fork(engine.run(abc(new Ledger()), { ...request, whenBound: "wait" }))
        yield* turns
        expect(bound - before).toBe(1)
        if (ends) yield* Scope.close(scope, Exit.void)
        else expect(yield* inTime(fiber)).toMatchObject({ c: 4 })
        yield* turns
        const ended = yield* Fiber.poll(fiber)
        expect(Option.exists(ended, (exit) => Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))).toBe(ends)
      }
    }).pipe(Effect.scoped))

  it.effect("who waits for a task whose stage fails since another task was taken over is told of that at once", () =>
    inMemory(Effect.gen(function*() {
      const taken = new CheckMateError.BindingLostError({ taskId: "inner", problem: "another engine took it over" })
      const outer = CheckMate.make("outer", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "a", { execute: () => Effect.fail(taken) })]
      })
      const fiber = yield* Effect.fork(CheckMateEngine.run(outer, { taskId: "t", input: {}, whenBound: "wait" }))
      yield* Effect.repeatN(Effect.yieldNow(), 200)
      expect(Option.map(yield* Fiber.poll(fiber), String)).toEqual(Option.some(String(Exit.fail(taken))))
    })))

  it.effect("whoever watches a binding does so only as long as the task is held", () =>
    Effect.gen(function*() {
      let watching = 0
      const lock = Layer.succeed(BindLock.BindLock, {
        acquire: () =>
          Effect.map(DateTime.now, (since) => ({
            holder: { name: "one", since },
            lost: Effect.suspend(() => {
              watching += 1
              return Effect.onInterrupt(Effect.never, () => Effect.sync(() => watching -= 1))
            })
          })),
        holder: () => Effect.succeedNone
      })
      const ledger = new Ledger()
      const engine = yield* engineService(yield* makeStore, lock)
      const gate = yield* Effect.makeLatch()
      const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
      const fiber = yield* Effect.fork(engine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      expect(watching).toBe(1)
      yield* gate.open
      yield* Fiber.join(fiber)
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      expect(watching).toBe(0)
    }).pipe(Effect.scoped))

  it.effect("a rollback that waits is done once it is, whichever engine has done it", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const engine = yield* engineService(store)
      const run = CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      yield* Effect.provide(run, engineOver(store))
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const frozen = abc(ledger, { failUndo: (stage) => stage === "b" ? gate.await : Effect.void })
      const fiber = yield* Effect.fork(engine.rollback(frozen, "t", { whenBound: "wait" }))
      yield* until(() => ledger.count("undo b") === 1)
      const other = new Ledger()
      yield* Effect.provide(CheckMateEngine.rollback(abc(other), "t"), engineOver(store))
      yield* gate.open
      yield* inTime(fiber)
      expect(ledger.entries).toEqual(["undo c", "undo b"])
      expect(other.entries).toEqual(["undo b", "undo a"])
    }).pipe(Effect.scoped))

  it.effect("a binding that is lost already begins nothing, however quick the task would be", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const holder = { name: "me", since: DateTime.unsafeMake(0) }
      const lock = Layer.succeed(BindLock.BindLock, {
        acquire: () => Effect.succeed({ holder, lost: Effect.succeed("it was never ours") }),
        holder: () => Effect.succeed(Option.none())
      })
      const run = CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      const store = yield* makeStore
      expect(yield* Effect.flip(Effect.provide(run, engineOver(store, lock)))).toMatchObject({
        _tag: "BindingLostError",
        problem: "it was never ours"
      })
      expect(ledger.entries).toEqual([])
      expect(yield* store.read("t", 0)).toEqual([])
    }))
})

/** A store that holds the append of an event back, and tells when it came. */
const holdingBack = (event: string) =>
  Effect.gen(function*() {
    const store = yield* makeStore
    const came = yield* Effect.makeLatch()
    const letThrough = yield* Effect.makeLatch()
    const driver = withAppends(store, (append, records) =>
      records.some((record) => record.includes(`"_tag":"${event}"`))
        ? Effect.zipRight(Effect.zipRight(came.open, letThrough.await), append)
        : append)
    return { came, driver, letThrough }
  })

describe("a cancel that comes in on a task's last append", () => {
  it.effect("is refused where the task succeeds by it, and its caller gets the output", () =>
    Effect.gen(function*() {
      const { came, driver, letThrough } = yield* holdingBack("TaskSucceeded")
      yield* Effect.gen(function*() {
        const ledger = new Ledger()
        const run = yield* Effect.fork(CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } }))
        yield* came.await
        const cancels = yield* Effect.fork(Effect.all([
          Effect.flip(CheckMateEngine.cancel("t")),
          Effect.flip(CheckMateEngine.cancel("t", { rollback: abc(ledger) }))
        ], { concurrency: 2 }))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* letThrough.open
        expect(yield* Fiber.join(run)).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
        for (const refused of yield* Fiber.join(cancels)) {
          expect(refused).toMatchObject({ _tag: "TaskStatusError", operation: "be cancelled", status: "Succeeded" })
        }
        expect(yield* statusOf("t")).toMatchObject({ _tag: "Succeeded" })
        expect(ledger.entries).toEqual(["run a", "run b", "run c"])
      }).pipe(Effect.provide(engineOver(driver)))
    }))

  it.effect("adds nothing where the task was rolled back by it", () =>
    Effect.gen(function*() {
      const { came, driver, letThrough } = yield* holdingBack("TaskRolledBack")
      yield* Effect.gen(function*() {
        const ledger = new Ledger()
        const definition = abc(ledger, { onFailure: "rollback", fail: failing({ c: 1 }) })
        const run = yield* Effect.fork(
          Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
        )
        yield* came.await
        const cancel = yield* Effect.fork(CheckMateEngine.cancel("t", { rollback: definition }))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* letThrough.open
        yield* Fiber.join(cancel)
        expect(yield* Fiber.join(run)).toMatchObject({ _tag: "TaskCancelledError" })
        expect(yield* statusOf("t")).toMatchObject({ _tag: "RolledBack" })
        expect(ledger.entries).toEqual(["run a", "run b", "run c", "undo c", "undo b", "undo a"])
      }).pipe(Effect.provide(engineOver(driver)))
    }))

  it.effect("a cancel while the last stage lets go of its resources is one", () =>
    Effect.gen(function*() {
      const letGo = yield* Effect.makeLatch()
      const releasing = yield* Effect.makeLatch()
      const definition = CheckMate.make("slow", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "last", {
            provides: ["a"],
            execute: () =>
              Effect.as(
                Effect.acquireRelease(Effect.void, () => Effect.zipRight(releasing.open, letGo.await)),
                { a: 1 }
              )
          })
        ]
      })
      const run = yield* Effect.fork(Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: {} })))
      yield* releasing.await
      const cancel = yield* Effect.fork(CheckMateEngine.cancel("t"))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* letGo.open
      yield* Fiber.join(cancel)
      expect(yield* Fiber.join(run)).toMatchObject({ _tag: "TaskCancelledError" })
      expect((yield* CheckMateEngine.get("t")).task.status._tag).toBe("Cancelled")
    }).pipe(Effect.provide(CheckMateEngine.layerMemory)))
})

describe("what becomes of a task between the look at it and its binding", () => {
  /** A task that another engine is in the middle of, and ends in the middle of this engine's first look at it. */
  const changing = (
    ledger: Ledger,
    end: (other: CheckMateEngine.CheckMateEngine["Type"], run: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<
      unknown,
      unknown
    >
  ) =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
      const engineOn = (driver: TaskIO.Encoded) => engineService(driver, lock)
      const other = yield* engineOn(store)
      const gate = yield* Effect.makeLatch()
      const definition = abc(ledger, {
        fail: (stage) => stage === "b" ? gate.await : Effect.void
      })
      const run = yield* Effect.fork(other.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      let looked = false
      const late = yield* engineOn({
        ...store,
        read: (taskId, from) =>
          Effect.tap(store.read(taskId, from), () => {
            if (looked) return Effect.void
            looked = true
            return Effect.zipRight(gate.open, Effect.ignore(end(other, run)))
          })
      })
      return { definition, late, store }
    })

  it.scoped("a cancel of one that was cancelled writes nothing more", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const { late, store } = yield* changing(ledger, (other) => other.cancel("t"))
      yield* late.cancel("t")
      const events = (yield* store.read("t", 0)).map((record) => JSON.parse(record)._tag)
      expect(events.filter((tag) => tag === "TaskCancelled")).toHaveLength(1)
    }))

  it.scoped("a cancel with rollback of one that was cancelled with it rolls nothing back twice", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const options = { rollback: abc(ledger) }
      const { late, store } = yield* changing(ledger, (other) => other.cancel("t", options))
      yield* late.cancel("t", options)
      const events = (yield* store.read("t", 0)).map((record) => JSON.parse(record)._tag)
      expect(events.filter((tag) => tag === "TaskRollbackStarted")).toHaveLength(1)
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "undo a"])
    }))

  for (const what of ["a cancel", "a cancel with rollback", "a pause"] as const) {
    it.scoped(`${what} of one that has succeeded is refused, and nothing is rolled back`, () =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const { definition, late } = yield* changing(ledger, (_, run) => Fiber.await(run))
        const asked = what === "a pause"
          ? late.pause("t")
          : late.cancel("t", what === "a cancel" ? {} : { rollback: definition })
        expect(yield* Effect.flip(asked)).toMatchObject({ _tag: "TaskStatusError", status: "Succeeded" })
        expect(ledger.entries).toEqual(["run a", "run b", "run c"])
      }))
  }
})

describe("poisoned tasks", () => {
  const killing = (ledger: Ledger) =>
    abc(ledger, { fail: (stage) => stage === "b" ? Effect.uninterruptible(Effect.never) : Effect.void })

  it.effect("are stopped, too, where how often is no number", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const engine = () => engineOver(store, BindLock.layerMemory, { maxRecoveries: Number.NaN })
      const run = CheckMateEngine.run(killing(ledger), { taskId: "t", input: { seed: 1 } })
      for (let crash = 1; crash <= 6; crash++) {
        yield* Effect.forkDaemon(Effect.provide(run, engine()))
        yield* until(() => ledger.count("run b") === crash)
      }
      expect(yield* Effect.flip(Effect.provide(run, engine()))).toMatchObject({
        _tag: "TaskPoisonedError",
        recoveries: 5
      })
    }))

  it.effect("promise 4: a task that keeps crashing its process is stopped after a bounded number of recoveries", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const engine = () => engineOver(store, BindLock.layerMemory, { maxRecoveries: 3 })
      const { layer: listening, lines } = recorder()
      const run = CheckMateEngine.run(killing(ledger), { taskId: "t", input: { seed: 1 } })
      for (let crash = 1; crash <= 4; crash++) {
        yield* Effect.forkDaemon(Effect.provide(run, Layer.merge(engine(), listening)))
        yield* until(() => ledger.count("run b") === crash)
      }
      expect(lines).toEqual(Array.from({ length: 3 }, () => "INFO task=t Task t goes on after a crash in stage b"))
      const error = yield* Effect.flip(Effect.provide(run, engine()))
      expect(error).toMatchObject({ _tag: "TaskPoisonedError", stage: "b", recoveries: 3 })
      expect(ledger.count("run b")).toBe(4)
      expect(ledger.count("undo b")).toBe(3)
      const mended = abc(ledger)
      expect(yield* Effect.provide(CheckMateEngine.retryFrom(mended, "t", "b"), engine())).toMatchObject({ c: 4 })
      expect(ledger.count("undo b")).toBe(4)
      expect(ledger.count("run a")).toBe(1)
    }))
})

describe("an engine whose Scope ends", () => {
  /** An engine that ends while it opens the journal of a task. */
  const endedAtOpen = Effect.fnUntraced(
    function*(store: TaskIO.Encoded, run: Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>) {
      const [asked, goOn] = [yield* Effect.makeLatch(), yield* Effect.makeLatch()]
      const open: typeof store.open = (taskId) =>
        Effect.zipRight(Effect.uninterruptible(Effect.zipRight(asked.open, goOn.await)), store.open(taskId))
      const scope = yield* Scope.make()
      const engine = yield* Scope.extend(engineService({ ...store, open }), scope)
      const running = yield* Effect.fork(Effect.provideService(run, CheckMateEngine.CheckMateEngine, engine))
      yield* asked.await
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* goOn.open
      yield* Fiber.join(closing)
      expect(Exit.isInterrupted(yield* Fiber.await(running))).toBe(true)
    }
  )

  /** An engine with a Scope of its own, over what it shares with others. */
  const closable = Effect.gen(function*() {
    const store = yield* makeStore
    const lock = yield* Layer.build(BindLock.layerMemory)
    const scope = yield* Scope.make()
    const service = engineService(store, Layer.succeedContext(lock))
    return { engine: yield* Scope.extend(service, scope), other: yield* service, close: Scope.close(scope, Exit.void) }
  })

  it.scoped("interrupts what its callers still run, and lets go of it, for another to go on with", () =>
    Effect.gen(function*() {
      const { close, engine, other } = yield* closable
      const ledger = new Ledger()
      // There was a time when it had nothing to do.
      yield* engine.run(abc(new Ledger()), { taskId: "before", input: { seed: 1 } })
      const slow = abc(ledger, {
        fail: (stage) =>
          stage === "b" ? Effect.onInterrupt(Effect.never, () => ledger.note("interrupted b")) : Effect.void,
        failUndo: () => Effect.repeatN(Effect.yieldNow(), 100)
      })
      const fiber = yield* Effect.fork(engine.run(slow, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* close
      expect(ledger.entries).toEqual(["run a", "run b", "interrupted b", "undo b"])
      expect((yield* other.get("t")).holder._tag).toBe("None")
      expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
      expect(yield* other.resume(abc(ledger), "t")).toMatchObject({ c: 4 })
      expect(ledger.count("run a")).toBe(1)
    }))

  it.scoped("ends what its callers watch, who would wait for what others may do one day", () =>
    Effect.gen(function*() {
      const { close, engine } = yield* closable
      const ledger = new Ledger()
      yield* engine.start(hangingInB(ledger), { taskId: "t", input: { seed: 1 } })
      const one = yield* Effect.fork(Stream.runLast(engine.watch("t")))
      const all = yield* Effect.fork(Stream.runCollect(engine.watchAll()))
      yield* until(() => ledger.count("run b") === 1)
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* close
      yield* TestClock.adjust("1 minute")
      expect(Option.isSome(yield* Fiber.poll(one))).toBe(true)
      expect(Option.map(yield* Fiber.join(one), ({ task }) => task.status._tag)).toEqual(Option.some("Running"))
      expect(Chunk.toReadonlyArray(yield* Fiber.join(all)).map(({ taskId }) => taskId)).toContain("t")
      expect(Option.isSome(yield* Stream.runLast(engine.watch("t")))).toBe(true)
    }))

  it.scoped("tells what could not be written of what was started, for which nobody may be waiting", () =>
    Effect.gen(function*() {
      let isFull = false
      const full = new CheckMateError.TaskIOError({ operation: "append", location: "the disk", problem: "is full" })
      const store = withAppends(yield* makeStore, (append) => Effect.suspend(() => isFull ? full : append))
      const scope = yield* Scope.make()
      const ledger = new Ledger()
      const lines = yield* logged(Effect.gen(function*() {
        const engine = yield* Scope.extend(engineService(store), scope)
        yield* engine.start(hangingInB(ledger), { taskId: "t", input: { seed: 1 } })
        yield* until(() => ledger.count("run b") === 1)
        isFull = true
        yield* Scope.close(scope, Exit.void)
      }))
      expect(lines).toEqual(["WARN task=t Task t, in the background, ended with a failure"])
    }))

  it.scoped("fails no stage that waits for what it has started", () =>
    Effect.gen(function*() {
      const { close, engine, other } = yield* closable
      const ledger = new Ledger()
      const inner = engine.start(hangingInB(ledger), { taskId: "inner", input: { seed: 1 } })
      const waits = Effect.orDie(Effect.asVoid(Effect.flatMap(inner, (handle) => handle.await)))
      const outer = abc(ledger, { fail: (stage) => stage === "c" ? waits : Effect.void })
      const running = yield* Effect.fork(engine.run(outer, { taskId: "outer", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 2)
      yield* close
      expect(Exit.isInterrupted(yield* Fiber.await(running))).toBe(true)
      for (const taskId of ["outer", "inner"]) {
        expect((yield* other.get(taskId)).task.status._tag).toBe("Running")
      }
    }))

  it.scoped("does not wait for who waits for a task that others hold", () =>
    Effect.gen(function*() {
      const { close, engine, other } = yield* closable
      const ledger = new Ledger()
      yield* Effect.fork(other.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const waiting = yield* Effect.fork(
        engine.run(abc(ledger), { taskId: "t", input: { seed: 1 }, whenBound: "wait" })
      )
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* close
      expect(Exit.isInterrupted(yield* Fiber.await(waiting))).toBe(true)
      expect(ledger.count("run b")).toBe(1)
    }))

  it.scoped("runs nothing of a task whose journal is being opened then", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      yield* endedAtOpen(store, CheckMateEngine.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } }))
      expect(ledger.entries).toEqual([])
    }))

  it.scoped("takes no crash back, where it had done nothing about its task yet", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const run = CheckMateEngine.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } })
      yield* Effect.forkDaemon(Effect.provide(run, engineOver(store)))
      yield* until(() => ledger.count("run b") === 1)
      const before = yield* store.read("t", 0)
      yield* endedAtOpen(store, run)
      expect(yield* store.read("t", 0)).toEqual(before)
      const engine = engineOver(store, BindLock.layerMemory, { maxRecoveries: 0 })
      expect(yield* Effect.flip(Effect.provide(run, engine))).toMatchObject({ _tag: "TaskPoisonedError" })
    }))

  it.scoped("takes nothing up any more, and says so", () =>
    Effect.gen(function*() {
      const { close, engine, other } = yield* closable
      yield* close
      const cause = yield* Effect.flip(
        Effect.sandbox(engine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }))
      )
      expect(Cause.pretty(cause)).toContain(
        "Task \"t\" cannot be taken up: the CheckMateEngine it was given to is closed"
      )
      expect(yield* Effect.flip(other.get("t"))).toMatchObject({ _tag: "TaskNotFoundError" })
    }))
})

describe("start, resumeAll and clean", () => {
  it.effect("start returns a handle that outlives the caller, and stops with the engine, resumably", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      yield* Effect.gen(function*() {
        const done = yield* Effect.scoped(CheckMateEngine.start(abc(ledger), { taskId: "done", input: { seed: 1 } }))
        expect(yield* done.await).toMatchObject({ c: 4 })
        yield* CheckMateEngine.start(hangingInB(ledger), { taskId: "left", input: { seed: 1 } })
        yield* until(() => ledger.count("run b") === 2)
      }).pipe(Effect.provide(engineOver(store)))
      expect(ledger.entries.slice(-2)).toEqual(["interrupted b", "undo b"])
      const task = yield* Effect.provide(CheckMateEngine.get("left"), engineOver(store))
      expect([task.task.status._tag, task.holder._tag]).toEqual(["Running", "None"])
    }))

  it.effect("a handle's interrupt stops its task", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const handle = yield* CheckMateEngine.start(hangingInB(ledger), { input: { seed: 1 } })
      yield* until(() => ledger.count("run b") === 1)
      expect((yield* handle.status).stages[1]?.status._tag).toBe("Running")
      yield* handle.interrupt
      expect(Exit.isInterrupted(yield* Effect.exit(handle.await))).toBe(true)
      expect(ledger.count("undo b")).toBe(1)
    })))

  it.effect("resumeAll goes on with what was running, and reports what it could not", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      for (const taskId of ["one", "two"]) {
        yield* Effect.forkDaemon(
          Effect.provide(CheckMateEngine.run(hangingInB(ledger), { taskId, input: { seed: 1 } }), engineOver(store))
        )
      }
      yield* until(() => ledger.count("run b") === 2)
      const unknown = CheckMate.make("unknown", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "x", { execute: () => Effect.uninterruptible(Effect.never) })]
      })
      yield* Effect.forkDaemon(
        Effect.provide(CheckMateEngine.run(unknown, { taskId: "three", input: {} }), engineOver(store))
      )
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      const report = yield* Effect.provide(
        CheckMateEngine.resumeAll([abc(ledger)], { concurrency: 2 }),
        engineOver(store)
      )
      const byId = new Map(report.map((entry) => [entry.taskId, Option.getOrUndefined(entry.failure)?.tag]))
      expect([byId.get("one"), byId.get("two"), byId.get("three")]).toEqual([
        undefined,
        undefined,
        "WrongCheckMateError"
      ])
      expect(ledger.count("run c")).toBe(2)
    }))

  it.effect("resumeAll goes on with a task by the first definition of its name that fits it", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ran: Array<string> = []
      const stage = (version: string, name: string) =>
        Stage.make(Numbers, name, { execute: () => Effect.sync(() => void ran.push(`${version} ${name}`)) })
      const versionOf = (version: string, ...names: ReadonlyArray<string>) =>
        CheckMate.make("doc", { state: Numbers, input: [], stages: names.map((name) => stage(version, name)) })
      const left = (taskId: string, ...names: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const hangs = Stage.make(Numbers, "hangs", { execute: () => Effect.uninterruptible(Effect.never) })
          const stages = [...names.map((name) => stage("first", name)), hangs]
          const begun = CheckMate.make("doc", { state: Numbers, input: [], stages })
          const count = ran.length
          yield* Effect.forkDaemon(Effect.provide(CheckMateEngine.run(begun, { taskId, input: {} }), engineOver(store)))
          yield* until(() => ran.length === count + names.length)
          yield* Effect.repeatN(Effect.yieldNow(), 50)
        })
      yield* left("new", "one", "three")
      yield* left("old", "one", "two")
      yield* left("older", "zero")
      ran.length = 0
      const now = versionOf("now", "one", "three", "hangs")
      const before = versionOf("before", "one", "two", "hangs")
      const report = yield* Effect.provide(
        CheckMateEngine.resumeAll([now, before], { concurrency: 1 }),
        engineOver(store)
      )
      expect(Object.fromEntries(report.map(({ failure, taskId }) => [taskId, Option.getOrNull(failure)?.tag]))).toEqual(
        {
          new: undefined,
          old: undefined,
          older: "DefinitionChangedError"
        }
      )
      expect(ran.sort()).toEqual(["before hangs", "now hangs"])
    }))

  it.effect("resumeAll does not take what a stage failed with for its own task's", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      let runs = 0
      const definition = (fails: boolean) =>
        CheckMate.make("doc", {
          state: Numbers,
          input: [],
          stages: [Stage.make(Numbers, "inner", {
            execute: () => {
              runs += 1
              const given = { taskId: "inner", checkMate: "inner", recorded: ["a"], defined: [], problem: "gone" }
              return fails
                ? Effect.fail(new CheckMateError.DefinitionChangedError(given))
                : Effect.uninterruptible(Effect.never)
            }
          })]
        })
      const begun = CheckMateEngine.run(definition(false), { taskId: "t", input: {} })
      yield* Effect.forkDaemon(Effect.provide(begun, engineOver(store)))
      yield* until(() => runs === 1)
      const again = CheckMateEngine.resumeAll([definition(true), definition(true)])
      const [found] = yield* Effect.provide(again, engineOver(store))
      expect(Option.map(found!.failure, ({ tag }) => tag)).toEqual(Option.some("DefinitionChangedError"))
      expect(runs).toBe(2)
    }))

  it.effect("clean reports with dryRun what it would remove, and removes only what is over and old enough", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "old", input: { seed: 1 } })
      yield* TestClock.adjust(Duration.days(2))
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "young", input: { seed: 1 } })
      yield* Effect.exit(
        CheckMateEngine.run(abc(new Ledger(), { fail: failing({ a: 1 }) }), { taskId: "failed", input: { seed: 1 } })
      )
      const ids = (tasks: ReadonlyArray<{ readonly taskId: string }>) => tasks.map(({ taskId }) => taskId).sort()
      expect(ids(yield* CheckMateEngine.clean({ olderThan: "1 day", dryRun: true }))).toEqual(["old"])
      expect(yield* CheckMateEngine.find()).toHaveLength(3)
      expect(ids(yield* CheckMateEngine.clean({ olderThan: "1 day" }))).toEqual(["old"])
      expect(ids(yield* CheckMateEngine.clean())).toEqual(["young"])
      expect(ids(yield* CheckMateEngine.clean({ status: ["Failed"], checkMate: "other" }))).toEqual([])
      expect(ids(yield* CheckMateEngine.clean({ status: ["Failed"], checkMate: "abc" }))).toEqual(["failed"])
    })))

  it.effect("clean that is told no age removes what is over by a clock that has been set back since, too", () =>
    inMemory(Effect.gen(function*() {
      yield* TestClock.setTime(60_000)
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "ahead", input: { seed: 1 } })
      yield* TestClock.setTime(0)
      expect(yield* CheckMateEngine.clean({ olderThan: "1 milli" })).toEqual([])
      expect(yield* CheckMateEngine.clean({ dryRun: true })).toMatchObject([{ taskId: "ahead" }])
      expect(yield* CheckMateEngine.clean()).toMatchObject([{ taskId: "ahead" }])
    })))

  it.effect("clean never removes what is active, whatever it is told", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const handle = yield* CheckMateEngine.start(hangingInB(ledger), { taskId: "t", input: { seed: 1 } })
      yield* until(() => ledger.count("run b") === 1)
      yield* handle.interrupt
      const reckless = { status: ["Running", "RollingBack"] } as unknown as CheckMateEngine.CleanOptions
      expect(yield* CheckMateEngine.clean({ ...reckless, dryRun: true })).toEqual([])
      expect(yield* CheckMateEngine.clean(reckless)).toEqual([])
      expect(yield* statusOf("t")).toMatchObject({ _tag: "Running" })
    })))

  /** Changes the records of a task, as damage does. */
  const damaging = (store: TaskIO.Encoded, damaged: string): TaskIO.Encoded => ({
    ...store,
    read: (taskId, from) => Effect.map(store.read(taskId, from), (all) => taskId === damaged ? ["{}", ...all] : all)
  })

  for (
    const [name, operation] of [
      ["clean", Effect.asVoid(CheckMateEngine.clean())],
      ["remove", CheckMateEngine.remove("t")]
    ] as const
  ) {
    it.effect(`${name} that is interrupted finishes the removal that it is in the middle of`, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const [begun, goOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const slow: TaskIO.Encoded = {
          ...store,
          remove: (taskId) =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.zipRight(Deferred.await(goOn)),
              Effect.zipRight(store.remove(taskId))
            )
        }
        yield* Effect.gen(function*() {
          yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
          const removing = yield* Effect.fork(operation)
          yield* Deferred.await(begun)
          const ending = yield* Effect.fork(Fiber.interrupt(removing))
          yield* Stage.yieldToEventLoop
          yield* Deferred.succeed(goOn, undefined)
          yield* Fiber.join(ending)
          expect(yield* CheckMateEngine.find()).toEqual([])
        }).pipe(Effect.provide(engineOver(slow)))
      }))
  }

  it.effect("clean goes on past a task whose journal cannot be read, and remove removes that, too", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const engine = engineOver(damaging(store, "b"))
      for (const taskId of ["a", "b", "c"]) {
        yield* Effect.provide(CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } }), engineOver(store))
      }
      for (const dryRun of [true, false]) {
        const lines = yield* logged(
          Effect.gen(function*() {
            expect((yield* CheckMateEngine.clean({ dryRun })).map(({ taskId }) => taskId).sort()).toEqual(["a", "c"])
          }).pipe(Effect.provide(engine))
        )
        expect(lines).toEqual([
          expect.stringContaining(`WARN Task b is over and is not removed: The journal of task "b" is damaged`)
        ])
      }
      const held = Layer.scopedContext(
        Effect.tap(
          Layer.build(BindLock.layerMemory),
          (context) => Effect.orDie(Context.get(context, BindLock.BindLock).acquire("b"))
        )
      )
      expect(yield* Effect.flip(Effect.provide(CheckMateEngine.remove("b"), engineOver(damaging(store, "b"), held))))
        .toMatchObject({ _tag: "TaskBoundError" })
      yield* Effect.provide(CheckMateEngine.remove("b"), engine)
      expect(yield* Effect.provide(CheckMateEngine.find(), engine)).toEqual([])
      expect(
        yield* Effect.provide(
          CheckMateEngine.run(abc(new Ledger()), { taskId: "b", input: { seed: 2 } }),
          engineOver(store)
        )
      )
        .toMatchObject({ c: 5 })
    }))

  it.effect("clean leaves a task that is held, and says so with dryRun too", () =>
    Effect.scoped(Effect.gen(function*() {
      const context = yield* Layer.build(Layer.merge(TaskIO.layerMemory, BindLock.layerMemory))
      const engine = Layer.provide(CheckMateEngine.layer, Layer.succeedContext(context))
      yield* Effect.gen(function*() {
        yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
        yield* Context.get(context, BindLock.BindLock).acquire("t")
        expect(yield* CheckMateEngine.clean({ dryRun: true })).toEqual([])
        expect(yield* CheckMateEngine.clean()).toEqual([])
        expect(yield* CheckMateEngine.find()).toHaveLength(1)
      }).pipe(Effect.provide(engine))
    })))

  it.effect("clean and remove leave a task that another engine takes over while it is looked at", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const takenOver = yield* Effect.makeLatch()
      const definition = abc(new Ledger())
      yield* Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }), engineOver(store))
      const lost = Effect.zipRight(takenOver.open, Effect.repeatN(Effect.yieldNow(), 20))
      const slow = {
        ...store,
        read: (...from: Parameters<typeof store.read>) => Effect.zipRight(lost, store.read(...from))
      }
      const engine = yield* engineService(slow, losing(takenOver))
      expect(yield* engine.clean()).toEqual([])
      yield* takenOver.close
      expect(yield* Effect.flip(engine.remove("t"))).toMatchObject({ _tag: "TaskBoundError", taskId: "t" })
      expect(yield* engine.find()).toHaveLength(1)
      yield* takenOver.close
    }).pipe(Effect.scoped))

  it.effect("remove takes what is over, and leaves what is not, what is held, and what is not there", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      yield* CheckMateEngine.run(abc(ledger), { taskId: "over", input: { seed: 1 } })
      yield* CheckMateEngine.remove("over")
      expect(yield* Effect.flip(CheckMateEngine.remove("over"))).toMatchObject({ _tag: "TaskNotFoundError" })
      expect(yield* Effect.flip(CheckMateEngine.remove("../over"))).toMatchObject({ _tag: "InvalidTaskIdError" })
      const fiber = yield* Effect.fork(
        CheckMateEngine.run(hangingInB(ledger), { taskId: "running", input: { seed: 1 } })
      )
      yield* until(() => ledger.count("run b") === 2)
      expect(yield* Effect.flip(CheckMateEngine.remove("running"))).toMatchObject({
        _tag: "TaskBoundError",
        holder: "this process (this very engine)",
        // What remove has no option for is said to be of others.
        message: expect.stringContaining(
          "as run, resume, retryFrom, rollback and resumeAll do with the option whenBound"
        )
      })
      yield* Fiber.interrupt(fiber)
      const refused = yield* Effect.flip(CheckMateEngine.remove("running"))
      expect(refused).toMatchObject({ _tag: "TaskStatusError", operation: "be removed", status: "Running" })
      yield* CheckMateEngine.cancel("running")
      yield* CheckMateEngine.remove("running")
      expect(yield* CheckMateEngine.find()).toEqual([])
    })))

  it.effect("resumeAll takes the statuses it is given, and waits for tasks that are held where it is told to", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const failed = CheckMateEngine.run(abc(ledger, { fail: failing({ a: 1 }) }), { taskId: "f", input: { seed: 1 } })
      yield* Effect.exit(failed)
      const gate = yield* Effect.makeLatch()
      const held = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
      const fiber = yield* Effect.fork(CheckMateEngine.run(held, { taskId: "h", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const tagOf = (
        [resumed]: ReadonlyArray<CheckMateEngine.Resumed>
      ) => [resumed?.taskId, Option.getOrUndefined(resumed?.failure ?? Option.none())?.tag]
      expect(tagOf(yield* CheckMateEngine.resumeAll([held]))).toEqual(["h", "TaskBoundError"])
      const waiting = yield* Effect.fork(CheckMateEngine.resumeAll([held], { whenBound: "wait" }))
      yield* gate.open
      yield* Fiber.join(fiber)
      yield* TestClock.adjust("1 second")
      expect(tagOf(yield* Fiber.join(waiting))).toEqual(["h", undefined])
      expect(tagOf(yield* CheckMateEngine.resumeAll([held], { status: ["Failed"] }))).toEqual(["f", undefined])
    })))

  it.effect("what fails in the background is told, and what was asked for is not", () =>
    Effect.gen(function*() {
      const lines = yield* logged(inMemory(Effect.gen(function*() {
        const failed = yield* CheckMateEngine.start(abc(new Ledger(), { fail: failing({ b: 1 }) }), {
          taskId: "failed",
          input: { seed: 1 }
        })
        yield* Effect.exit(failed.await)
        const ledger = new Ledger()
        const stopped = yield* CheckMateEngine.start(hangingInB(ledger), { taskId: "stopped", input: { seed: 1 } })
        const twice = { taskId: "twice", input: { seed: 1 } }
        const [first] = yield* Effect.all([
          CheckMateEngine.start(hangingInB(new Ledger()), twice),
          CheckMateEngine.start(hangingInB(new Ledger()), twice)
        ], { concurrency: 2 })
        yield* first.interrupt
        yield* until(() => ledger.count("run b") === 1)
        yield* CheckMateEngine.cancel("stopped")
        yield* Effect.exit(stopped.await)
        const again = yield* CheckMateEngine.start(hangingInB(ledger), { taskId: "stopped", input: { seed: 1 } })
        yield* Effect.exit(again.await)
      })))
      expect(lines).toEqual([
        "WARN task=failed Task failed, in the background, ended with a failure",
        "WARN task=twice Task twice, in the background, was not begun",
        // Of one that had been cancelled before nobody has asked for anything.
        "WARN task=stopped Task stopped, in the background, was not begun"
      ])
    }))

  it.effect("another input for a task that has succeeded changes nothing, which is told", () =>
    Effect.gen(function*() {
      const run = (seed: number) => CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed } })
      const lines = yield* logged(inMemory(Effect.gen(function*() {
        yield* run(1)
        expect(yield* run(1)).toMatchObject({ seed: 1, c: 4 })
        expect(yield* run(2)).toMatchObject({ seed: 1, c: 4 })
      })))
      expect(lines).toEqual([expect.stringContaining(`another value given for "seed" changes nothing`)])
    }))
})
