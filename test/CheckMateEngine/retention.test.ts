import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Stream, TestClock } from "effect"
import { BindLock, CheckMateEngine, type TaskIO } from "effect-checkmate"
import { TaskIOError } from "effect-checkmate/CheckMateError"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as KeyValueDriver from "effect-checkmate/TaskIO/KeyValueStore"
import { recorder } from "../support/logs.ts"
import { abc, engineOver, failing, Ledger, makeStore, rest } from "../support/pipelines.ts"

const retention: CheckMateEngine.Retention = {
  keep: { Succeeded: "30 days", Failed: "90 days" },
  every: "1 day"
}

/** Lets the background work of all engines come to rest, at a time that has come. */
const adjust = (duration: Parameters<typeof TestClock.adjust>[0]) => Effect.zipRight(TestClock.adjust(duration), rest)

const run = (taskId: string, definition = abc(new Ledger())) =>
  CheckMateEngine.run(definition, { taskId, input: { seed: 1 } })

const idsIn = (store: TaskIO.Encoded) =>
  Effect.map(Stream.runCollect(store.list({})), (found) => [...found].map(({ taskId }) => taskId).toSorted())

/** One task that succeeded, one that failed, and one that was cancelled. */
const populate = Effect.gen(function*() {
  yield* run("succeeded")
  yield* Effect.exit(run("failed", abc(new Ledger(), { fail: failing({ b: 9 }) })))
  yield* Effect.exit(run("cancelled", abc(new Ledger(), { fail: failing({ b: 9 }) })))
  yield* CheckMateEngine.cancel("cancelled")
})

/** A retention that keeps everything until its time, over a store that begins empty. */
const keepsByStatus = (store: TaskIO.Encoded) =>
  Effect.gen(function*() {
    const { layer, lines } = recorder()
    yield* Effect.gen(function*() {
      yield* populate
      yield* adjust("29 days")
      expect(yield* idsIn(store)).toEqual(["cancelled", "failed", "succeeded"])
      yield* adjust("1 day")
      yield* adjust("2 days")
      expect(yield* idsIn(store)).toEqual(["cancelled", "failed"])
      yield* adjust("56 days")
      expect(yield* idsIn(store)).toEqual(["cancelled", "failed"])
      yield* adjust("4 days")
      expect(yield* idsIn(store)).toEqual(["cancelled"])
      yield* adjust("30 days")
      expect(yield* idsIn(store)).toEqual(["cancelled"])
    }).pipe(Effect.provide(Layer.provideMerge(engineOver(store, BindLock.layerMemory, { retention }), layer)))
    expect(lines.filter((line) => line.includes("kept long enough"))).toHaveLength(2)
  })

describe("retention", () => {
  it.effect("removes tasks by status and age, in memory", () => Effect.flatMap(makeStore, keepsByStatus))

  it.effect("removes tasks by status and age, in a KeyValueStore", () =>
    Effect.flatMap(KeyValueDriver.make(), keepsByStatus).pipe(Effect.provide(KeyValueStore.layerMemory)))

  it.effect("begins with what is due when its engine begins, and ends with the engine", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* Effect.provide(populate, engineOver(store))
      yield* adjust("31 days")
      const engine = engineOver(store, BindLock.layerMemory, { retention })
      yield* Effect.provide(adjust(0), engine)
      expect(yield* idsIn(store)).toEqual(["cancelled", "failed"])
      yield* adjust("100 days")
      expect(yield* idsIn(store)).toEqual(["cancelled", "failed"])
    }))

  it.effect("removes tasks on files", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const store = yield* FileDriver.make(directory)
      yield* Effect.provide(populate, engineOver(store))
      yield* adjust("100 days")
      const { layer, lines } = recorder()
      yield* Effect.gen(function*() {
        // The disk takes its own time.
        while ((yield* idsIn(store)).length > 1) yield* Effect.yieldNow()
      }).pipe(Effect.provide(Layer.provideMerge(engineOver(store, BindLock.layerMemory, { retention }), layer)))
      expect(yield* fs.readDirectory(`${directory}/tasks`)).toEqual(expect.arrayContaining(["cancelled.1.ndjson"]))
      expect((yield* fs.readDirectory(`${directory}/tasks`)).every((name) => name.startsWith("cancelled"))).toBe(true)
      expect(lines.filter((line) => line.includes("could not be"))).toEqual([])
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))

  it.effect("leaves a task that is held, and one that has been taken up again", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const waits = (stage: string) =>
        stage === "c" ? Effect.zipRight(Deferred.succeed(inside, undefined), Deferred.await(goOn)) : Effect.void
      const soon = { keep: { Failed: "1 minute", Succeeded: "1 day" }, every: "1 minute" } as const
      yield* Effect.provide(populate, engineOver(store))
      // Seen as failed by who lists it; running by the time it is looked at.
      const late: TaskIO.Encoded = {
        ...store,
        list: (query) =>
          Stream.concat(
            store.list(query),
            Stream.map(store.list({}), (summary) => ({ ...summary, status: "Failed" as const }))
          )
      }
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(run("failed", abc(new Ledger(), { fail: waits })))
        yield* Deferred.await(inside)
        yield* adjust("1 hour")
        expect(yield* idsIn(store)).toContain("failed")
        yield* Deferred.succeed(goOn, undefined)
        expect(yield* Fiber.join(fiber)).toMatchObject({ c: 4 })
        yield* adjust("1 hour")
        expect(yield* idsIn(store)).toEqual(["cancelled", "failed", "succeeded"])
      }).pipe(Effect.provide(engineOver(late, BindLock.layerMemory, { retention: soon })))
    }))

  it.effect("logs what it cannot remove or list, goes on with the others, and tries again", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      for (const id of ["a", "b", "c"]) yield* Effect.provide(run(id), engineOver(store))
      yield* adjust("31 days")
      const broken = new TaskIOError({ operation: "remove the task", location: "disk", problem: "read-only" })
      let lists = 0
      let works = false
      const flaky: TaskIO.Encoded = {
        ...store,
        list: (query) => lists++ === 0 ? Stream.fail(broken) : store.list(query),
        remove: (id) => id === "b" && !works ? Effect.fail(broken) : store.remove(id)
      }
      const { layer, lines } = recorder()
      yield* Effect.gen(function*() {
        yield* adjust("1 minute")
        expect(yield* idsIn(store)).toEqual(["a", "b", "c"])
        yield* adjust("2 days")
        expect(yield* idsIn(store)).toEqual(["b"])
        works = true
        yield* adjust("2 days")
        expect(yield* idsIn(store)).toEqual([])
      }).pipe(Effect.provide(Layer.provideMerge(engineOver(flaky, BindLock.layerMemory, { retention }), layer)))
      expect(lines.filter((line) => line.includes("could not be listed"))).toHaveLength(1)
      expect(lines.filter((line) => line.includes("Task b is due to be removed, and could not be")).length)
        .toBeGreaterThan(0)
    }))

  it.effect("is one round at a time, at its interval give or take a fifth", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      let looking = 0
      let most = 0
      const times: Array<number> = []
      const slow: TaskIO.Encoded = {
        ...store,
        list: (query) =>
          Stream.unwrap(Effect.gen(function*() {
            times.push(yield* TestClock.currentTimeMillis)
            most = Math.max(most, ++looking)
            yield* Effect.sleep("3 hours")
            looking--
            return store.list(query)
          }))
      }
      yield* Effect.provide(adjust("40 days"), engineOver(slow, BindLock.layerMemory, { retention }))
      expect(most).toBe(1)
      const rounds = times.slice(1).map((time, index) => ((time - times[index]!) / 3_600_000 - 3) / 24)
      expect(rounds.length).toBeGreaterThan(20)
      expect(Math.min(...rounds)).toBeGreaterThanOrEqual(0.8)
      expect(Math.max(...rounds)).toBeLessThanOrEqual(1.2)
      expect(new Set(rounds).size).toBeGreaterThan(10)
    }))

  it.effect("may look at intervals that are longer than a timer can", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      let rounds = 0
      const counting: TaskIO.Encoded = {
        ...store,
        list: () =>
          Stream.unwrap(Effect.sync(() => {
            rounds++
            return Stream.empty
          }))
      }
      yield* Effect.gen(function*() {
        yield* adjust(0)
        expect(rounds).toBe(1)
        expect(Math.max(...yield* TestClock.sleeps())).toBeLessThanOrEqual(2 ** 31 - 1)
        yield* adjust("47 days")
        expect(rounds).toBe(1)
        yield* adjust("25 days")
        expect(rounds).toBe(2)
      }).pipe(
        Effect.provide(engineOver(counting, BindLock.layerMemory, { retention: { ...retention, every: "60 days" } }))
      )
    }))

  it.effect("never removes what is active, whatever it is told", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const crashed = yield* Effect.fork(
        Effect.provide(run("t", abc(new Ledger(), { fail: () => Effect.never })), engineOver(store))
      )
      yield* adjust("1 second")
      expect(Exit.isFailure(yield* Fiber.interrupt(crashed))).toBe(true)
      const reckless = { keep: { Running: 0, Succeeded: 0 } } as CheckMateEngine.Retention
      yield* Effect.provide(adjust("9 days"), engineOver(store, BindLock.layerMemory, { retention: reckless }))
      expect(yield* idsIn(store)).toEqual(["t"])
    }))
})
