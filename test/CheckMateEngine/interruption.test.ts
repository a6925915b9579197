/** Whoever is interrupted, and wherever: what is not to be interrupted is not, and what is stopped can be gone on with. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, FiberId, Layer, Option, Schedule, Scope, TestClock } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage } from "effect-checkmate"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import { logged } from "../support/logs.ts"
import {
  abc,
  Boom,
  engineOver,
  engineService,
  hangingInB,
  inMemory,
  Ledger,
  losing,
  makeStore,
  Numbers,
  statusOf,
  until
} from "../support/pipelines.ts"

const input = { seed: 1 }
const someTurns = Effect.repeatN(Effect.yieldNow(), 100)

/** A rollback that fails so often, and is tried again every minute. */
const stubborn = (ledger: Ledger, failures: number) => ({
  rollbackRetry: Schedule.intersect(Schedule.spaced("1 minute"), Schedule.recurs(5)),
  rollback: () =>
    Effect.zipRight(
      ledger.note("undo"),
      Effect.suspend(() =>
        ledger.count("undo") <= failures ? Effect.fail(new Boom({ stage: "a", status: 503 })) : Effect.void
      )
    )
})

/** An engine that can be closed before the test ends. */
const closable = (...parts: Parameters<typeof engineService>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    return { engine: yield* Scope.extend(engineService(...parts), scope), close: Scope.close(scope, Exit.void) }
  })

describe("an interruption of who runs a task", () => {
  it.effect("does not reach it where that is not to be interrupted: it goes on to its end", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const goOn = yield* Effect.makeLatch()
      const definition = abc(ledger, {
        onFailure: "rollback",
        fail: (stage) => stage === "b" ? goOn.await : Effect.void
      })
      const fiber = yield* Effect.fork(Effect.uninterruptible(CheckMateEngine.run(definition, { taskId: "t", input })))
      yield* until(() => ledger.count("run b") === 1)
      fiber.unsafeInterruptAsFork(FiberId.none)
      yield* someTurns
      yield* goOn.open
      yield* Fiber.await(fiber)
      expect(ledger.entries).toEqual(["run a", "run b", "run c"])
      expect((yield* statusOf("t"))._tag).toBe("Succeeded")
    })))

  it.effect("does not keep whoever waits for a task from having it, or from ending with the engine, where that is not to be interrupted", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const run = (taskId: string) => CheckMateEngine.run(abc(ledger), { taskId, input, whenBound: "wait" })
      yield* Effect.provide(Effect.uninterruptible(run("free")), engineOver(store))
      expect(ledger.entries).toEqual(["run a", "run b", "run c"])

      const lock = Layer.succeed(BindLock.BindLock, yield* MemoryLock.make)
      const holder = yield* engineService(store, lock)
      yield* holder.start(hangingInB(ledger), { taskId: "held", input })
      const { close, engine } = yield* closable(store, lock)
      const waiting = yield* Effect.fork(Effect.uninterruptible(engine.run(abc(ledger), {
        taskId: "held",
        input,
        whenBound: "wait"
      })))
      yield* someTurns
      yield* close
      expect(Exit.isInterrupted(yield* Fiber.await(waiting))).toBe(true)
    }).pipe(Effect.scoped))

  for (const asked of ["look at a task that was waited for", "claim of its journal"]) {
    it.effect(`does not wait for the store's answer to a ${asked}`, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
        const ledger = new Ledger()
        const gate = yield* Effect.makeLatch()
        const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
        const run = CheckMateEngine.run(definition, { taskId: "t", input, whenBound: "wait" })
        let came = false
        const never = Effect.suspend(() => {
          came = true
          return Effect.never
        })
        const waiting = asked === "claim of its journal"
          ? { ...store, open: () => never }
          : {
            ...store,
            read: (...args: Parameters<typeof store.read>) => ledger.count("run c") === 1 ? never : store.read(...args)
          }
        const first = yield* Effect.fork(Effect.provide(run, engineOver(store, lock)))
        yield* until(() => ledger.count("run b") === 1)
        if (asked === "claim of its journal") yield* Fiber.interrupt(first)
        const fiber = yield* Effect.forkDaemon(Effect.provide(run, engineOver(waiting, lock)))
        yield* TestClock.adjust("1 second")
        gate.unsafeOpen()
        yield* Fiber.await(first)
        yield* TestClock.adjust("1 second")
        yield* until(() => came)
        fiber.unsafeInterruptAsFork(FiberId.none)
        yield* someTurns
        expect(Option.isSome(yield* Fiber.poll(fiber))).toBe(true)
      }).pipe(Effect.scoped))
  }

  it.effect("leaves each of many that run at once to be gone on with", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const taskIds = Array.from({ length: 20 }, (_, index) => `t-${index}`)
      const fiber = yield* Effect.fork(
        Effect.forEach(taskIds, (taskId) => CheckMateEngine.run(hangingInB(ledger), { taskId, input }), {
          concurrency: "unbounded"
        })
      )
      yield* until(() => ledger.count("run b") === 20)
      yield* Fiber.interrupt(fiber)
      const statuses = yield* Effect.forEach(taskIds, statusOf)
      expect(new Set(statuses.map(({ _tag }) => _tag))).toEqual(new Set(["Running"]))
    })))
})

describe("an engine that ends in order in the middle of a rollback", () => {
  it.effect("has not crashed, however often: the task can be gone on with", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const engine = engineOver(store, undefined, { maxRecoveries: 0 })
      const ledger = new Ledger()
      const definition = CheckMate.make("failing", {
        state: Numbers,
        input: ["seed"],
        onFailure: "rollback",
        stages: [
          Stage.make(Numbers, "a", {
            provides: ["a"],
            execute: () => Effect.succeed({ a: 1 }),
            rollback: () => ledger.note("undo a")
          }),
          Stage.make(Numbers, "b", {
            execute: () => Effect.fail(new Boom({ stage: "b", status: 500 })),
            ...stubborn(ledger, 3)
          })
        ]
      })
      for (let stop = 1; stop <= 3; stop++) {
        yield* Effect.gen(function*() {
          const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input }))
          yield* until(() => ledger.count("undo") === stop)
          yield* someTurns
          yield* Fiber.interrupt(run)
          const { history, task } = yield* CheckMateEngine.get("t")
          expect([task.status._tag, history.at(-1)?._tag, task.recoveries]).toEqual(["Running", "TaskLeft", 0])
        }).pipe(Effect.provide(engine))
      }
      const error = yield* Effect.flip(Effect.provide(CheckMateEngine.resume(definition, "t"), engine))
      expect(error._tag).toBe("TaskRolledBackError")
      expect(ledger.entries).toEqual(["undo", "undo", "undo", "undo", "undo a"])
    }))

  it.effect("has not crashed between two stages either", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const engine = engineOver(store, undefined, { maxRecoveries: 0 })
      const ledger = new Ledger()
      const goOn = yield* Effect.makeLatch()
      const definition = abc(ledger, { failUndo: (stage) => stage === "c" ? goOn.await : Effect.void })
      yield* Effect.gen(function*() {
        yield* CheckMateEngine.run(definition, { taskId: "t", input })
        const rollback = yield* Effect.fork(CheckMateEngine.rollback(definition, "t"))
        yield* until(() => ledger.count("undo c") === 1)
        const stop = yield* Effect.fork(Fiber.interrupt(rollback))
        yield* someTurns
        yield* goOn.open
        yield* Fiber.join(stop)
        const { history, task } = yield* CheckMateEngine.get("t")
        expect([task.status._tag, history.at(-1)?._tag]).toEqual(["RollingBack", "TaskLeft"])
        expect(ledger.entries.slice(3)).toEqual(["undo c"])
      }).pipe(Effect.provide(engine))
      yield* Effect.provide(CheckMateEngine.rollback(definition, "t"), engine)
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo a"])
    }))
})

describe("an engine that ends in order while a retry is waited for", () => {
  it.effect("leaves nothing in the middle, and so says nothing of it", () =>
    inMemory(Effect.gen(function*() {
      const definition = abc(new Ledger(), {
        fail: (stage) => Effect.fail(new Boom({ stage, status: 503 })),
        retry: Schedule.spaced("1 minute")
      })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input }))
      yield* someTurns
      yield* Fiber.interrupt(fiber)
      expect((yield* CheckMateEngine.get("t")).history.at(-1)?._tag).toBe("AttemptUndone")
    })))
})

describe("a cancel while a rollback waits for its next try", () => {
  for (const end of ["its engine ends", "its callers are interrupted"]) {
    it.scoped(`holds nobody up where ${end} then: what is not undone is left to whoever goes on`, () =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const store = yield* makeStore
        const { close, engine } = yield* closable(store)
        const definition = CheckMate.make("hanging", {
          state: Numbers,
          input: ["seed"],
          stages: [
            Stage.make(Numbers, "a", {
              execute: () => Effect.zipRight(ledger.note("run a"), Effect.never),
              ...stubborn(ledger, 1)
            })
          ]
        })
        const run = yield* Effect.fork(engine.run(definition, { taskId: "t", input }))
        yield* until(() => ledger.count("run a") === 1)
        const cancel = yield* Effect.fork(engine.cancel("t"))
        yield* until(() => ledger.count("undo") === 1)
        const ending = yield* Effect.fork(
          end === "its engine ends" ? close : Fiber.interruptAll([run, cancel])
        )
        yield* someTurns
        expect(Option.isSome(yield* Fiber.poll(ending))).toBe(true)
        expect(Exit.isInterrupted(yield* Fiber.await(run))).toBe(true)
        yield* close
        const other = yield* engineService(store)
        const { history, task } = yield* other.get("t")
        expect([task.status._tag, history.at(-1)?._tag]).toEqual(["Running", "TaskLeft"])
        yield* Effect.fork(other.resume(definition, "t"))
        yield* until(() => ledger.count("run a") === 2)
        expect(ledger.entries).toEqual(["run a", "undo", "undo", "run a"])
      }))
  }

  it.effect("lets it be tried again, and the task is cancelled then", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("failing", {
        state: Numbers,
        input: ["seed"],
        stages: [
          Stage.make(Numbers, "a", {
            execute: () => Effect.fail(new Boom({ stage: "a", status: 500 })),
            ...stubborn(ledger, 2)
          })
        ]
      })
      const run = yield* Effect.fork(Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input })))
      yield* until(() => ledger.count("undo") === 1)
      const cancel = yield* Effect.fork(CheckMateEngine.cancel("t"))
      yield* someTurns
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(cancel)
      yield* Fiber.join(run)
      expect(ledger.count("undo")).toBe(3)
      expect((yield* statusOf("t"))._tag).toBe("Cancelled")
    })))
})

describe("a cancel with rollback that is being carried out", () => {
  it.effect("is cut short between two tries where its caller is interrupted, to be gone on with", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("hanging", {
        state: Numbers,
        input: ["seed"],
        stages: [
          Stage.make(Numbers, "a", {
            provides: ["a"],
            execute: () => Effect.succeed({ a: 1 }),
            ...stubborn(ledger, 1)
          }),
          Stage.make(Numbers, "b", { execute: () => Effect.zipRight(ledger.note("run b"), Effect.never) })
        ]
      })
      const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input }))
      yield* until(() => ledger.count("run b") === 1)
      const cancel = yield* Effect.fork(CheckMateEngine.cancel("t", { rollback: definition }))
      yield* until(() => ledger.count("undo") === 1)
      yield* Fiber.interruptFork(cancel)
      yield* Fiber.interrupt(run)
      yield* Fiber.await(cancel)
      expect((yield* statusOf("t"))._tag).toBe("RollingBack")
      yield* CheckMateEngine.cancel("t", { rollback: definition })
      expect(ledger.count("undo")).toBe(2)
      expect((yield* statusOf("t"))._tag).toBe("Cancelled")
    })))

  it.scoped("is left to whoever goes on with it where its engine ends meanwhile, which is no crash", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const goOn = yield* Effect.makeLatch()
      const store = yield* makeStore
      const { close, engine } = yield* closable(store)
      const definition = abc(ledger, {
        fail: (stage) => stage === "c" ? Effect.never : Effect.void,
        failUndo: (stage) => stage === "b" ? goOn.await : Effect.void
      })
      const run = yield* Effect.fork(engine.run(definition, { taskId: "t", input }))
      yield* until(() => ledger.count("run c") === 1)
      yield* Effect.fork(engine.cancel("t", { rollback: definition }))
      yield* until(() => ledger.count("undo b") === 1)
      const closing = yield* Effect.fork(close)
      yield* someTurns
      yield* goOn.open
      yield* Fiber.join(closing)
      expect(Exit.isInterrupted(yield* Fiber.await(run))).toBe(true)
      const other = yield* engineService(store)
      const { history, task } = yield* other.get("t")
      expect([task.status._tag, history.at(-1)?._tag]).toEqual(["RollingBack", "TaskLeft"])
      yield* other.cancel("t", { rollback: definition })
      expect((yield* other.get("t")).task.status._tag).toBe("Cancelled")
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo a"])
    }))

  /** Stage a cannot be undone, and b takes its time to stop. */
  const cannotUndo = (ledger: Ledger, gate: Effect.Latch) =>
    CheckMate.make("hanging", {
      state: Numbers,
      input: ["seed"],
      stages: [
        Stage.make(Numbers, "a", {
          provides: ["a"],
          execute: () => Effect.succeed({ a: 1 }),
          ...stubborn(ledger, Number.POSITIVE_INFINITY)
        }),
        Stage.make(Numbers, "b", {
          execute: () =>
            Effect.zipRight(
              ledger.note("run b"),
              Effect.onInterrupt(Effect.never, () => Effect.zipRight(ledger.note("stopping"), gate.await))
            )
        })
      ]
    })

  it.scoped("holds no engine up that was asked to end while the task was still stopping", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const store = yield* makeStore
      const { close, engine } = yield* closable(store)
      const definition = cannotUndo(ledger, gate)
      const run = yield* Effect.fork(engine.run(definition, { taskId: "t", input }))
      yield* until(() => ledger.count("run b") === 1)
      yield* Effect.fork(engine.cancel("t", { rollback: definition }))
      yield* until(() => ledger.count("stopping") === 1)
      const closing = yield* Effect.fork(close)
      yield* someTurns
      yield* gate.open
      yield* someTurns
      expect(Option.isSome(yield* Fiber.poll(closing))).toBe(true)
      expect(Exit.isInterrupted(yield* Fiber.await(run))).toBe(true)
      const { history, task } = yield* (yield* engineService(store)).get("t")
      expect([task.status, history.at(-1)?._tag]).toEqual([
        { _tag: "RollingBack", purpose: { _tag: "Cancel" } },
        "TaskLeft"
      ])
    }))

  it.scoped("is left to another engine that takes the task over, with no further try behind its back", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch(true)
      const store = yield* makeStore
      const takenOver = yield* Effect.makeLatch()
      const engine = yield* engineService(store, losing(takenOver))
      const definition = cannotUndo(ledger, gate)
      const run = yield* Effect.fork(engine.run(definition, { taskId: "t", input }))
      yield* until(() => ledger.count("run b") === 1)
      yield* Effect.fork(engine.cancel("t", { rollback: definition }))
      yield* until(() => ledger.count("undo") === 1)
      yield* takenOver.open
      yield* TestClock.adjust("1 hour")
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "BindingLostError" })
      expect(ledger.count("undo")).toBe(1)
    }))

  it.effect("goes on to its end where another one comes in meanwhile", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const goOn = yield* Effect.makeLatch()
      const definition = abc(ledger, {
        fail: (stage) => stage === "c" ? Effect.never : Effect.void,
        failUndo: (stage) => stage === "b" ? goOn.await : Effect.void
      })
      const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input }))
      yield* until(() => ledger.count("run c") === 1)
      const first = yield* Effect.fork(CheckMateEngine.cancel("t", { rollback: definition }))
      yield* until(() => ledger.count("undo b") === 1)
      const second = yield* Effect.fork(CheckMateEngine.cancel("t", { rollback: definition }))
      yield* someTurns
      // Who asked for it need not be there any more.
      yield* Fiber.interruptAllAs([first, second], FiberId.none)
      yield* goOn.open
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskCancelledError" })
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo a"])
      expect((yield* statusOf("t"))._tag).toBe("Cancelled")
    })))
})

describe("a cancel of a task whose stage runs others", () => {
  it.effect("leaves those to be gone on with that it waits for, and alone those that it has started", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const inner = hangingInB(ledger)
      const outer = CheckMate.make("outer", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "o", {
          execute: () =>
            CheckMateEngine.start(inner, { taskId: "started", input }).pipe(
              Effect.zipRight(CheckMateEngine.run(inner, { taskId: "waited-for", input, whenBound: "wait" })),
              Effect.orDie,
              Effect.asVoid
            ),
          rollback: () => ledger.note("undo o")
        })]
      })
      const run = yield* Effect.fork(CheckMateEngine.run(outer, { taskId: "outer", input: {} }))
      yield* until(() => ledger.count("run b") === 2)
      yield* CheckMateEngine.cancel("outer")
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskCancelledError" })
      expect(ledger.entries.slice(-3)).toEqual(["interrupted b", "undo b", "undo o"])
      const found = yield* Effect.forEach([true, false], (held) => CheckMateEngine.find({ status: ["Running"], held }))
      expect(found.map((tasks) => tasks.map(({ taskId }) => taskId))).toEqual([["started"], ["waited-for"]])
    })))
})

describe("a stage that waits for its own task", () => {
  it.effect("is warned of, and let go on where what waits outlives it", () =>
    inMemory(Effect.gen(function*() {
      const own: CheckMate.CheckMate<"own", { seed: number }, object, never, CheckMateEngine.CheckMateEngine> =
        CheckMate.make("own", {
          state: Numbers,
          input: ["seed"],
          stages: [Stage.make(Numbers, "wait", {
            requires: ["seed"],
            execute: ({ seed }) =>
              CheckMateEngine.run(own, { taskId: "t", input: { seed }, whenBound: "wait" }).pipe(
                Effect.orDie,
                Effect.forkDaemon,
                Effect.zipLeft(Effect.yieldNow()),
                Effect.asVoid
              )
          })]
        })
      expect(yield* logged(CheckMateEngine.run(own, { taskId: "t", input }))).toEqual([
        expect.stringContaining("Task t is waited for by a stage of its own")
      ])
    })))
})

describe("a stage's rollback", () => {
  for (const end of ["a cancel", "the engine's end"]) {
    it.scoped(`is finished where ${end} comes in, also one that lets itself be interrupted, as by its time-out`, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const ledger = new Ledger()
        const gate = yield* Effect.makeLatch()
        const rollback = (stage: string) => ({
          rollback: () =>
            Effect.zipRight(ledger.note(`undo ${stage}`), gate.await).pipe(
              Effect.zipRight(ledger.note(`undone ${stage}`)),
              Effect.interruptible,
              Effect.timeout("1 minute")
            )
        })
        const definition = CheckMate.make("timed", {
          state: Numbers,
          input: [],
          onFailure: "rollback",
          stages: [
            Stage.make(Numbers, "a", { execute: () => Effect.void, ...rollback("a") }),
            Stage.make(Numbers, "b", { execute: () => Effect.fail("no"), ...rollback("b") })
          ]
        })
        const { close, engine } = yield* closable(store)
        yield* Effect.fork(Effect.exit(engine.run(definition, { taskId: "t", input: {} })))
        yield* until(() => ledger.count("undo b") === 1)
        const stopping = yield* Effect.fork(Effect.exit(end === "a cancel" ? engine.cancel("t") : close))
        yield* someTurns
        yield* gate.open
        yield* Fiber.await(stopping)
        const next = yield* engineService(store)
        yield* next.resumeAll([definition])
        expect(ledger.entries).toEqual(["undo b", "undone b", "undo a", "undone a"])
        expect((yield* next.get("t")).task.status._tag).toBe("RolledBack")
      }))
  }

  it.effect("rolls a task within it back, and waits for it", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const outer = CheckMate.make("outer", {
        state: Numbers,
        input: ["seed"],
        stages: [Stage.make(Numbers, "inner", {
          requires: ["seed"],
          execute: ({ seed }) =>
            Effect.zipRight(
              CheckMateEngine.run(abc(ledger), { taskId: "t.inner", input: { seed } }),
              Effect.fail(new Boom({ stage: "inner", status: 503 }))
            ),
          rollback: () => CheckMateEngine.rollback(abc(ledger), "t.inner", { whenBound: "wait" })
        })]
      })
      expect(yield* Effect.flip(CheckMateEngine.run(outer, { taskId: "t", input }))).toMatchObject({ _tag: "Boom" })
      expect((yield* statusOf("t.inner"))._tag).toBe("RolledBack")
    })))
})

describe("start", () => {
  it.effect("returns once its task has begun where it is not to be interrupted, and its task can be all the same", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const handle = yield* Effect.uninterruptible(CheckMateEngine.start(hangingInB(ledger), { taskId: "t", input }))
      yield* until(() => ledger.count("run b") === 1)
      yield* handle.interrupt
      expect(Exit.isInterrupted(yield* Effect.exit(handle.await))).toBe(true)
    })))

  it.effect("gives a handle that leaves who awaits it the services it had, wherever the task was started", () =>
    inMemory(Effect.gen(function*() {
      // In a fiber of its own, and in a Scope that is closed by then.
      const starting = yield* Effect.fork(Effect.scoped(CheckMateEngine.start(abc(new Ledger()), { input })))
      const handle = yield* Effect.flatten(Fiber.await(starting))
      yield* Effect.scoped(Effect.gen(function*() {
        const own = yield* Effect.scope
        yield* handle.await
        expect(yield* Effect.scope).toBe(own)
      }))
    })))

  it.scoped("returns in an engine that is closed, with a handle that tells of an interruption", () =>
    Effect.gen(function*() {
      const engine = yield* Effect.scoped(engineService(yield* makeStore))
      const handle = yield* engine.start(abc(new Ledger()), { taskId: "t", input })
      expect(Exit.isInterrupted(yield* Effect.exit(handle.await))).toBe(true)
    }))

  it.effect("returns for each of a thousand at once", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const taskIds = Array.from({ length: 1000 }, (_, index) => `t-${index}`)
      const handles = yield* Effect.forEach(
        taskIds,
        (taskId) => CheckMateEngine.start(hangingInB(ledger), { taskId, input }),
        { concurrency: "unbounded" }
      )
      expect(handles.map(({ taskId }) => taskId)).toEqual(taskIds)
    })))
})

describe("an engine", () => {
  it.scoped("ends all it has started at once", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const { close, engine } = yield* closable(yield* makeStore)
      const definition = abc(ledger, {
        fail: (stage) => stage === "b" ? Effect.never : Effect.void,
        failUndo: () => Effect.zipRight(Effect.sleep("1 minute"), ledger.note("undone"))
      })
      for (let index = 0; index < 5; index++) yield* engine.start(definition, { taskId: `t-${index}`, input })
      yield* until(() => ledger.count("run b") === 5)
      const closing = yield* Effect.fork(close)
      yield* until(() => ledger.count("undo b") === 5)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(closing)
      expect(ledger.count("undone")).toBe(5)
    }))

  for (
    const [where, layer] of [
      ["in memory", CheckMateEngine.layerMemory],
      [
        "on files",
        Layer.unwrapScoped(Effect.map(
          Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
          (directory) => CheckMateEngine.layerFileSystem(directory)
        )).pipe(Layer.provide(NodeContext.layer))
      ]
    ] as const
  ) {
    it.effect(`can be made and closed in a finalizer, ${where}`, () =>
      Effect.gen(function*() {
        const used = new Ledger()
        const use = Effect.zipRight(CheckMateEngine.find(), used.note("used"))
        yield* Effect.ensuring(Effect.void, Effect.orDie(Effect.provide(use, layer)))
        expect(used.entries).toEqual(["used"])
      }))
  }
})

describe("a Schedule that takes its time", () => {
  /** A Schedule that asks somebody who does not answer, and says that it has asked. */
  const waiting = (ledger: Ledger) =>
    Schedule.tapInput(Schedule.recurs(3), () => Effect.zipRight(ledger.note("ask"), Effect.never))
  const failing = () => Effect.fail(new Boom({ stage: "a", status: 503 }))
  const askedOnce = (
    ledger: Ledger,
    options: {
      readonly retry?: Schedule.Schedule<number>
      readonly rollbackRetry?: Schedule.Schedule<number>
      readonly rollback?: () => Effect.Effect<void, Boom>
    }
  ) => {
    const stage = Stage.make(Numbers, "a", { execute: failing, ...options })
    const definition = CheckMate.make("asks", { state: Numbers, input: [], stages: [stage] })
    const run = CheckMateEngine.run(definition, { taskId: "t", input: {} })
    return Effect.zipLeft(Effect.fork(Effect.exit(run)), until(() => ledger.count("ask") === 1))
  }

  for (
    const [name, stop, expected] of [
      ["interrupted", Fiber.interrupt, "Running"],
      ["cancelled", () => CheckMateEngine.cancel("t"), "Cancelled"]
    ] as const
  ) {
    it.effect(`does not keep a task from being ${name}`, () =>
      inMemory(Effect.gen(function*() {
        const ledger = new Ledger()
        const fiber = yield* askedOnce(ledger, { retry: waiting(ledger) })
        yield* stop(fiber)
        yield* Fiber.await(fiber)
        expect((yield* statusOf("t"))._tag).toBe(expected)
      })))
  }

  it.effect("does not keep a rollback from being left to whoever goes on", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const fiber = yield* askedOnce(ledger, { rollbackRetry: waiting(ledger), rollback: failing })
      yield* Fiber.interrupt(fiber)
      expect((yield* statusOf("t"))._tag).toBe("Running")
    })))
})
