/** What must not grow with what is there: counted, not timed. */
import { describe, expect, it } from "@effect/vitest"
import { DateTime, Effect, Exit, Fiber, Layer, Scope, Stream, Supervisor, TestClock } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, TaskIO } from "effect-checkmate"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import { TaskIOError } from "effect-checkmate/CheckMateError"
import { logged } from "../support/logs.ts"
import { abc, engineOver, engineService, hangingInB, Ledger, makeStore, Numbers, until } from "../support/pipelines.ts"

/** A task of one stage, which reports its progress. */
const reporting = (work: (progress: Stage.Context["Type"]["progress"]) => Effect.Effect<unknown>) =>
  CheckMate.make("busy", {
    state: Numbers,
    input: [],
    stages: [
      Stage.make(Numbers, "counts", {
        execute: () => Effect.asVoid(Effect.flatMap(Stage.Context, ({ progress }) => work(progress)))
      })
    ]
  })

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

  it.effect("looks that take their time leave most of it to the task, however often that changes", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const counted = { read: 0, list: 0 }
      const slow = {
        ...store,
        read: (...args: Parameters<typeof store.read>) => {
          counted.read += 1
          return Effect.delay(store.read(...args), "1 second")
        },
        list: () => {
          counted.list += 1
          return Stream.unwrap(Effect.delay(Effect.succeed(store.list({})), "1 second"))
        }
      }
      const busy = reporting((progress) => Effect.repeatN(Effect.delay(progress({ done: 1 }), "100 millis"), 400))
      yield* Effect.gen(function*() {
        const started = yield* Effect.fork(CheckMateEngine.start(busy, { taskId: "t", input: {} }))
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(started)
        counted.read = 0
        const views = yield* Effect.fork(Stream.runDrain(CheckMateEngine.watch("t")))
        yield* Effect.fork(Stream.runDrain(CheckMateEngine.watchAll()))
        yield* Effect.repeatN(TestClock.adjust("500 millis"), 100)
        yield* Fiber.join(views)
        expect(counted.read).toBeLessThanOrEqual(13)
        expect(counted.list).toBeLessThanOrEqual(13)
      }).pipe(Effect.provide(engineOver(slow)))
    }))

  it.effect("starts no fibers for what changes, with however many that watch", () =>
    Effect.gen(function*() {
      let [started, views] = [0, 0]
      class Counting extends Supervisor.AbstractSupervisor<number> {
        override readonly value = Effect.sync(() => started)
        override onStart() {
          started += 1
        }
      }
      const [watchers, changes] = [10, 50]
      const busy = reporting((progress) =>
        Effect.forEach(Array.from({ length: changes }, (_, done) => done), (done) =>
          Effect.zipRight(progress({ done }), until(() => views === watchers * (done + 1))))
      )
      yield* Effect.gen(function*() {
        const handle = yield* CheckMateEngine.start(busy, { taskId: "t", input: {} })
        started = 0
        const watched = Effect.fork(Stream.runForEach(CheckMateEngine.watch("t"), () =>
          Effect.sync(() => {
            views += 1
          })))
        const all = yield* Effect.replicateEffect(watched, watchers)
        yield* handle.await
        yield* Effect.forEach(all, Fiber.join)
      }).pipe(Effect.supervised(new Counting()), Effect.provide(engineOver(yield* makeStore)))
      expect(started).toBeLessThanOrEqual(5 * watchers)
    }))

  it.effect("ends with the engine also between two looks, and looks at nothing then", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      let reads = 0
      const slow = {
        ...store,
        read: (...args: Parameters<typeof store.read>) => {
          reads += 1
          return Effect.delay(store.read(...args), "1 second")
        }
      }
      const scope = yield* Scope.make()
      const engine = yield* Scope.extend(engineService(slow), scope)
      yield* Effect.fork(engine.run(hangingInB(new Ledger()), { taskId: "t", input: { seed: 1 } }))
      yield* TestClock.adjust("5 seconds")
      reads = 0
      const views = yield* Effect.fork(Stream.runCount(engine.watch("t")))
      // The first look is over, and the next one is due.
      yield* TestClock.adjust("2 seconds")
      expect(reads).toBe(1)
      yield* Scope.close(scope, Exit.void)
      expect(yield* Fiber.join(views)).toBe(1)
      expect(reads).toBe(1)
    }))
})

/** A task that an engine runs, and that stands in its stage b until the gate is opened. */
const inB = Effect.fnUntraced(function*(engine: CheckMateEngine.CheckMateEngine["Type"]) {
  const gate = yield* Effect.makeLatch()
  const ledger = new Ledger()
  const definition = abc(ledger, { fail: (stage) => stage === "b" ? gate.await : Effect.void })
  const request = { taskId: "t", input: { seed: 1 } }
  const first = yield* Effect.fork(engine.run(definition, request))
  yield* until(() => ledger.count("run b") === 1)
  return { definition, first, gate, ledger, request }
})

describe("waiting", () => {
  it.effect("of many who wait for a task one of each engine asks its lock, and none claims it once it is over", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const memory = yield* MemoryLock.make
      const counted = { acquire: 0, read: 0, open: 0 }
      const count = (what: keyof typeof counted) => Effect.sync(() => counted[what] += 1)
      const lock = Layer.succeed(BindLock.BindLock, {
        ...memory,
        acquire: (taskId) => Effect.zipRight(count("acquire"), memory.acquire(taskId))
      })
      const driver = {
        ...store,
        read: (...args: Parameters<typeof store.read>) => Effect.zipRight(count("read"), store.read(...args)),
        open: (...args: Parameters<typeof store.open>) => Effect.zipRight(count("open"), store.open(...args))
      }
      const engines = yield* Effect.all([engineService(driver, lock), engineService(driver, lock)])
      const [engine] = engines
      const { definition, first, gate, ledger, request } = yield* inB(engine)
      const waiting = yield* Effect.fork(Effect.forEach(
        Array.from({ length: 100 }, (_, index) => engines[index % 2] ?? engine),
        (one) => one.run(definition, { ...request, whenBound: "wait" }),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("10 seconds")
      // The first of each engine as it comes, and then four times a second one of each.
      expect(counted.acquire).toBeLessThan(100)
      expect(counted.read).toBeLessThan(110)
      yield* gate.open
      yield* Fiber.join(first)
      yield* Effect.repeat(Effect.zipRight(TestClock.adjust("1 second"), waiting.status), {
        until: ({ _tag }) => _tag === "Done"
      })
      expect(new Set((yield* Fiber.join(waiting)).map(({ c }) => c))).toEqual(new Set([4]))
      expect([counted.open, ledger.entries]).toEqual([1, ["run a", "run b", "run c"]])
    }).pipe(Effect.scoped))

  it.effect("who waits no more keeps nobody from their turn", () =>
    Effect.gen(function*() {
      const engine = yield* engineService(yield* makeStore)
      const { definition, first, gate, request } = yield* inB(engine)
      const wait = engine.run(definition, { ...request, whenBound: "wait" })
      const waiting = yield* Effect.replicateEffect(Effect.zipLeft(Effect.fork(wait), TestClock.adjust("1 second")), 3)
      // Whoever asks, and who waits next.
      yield* Fiber.interruptAll(waiting.slice(0, 2))
      yield* gate.open
      yield* Fiber.join(first)
      yield* TestClock.adjust("1 second")
      expect((yield* Fiber.joinAll(waiting.slice(2))).map(({ c }) => c)).toEqual([4])
    }).pipe(Effect.scoped))
})

describe("what is done to many tasks", () => {
  const turnsOf = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      let turns = 0
      const count = Effect.sync(() => {
        turns += 1
      })
      const counting = yield* Effect.fork(Effect.forever(Effect.zipRight(Stage.yieldToEventLoop, count)))
      yield* work
      yield* Fiber.interrupt(counting)
      return turns
    })

  it.effect("gives everything else its turn between two of them, also where the store answers at once", () =>
    Effect.gen(function*() {
      const many = 64
      const tasks = Array.from({ length: many }, (_, number) => `t${number}`)
      yield* Effect.forEach(
        tasks,
        (taskId) => CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } })
      )
      // Of these, sixteen are looked at together.
      expect(yield* turnsOf(CheckMateEngine.find({ held: false }))).toBeGreaterThanOrEqual(many / 16)
      expect(yield* turnsOf(CheckMateEngine.clean({ dryRun: true }))).toBeGreaterThanOrEqual(many - 1)
      expect(yield* turnsOf(CheckMateEngine.clean())).toBeGreaterThanOrEqual(many - 1)
      expect(yield* CheckMateEngine.find()).toEqual([])
    }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

  it.effect("is asked of the store for some of them at the same time", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      let [removing, most] = [0, 0]
      const slow = {
        ...store,
        remove: (taskId: string) =>
          Effect.suspend(() => {
            removing += 1
            most = Math.max(most, removing)
            return store.remove(taskId).pipe(
              Effect.zipLeft(Effect.repeatN(Stage.yieldToEventLoop, 100)),
              Effect.ensuring(Effect.sync(() => removing -= 1))
            )
          })
      }
      const populate = Effect.forEach(
        Array.from({ length: 40 }, (_, number) => `t${number}`),
        (taskId) => CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } })
      )
      yield* Effect.zipRight(populate, CheckMateEngine.clean()).pipe(Effect.provide(engineOver(slow)))
      expect(most).toBe(16)
      most = 0
      yield* Effect.provide(populate, engineOver(slow))
      yield* Effect.gen(function*() {
        while ((yield* CheckMateEngine.find()).length > 0) yield* Stage.yieldToEventLoop
      }).pipe(
        Effect.provide(engineOver(slow, BindLock.layerMemory, { retention: { keep: { Succeeded: 0 } } }))
      )
      expect(most).toBe(16)
    }))

  it.effect("is asked for their mail at the same time, and what cannot be read keeps no other's back", () =>
    Effect.gen(function*() {
      const { arrivals: _, ...store } = yield* makeStore
      const tasks = Array.from({ length: 20 }, (_, number) => `t${number}`)
      const broken = new TaskIOError({ operation: "read the mail", location: "disk", problem: "EIO" })
      let [reading, most] = [0, 0]
      const slow: TaskIO.Encoded = {
        ...store,
        receive: (taskId) =>
          Effect.suspend(() => {
            reading += 1
            most = Math.max(most, reading)
            return Effect.repeatN(Stage.yieldToEventLoop, 10).pipe(
              Effect.zipRight(taskId === "t0" ? Effect.fail(broken) : store.receive(taskId)),
              Effect.ensuring(Effect.sync(() => reading -= 1))
            )
          })
      }
      const lines = yield* logged(
        Effect.gen(function*() {
          const handles = yield* Effect.forEach(
            tasks,
            (taskId) => CheckMateEngine.start(hangingInB(new Ledger()), { taskId, input: { seed: 1 } })
          )
          const at = yield* DateTime.now
          const { send } = TaskIO.make(store)
          yield* Effect.forEach(tasks, (taskId) => send(taskId, { _tag: "Cancel", at, rollback: false }))
          yield* TestClock.adjust("500 millis")
          const ends = yield* Effect.forEach(handles.slice(1), (handle) => Effect.exit(handle.await))
          expect(ends.every(Exit.isFailure)).toBe(true)
          expect(most).toBe(16)
          const running = yield* CheckMateEngine.find({ status: ["Running"] })
          expect(running.map(({ taskId }) => taskId)).toEqual(["t0"])
        }).pipe(Effect.provide(engineOver(slow)))
      )
      expect(lines.filter((line) => line.startsWith("WARN Messages for running tasks could not be read"))).toHaveLength(
        1
      )
    }))
})
