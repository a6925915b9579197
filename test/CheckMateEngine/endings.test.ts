/** What a task comes to where one thing gets in the way of another. */
import { describe, expect, it } from "@effect/vitest"
import {
  Cause,
  Chunk,
  Clock,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Schedule,
  Schema,
  Scope,
  Stream,
  TestClock
} from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, type TaskIO } from "effect-checkmate"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import { TaskIOError } from "effect-checkmate/CheckMateError"
import { logged } from "../support/logs.ts"
import {
  abc,
  Boom,
  engineOver,
  engineService,
  eventsOf,
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

/** Engines over one lock and one store, whose mail is looked for at intervals. */
const engines = Effect.gen(function*() {
  const { arrivals: _, ...store } = yield* makeStore
  const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
  return { store, engineOn: (driver: TaskIO.Encoded) => engineService(driver, lock) }
})

/** Stage b hangs where it is told to, and takes its time to stop. */
const slowToStop = (ledger: Ledger, hangs: () => boolean, gate: Effect.Latch) =>
  abc(ledger, {
    fail: (stage) =>
      stage === "b" && hangs()
        ? Effect.onInterrupt(Effect.never, () => Effect.zipRight(ledger.note("stopping"), gate.await))
        : Effect.void
  })

/** An engine whose appends wait, those alone that are answered otherwise, or else all. */
const slowEngineOf = Effect.fnUntraced(function*(
  answer?: (records: ReadonlyArray<string>) => Effect.Effect<void, TaskIOError> | undefined
) {
  const store = yield* makeStore
  const writing = yield* Effect.makeLatch()
  const goOn = yield* Effect.makeLatch()
  const slow = withAppends(store, (append, records) => {
    const answered = answer === undefined ? append : answer(records)
    return answered === undefined ? append : Effect.zipRight(Effect.zipRight(writing.open, goOn.await), answered)
  })
  const engine = yield* engineService(slow)
  return { engine, goOn, store, writing }
})
const slowEngine = slowEngineOf()

describe("a letter", () => {
  for (const what of ["cancel", "pause"] as const) {
    it.scoped(`to ${what}, that came too late for whoever held the task, stops no later run`, () =>
      Effect.gen(function*() {
        const { engineOn, store } = yield* engines
        const [one, other] = [yield* engineOn(store), yield* engineOn(store)]
        const ledger = new Ledger()
        const gate = yield* Effect.makeLatch()
        const opened = yield* Effect.makeLatch(true)
        let hangs = true
        const definition = slowToStop(ledger, () => hangs, opened)
        const first = yield* Effect.fork(one.run(definition, { taskId: "t", input: { seed: 1 } }))
        yield* until(() => ledger.count("run b") === 1)
        const asking = yield* Effect.fork(other[what]("t"))
        yield* Effect.repeat(store.waiting, { until: (waiting) => waiting.length > 0 })
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust("500 millis")
        yield* Fiber.join(asking)
        hangs = false
        const again = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
        const second = yield* Effect.fork(one.retryFrom(again, "t", "b"))
        yield* until(() => ledger.count("run b") === 2)
        yield* TestClock.adjust("2 seconds")
        expect(yield* store.waiting).toEqual([])
        yield* gate.open
        expect(yield* Fiber.join(second)).toMatchObject({ c: 4 })
      }))
  }

  for (const what of ["cancel", "pause"] as const) {
    it.scoped(`of a ${what} that has failed is taken back, and no other: it stops nobody who takes the task up where it stood`, () =>
      Effect.gen(function*() {
        const { engineOn, store } = yield* engines
        const one = yield* engineOn(store)
        const ledger = new Ledger()
        const gate = yield* Effect.makeLatch()
        const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
        const first = yield* Effect.fork(one.run(definition, { taskId: "t", input: { seed: 1 } }))
        yield* until(() => ledger.count("run b") === 1)
        yield* Fiber.interrupt(first)
        // Held for a moment, as by who removes what is over, and written to once: that fails.
        const scope = yield* Scope.make()
        const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
        const bind = Effect.flatMap(BindLock.BindLock, ({ acquire }) => acquire("t"))
        yield* bind.pipe(Scope.extend(scope), Effect.provide(lock))
        const full = new TaskIOError({ operation: "append", location: "here", problem: "the disk is full" })
        const other = yield* engineService(withAppends(store, () => Effect.fail(full)), lock)
        const asking = yield* Effect.fork(Effect.flip(other[what]("t")))
        yield* Effect.repeat(store.waiting, { until: (waiting) => waiting.length > 0 })
        yield* store.send("t", "another one's")
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("500 millis")
        expect(yield* Fiber.join(asking)).toEqual(full)
        expect((yield* store.receive("t")).map(({ message }) => message)).toEqual(["another one's"])
        const second = yield* Effect.fork(one.resume(definition, "t"))
        yield* until(() => ledger.count("run b") === 2)
        yield* TestClock.adjust("2 seconds")
        yield* gate.open
        expect(yield* Fiber.join(second)).toMatchObject({ c: 4 })
      }))
  }

  it.scoped("is sent again less and less often, taken back also where it may not have arrived, and its mailbox let alone else", () =>
    Effect.gen(function*() {
      const { store } = yield* engines
      const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
      const inEngine = Effect.provide(engineOver(store, lock))
      const failed = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit(inEngine(CheckMateEngine.run(failed, { taskId: "t", input: { seed: 1 } })))
      yield* inEngine(CheckMateEngine.run(abc(new Ledger()), { taskId: "over", input: { seed: 1 } }))
      yield* Effect.flatMap(BindLock.BindLock, ({ acquire }) => acquire("t")).pipe(Effect.provide(lock))
      const cutOff = new TaskIOError({ operation: "send", location: "here", problem: "cut off" })
      const counted = { send: 0, receive: 0 }
      const engine = yield* engineService({
        ...store,
        send: (...args) =>
          Effect.zipRight(store.send(...args), Effect.suspend(() => ++counted.send === 4 ? cutOff : Effect.void)),
        receive: (taskId) => Effect.suspend(() => ++counted.receive === 1 ? store.receive(taskId) : Effect.fail(cutOff))
      }, lock)
      expect(yield* Effect.flip(engine.cancel("over"))).toMatchObject({ _tag: "TaskStatusError" })
      expect(counted.receive).toBe(0)
      const asking = yield* Effect.fork(Effect.flip(engine.cancel("t")))
      for (let round = 1; round < 5; round++) yield* TestClock.adjust("500 millis")
      expect(counted.send).toBe(3)
      for (let round = 5; round < 8; round++) yield* TestClock.adjust("500 millis")
      expect(yield* Fiber.join(asking)).toEqual(cutOff)
      expect([counted.send, yield* store.receive("t")]).toEqual([4, []])
      counted.send = 3
      const lines = yield* logged(Effect.map(Effect.flip(engine.cancel("t")), (error) => expect(error).toEqual(cutOff)))
      expect(lines).toEqual([expect.stringContaining("may still be told what could not be asked of it")])
    }))

  it.scoped("is acted upon also while another task takes its time to stop", () =>
    Effect.gen(function*() {
      const { engineOn, store } = yield* engines
      const [one, other] = [yield* engineOn(store), yield* engineOn(store)]
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const slow = yield* Effect.fork(
        one.run(slowToStop(ledger, () => true, gate), { taskId: "t", input: { seed: 1 } })
      )
      yield* until(() => ledger.count("run b") === 1)
      const quick = yield* Effect.fork(one.run(hangingInB(ledger), { taskId: "u", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 2)
      for (const taskId of ["t", "u"]) {
        yield* Effect.fork(other.cancel(taskId))
        for (let round = 0; round < 4; round++) yield* TestClock.adjust("500 millis")
      }
      const ended = yield* Fiber.poll(quick)
      yield* gate.open
      yield* Fiber.await(slow)
      expect([ledger.count("stopping"), Option.isSome(ended)]).toEqual([1, true])
    }))

  it.scoped("of a cancel whose engine is closed meanwhile is taken back, too", () =>
    Effect.gen(function*() {
      const { store } = yield* engines
      const holding = yield* Scope.make()
      const closing = yield* Scope.make()
      const lock = Layer.succeedContext(yield* Layer.build(BindLock.layerMemory))
      const one = yield* engineService(store, lock)
      yield* Effect.exit(one.run(abc(new Ledger(), { fail: failing({ b: 1 }) }), { taskId: "t", input: { seed: 1 } }))
      const bind = Effect.flatMap(BindLock.BindLock, ({ acquire }) => acquire("t"))
      yield* bind.pipe(Scope.extend(holding), Effect.provide(lock))
      const other = yield* Scope.extend(engineService(store, lock), closing)
      const asking = yield* Effect.fork(Effect.exit(other.cancel("t")))
      yield* Effect.repeat(store.waiting, { until: (waiting) => waiting.length > 0 })
      yield* Scope.close(closing, Exit.void)
      yield* Scope.close(holding, Exit.void)
      yield* TestClock.adjust("500 millis")
      expect(String(yield* Fiber.join(asking))).toContain("is closed")
      expect(yield* store.waiting).toEqual([])
    }))

  for (const end of ["hears of it", "is gone by then"]) {
    it.scoped(`that was sent as the task was removed stops no other one of its id, where its sender ${end}`, () =>
      Effect.gen(function*() {
        const { engineOn, store } = yield* engines
        const one = yield* engineOn(store)
        const ledger = new Ledger()
        const opened = yield* Effect.makeLatch(true)
        const gate = yield* Effect.makeLatch()
        const first = yield* Effect.fork(
          one.run(slowToStop(ledger, () => true, opened), { taskId: "t", input: { seed: 1 } })
        )
        yield* until(() => ledger.count("run b") === 1)
        const removed = Fiber.interrupt(first).pipe(
          Effect.zipRight(one.cancel("t")),
          Effect.zipRight(one.remove("t")),
          Effect.orDie
        )
        const other = yield* engineOn({
          ...store,
          send: (...letter) => Effect.zipRight(removed, store.send(...letter))
        })
        const cancelling = yield* Effect.fork(Effect.flip(other.cancel("t")))
        yield* Effect.repeat(store.waiting, { until: (waiting) => waiting.length > 0 })
        if (end === "is gone by then") yield* Fiber.interrupt(cancelling)
        yield* TestClock.adjust("500 millis")
        if (end === "hears of it") expect(yield* Fiber.join(cancelling)).toMatchObject({ _tag: "TaskNotFoundError" })
        const again = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
        const second = yield* Effect.fork(one.run(again, { taskId: "t", input: { seed: 1 } }))
        yield* until(() => ledger.count("run b") === 2)
        yield* TestClock.adjust("2 seconds")
        expect(yield* store.waiting).toEqual([])
        yield* gate.open
        expect(yield* Fiber.join(second)).toMatchObject({ c: 4 })
      }))
  }

  it.scoped("is left to whoever runs its task by all who run others", () =>
    Effect.gen(function*() {
      const { engineOn, store } = yield* engines
      const received: Array<string> = []
      const noting = (taskId: string) => {
        received.push(taskId)
        return store.receive(taskId)
      }
      const engine = yield* engineOn({ ...store, receive: noting })
      const ledger = new Ledger()
      const definition = slowToStop(ledger, () => true, yield* Effect.makeLatch(true))
      const run = yield* Effect.fork(engine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* store.send("u", "for another")
      yield* store.send("t", "for this one")
      yield* TestClock.adjust("500 millis")
      expect(received).toEqual(["t"])
      expect(yield* store.waiting).toEqual(["u"])
      yield* Fiber.interrupt(run)
    }))

  it.scoped("that does not say which task it was written to reaches whoever runs the one of its id", () =>
    Effect.gen(function*() {
      const { engineOn, store } = yield* engines
      const engine = yield* engineOn(store)
      const ledger = new Ledger()
      const opened = yield* Effect.makeLatch(true)
      const definition = slowToStop(ledger, () => true, opened)
      const first = yield* Effect.fork(engine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* Fiber.interrupt(first)
      const second = yield* Effect.fork(Effect.flip(engine.resume(definition, "t")))
      yield* until(() => ledger.count("run b") === 2)
      yield* store.send("t", JSON.stringify({ _tag: "Cancel", at: "2026-01-01T00:00:00.000Z", rollback: false }))
      yield* TestClock.adjust("500 millis")
      expect(yield* Fiber.join(second)).toMatchObject({ _tag: "TaskCancelledError" })
    }))

  it.scoped("that its reader took along into its death is sent again", () =>
    Effect.gen(function*() {
      const { engineOn, store } = yield* engines
      const [one, other] = [yield* engineOn(store), yield* engineOn(store)]
      const ledger = new Ledger()
      const opened = yield* Effect.makeLatch(true)
      const run = yield* Effect.fork(
        one.run(slowToStop(ledger, () => true, opened), { taskId: "t", input: { seed: 1 } })
      )
      yield* until(() => ledger.count("run b") === 1)
      const cancelling = yield* Effect.fork(other.cancel("t"))
      yield* Effect.repeat(store.waiting, { until: (waiting) => waiting.length > 0 })
      // As a reader does that dies before it acts.
      yield* store.acknowledge("t", (yield* store.receive("t")).map(({ id }) => id))
      yield* TestClock.adjust("2 seconds")
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskCancelledError" })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(cancelling)
    }))

  const cutOff = new TaskIOError({ operation: "listen", location: "here", problem: "cut off" })
  it.scoped.each(
    [
      ["fails", Stream.fail(cutOff), ["WARN Messages no longer arrive, and are looked for instead"]],
      ["ends", Stream.drain(Stream.make("t")), []]
    ] as const
  )("is looked for at intervals once what tells of it %s", ([_, arrivals, told]) =>
    Effect.gen(function*() {
      const { engineOn, store } = yield* engines
      const ledger = new Ledger()
      const opened = yield* Effect.makeLatch(true)
      const lines = yield* logged(Effect.gen(function*() {
        const one = yield* engineOn({ ...store, arrivals })
        const run = yield* Effect.fork(
          one.run(slowToStop(ledger, () => true, opened), { taskId: "t", input: { seed: 1 } })
        )
        yield* until(() => ledger.count("run b") === 1)
        const other = yield* engineOn(store)
        const cancelling = yield* Effect.fork(other.cancel("t"))
        yield* Effect.repeat(store.waiting, { until: (waiting) => waiting.length > 0 })
        yield* TestClock.adjust("1 second")
        expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskCancelledError" })
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(cancelling)
      }))
      expect(lines).toEqual(told)
    }))
})

describe("a cancel", () => {
  it.effect("of a run that is being interrupted is done all the same", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const gate = yield* Effect.makeLatch()
      const definition = slowToStop(ledger, () => true, gate)
      const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const interrupting = yield* Effect.fork(Fiber.interrupt(run))
      yield* until(() => ledger.count("stopping") === 1)
      const cancelling = yield* Effect.fork(CheckMateEngine.cancel("t"))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* gate.open
      yield* Fiber.join(interrupting)
      yield* Fiber.join(cancelling)
      expect(yield* statusOf("t")).toEqual({ _tag: "Cancelled" })
    })))

  it.effect("tells its caller of a rollback that failed for good, and can be given again", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, {
        fail: (stage) => stage === "b" ? Effect.never : Effect.void,
        failUndo: failing({ a: 1 })
      })
      const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      const cancel = CheckMateEngine.cancel("t", { rollback: definition })
      expect(yield* Effect.flip(cancel)).toMatchObject({ _tag: "RollbackFailedError", stage: "a" })
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "RollbackFailedError" })
      yield* cancel
      expect(yield* statusOf("t")).toEqual({ _tag: "Cancelled" })
      expect(ledger.count("undo a")).toBe(2)
    })))

  it.effect("gives the attempt's rollback all its retries, for nobody will make them later", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const fail = failing({ undo: 3 })
      const definition = CheckMate.make("one", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            execute: () => Effect.zipRight(ledger.note("run a"), Effect.never),
            rollback: () => Effect.zipRight(ledger.note("undo a"), fail("undo")),
            rollbackRetry: Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(5))
          })
        ]
      })
      const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* until(() => ledger.count("run a") === 1)
      const cancelling = yield* Effect.fork(CheckMateEngine.cancel("t"))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(cancelling)
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskCancelledError" })
      expect(ledger.count("undo a")).toBe(4)
    })))

  it.scoped("that comes in while another one is written adds nothing to it", () =>
    Effect.gen(function*() {
      const { engine, goOn, store, writing } = yield* slowEngine
      const failed = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit((yield* engineService(store)).run(failed, { taskId: "t", input: { seed: 1 } }))
      const first = yield* Effect.fork(engine.cancel("t"))
      yield* writing.await
      const second = yield* Effect.fork(engine.cancel("t"))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* goOn.open
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      const { history } = yield* engine.get("t")
      expect(history.filter(({ _tag }) => _tag === "TaskCancelled")).toHaveLength(1)
    }))

  it.scoped("with a rollback that comes in while a pause is written rolls back", () =>
    Effect.gen(function*() {
      const { engine, goOn, store, writing } = yield* slowEngine
      const ledger = new Ledger()
      let hangs = true
      const opened = yield* Effect.makeLatch(true)
      const definition = slowToStop(ledger, () => hangs, opened)
      const before = yield* engineService(store)
      const run = yield* Effect.fork(before.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* until(() => ledger.count("run b") === 1)
      yield* Fiber.interrupt(run)
      hangs = false
      const pausing = yield* Effect.fork(engine.pause("t"))
      yield* writing.await
      const cancelling = yield* Effect.fork(engine.cancel("t", { rollback: definition }))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* goOn.open
      yield* Fiber.join(pausing)
      yield* Fiber.join(cancelling)
      expect((yield* engine.get("t")).task.status).toEqual({ _tag: "Cancelled" })
      expect(ledger.count("undo a")).toBe(1)
    }))

  it.scoped("that comes in while the last append is refused makes no success of it", () =>
    Effect.gen(function*() {
      const refused = new TaskIOError({ operation: "append", location: "here", problem: "the disk is full" })
      const { engine, goOn, writing } = yield* slowEngineOf((records) =>
        records.some((record) => record.includes("TaskSucceeded")) ? Effect.fail(refused) : undefined
      )
      const run = yield* Effect.fork(engine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }))
      yield* writing.await
      const cancelling = yield* Effect.fork(engine.cancel("t"))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* goOn.open
      expect(yield* Effect.flip(Fiber.join(run))).toEqual(refused)
      yield* Fiber.join(cancelling)
      expect((yield* engine.get("t")).task.status).toEqual({ _tag: "Cancelled" })
    }))

  /** A lock, and what is done as the next is held, before the work that it is held for: the first watch over a binding is. */
  const comingIn = () => {
    let next: Effect.Effect<unknown, unknown> = Effect.void
    const lock = Layer.succeed(BindLock.BindLock, {
      acquire: () =>
        Effect.map(DateTime.now, (since) => {
          const first = next
          next = Effect.void
          return { holder: { name: "one", since }, lost: Effect.zipRight(Effect.ignore(first), Effect.never) }
        }),
      holder: () => Effect.succeedNone
    })
    const comesIn = (what: Effect.Effect<unknown, unknown>) => {
      next = what
    }
    return { lock, comesIn }
  }

  it.scoped("with rollback that comes in on a pause lets it be written, and is done by who asked for it", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const ledger = new Ledger()
      const definition = hangingInB(ledger)
      yield* Effect.scoped(Effect.gen(function*() {
        const engine = yield* engineService(store)
        yield* Effect.fork(engine.run(definition, { taskId: "t", input: { seed: 1 } }))
        yield* until(() => ledger.count("run b") === 1)
      }))
      const { comesIn, lock } = comingIn()
      const engine = yield* engineService(store, lock)
      const cancelled = yield* Effect.makeLatch()
      comesIn(Effect.uninterruptible(Effect.zipRight(engine.cancel("t", { rollback: definition }), cancelled.open)))
      yield* engine.pause("t")
      yield* cancelled.await
      const { history, task } = yield* engine.get("t")
      expect(task.status).toEqual({ _tag: "Cancelled" })
      expect(history.map(({ _tag }) => _tag)).toContain("TaskPaused")
      expect(ledger.entries.slice(-1)).toEqual(["undo a"])
    }))

  it.scoped("that comes in on what would have a task run again that has succeeded gives nobody the output from before", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      let known = Infinity
      const { comesIn, lock } = comingIn()
      const engine = yield* engineService({
        ...store,
        read: (...asked) => Effect.map(store.read(...asked), (records) => records.slice(0, known))
      }, lock)
      const definition = abc(new Ledger())
      yield* engine.run(definition, { taskId: "t", input: { seed: 1 } })
      const cancelled = yield* Effect.makeLatch()
      comesIn(
        Effect.suspend(() => {
          // It has looked while the task was still running.
          known = 2
          const cancel = Effect.ensuring(engine.cancel("t"), cancelled.open)
          return Effect.uninterruptible(cancel)
        })
      )
      const error = yield* Effect.flip(engine.retryFrom(definition, "t", "c"))
      known = Infinity
      expect(error).toMatchObject({ _tag: "TaskCancelledError" })
      yield* cancelled.await
      expect((yield* engine.get("t")).task.status._tag).toBe("Succeeded")
    }))

  for (const how of ["has failed", "has crashed"]) {
    it.scoped(`that comes in on whoever holds a task that ${how} with another definition leaves it so, and is done by itself`, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const ledger = new Ledger()
        const definition = abc(ledger, { fail: failing({ c: 1 }) })
        const other = CheckMate.make("other", {
          state: Numbers,
          input: [],
          stages: [Stage.make(Numbers, "x", { execute: () => Effect.void })]
        })
        const gone = new TaskIOError({ operation: "append", location: "here", problem: "gone" })
        const dying = withAppends(
          store,
          (append, records) =>
            how === "has crashed" && records.some((record) => record.includes("Boom")) ? Effect.fail(gone) : append
        )
        const failed = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
        yield* Effect.exit(Effect.provide(failed, engineOver(dying)))
        const { comesIn, lock } = comingIn()
        const engine = yield* engineService(store, lock)
        const cancelled = yield* Effect.makeLatch()
        comesIn(Effect.uninterruptible(Effect.zipRight(engine.cancel("t", { rollback: definition }), cancelled.open)))
        expect(yield* Effect.flip(engine.rollback(other, "t"))).toMatchObject({ _tag: "WrongCheckMateError" })
        yield* cancelled.await
        expect((yield* engine.get("t")).task.status).toEqual({ _tag: "Cancelled" })
        expect(ledger.entries.slice(-3)).toEqual(["undo c", "undo b", "undo a"])
      }))
  }

  it.effect("with a rollback that values no longer fit is refused before anything is changed, also of a task that runs", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const before = abc(ledger, { fail: failing({ b: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(before, { taskId: "t", input: { seed: 1 } }))
      const Texts = State.make({ seed: Schema.Number, a: Schema.String })
      const now = CheckMate.make("abc", {
        state: Texts,
        input: ["seed"],
        stages: [
          Stage.make(Texts, "a", {
            provides: ["a"],
            execute: () => Effect.succeed({ a: "made" }),
            rollback: () => ledger.note("undo a")
          }),
          Stage.make(Texts, "b", { execute: () => Effect.zipRight(ledger.note("hangs"), Effect.never) }),
          Stage.make(Texts, "c", { execute: () => Effect.void })
        ]
      })
      const run = yield* Effect.fork(CheckMateEngine.run(now, { taskId: "t", input: { seed: 1, a: "given" } }))
      yield* until(() => ledger.count("hangs") === 1)
      const error = { _tag: "AttributeError", attribute: "a", rollback: "a" }
      expect(yield* Effect.flip(CheckMateEngine.cancel("t", { rollback: now }))).toMatchObject(error)
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject(error)
      expect(yield* statusOf("t")).toEqual({ _tag: "Running" })
      // What was done by then stands.
      expect((yield* eventsOf("t")).slice(-2)).toEqual(["AttemptFailed", "AttemptUndone"])
    })))

  it.effect("that is written as another engine takes the task over is not done behind its back", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const takenOver = yield* Effect.makeLatch()
      const written = yield* Effect.makeLatch()
      const begun = yield* Effect.makeLatch()
      const slow = withAppends(store, (append, records) =>
        records.some((record) => record.includes("AttemptFailed"))
          ? Effect.zipRight(takenOver.open, Effect.zipRight(written.await, append))
          : append)
      const definition = CheckMate.make("taken", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "a", { execute: () => Effect.zipRight(begun.open, Effect.never) })]
      })
      const engine = yield* engineService(slow, losing(takenOver))
      const run = yield* Effect.fork(engine.run(definition, { taskId: "t", input: {} }))
      yield* begun.await
      const cancel = yield* Effect.fork(Effect.exit(engine.cancel("t")))
      yield* takenOver.await
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      yield* written.open
      expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "BindingLostError" })
      const kept = yield* store.read("t", 0)
      expect(kept.some((record) => record.includes("TaskCancelled"))).toBe(false)
      yield* Fiber.interrupt(cancel)
    }).pipe(Effect.scoped))

  it.effect("and another at the same time are both done", () =>
    inMemory(Effect.gen(function*() {
      for (let round = 0; round < 30; round++) {
        const taskId = `t${round}`
        const failed = abc(new Ledger(), { fail: failing({ b: 1 }) })
        yield* Effect.exit(CheckMateEngine.run(failed, { taskId, input: { seed: 1 } }))
        const both = Effect.all([CheckMateEngine.cancel(taskId), CheckMateEngine.cancel(taskId)], {
          concurrency: 2,
          discard: true
        })
        yield* Effect.zip(Effect.withMaxOpsBeforeYield(both, 20 + round * 5), TestClock.adjust("2 seconds"), {
          concurrent: true
        })
      }
    })))
})

describe("an end", () => {
  it.scoped("that comes in while an append fails tells of that one, and not of another that would be refused", () =>
    Effect.gen(function*() {
      const refused = new TaskIOError({ operation: "append", location: "here", problem: "the disk is full" })
      let fails = true
      const { engine, goOn, writing } = yield* slowEngineOf((records) => {
        const isHit = fails && records.some((record) => record.includes(`"StageStarted"`) && record.includes(`"b"`))
        if (isHit) fails = false
        return isHit ? Effect.fail(refused) : undefined
      })
      const run = yield* Effect.fork(engine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }))
      yield* writing.await
      const stopping = yield* Effect.fork(Fiber.interrupt(run))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* goOn.open
      const exit = yield* Fiber.join(stopping)
      expect(Option.flatMap(Exit.causeOption(exit), Cause.failureOption)).toEqual(Option.some(refused))
    }))

  it.effect("of the process cuts the waits of a rollback's retries short, and leaves the rest to the next", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const fail = failing({ undo: 2 })
      const definition = CheckMate.make("one", {
        state: Numbers,
        input: [],
        onFailure: "rollback",
        stages: [
          Stage.make(Numbers, "a", {
            execute: () => Effect.zipRight(ledger.note("run a"), new Boom({ stage: "a", status: 500 })),
            rollback: () => Effect.zipRight(ledger.note("undo a"), fail("undo")),
            rollbackRetry: Schedule.spaced("1 hour")
          })
        ]
      })
      const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* until(() => ledger.count("undo a") === 1)
      yield* Fiber.interrupt(run)
      expect(ledger.count("undo a")).toBe(1)
      expect(yield* statusOf("t")).toEqual({ _tag: "Running" })
      const resumed = yield* Effect.fork(Effect.flip(CheckMateEngine.resume(definition, "t")))
      yield* TestClock.adjust("2 hours")
      expect(yield* Fiber.join(resumed)).toMatchObject({ _tag: "TaskRolledBackError" })
      expect(ledger.entries).toEqual(["run a", "undo a", "undo a", "undo a"])
    })))

  it.scoped("of a task between the look at it and its binding: resume makes no new one", () =>
    Effect.gen(function*() {
      const { engineOn, store } = yield* engines
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit((yield* engineOn(store)).run(definition, { taskId: "t", input: { seed: 1 } }))
      let looked = false
      const late = yield* engineOn({
        ...store,
        read: (taskId, from) =>
          Effect.tap(store.read(taskId, from), () => {
            if (looked) return Effect.void
            looked = true
            return store.remove(taskId)
          })
      })
      expect(yield* Effect.flip(late.resume(definition, "t"))).toMatchObject({ _tag: "TaskNotFoundError" })
      expect(yield* store.read("t", 0)).toEqual([])
    }))
})

describe("a Schedule", () => {
  const retried = (retry: Schedule.Schedule<unknown>, ledger: Ledger) =>
    CheckMate.make("retried", {
      state: Numbers,
      input: [],
      stages: [
        Stage.make(Numbers, "a", {
          retry,
          execute: () => Effect.zipRight(ledger.note("run a"), new Boom({ stage: "a", status: 500 })),
          rollback: () => ledger.note("undo a")
        })
      ]
    })

  it.effect("that dies gives up: the attempt is undone, and the task fails with the stage's own failure", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const dying = Schedule.forever.pipe(Schedule.whileInputEffect(() => Effect.die(new Error("a bug"))))
      const lines = yield* logged(inMemory(Effect.gen(function*() {
        const run = CheckMateEngine.run(retried(dying, ledger), { taskId: "t", input: {} })
        expect(yield* Effect.flip(run)).toMatchObject({ _tag: "Boom" })
        expect(yield* statusOf("t")).toMatchObject({ _tag: "Failed", failure: { tag: "Boom" } })
      })))
      expect(ledger.entries).toEqual(["run a", "undo a"])
      expect(lines).toEqual([expect.stringContaining("The retry Schedule of stage a died")])
    }))

  it.effect("may wait for ever, or for longer than a timer can", () =>
    inMemory(Effect.gen(function*() {
      for (const delay of [Duration.infinity, Duration.days(30)]) {
        const ledger = new Ledger()
        const taskId = `t${String(Duration.isFinite(delay))}`
        const definition = retried(Schedule.spaced(delay), ledger)
        const run = yield* Effect.fork(CheckMateEngine.run(definition, { taskId, input: {} }))
        const stage = Effect.map(CheckMateEngine.get(taskId), ({ stages }) => stages[0]?.status._tag)
        yield* Effect.repeat(Effect.option(stage), {
          until: (found) => found._tag === "Some" && found.value === "Waiting"
        })
        const now = yield* Clock.currentTimeMillis
        const timers = Chunk.map(yield* TestClock.sleeps(), (due) => due - now)
        expect(Math.max(...timers)).toBeLessThanOrEqual(2 ** 31 - 1)
        if (!Duration.isFinite(delay)) {
          yield* CheckMateEngine.pause(taskId)
          expect(yield* Effect.flip(Fiber.join(run))).toMatchObject({ _tag: "TaskPausedError" })
          continue
        }
        yield* TestClock.adjust("29 days")
        expect(ledger.count("run a")).toBe(1)
        yield* TestClock.adjust("1 day")
        expect(ledger.count("run a")).toBe(2)
        yield* Fiber.interrupt(run)
      }
    })))
})

describe("a stage's own bugs", () => {
  it.effect("a mapError that throws leaves nothing undone", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = CheckMate.make("mapped", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            execute: () => new Boom({ stage: "a", status: 500 }),
            rollback: () => ledger.note("undo a")
          }).pipe(Stage.mapError((error): Boom => Schema.decodeSync(Schema.Never)(error as never)))
        ]
      })
      const exit = yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(Exit.isFailure(exit) && exit.cause._tag).toBe("Die")
      expect(ledger.entries).toEqual(["undo a"])
      expect(yield* statusOf("t")).toMatchObject({ _tag: "Failed", failure: { tag: "Boom" } })
    })))

  it.effect("what it returns that is no Effect is told by its name", () =>
    inMemory(Effect.gen(function*() {
      const returning = (value: unknown, rollback: unknown = Effect.void) => {
        const options = { execute: () => value, rollback: () => rollback }
        return CheckMate.make("wrong", {
          state: Numbers,
          input: [],
          stages: [Stage.make(Numbers, "a", options as never)]
        })
      }
      const run = (taskId: string, ...values: Parameters<typeof returning>) =>
        Effect.sandbox(CheckMateEngine.run(returning(...values), { taskId, input: {} })).pipe(
          Effect.flip,
          Effect.map((cause) => String(Cause.squash(cause)))
        )
      expect(yield* run("1", undefined)).toContain(
        `The execute of stage "a" returned undefined, which is not an Effect.`
      )
      expect(yield* run("2", Promise.resolve())).toContain(`The execute of stage "a" returned a Promise,`)
      expect(yield* run("3", { b: 1 })).toContain(`The execute of stage "a" returned {"b":1},`)
      expect(yield* run("4", Effect.fail("no"), 7)).toContain(`The rollback of stage "a" returned 7,`)
    })))

  it.effect("what it returns that cannot be read is a defect of the attempt, which is undone", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const output = Object.defineProperty({ a: 1 }, "a", {
        get: () => {
          throw new Error("not read yet")
        }
      })
      const definition = CheckMate.make("unreadable", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            provides: ["a"],
            execute: () => Effect.as(Effect.addFinalizer(() => ledger.note("released")), output),
            rollback: () => ledger.note("undo a")
          })
        ]
      })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(ledger.entries).toEqual(["released", "undo a"])
      expect(yield* statusOf("t")).toMatchObject({
        _tag: "Failed",
        failure: { kind: "Defect", message: "not read yet" }
      })
    })))

  it.effect("a refused output is a failure to its rollback, as to its caller, and to what it acquired; no Schedule is asked", () =>
    inMemory(Effect.gen(function*() {
      const seen: Array<unknown> = []
      const definition = CheckMate.make("refused", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            provides: ["a"],
            retry: Schedule.recurs(2),
            execute: () =>
              Effect.as(Effect.addFinalizer((exit) => Effect.sync(() => seen.push(exit._tag))), { a: Number.NaN }),
            rollback: (_, cause) => Effect.sync(() => seen.push(Cause.squash(cause)))
          })
        ]
      })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(seen).toMatchObject(["Failure", { _tag: "AttributeError", attribute: "a" }])
    })))

  it.effect("what is missing is answered by the policy for failures", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const state = State.make({ seed: Schema.String })
      const definition = CheckMate.make("odd", {
        state,
        input: ["seed"],
        onFailure: "rollback",
        stages: [
          Stage.make(state, "first", { execute: () => Effect.void, rollback: () => ledger.note("undo first") }),
          Stage.make(state, "second", {
            requires: ["seed"],
            execute: ({ seed }) => ledger.note(`run second with ${seed}`)
          })
        ]
      })
      const run = CheckMateEngine.run(definition, { taskId: "t", input: {} as { seed: string } })
      expect(yield* Effect.flip(run)).toMatchObject({ _tag: "MissingStateError", missing: ["seed"] })
      expect(ledger.entries).toEqual(["undo first"])
      expect(yield* statusOf("t")).toMatchObject({ _tag: "RolledBack" })
    })))
})

describe("the lock in memory", () => {
  it.effect("is held by one, wherever its takers let others go first", () =>
    Effect.gen(function*() {
      for (let steps = 12; steps < 70; steps++) {
        const lock = yield* MemoryLock.make
        const free = yield* Deferred.make<void>()
        let holders = 0
        const hold = Effect.scoped(Effect.gen(function*() {
          yield* lock.acquire("t")
          holders += 1
          yield* Deferred.await(free)
        }))
        const taker = Effect.fork(Effect.exit(Effect.withMaxOpsBeforeYield(hold, steps)))
        const takers = [yield* taker, yield* taker]
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        expect(holders, `after ${steps} steps`).toBe(1)
        yield* Deferred.succeed(free, undefined)
        yield* Fiber.joinAll(takers)
      }
    }))
})
