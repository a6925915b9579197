import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  Data,
  Effect,
  Exit,
  Fiber,
  HashMap,
  Layer,
  Logger,
  Option,
  Redacted,
  Schedule,
  Schema,
  Stream,
  TestClock
} from "effect"
import { BindLock, CheckMate, CheckMateEngine, CheckMateError, Stage, State, type TaskIO } from "effect-checkmate"
import { growthOf } from "../support/counts.ts"
import { logged } from "../support/logs.ts"
import {
  abc,
  Boom,
  engineOver,
  engineService,
  failing,
  hangingInB,
  inMemory,
  Ledger,
  makeStore,
  Numbers,
  rest,
  until,
  withAppends
} from "../support/pipelines.ts"
import { summaryOf } from "../support/summary.ts"
import { recordSpans, throwing } from "../support/tracer.ts"

describe("get and find", () => {
  it.effect("get shows status, state, stages, attempts, history, and who holds it", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => ledger.count("run b") === 1 })
      const view = yield* CheckMateEngine.get("t")
      expect(view.task.status._tag).toBe("Running")
      expect(view.state).toEqual({ seed: 1, a: 2 })
      expect(view.stages.map(({ attempts, status }) => [status._tag, attempts])).toEqual([
        ["Succeeded", 1],
        ["Running", 1],
        ["Pending", 0]
      ])
      expect(Option.map(view.holder, ({ name }) => name)).toEqual(Option.some("this process"))
      expect(view.history).toHaveLength(4)
      yield* gate.open
      yield* Fiber.join(fiber)
      expect(Option.isNone((yield* CheckMateEngine.get("t")).holder)).toBe(true)
    })))

  it.effect("find gives the first of many, in whatever order a store lists them", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      // 5,003 is no multiple of 1,877: each second of that many comes once.
      const many = Array.from({ length: 5_003 }, (_, index): TaskIO.EncodedSummary => {
        const second = (index * 1_877) % 5_003
        const at = (millis: number) => new Date(millis).toISOString()
        const times = { createdAt: at(second * 1000), updatedAt: at((20_000 - second) * 1000) }
        return summaryOf(`t${second}`, { status: "Succeeded", ...times })
      })
      const engine = engineOver({ ...store, list: () => Stream.fromIterable(many) })
      const find = (options: CheckMateEngine.FindOptions) =>
        Effect.provide(CheckMateEngine.find(options), engine).pipe(
          Effect.map((tasks) => tasks.map(({ taskId }) => taskId))
        )
      expect(yield* find({ limit: 3 })).toEqual(["t5002", "t5001", "t5000"])
      expect(yield* find({ limit: 3, order: "ascending" })).toEqual(["t0", "t1", "t2"])
      expect(yield* find({ limit: 3.5, sort: "updatedAt" })).toEqual(["t0", "t1", "t2"])
      expect(yield* find({ limit: 2.5, held: false })).toEqual(["t5002", "t5001"])
      expect(yield* find({ limit: Number.NaN })).toHaveLength(5_003)
      expect(yield* find({ offset: 3, limit: 2 })).toEqual(["t4999", "t4998"])
      expect(yield* find({ offset: 5_001 })).toEqual(["t1", "t0"])
      expect(yield* find({ offset: 1, limit: 2, held: false, order: "ascending" })).toEqual(["t1", "t2"])
      expect(yield* find({ offset: 5_003, limit: 2 })).toEqual([])
      expect(yield* find({ offset: -1, limit: 1 })).toEqual(["t5002"])
    }))

  it.effect("find filters by status, CheckMate, tags and time, sorts and limits", () =>
    inMemory(Effect.gen(function*() {
      const run = (taskId: string, tags: ReadonlyArray<string>, fails: boolean) =>
        Effect.exit(CheckMateEngine.run(
          abc(new Ledger(), { fail: failing({ a: fails ? 1 : 0 }) }),
          { taskId, tags, input: { seed: 1 } }
        ))
      yield* run("one", ["x"], false)
      yield* TestClock.adjust("1 minute")
      yield* run("two", ["x", "y"], true)
      yield* TestClock.adjust("1 minute")
      yield* run("three", [], false)
      const find = (options?: CheckMateEngine.FindOptions) =>
        Effect.map(CheckMateEngine.find(options), (tasks) => tasks.map(({ taskId }) => taskId))
      expect(yield* find()).toEqual(["three", "two", "one"])
      expect(yield* find({ order: "ascending" })).toEqual(["one", "two", "three"])
      expect(yield* find({ limit: 1 })).toEqual(["three"])
      expect(yield* find({ status: ["Failed"] })).toEqual(["two"])
      expect(yield* find({ tags: ["x"] })).toEqual(["two", "one"])
      expect(yield* find({ tags: ["x", "y"] })).toEqual(["two"])
      expect(yield* find({ since: 60_000 })).toEqual(["three", "two"])
      expect(yield* find({ checkMate: "other" })).toEqual([])
      const [failed] = yield* CheckMateEngine.find({ status: ["Failed"] })
      expect(failed).toMatchObject({ checkMate: "abc", stage: "a", succeeded: 0, stages: 3 })
    })))

  it.effect("find tells tasks by what they failed with", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const damaged: TaskIO.Encoded = {
        ...store,
        read: (taskId, from) =>
          Effect.map(store.read(taskId, from), (all) => taskId === "damaged" ? ["{}", ...all] : all)
      }
      const { run } = yield* engineService(store)
      const { find } = yield* engineService(damaged)
      const task = (taskId: string, options: Parameters<typeof abc>[1]) =>
        Effect.exit(run(abc(new Ledger(), options), { taskId, input: { seed: 1 } }))
      const boom = (stage: string) => Effect.fail(new Boom({ stage, status: 503 }))
      const inB = (stage: string) => stage === "b" ? boom(stage) : Effect.void
      yield* task("failed", { fail: inB })
      yield* task("defect", { fail: () => Effect.dieMessage("a bug") })
      yield* task("undone", { fail: inB, onFailure: "rollback" })
      yield* task("stuck", { fail: inB, failUndo: boom })
      yield* task("over", {})
      yield* task("damaged", { fail: inB })
      const found = (options: CheckMateEngine.FindOptions) =>
        Effect.map(find({ order: "ascending", ...options }), (tasks) => tasks.map(({ taskId }) => taskId))
      const all = (failure: ReadonlyArray<string>) => found({ failure })

      const lines = yield* logged(Effect.gen(function*() {
        expect(yield* all(["Boom"])).toEqual(["failed", "stuck", "undone"])
      }))
      expect(lines).toEqual([expect.stringContaining("WARN Task damaged is left out")])
      expect(yield* all(["RuntimeException"])).toEqual(["defect"])
      expect(yield* all(["RuntimeException", "Boom"])).toEqual(["defect", "failed", "stuck", "undone"])
      expect(yield* all(["Timeout"])).toEqual([])
      expect(yield* all([])).toEqual([])
      expect(yield* found({ failure: ["Boom"], status: ["Failed", "Succeeded"] })).toEqual(["failed"])
      expect(yield* found({ failure: ["Boom"], status: ["Succeeded"] })).toEqual([])
      expect(yield* found({ failure: ["Boom"], held: true })).toEqual([])
      expect(yield* found({ failure: ["Boom"], held: false, offset: 1, limit: 1 })).toEqual(["stuck"])
    }).pipe(Effect.scoped))

  it.effect("find by failure leaves out what has gone on since it was listed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const other = yield* engineService(store)
      const fail = failing({ b: 1 })
      const again = other.run(abc(new Ledger(), { fail }), { taskId: "t", input: { seed: 1 } })
      yield* Effect.flip(again)
      const { find } = yield* engineService({
        ...store,
        read: (taskId, from) => Effect.zipRight(Effect.ignore(again), store.read(taskId, from))
      })
      expect(yield* find({ failure: ["Boom"] })).toEqual([])
    }).pipe(Effect.scoped))

  it.effect("find leaves out what another task of its id has taken the place of since it was listed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const engine = yield* engineService(store)
      const definition = abc(new Ledger(), { fail: (stage) => Effect.fail(new Boom({ stage, status: 503 })) })
      const stale: Array<TaskIO.EncodedSummary> = []
      yield* Effect.flip(engine.run(definition, { taskId: "t", input: { seed: 1 }, tags: ["nightly"] }))
      yield* Stream.runForEach(store.list({}), (summary) => Effect.sync(() => stale.push(summary)))
      yield* engine.remove("t")
      yield* Effect.flip(engine.run({ ...definition, name: "other" }, { taskId: "t", input: { seed: 1 } }))
      const running = stale.map((summary) => ({ ...summary, status: "Running" as const }))
      for (const query of [{ checkMate: "abc" }, { tags: ["nightly"] }]) {
        const failed = yield* engineService({ ...store, list: () => Stream.fromIterable(stale) })
        expect(yield* failed.find({ ...query, failure: ["Boom"] })).toEqual([])
        const left = yield* engineService({ ...store, list: () => Stream.fromIterable(running) })
        expect(yield* left.find({ ...query, held: false })).toEqual([])
      }
    }).pipe(Effect.scoped))

  it.effect("find by failure fails where the store does", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const other = yield* engineService(store)
      yield* Effect.flip(other.run(abc(new Ledger(), { fail: failing({ a: 1 }) }), { taskId: "t", input: { seed: 1 } }))
      const broken = new CheckMateError.TaskIOError({
        taskId: "t",
        operation: "read",
        location: "here",
        problem: "gone"
      })
      const { find } = yield* engineService({ ...store, read: () => broken })
      expect((yield* Effect.flip(find({ failure: ["Boom"] })))._tag).toBe("TaskIOError")
    }).pipe(Effect.scoped))

  it.scoped("find tells what is held from what nobody works on", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
      const engine = yield* engineService(store, lock)
      const other = yield* engineService(store, lock)
      const input = { seed: 1 }
      yield* other.run(abc(new Ledger()), { taskId: "done", input })
      const runs = yield* Effect.forEach(["one", "two", "three"], (taskId) => {
        const ledger = new Ledger()
        return Effect.zipLeft(
          Effect.fork(other.run(hangingInB(ledger), { taskId, input })),
          until(() => ledger.count("run b") === 1)
        )
      })
      const find = (options: CheckMateEngine.FindOptions) =>
        Effect.map(engine.find({ order: "ascending", ...options }), (tasks) => tasks.map(({ taskId }) => taskId))
      expect(yield* find({ held: true })).toEqual(["one", "three", "two"])
      expect(yield* find({ held: false })).toEqual(["done"])
      yield* Fiber.interrupt(runs[0]!)
      yield* Fiber.interrupt(runs[2]!)
      expect(yield* find({ held: true })).toEqual(["two"])
      expect(yield* find({ held: false, status: ["Running", "RollingBack"] })).toEqual(["one", "three"])
      expect(yield* find({ held: false, status: ["Running"], limit: 1, order: "descending" })).toEqual(["three"])
      expect(yield* find({ held: false, limit: 0 })).toEqual([])
      expect(yield* find({ held: false })).toEqual(["done", "one", "three"])
    }))

  it.effect("find does not take for abandoned what has ended, or is gone, since it was listed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const input = { seed: 1 }
      const stale: Array<TaskIO.EncodedSummary> = []
      yield* Effect.forEach(["ended", "left"], (taskId) =>
        Effect.gen(function*() {
          const ledger = new Ledger()
          const fiber = yield* Effect.fork(CheckMateEngine.run(hangingInB(ledger), { taskId, input }))
          yield* until(() => ledger.count("run b") === 1)
          yield* Fiber.interrupt(fiber)
        })).pipe(Effect.provide(engineOver(store)))
      yield* Stream.runForEach(store.list({}), (summary) => Effect.sync(() => stale.push(summary)))
      for (const summary of stale.slice(0, 1)) stale.push({ ...summary, taskId: "gone" })
      yield* Effect.provide(CheckMateEngine.run(abc(new Ledger()), { taskId: "ended", input }), engineOver(store))
      const late = engineOver({ ...store, list: () => Stream.fromIterable(stale) })
      const find = (options: CheckMateEngine.FindOptions) =>
        Effect.map(
          Effect.provide(CheckMateEngine.find(options), late),
          (tasks) => tasks.map(({ status, taskId }) => [taskId, status])
        )
      expect(yield* find({ held: false, status: ["Running"] })).toEqual([["left", "Running"]])
      expect(yield* find({ held: false, order: "ascending" })).toEqual([["ended", "Succeeded"], ["left", "Running"]])
    }))

  it.effect("find does not read the journals", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* Effect.provide(
        CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }),
        engineOver(store)
      )
      const blind = { ...store, read: () => Effect.die("the journal was read") }
      expect(yield* Effect.provide(CheckMateEngine.find(), engineOver(blind))).toHaveLength(1)
    }))
})

describe("watch", () => {
  it.scoped("shows a task that was begun anew between two looks, though it stands where the old one stood", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const other = yield* engineService(store)
      const begin = Effect.fnUntraced(function*(seed: number) {
        const ledger = new Ledger()
        yield* Effect.fork(other.run(hangingInB(ledger), { taskId: "t", input: { seed } }))
        yield* until(() => ledger.count("run b") === 1)
      })
      yield* begin(1)
      const seen: Array<unknown> = []
      const shown = Stream.runForEach(
        (yield* engineService(store)).watch("t"),
        ({ state }) => Effect.sync(() => seen.push(state.seed))
      )
      yield* Effect.fork(shown)
      yield* until(() => seen.length === 1)
      yield* TestClock.adjust("100 millis")
      yield* other.cancel("t")
      yield* other.remove("t")
      yield* begin(2)
      yield* TestClock.adjust("1 second")
      expect(seen).toEqual([1, 2])
    }))

  it.effect("shows one task as it changes, with its progress, and ends when it has settled", () =>
    inMemory(Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      const definition = CheckMate.make("progress", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "counts", {
            execute: () =>
              Effect.gen(function*() {
                const { progress } = yield* Stage.Context
                yield* gate.await
                yield* progress({ done: 1, total: 2, message: "half" })
                yield* Effect.sleep("1 second")
              })
          })
        ]
      })
      const handle = yield* CheckMateEngine.start(definition, { taskId: "t", input: {} })
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      const views = yield* Effect.fork(Stream.runCollect(CheckMateEngine.watch("t")))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* gate.open
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* TestClock.adjust("1 second")
      yield* handle.await
      const seen = Chunk.toReadonlyArray(yield* Fiber.join(views))
      expect(seen.map(({ task }) => task.status._tag)).toContain("Running")
      expect(seen.flatMap(({ progress }) => Option.toArray(progress))).toContainEqual({
        done: 1,
        total: 2,
        message: "half"
      })
      expect(seen.at(-1)?.task.status._tag).toBe("Succeeded")
    })))

  it.effect("shows a rollback's progress while it runs, and not as the next attempt's", () =>
    inMemory(Effect.gen(function*() {
      const [undoing, running] = [yield* Effect.makeLatch(), yield* Effect.makeLatch()]
      const ledger = new Ledger()
      const definition = CheckMate.make("progress", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "counts", {
            retry: Schedule.recurs(1),
            execute: () =>
              Effect.zipRight(
                ledger.note("run"),
                Effect.suspend(() => ledger.count("run") === 1 ? Effect.fail("once") : running.await)
              ),
            rollback: () =>
              Effect.gen(function*() {
                const { progress } = yield* Stage.Context
                yield* progress({ done: 7, message: "undoing" })
                yield* ledger.note("undo")
                yield* undoing.await
              })
          })
        ]
      })
      const progress = Effect.map(CheckMateEngine.get("t"), (view) => view.progress)
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* until(() => ledger.count("undo") === 1)
      expect(yield* progress).toEqual(Option.some({ done: 7, message: "undoing" }))
      yield* undoing.open
      yield* until(() => ledger.count("run") === 2)
      expect(yield* progress).toEqual(Option.none())
      yield* running.open
      yield* Fiber.join(fiber)
    })))

  it.effect("shows no progress of an attempt that is over, also where what it has forked reports on", () =>
    inMemory(Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      const reported = yield* Effect.makeLatch()
      const definition = CheckMate.make("progress", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "fails", {
            retry: Schedule.spaced("1 minute"),
            execute: () =>
              Effect.gen(function*() {
                const { progress } = yield* Stage.Context
                yield* progress({ done: 1 })
                yield* Effect.forkDaemon(
                  gate.await.pipe(Effect.zipRight(progress({ done: 2 })), Effect.zipRight(reported.open))
                )
                return yield* new Boom({ stage: "fails", status: 503 })
              })
          })
        ]
      })
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      const progress = Effect.map(CheckMateEngine.get("t"), (view) => view.progress)
      expect(yield* progress).toEqual(Option.none())
      yield* Effect.zipRight(gate.open, reported.await)
      expect(yield* progress).toEqual(Option.none())
      yield* Fiber.interrupt(fiber)
    })))

  it.effect("shows no progress of what an earlier stage has forked", () =>
    inMemory(Effect.gen(function*() {
      const [next, reported] = [yield* Effect.makeLatch(), yield* Effect.makeLatch()]
      const seen: Array<Option.Option<Stage.Progress>> = []
      const definition = CheckMate.make("progress", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "forks", {
            execute: () =>
              Effect.gen(function*() {
                const { progress } = yield* Stage.Context
                yield* Effect.fork(
                  next.await.pipe(Effect.zipRight(progress({ done: 1 })), Effect.zipRight(reported.open))
                )
              })
          }),
          Stage.make(Numbers, "reports", {
            execute: () =>
              Effect.gen(function*() {
                const { progress } = yield* Stage.Context
                yield* progress({ done: 2 })
                yield* next.open
                yield* reported.await
                seen.push((yield* Effect.orDie(CheckMateEngine.get("t"))).progress)
              })
          })
        ]
      })
      yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })
      expect(seen).toEqual([Option.some({ done: 2 })])
    })))

  it.scoped("shows what has changed while a look was under way, and waits for no later one", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const [running, looking] = [yield* Effect.makeLatch(), yield* Effect.makeLatch()]
      const driver = yield* makeStore
      let looks = Infinity
      const engine = yield* engineService({
        ...driver,
        read: (...asked) => Effect.tap(driver.read(...asked), () => ++looks === 1 ? looking.await : Effect.void)
      })
      const definition = abc(ledger, { fail: (stage) => stage === "b" ? running.await : Effect.void })
      const fiber = yield* Effect.fork(engine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      looks = 0
      const views = yield* Effect.fork(Stream.runCollect(engine.watch("t")))
      yield* until(() => looks === 1)
      yield* running.open
      yield* Fiber.join(fiber)
      yield* looking.open
      yield* rest
      const seen = Option.getOrThrow(yield* Fiber.poll(views))
      expect(Chunk.toReadonlyArray(yield* seen).map(({ task }) => task.status._tag)).toEqual(["Running", "Succeeded"])
    }))

  it.effect("watchAll shows every summary once, and again when it changes", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "old", input: { seed: 1 } })
      const seen = yield* Effect.fork(
        CheckMateEngine.watchAll().pipe(
          Stream.takeUntil(({ status, taskId }) => taskId === "new" && status === "Succeeded"),
          Stream.runCollect
        )
      )
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "new", input: { seed: 1 } })
      const ids = Chunk.toReadonlyArray(yield* Fiber.join(seen)).map(({ taskId }) => taskId)
      expect(ids.filter((id) => id === "old")).toHaveLength(1)
      expect(ids.at(-1)).toBe("new")
    })))
})

describe("what is told to operators", () => {
  class HttpError extends Data.TaggedError("HttpError")<{
    readonly status: number
    readonly key: Redacted.Redacted
    readonly cause: unknown
  }> {}

  it.effect("failures are kept with tag, message, fields, stack and causes, and secrets stay redacted", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const definition = CheckMate.make("secretive", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "call", {
            execute: () =>
              Effect.fail(
                new HttpError({ status: 503, key: Redacted.make("hunter2"), cause: new Error("socket closed") })
              )
          })
        ]
      })
      yield* Effect.exit(Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input: {} }), engineOver(store)))
      const text = (yield* store.read("t", 0)).join("\n")
      expect(text).not.toContain("hunter2")
      expect(text).not.toContain("[object Object]")
      const { task } = yield* Effect.provide(CheckMateEngine.get("t"), engineOver(store))
      expect(task.status).toMatchObject({
        _tag: "Failed",
        failure: {
          kind: "Failure",
          tag: "HttpError",
          fields: { status: 503, key: "<redacted>" },
          stack: expect.stringContaining("HttpError"),
          causes: [{ tag: "Error", message: "socket closed" }]
        }
      })
    }))

  it.effect("a state that holds a Redacted value is refused before anything is written", () =>
    inMemory(Effect.gen(function*() {
      const Secret = State.make({ token: Schema.Redacted(Schema.String) })
      const definition = CheckMate.make("leaky", {
        state: Secret,
        input: ["token"],
        stages: [Stage.make(Secret, "use", { requires: ["token"], execute: () => Effect.void })]
      })
      const error = yield* Effect.flip(
        CheckMateEngine.run(definition, { taskId: "t", input: { token: Redacted.make("hunter2") } })
      )
      expect(error).toMatchObject({ _tag: "InvalidDefinitionError" })
      expect(String(error)).toContain(`attribute "token" holds a Redacted value`)
    })))

  /** What an effect that runs an engine in memory marks its logs with, log by log. */
  const marksOf = (effect: Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>) =>
    Effect.gen(function*() {
      const marks: Array<Record<string, unknown>> = []
      const logger = Logger.make(({ annotations }) => {
        marks.push(Object.fromEntries(HashMap.toEntries(annotations)))
      })
      yield* Effect.provide(
        effect,
        Layer.merge(CheckMateEngine.layerMemory, Logger.replace(Logger.defaultLogger, logger))
      )
      return marks
    })

  it.effect("everything logged inside a stage says task, stage and attempt, and nothing outside is marked by it", () =>
    Effect.gen(function*() {
      const definition = CheckMate.make("logs", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", { execute: () => Effect.log("in one") }),
          Stage.make(Numbers, "two", {
            execute: () => Effect.forkScoped(Effect.log("in two")).pipe(Effect.flatMap(Fiber.join))
          })
        ]
      })
      const marks = yield* marksOf(
        Effect.zipRight(CheckMateEngine.run(definition, { taskId: "t", input: {} }), Effect.log("outside"))
      )
      expect(marks).toEqual([
        { task: "t", stage: "one", attempt: 1 },
        { task: "t", stage: "two", attempt: 1 },
        {}
      ])
    }))

  it.effect("what is logged of a task that a stage runs is not marked by that stage", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const inner = CheckMate.make("inner", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "own", { execute: () => Effect.void })]
      })
      const run = CheckMateEngine.run(inner, { taskId: "inner", input: {} })
      // The store takes nothing more once the stage has begun, as of a process that is killed.
      const gone = Effect.fail(
        new CheckMateError.TaskIOError({ operation: "append", location: "disk", problem: "gone" })
      )
      const ending = withAppends(
        store,
        (append, records) => records.some((record) => record.includes("StageSucceeded")) ? gone : append
      )
      yield* Effect.exit(Effect.provide(run, engineOver(ending)))
      const outer = CheckMate.make("outer", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "calls", { execute: () => Effect.asVoid(run) })]
      })
      const again = CheckMateEngine.run(outer, { taskId: "outer", input: {} })
      // It goes on after a crash.
      expect(yield* marksOf(Effect.provide(again, engineOver(store)))).toEqual([{ task: "inner" }])
    }))

  it.effect("what is logged of a task keeps the marks of its caller", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const run = CheckMateEngine.run(hangingInB(ledger), { taskId: "t", input: { seed: 1 } })
      yield* Effect.forkDaemon(Effect.provide(run, engineOver(store)))
      yield* until(() => ledger.count("run b") === 1)
      const again = CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      const marked = Effect.annotateLogs(Effect.provide(again, engineOver(store)), { stage: "nightly" })
      // It goes on after a crash.
      expect(yield* marksOf(marked)).toEqual([{ stage: "nightly", task: "t" }])
    }))

  it.effect("nor is what is told of a task that a stage started in the background", () =>
    Effect.gen(function*() {
      const inner = CheckMate.make("inner", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "own", { execute: () => Effect.fail("no") })]
      })
      const outer = CheckMate.make("outer", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "starts", {
            execute: () =>
              CheckMateEngine.start(inner, { taskId: "inner", input: {} }).pipe(
                Effect.flatMap((handle) => Effect.exit(handle.await)),
                Effect.asVoid
              )
          })
        ]
      })
      expect(yield* marksOf(CheckMateEngine.run(outer, { taskId: "outer", input: {} }))).toEqual([{ task: "inner" }])
    }))

  it.effect("so does what is logged by the rollback of a cancel, and nothing after it", () =>
    Effect.gen(function*() {
      const begun = yield* Effect.makeLatch()
      const definition = CheckMate.make("logs", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "one", { execute: () => Effect.void, rollback: () => Effect.log("undoing one") }),
          Stage.make(Numbers, "two", { execute: () => Effect.zipRight(begun.open, Effect.never) })
        ]
      })
      const marks = yield* marksOf(Effect.gen(function*() {
        const run = yield* Effect.fork(
          CheckMateEngine.run(definition, { taskId: "t", input: {} }).pipe(
            Effect.ignore,
            Effect.zipRight(Effect.log("outside"))
          )
        )
        yield* begun.await
        yield* CheckMateEngine.cancel("t", { rollback: definition })
        yield* Fiber.join(run)
      }))
      expect(marks).toEqual([{ task: "t", stage: "one", attempt: 1 }, {}])
    }))

  it.effect("every operation and every stage has a span, the stage's within the operation's", () =>
    Effect.gen(function*() {
      const { spans, tracer } = recordSpans()
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }).pipe(
        Effect.provide(CheckMateEngine.layerMemory),
        Effect.withTracer(tracer)
      )
      expect(spans.map(({ name, parent }) => [name, parent])).toEqual([
        ["CheckMateEngine.run", undefined],
        ["checkmate.stage", "CheckMateEngine.run"],
        ["checkmate.stage", "CheckMateEngine.run"],
        ["checkmate.stage", "CheckMateEngine.run"]
      ])
    }))

  it.effect("a tracer that throws fails the attempt, which lets go of its resources and is undone", () =>
    inMemory(Effect.gen(function*() {
      for (const at of ["span", "end"] as const) {
        const ledger = new Ledger()
        const stage = Stage.make(Numbers, "uses", {
          execute: () => Effect.asVoid(Effect.acquireRelease(ledger.note("acquire"), () => ledger.note("release"))),
          rollback: () => ledger.note("undo")
        })
        const definition = CheckMate.make("traced", { state: Numbers, input: [], stages: [stage] })
        const run = CheckMateEngine.run(definition, { taskId: at, input: {} })
        yield* Effect.exit(Effect.withTracer(run, throwing(at, "checkmate.stage")))
        expect(ledger.entries).toEqual(at === "span" ? ["undo"] : ["acquire", "release", "undo"])
        const { task } = yield* CheckMateEngine.get(at)
        expect(task.status).toMatchObject({ _tag: "Failed", failure: { kind: "Defect", message: at } })
      }
    })))

  it.effect("what is watched has a span, as long as it is watched", () =>
    Effect.gen(function*() {
      const { spans, tracer } = recordSpans()
      yield* inMemory(Effect.gen(function*() {
        yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
        const traced = Effect.withTracer(tracer)
        yield* traced(Stream.runDrain(CheckMateEngine.watch("t")))
        yield* traced(Stream.runDrain(Stream.take(CheckMateEngine.watchAll(), 1)))
      }))
      expect(spans).toEqual([
        { name: "CheckMateEngine.watch", parent: undefined, ended: "Success" },
        { name: "CheckMateEngine.watchAll", parent: undefined, ended: "Success" }
      ])
    }))

  it.effect("counts tasks, attempts, retries and rollbacks by name and outcome, and times stages and appends", () =>
    inMemory(Effect.gen(function*() {
      const growth = yield* growthOf(
        /check_mate=(counted|flaky)|append/,
        Effect.gen(function*() {
          const gate = yield* Effect.makeLatch()
          const counted = (options: Parameters<typeof abc>[1]) => ({ ...abc(new Ledger(), options), name: "counted" })
          const slow = counted({ fail: (stage) => stage === "a" ? gate.await : Effect.void })
          const good = yield* Effect.fork(CheckMateEngine.run(slow, { taskId: "good", input: { seed: 1 } }))
          yield* Effect.repeat(CheckMateEngine.find(), { until: (found) => found.length > 0 })
          // Held by the other, which is no end of the task.
          yield* Effect.exit(CheckMateEngine.run(slow, { taskId: "good", input: { seed: 1 } }))
          yield* gate.open
          yield* Fiber.join(good)
          const bad = counted({ onFailure: "rollback", fail: failing({ c: 1 }) })
          yield* Effect.exit(CheckMateEngine.run(bad, { taskId: "bad", input: { seed: 1 } }))
          const flaky = counted({ fail: failing({ a: 1 }), retry: Schedule.recurs(1) })
          yield* CheckMateEngine.run({ ...flaky, name: "flaky" }, { taskId: "flaky", input: { seed: 1 } })
        })
      )
      const { checkmate_append_duration_seconds: appends, ...grown } = growth
      expect(grown).toEqual({
        "checkmate_tasks check_mate=counted outcome=succeeded": 1,
        "checkmate_tasks check_mate=counted outcome=failed": 1,
        "checkmate_tasks check_mate=flaky outcome=succeeded": 1,
        "checkmate_stage_attempts check_mate=counted outcome=succeeded stage=a": 2,
        "checkmate_stage_attempts check_mate=counted outcome=succeeded stage=b": 2,
        "checkmate_stage_attempts check_mate=counted outcome=succeeded stage=c": 1,
        "checkmate_stage_attempts check_mate=counted outcome=failed stage=c": 1,
        "checkmate_stage_attempts check_mate=flaky outcome=failed stage=a": 1,
        "checkmate_stage_attempts check_mate=flaky outcome=succeeded stage=a": 1,
        "checkmate_stage_attempts check_mate=flaky outcome=succeeded stage=b": 1,
        "checkmate_stage_attempts check_mate=flaky outcome=succeeded stage=c": 1,
        "checkmate_retries check_mate=flaky stage=a": 1,
        "checkmate_rollbacks check_mate=flaky outcome=succeeded stage=a": 1,
        "checkmate_rollbacks check_mate=counted outcome=succeeded stage=a": 1,
        "checkmate_rollbacks check_mate=counted outcome=succeeded stage=b": 1,
        "checkmate_rollbacks check_mate=counted outcome=succeeded stage=c": 1,
        "checkmate_stage_duration_seconds check_mate=counted stage=a": 2,
        "checkmate_stage_duration_seconds check_mate=counted stage=b": 2,
        "checkmate_stage_duration_seconds check_mate=counted stage=c": 2,
        "checkmate_stage_duration_seconds check_mate=flaky stage=a": 2,
        "checkmate_stage_duration_seconds check_mate=flaky stage=b": 1,
        "checkmate_stage_duration_seconds check_mate=flaky stage=c": 1
      })
      expect(appends).toBeGreaterThan(6)
    })))

  it.effect("counts a crashed attempt by its stage", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const hanging = hangingInB(ledger)
      yield* Effect.forkDaemon(
        Effect.provide(CheckMateEngine.run(hanging, { taskId: "t", input: { seed: 1 } }), engineOver(store))
      )
      yield* until(() => ledger.count("run b") === 1)
      const again = CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      expect(yield* growthOf(/outcome=crashed/, Effect.provide(again, engineOver(store)))).toEqual({
        "checkmate_stage_attempts check_mate=abc outcome=crashed stage=b": 1
      })
    }))
})

describe("stages that need a service", () => {
  class Session extends Effect.Tag("test/Session")<Session, { readonly id: number }>() {}

  it.effect("Stage.provide builds a layer afresh for every attempt, and releases it at the attempt's end", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      let sessions = 0
      const layer = Layer.scoped(
        Session,
        Effect.acquireRelease(
          Effect.sync(() => ({ id: ++sessions })).pipe(Effect.tap(({ id }) => ledger.note(`open ${id}`))),
          ({ id }) => ledger.note(`close ${id}`)
        )
      )
      const definition = CheckMate.make("sessions", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "uses", {
            provides: ["a"],
            execute: () => Effect.map(Session, ({ id }) => ({ a: id })),
            rollback: () => Effect.flatMap(Session, ({ id }) => ledger.note(`undo in ${id}`))
          }).pipe(Stage.provide(layer))
        ]
      })
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })).toEqual({ a: 1 })
      yield* CheckMateEngine.rollback(definition, "t")
      expect(ledger.entries).toEqual(["open 1", "close 1", "open 2", "undo in 2", "close 2"])
    })))

  it.effect("Stage.provide releases what a stage acquired before the layer, and a failed attempt's before its answer", () =>
    inMemory(Effect.gen(function*() {
      class Refused extends Data.TaggedError("Refused")<{ readonly by: number }> {}
      const ledger = new Ledger()
      let sessions = 0
      const session = Effect.acquireRelease(
        Effect.sync(() => ({ id: ++sessions })).pipe(Effect.tap(({ id }) => ledger.note(`open ${id}`))),
        ({ id }, exit) => ledger.note(`${Exit.isSuccess(exit) ? "commit" : "undo"} ${id}`)
      )
      const table = Effect.flatMap(Session, ({ id }) =>
        Effect.acquireRelease(
          ledger.note(`create in ${id}`),
          () => ledger.note(`drop in ${id}`)
        ))
      // The second asks for the Scope it is built in.
      // @effect-diagnostics-next-line scopeInLayerEffect:off
      for (const [index, layer] of [Layer.scoped(Session, session), Layer.effect(Session, session)].entries()) {
        for (const fails of [false, true]) {
          const definition = CheckMate.make("tables", {
            state: Numbers,
            input: [],
            stages: [
              Stage.make(Numbers, "fills", {
                provides: ["a"],
                execute: () =>
                  Effect.gen(function*() {
                    yield* table
                    const { id } = yield* Session
                    return yield* fails ? new Refused({ by: id }) : Effect.succeed({ a: id })
                  }),
                rollback: () => table
              }).pipe(
                Stage.catchTag("Refused", () => Effect.zipRight(table, Effect.map(Session, ({ id }) => ({ a: -id })))),
                Stage.provide(layer)
              )
            ]
          })
          sessions = 0
          ledger.entries.length = 0
          const taskId = `${index}-${fails}`
          expect(yield* CheckMateEngine.run(definition, { taskId, input: {} })).toEqual({ a: fails ? -2 : 1 })
          yield* CheckMateEngine.rollback(definition, taskId)
          const ended = (id: number, how: string) => [`open ${id}`, `create in ${id}`, `drop in ${id}`, `${how} ${id}`]
          expect(ledger.entries).toEqual(
            fails
              ? [...ended(1, "undo"), ...ended(2, "commit"), ...ended(3, "commit")]
              : [...ended(1, "commit"), ...ended(2, "commit")]
          )
        }
      }
    })))

  it.effect("Stage.mapError and Stage.catchTag change what the caller sees, not what the journal keeps of attempts", () =>
    inMemory(Effect.gen(function*() {
      class Low extends Data.TaggedError("Low")<{ readonly n: number }> {}
      class High extends Data.TaggedError("High")<{ readonly n: number }> {}
      const low = Stage.make(Numbers, "low", { provides: ["a"], execute: () => Effect.fail(new Low({ n: 1 })) })
      const mapped = CheckMate.make("mapped", {
        state: Numbers,
        input: [],
        stages: [Stage.mapError(low, (error) => new High({ n: error.n + 1 }))]
      })
      expect(yield* Effect.flip(CheckMateEngine.run(mapped, { taskId: "mapped", input: {} }))).toMatchObject({
        _tag: "High",
        n: 2
      })
      const caught = CheckMate.make("caught", {
        state: Numbers,
        input: [],
        stages: [Stage.catchTag(low, "Low", (error) => Effect.succeed({ a: error.n + 10 }))]
      })
      expect(yield* CheckMateEngine.run(caught, { taskId: "caught", input: {} })).toEqual({ a: 11 })
    })))
})
