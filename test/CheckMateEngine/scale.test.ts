/** What must not grow with what is there: counted, not timed. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream, Supervisor, TestClock } from "effect"
import { CheckMate, CheckMateEngine, Stage } from "effect-checkmate"
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
