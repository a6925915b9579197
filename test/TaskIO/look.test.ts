import { describe, expect, it } from "@effect/vitest"
import { Chunk, DateTime, Effect, Either, Option, Redacted, Stream, TestClock } from "effect"
import { CheckMateEngine, Task, TaskIO } from "effect-checkmate"
import * as Encrypted from "effect-checkmate/TaskIO/Encrypted"
import { logged } from "../support/logs.ts"
import { abc, engineOver, failing, Ledger, makeStore } from "../support/pipelines.ts"
import { summaryOf } from "../support/summary.ts"
import { turnsOf } from "../support/turns.ts"

/** A store, its engine, and a task in it that failed at its second stage. */
const halfDone = Effect.gen(function*() {
  const store = yield* makeStore
  const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
  yield* Effect.exit(
    Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }), engineOver(store))
  )
  return { definition, driver: store, io: TaskIO.make(store) }
})

/** A task that was paused and gone on with again and again. */
const longTask = Effect.gen(function*() {
  const driver = yield* makeStore
  const io = TaskIO.make(driver)
  const at = DateTime.unsafeMake("2026-11-01")
  const started = { _tag: "TaskStarted", at, checkMate: "abc", stages: ["a"], input: {}, tags: [] } as const
  const again = [{ _tag: "TaskPaused", at }, { _tag: "TaskResumed", at, stages: ["a"], recovered: false }] as const
  const events = [started, ...Array.from({ length: 5_000 }, () => again).flat()] as const
  const task = Either.getOrThrow(Task.fold("t", events))
  yield* Effect.scoped(Effect.flatMap(io.open("t"), (journal) => journal.append(events, Option.getOrThrow(task))))
  return { io, length: events.length }
})

describe("a look at a journal", () => {
  it.effect("finds its records, its events, and what they fold to", () =>
    Effect.gen(function*() {
      const { driver, io } = yield* halfDone
      const look = yield* io.look("t")
      expect(look.records).toEqual(yield* driver.read("t", 0))
      expect(look.events).toEqual(yield* io.read("t"))
      expect(look.task).toEqual(yield* Task.fold("t", look.events))
      expect(look.task).toEqual(yield* io.get("t"))
    }))

  it.effect("finds nothing of a task that does not exist", () =>
    Effect.gen(function*() {
      const { io } = yield* halfDone
      expect(yield* io.look("other")).toEqual({ records: [], events: [], task: Option.none() })
    }))

  it.effect("decodes only what an earlier look has not found", () =>
    Effect.gen(function*() {
      const { definition, driver, io } = yield* halfDone
      const earlier = yield* io.look("t")
      yield* Effect.provide(CheckMateEngine.resume(definition, "t"), engineOver(driver))
      const later = yield* io.look("t", earlier)
      expect(later.events.length).toBeGreaterThan(earlier.events.length)
      // Not just alike: the same.
      for (const [index, event] of earlier.events.entries()) expect(later.events[index]).toBe(event)
      expect(later).toEqual(yield* io.look("t"))
    }))

  it.effect("is not led astray by an earlier one of a task that was removed and begun anew", () =>
    Effect.gen(function*() {
      const { definition, driver, io } = yield* halfDone
      const earlier = yield* io.look("t")
      yield* io.remove("t")
      expect(yield* io.look("t", earlier)).toEqual({ records: [], events: [], task: Option.none() })
      yield* Effect.provide(
        CheckMateEngine.run(definition, { taskId: "t", input: { seed: 7 } }),
        engineOver(driver)
      )
      expect(yield* io.look("t", earlier)).toEqual(yield* io.look("t"))
    }))

  it.effect("asks for no record again but the latest ones, unless the task was begun anew", () =>
    Effect.gen(function*() {
      const { definition, driver } = yield* halfDone
      const asked: Array<number> = []
      const io = TaskIO.make({
        ...driver,
        read: (taskId, from) =>
          Effect.suspend(() => {
            asked.push(from)
            return driver.read(taskId, from)
          })
      })
      yield* TestClock.adjust("1 second")
      const resume = Effect.exit(CheckMateEngine.resume(definition, "t"))
      const begun = yield* io.look("t")
      yield* Effect.provide(resume, engineOver(driver))
      const over = yield* io.look("t", begun)
      expect(yield* io.look("t", over)).toEqual(over)
      // All of the first look is of one time, the rest of the next.
      expect(asked).toEqual([0, 0, begun.records.length - 1])
      yield* io.remove("t")
      yield* Effect.provide(
        CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }),
        engineOver(driver)
      )
      const anew = yield* io.look("t", over)
      expect(anew).toEqual(yield* io.look("t"))
      expect(asked).toEqual([0, 0, begun.records.length - 1, begun.records.length - 1, 0, 0])
    }))

  it.effect("tells a task begun anew where it stands as the old one stood, in the moment in which that one did", () =>
    Effect.gen(function*() {
      const driver = yield* makeStore
      const io = TaskIO.make(driver)
      const begin = (created: number) => {
        const [at, now] = [DateTime.unsafeMake(created), DateTime.unsafeMake(1_000)]
        const events = [
          { _tag: "TaskStarted", at, checkMate: "abc", stages: ["a"], input: {}, tags: [] },
          { _tag: "StageStarted", at: now, stage: "a", attempt: 1 }
        ] as const
        return Effect.gen(function*() {
          const task = yield* Effect.flatten(Task.fold("t", events))
          const journal = yield* io.open("t")
          yield* journal.append(events, task)
        }).pipe(Effect.scoped)
      }
      yield* begin(0)
      const earlier = yield* io.look("t")
      yield* io.remove("t")
      yield* begin(1_000)
      const later = yield* io.look("t", earlier)
      expect(later.records[1]).toBe(earlier.records[1])
      expect(later).toEqual(yield* io.look("t"))
    }))

  it.effect("tells an open journal's task, whatever became of it since", () =>
    Effect.gen(function*() {
      const { definition, driver, io } = yield* halfDone
      const earlier = yield* io.look("t")
      const claimed = (look?: TaskIO.Look) => Effect.scoped(Effect.map(io.open("t", look), ({ task }) => task))
      expect(yield* claimed(earlier)).toEqual(earlier.task)
      yield* Effect.provide(CheckMateEngine.resume(definition, "t"), engineOver(driver))
      expect(Option.map(yield* claimed(earlier), ({ status }) => status._tag)).toEqual(Option.some("Succeeded"))
      yield* io.remove("t")
      expect(yield* claimed(earlier)).toEqual(Option.none())
    }))
})

describe("a long journal", () => {
  it.effect("is looked at, read and opened piece by piece, between which everything else has its turn", () =>
    Effect.gen(function*() {
      const { io, length } = yield* longTask
      expect(yield* turnsOf(io.look("t"))).toBeGreaterThan(10)
      expect(yield* turnsOf(io.read("t"))).toBeGreaterThan(5)
      expect(yield* turnsOf(Effect.scoped(io.open("t")))).toBeGreaterThan(10)
      const look = yield* io.look("t")
      expect(look.events.length).toBe(length)
      expect(look.events).toEqual(yield* io.read("t"))
      expect(look.task).toEqual(yield* Task.fold("t", look.events))
    }))

  it.effect("of few records that are long is looked at so, too", () =>
    Effect.gen(function*() {
      const driver = yield* makeStore
      const io = TaskIO.make(driver)
      const at = DateTime.unsafeMake("2026-11-01")
      const started = { _tag: "TaskStarted", at, checkMate: "abc", stages: ["a"], input: {}, tags: [] } as const
      const long = { _tag: "AttributesOverridden", at, attributes: { a: "x".repeat(600_000) } } as const
      const events = [started, ...Array.from({ length: 10 }, () => long)] as const
      const task = Either.getOrThrow(Task.fold("t", events))
      yield* Effect.scoped(Effect.flatMap(io.open("t"), (journal) => journal.append(events, Option.getOrThrow(task))))
      expect(yield* turnsOf(io.look("t"))).toBeGreaterThanOrEqual(9)
      expect(yield* io.read("t")).toEqual(events)
    }))

  it.effect("that is encrypted is opened piece by piece, too", () =>
    Effect.gen(function*() {
      const driver = yield* Encrypted.make(yield* makeStore, {
        current: "k",
        keys: { k: Redacted.make(new Uint8Array(32)) }
      })
      const records = ["first", ...Array.from({ length: 499 }, (_, index) => `${index}`)] as const
      yield* Effect.scoped(Effect.flatMap(driver.open("t"), ({ append }) => append(0, records, summaryOf("t"))))
      // Hundreds or thousands, fewer on a machine that is busy; all at once it is one.
      expect(yield* turnsOf(driver.read("t", 0))).toBeGreaterThan(5)
      expect(yield* driver.read("t", 0)).toEqual(records)
    }))

  it.effect("is told where it is damaged, wherever that is", () =>
    Effect.gen(function*() {
      const { io, length } = yield* longTask
      const damaged = TaskIO.make({
        ...io.driver,
        read: (taskId, from) => Effect.map(io.driver.read(taskId, from), (records) => [...records, "torn"])
      })
      expect(yield* Effect.flip(damaged.look("t"))).toMatchObject({ location: `record ${length}` })
      expect(yield* Effect.flip(damaged.read("t", 7_000))).toMatchObject({ location: `record ${length}` })
    }))
})

describe("the messages for a task", () => {
  it.effect("are taken without those of another version, which are told of", () =>
    Effect.gen(function*() {
      const driver = yield* makeStore
      const io = TaskIO.make(driver)
      const at = DateTime.unsafeMake("2026-11-01")
      yield* driver.send("t", "{\"_tag\":\"Restart\"}")
      yield* io.send("t", { _tag: "Pause", at })
      const taken: Array<TaskIO.Message> = []
      const lines = yield* logged(Effect.map(io.take("t"), (messages) => taken.push(...messages)))
      expect(taken).toEqual([{ _tag: "Pause", at }])
      expect(lines).toEqual(["WARN A message for task t is dropped: it is none that this version knows"])
      expect(yield* driver.receive("t")).toEqual([])
    }))
})

describe("a list of tasks", () => {
  it.effect("leaves out one whose summary another version wrote, and shows the others", () =>
    Effect.gen(function*() {
      const { driver } = yield* halfDone
      const foreign = (summary: TaskIO.EncodedSummary) => ({ ...summary, taskId: "foreign", createdAt: "soon" })
      const io = TaskIO.make({
        ...driver,
        list: (query) => Stream.flatMap(driver.list(query), (one) => Stream.make(foreign(one), one))
      })
      const found: Array<string> = []
      const lines = yield* logged(
        Stream.runForEach(io.list(), ({ taskId }) => Effect.sync(() => found.push(taskId)))
      )
      expect(found).toEqual(["t"])
      expect(lines).toEqual(["WARN Task foreign is left out of the list: its summary does not fit in createdAt"])
    }))

  it.effect("leaves out one whose summary has nothing of what is asked for", () =>
    Effect.gen(function*() {
      const { driver } = yield* halfDone
      const io = TaskIO.make({ ...driver, list: () => Stream.make(JSON.parse("{}")) })
      for (const query of [{ tags: ["x"] }, { status: ["Failed"] }, { checkMate: "abc" }, { since: 0 }] as const) {
        expect(Chunk.toArray(yield* Stream.runCollect(io.list(query)))).toEqual([])
      }
    }))
})
