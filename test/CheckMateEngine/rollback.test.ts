import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Schedule, Schema, TestClock } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import { logged } from "../support/logs.ts"
import {
  abc,
  Boom,
  engineOver,
  eventsOf,
  failing,
  inMemory,
  Ledger,
  losing,
  makeStore,
  Numbers,
  statusOf,
  until,
  withAppends
} from "../support/pipelines.ts"

describe("rollback", () => {
  it.effect("promise 5: onFailure rollback undoes the failed attempt and every stage before it, in reverse order", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { onFailure: "rollback", fail: failing({ c: 1 }) })
      const error = yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(error).toMatchObject({ _tag: "Boom", stage: "c" })
      expect(ledger.entries).toEqual(["run a", "run b", "run c", "undo c", "undo b", "undo a"])
      const { state, task } = yield* CheckMateEngine.get("t")
      expect(task.status).toMatchObject({ _tag: "RolledBack", failure: { tag: "Boom" } })
      expect(state).toEqual({ seed: 1 })
    })))

  it.effect("a task that was rolled back starts over when it is run again", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { onFailure: "rollback", fail: failing({ c: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })).toMatchObject({ c: 4 })
      expect(ledger.entries.slice(6)).toEqual(["run a", "run b", "run c"])
    })))

  it.effect("rolls a task back on request, also one that has succeeded", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      yield* CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      yield* CheckMateEngine.rollback(abc(ledger), "t", { reason: "wrong" })
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo a"])
      expect(yield* statusOf("t")).toMatchObject({ _tag: "RolledBack" })
      yield* CheckMateEngine.rollback(abc(ledger), "t")
      expect(ledger.entries).toHaveLength(6)
    })))

  it.effect("a rollback sees the state as it was when its stage ran, its output if it had succeeded, and the cause", () =>
    inMemory(Effect.gen(function*() {
      const seen: Array<unknown> = []
      const note = (name: string) => (state: object, cause: Cause.Cause<unknown>) =>
        Effect.sync(() => {
          seen.push([name, { ...state }, Chunk.toReadonlyArray(Cause.failures(cause)).map(String)])
        })
      const definition = CheckMate.make("seen", {
        state: Numbers,
        input: ["seed"],
        onFailure: "rollback",
        stages: [
          Stage.make(Numbers, "a", {
            provides: ["a", "c"],
            execute: () => Effect.succeed({ a: 10, c: 10 }),
            rollback: note("a")
          }),
          Stage.make(Numbers, "b", {
            provides: ["b", "c"],
            execute: (): Effect.Effect<{ b: number; c: number }, Boom> =>
              Effect.fail(new Boom({ stage: "b", status: 500 })),
            rollback: note("b")
          })
        ]
      })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(seen).toEqual([
        ["b", { seed: 1, a: 10, c: 10 }, [expect.stringContaining("Boom")]],
        ["a", { seed: 1, a: 10, c: 10 }, [expect.stringContaining("Boom")]]
      ])
    })))

  it.effect("a rollback that fails is tried again by its own Schedule", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const undoing = failing({ u: 2 })
      const definition = CheckMate.make("stubborn", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", {
            execute: () => Effect.void,
            rollback: () => Effect.zipRight(ledger.note("undo"), undoing("u")),
            rollbackRetry: Schedule.recurs(3)
          })
        ]
      })
      yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })
      yield* CheckMateEngine.rollback(definition, "t")
      expect(ledger.count("undo")).toBe(3)
      expect(yield* statusOf("t")).toMatchObject({ _tag: "RolledBack" })
    })))

  it.effect("promise 5: one that fails for good stops the chain as a status of its own, which rollback resumes", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { onFailure: "rollback", fail: failing({ c: 1 }), failUndo: failing({ b: 1 }) })
      const exit = yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      // What needs attention first, and what it was about behind it.
      const failures = Exit.isFailure(exit) ? Chunk.toReadonlyArray(Cause.failures(exit.cause)) : []
      expect(failures).toMatchObject([{ _tag: "RollbackFailedError", stage: "b" }, { _tag: "Boom", stage: "c" }])
      expect(ledger.entries).toEqual(["run a", "run b", "run c", "undo c", "undo b"])
      expect(yield* statusOf("t")).toMatchObject({ _tag: "RollbackFailed", stage: "b", failure: { tag: "Boom" } })
      yield* CheckMateEngine.rollback(definition, "t")
      expect(ledger.entries.slice(5)).toEqual(["undo b", "undo a"])
      expect(yield* statusOf("t")).toMatchObject({ _tag: "RolledBack", failure: { tag: "Boom" } })
    })))

  it.effect("run finishes a rollback that failed, and says that the task was rolled back", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { onFailure: "rollback", fail: failing({ c: 1 }), failUndo: failing({ b: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      const error = yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(error).toMatchObject({ _tag: "TaskRolledBackError" })
      expect(String(error)).toContain("Boom")
    })))

  it.effect("an attempt whose rollback fails for good is undone first when the task is run again", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 1 }), failUndo: failing({ b: 1 }) })
      expect(yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))).toMatchObject({
        _tag: "RollbackFailedError",
        stage: "b"
      })
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "undo b", "run b", "run c"])
    })))

  it.effect("a task taken up again after a failed rollback goes on with the definition as it is now", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ c: 1 }), failUndo: failing({ c: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      const more = CheckMate.make("abc", {
        state: Numbers,
        input: ["seed"],
        stages: [...definition.stages, Stage.make(Numbers, "d", { execute: () => ledger.note("run d") })]
      })
      yield* CheckMateEngine.run(more, { taskId: "t", input: { seed: 1 } })
      yield* CheckMateEngine.run(more, { taskId: "t", input: { seed: 1 } })
      expect(ledger.count("run d")).toBe(1)
      expect((yield* CheckMateEngine.find())[0]).toMatchObject({ status: "Succeeded", succeeded: 4, stages: 4 })
    })))

  it.effect("retryFrom rolls back what comes after, and goes on from there", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger)
      yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
      const output = yield* CheckMateEngine.retryFrom(definition, "t", "b", { input: { a: 100 } })
      expect(output).toEqual({ seed: 1, a: 100, b: 101, c: 102 })
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "run b", "run c"])
    })))

  it.effect("retryFrom a stage that waits for a retry begins it anew, at once and with its whole Schedule", () =>
    inMemory(Effect.gen(function*() {
      const state = State.make({ done: Schema.Boolean })
      let runs = 0
      const definition = CheckMate.make("waits", {
        state,
        input: [],
        stages: [
          Stage.make(state, "slow", {
            provides: ["done"],
            retry: Schedule.intersect(Schedule.spaced("1 hour"), Schedule.recurs(2)),
            execute: () => Effect.suspend(() => ++runs === 5 ? Effect.succeed({ done: true }) : Effect.fail("not yet"))
          })
        ]
      })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* TestClock.adjust("1 hour")
      yield* Fiber.interrupt(fiber)
      expect(runs).toBe(2)
      const again = yield* Effect.fork(CheckMateEngine.retryFrom(definition, "t", "slow"))
      yield* TestClock.adjust("1 millis")
      expect(runs).toBe(3)
      yield* TestClock.adjust("2 hours")
      expect(yield* Fiber.join(again)).toEqual({ done: true })
    })))

  it.effect("retryFrom refuses a stage that does not exist, or one whose forerunners have not succeeded", () =>
    inMemory(Effect.gen(function*() {
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(yield* Effect.flip(CheckMateEngine.retryFrom(definition, "t", "d"))).toMatchObject({
        _tag: "UnknownStageError",
        known: ["a", "b", "c"]
      })
      const untyped: string = JSON.parse("null")
      expect(yield* Effect.flip(CheckMateEngine.retryFrom(definition, "t", untyped))).toMatchObject({
        _tag: "UnknownStageError",
        stage: "null"
      })
      expect(yield* Effect.flip(CheckMateEngine.retryFrom(definition, "t", "c"))).toMatchObject({
        _tag: "TaskStatusError",
        status: "Failed"
      })
    })))

  it.effect("resources of an attempt are released before its rollback runs", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("resources", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", {
            execute: () =>
              Effect.gen(function*() {
                yield* Effect.acquireRelease(ledger.note("open"), () => ledger.note("close"))
                return yield* new Boom({ stage: "one", status: 500 })
              }),
            rollback: () => ledger.note("undo")
          })
        ]
      })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(ledger.entries).toEqual(["open", "close", "undo"])
    })))

  it.effect("a resource that dies while it is released fails the attempt, which is rolled back", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("dying-resource", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", {
            execute: () => Effect.addFinalizer(() => Effect.die(new Error("cannot close"))),
            rollback: () => ledger.note("undo")
          })
        ]
      })
      const exit = yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(Exit.isFailure(exit) && exit.cause.toString()).toContain("cannot close")
      expect(ledger.entries).toEqual(["undo"])
      expect(yield* statusOf("t")).toMatchObject({
        _tag: "Failed",
        failure: { kind: "Defect", message: "cannot close" }
      })
    })))

  it.effect("what fails beside a stage's failure as its resources are released is kept, and told to its rollback", () =>
    inMemory(Effect.gen(function*() {
      const seen: Array<string> = []
      const definition = CheckMate.make("dying-resource", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", {
            execute: () =>
              Effect.zipRight(
                Effect.addFinalizer(() => Effect.die(new Error("cannot close"))),
                new Boom({ stage: "one", status: 500 })
              ),
            rollback: (_, cause) => Effect.sync(() => seen.push(Cause.pretty(cause)))
          })
        ]
      })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(seen).toEqual([expect.stringContaining("cannot close")])
      expect(yield* statusOf("t")).toMatchObject({ failure: { tag: "Boom", others: [{ message: "cannot close" }] } })
    })))

  it.effect("all that a rollback failed with is kept where it has a Schedule, also where that dies", () =>
    inMemory(Effect.gen(function*() {
      const boom = (stage: string) => Cause.fail(new Boom({ stage, status: 503 }))
      const keeps = Effect.fnUntraced(function*(taskId: string, rollbackRetry: Schedule.Schedule<unknown>) {
        const definition = CheckMate.make("both", {
          state: Numbers,
          input: [],
          stages: [
            Stage.make(Numbers, "one", {
              execute: () => Effect.void,
              rollback: () => Effect.failCause(Cause.parallel(boom("left"), boom("right"))),
              rollbackRetry
            })
          ]
        })
        yield* CheckMateEngine.run(definition, { taskId, input: {} })
        const lines = yield* logged(Effect.exit(CheckMateEngine.rollback(definition, taskId)))
        expect(yield* statusOf(taskId)).toMatchObject({
          _tag: "RollbackFailed",
          failure: { fields: { stage: "left" }, others: [{ fields: { stage: "right" } }] }
        })
        return lines
      })
      expect(yield* keeps("t", Schedule.recurs(1))).toEqual([])
      const dying = Schedule.forever.pipe(Schedule.whileInputEffect(() => Effect.die(new Error("a bug"))))
      expect(yield* keeps("u", dying)).toEqual([expect.stringContaining("rollbackRetry")])
    })))

  it.effect("what a rollback has acquired is told how each try of it ended, and one that dies is not tried again", () =>
    inMemory(Effect.gen(function*() {
      const ends: Array<string> = []
      const fails = Cause.fail(new Boom({ stage: "one", status: 503 }))
      const definition = CheckMate.make("tries", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", {
            execute: () => Effect.void,
            rollback: () =>
              Effect.addFinalizer((exit) => Effect.sync(() => ends.push(exit._tag))).pipe(
                Effect.zipRight(Effect.suspend(() =>
                  Effect.failCause(ends.length === 0 ? fails : Cause.parallel(fails, Cause.die("a bug")))
                ))
              ),
            rollbackRetry: Schedule.recurs(5)
          })
        ]
      })
      yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })
      yield* Effect.exit(CheckMateEngine.rollback(definition, "t"))
      expect(ends).toEqual(["Failure", "Failure"])
    })))

  for (const whose of ["its attempt", "its task"] as const) {
    it.effect(`after a crash in the middle of a rollback of ${whose}, it is told again what was kept of the failure`, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const causes: Array<unknown> = []
        const rollback = (_: unknown, cause: Cause.Cause<unknown>) =>
          Effect.suspend(() => causes.push(Cause.squash(cause)) === 1 ? Effect.never : Effect.void)
        const definition = CheckMate.make("told", {
          state: Numbers,
          input: [],
          onFailure: "rollback",
          stages: [
            Stage.make(Numbers, "one", { execute: () => Effect.void, ...(whose === "its task" ? { rollback } : {}) }),
            Stage.make(Numbers, "two", {
              execute: () => Effect.fail(new Boom({ stage: "two", status: 503 })),
              ...(whose === "its task" ? {} : { rollback })
            })
          ]
        })
        const run = CheckMateEngine.run(definition, { taskId: "t", input: {} })
        yield* Effect.forkDaemon(Effect.provide(run, engineOver(store)))
        yield* until(() => causes.length === 1)
        yield* Effect.exit(Effect.provide(run, engineOver(store)))
        expect(causes).toMatchObject([{ _tag: "Boom" }, { tag: "Boom", fields: { status: 503 } }])
      }))
  }

  it.effect("run finishes one that was asked for and cut off, and says what it was for", () =>
    Effect.gen(function*() {
      for (const told of ["TaskRolledBackError", "TaskCancelledError"]) {
        const store = yield* makeStore
        const ledger = new Ledger()
        const dying = { inUndo: true }
        const definition = abc(ledger, {
          fail: failing({ c: 1 }),
          failUndo: (stage) => stage === "a" && dying.inUndo ? Effect.never : Effect.void
        })
        const inEngine = Effect.provide(engineOver(store))
        const run = inEngine(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
        yield* Effect.exit(run)
        const undo = told === "TaskRolledBackError"
          ? CheckMateEngine.rollback(definition, "t")
          : CheckMateEngine.cancel("t", { rollback: definition })
        yield* Effect.forkDaemon(inEngine(undo))
        yield* until(() => ledger.count("undo a") === 1)
        dying.inUndo = false
        expect(yield* Effect.flip(run)).toMatchObject({ _tag: told })
        expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo a", "undo a"])
      }
    }))

  it.effect("retryFrom goes on with one of its own that was cut off, and begins no other", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const dying = { inUndo: true }
      const definition = abc(ledger, {
        failUndo: (stage) => stage === "b" && dying.inUndo ? Effect.never : Effect.void
      })
      const inEngine = Effect.provide(engineOver(store))
      yield* inEngine(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      const again = CheckMateEngine.retryFrom(definition, "t", "b")
      yield* Effect.forkDaemon(inEngine(again))
      yield* until(() => ledger.count("undo b") === 1)
      dying.inUndo = false
      yield* inEngine(again)
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo b", "run b", "run c"])
      const begun = (yield* inEngine(eventsOf("t"))).filter((event) => event === "TaskRollbackStarted")
      expect(begun).toHaveLength(1)
    }))

  it.effect("promise 7: interruption undoes the attempt it cut off, and nothing that succeeded", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const hanging = { on: true }
      const definition = abc(ledger, { fail: (stage) => stage === "b" && hanging.on ? Effect.never : Effect.void })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => ledger.count("run b") === 1 })
      const exit = yield* Fiber.interrupt(fiber)
      expect(Exit.isInterrupted(exit)).toBe(true)
      expect(ledger.entries).toEqual(["run a", "run b", "undo b"])
      const { holder, task } = yield* CheckMateEngine.get("t")
      expect([task.status._tag, holder._tag]).toEqual(["Running", "None"])
      hanging.on = false
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })).toMatchObject({ c: 4 })
      expect(ledger.entries.slice(3)).toEqual(["run b", "run c"])
    })))

  it.effect("promise 7: a rollback that fails after an interruption is left to the next, however its Schedule would retry it", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("stubborn", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            execute: () => Effect.zipRight(ledger.note("run"), Effect.never),
            rollback: () => Effect.zipRight(ledger.note("undo"), new Boom({ stage: "a", status: 503 })),
            rollbackRetry: Schedule.recurs(3)
          })
        ]
      })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => ledger.count("run") === 1 })
      yield* Fiber.interrupt(fiber)
      expect(ledger.entries).toEqual(["run", "undo"])
    })))

  it.effect("promise 5: a crash in the middle of a chain goes on with the first rollback that is not done", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const dying = { inUndo: true }
      const definition = abc(ledger, {
        onFailure: "rollback",
        fail: failing({ c: 1 }),
        failUndo: (stage) => stage === "b" && dying.inUndo ? Effect.never : Effect.void
      })
      const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
      yield* Effect.forkDaemon(Effect.provide(run, engineOver(store)))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => ledger.count("undo b") === 1 })
      dying.inUndo = false
      const error = yield* Effect.flip(Effect.provide(run, engineOver(store)))
      expect(error).toMatchObject({ _tag: "TaskRolledBackError" })
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo b", "undo a"])
      expect(yield* Effect.provide(eventsOf("t"), engineOver(store))).toContain("TaskRolledBack")
    }))

  it.effect("of a task that another engine takes over is that one's: nothing is begun or written, wherever it comes in", () =>
    Effect.gen(function*() {
      const someTurns = Effect.repeatN(Effect.yieldNow(), 20)
      /** Whether the task was taken over, at so many before or behind an append, or in a rollback. */
      const takenOverAt = Effect.fnUntraced(function*(at: number) {
        const [store, takenOver, ledger] = [yield* makeStore, yield* Effect.makeLatch(), new Ledger()]
        const done = { spots: 0, appends: 0 }
        let before: readonly [entries: number, appends: number] | undefined
        const spot = Effect.suspend(() => {
          if (done.spots++ !== at) return Effect.void
          before = [ledger.entries.length, done.appends]
          return Effect.zipRight(takenOver.open, someTurns)
        })
        const driver = withAppends(store, (append) =>
          Effect.suspend(() => {
            done.appends += 1
            return spot.pipe(Effect.zipRight(append), Effect.zipLeft(spot))
          }))
        const definition = abc(ledger, { onFailure: "rollback", fail: failing({ c: 1 }), failUndo: () => spot })
        const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
        const error = yield* Effect.flip(Effect.provide(run, engineOver(driver, losing(takenOver))))
        if (before === undefined) return false
        expect(error).toMatchObject({ _tag: "BindingLostError" })
        expect([ledger.entries.length, done.appends], ledger.entries.join()).toEqual(before)
        yield* Effect.exit(Effect.provide(run, engineOver(store)))
        expect((yield* Effect.provide(statusOf("t"), engineOver(store)))._tag).toMatch(/RolledBack|Succeeded/)
        return true
      })
      let at = 0
      while (yield* takenOverAt(at)) at += 1
      expect(at).toBeGreaterThan(10)
    }))
})
