import { FileSystem, KeyValueStore, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  DateTime,
  Deferred,
  Effect,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Redacted,
  Schedule,
  Schema,
  type Scope,
  Stream,
  TestClock
} from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, Task, type TaskEvent, TaskIO } from "effect-checkmate"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import * as Encrypted from "effect-checkmate/TaskIO/Encrypted"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as KeyValueStoreDriver from "effect-checkmate/TaskIO/KeyValueStore"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { Faults } from "effect-checkmate/testing"
import { histories } from "../support/histories.ts"
import { abc, engineOver, failing, Ledger } from "../support/pipelines.ts"

const inDirectory = <A, E>(
  use: (directory: string) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | Scope.Scope>
) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

const copy = (from: TaskIO.Encoded, to: TaskIO.Encoded, options?: Parameters<typeof TaskIO.copy>[2]) =>
  TaskIO.copy(TaskIO.make(from), TaskIO.make(to), options)

const over = (driver: TaskIO.Encoded) => Effect.provide(engineOver(driver))

const run = (taskId = "t", definition = abc(new Ledger())) =>
  CheckMateEngine.run(definition, { taskId, input: { seed: 1 } })

/** All that can be seen of a store: lists, records and mail. */
const contentsOf = (io: TaskIO.Encoded) =>
  Effect.gen(function*() {
    const summaries = Chunk.toReadonlyArray(yield* Stream.runCollect(io.list({})))
    const sorted = summaries.toSorted((left, right) => left.taskId < right.taskId ? -1 : 1)
    return yield* Effect.forEach(sorted, (summary) =>
      Effect.gen(function*() {
        const mail = (yield* io.receive(summary.taskId)).map(({ message }) => message)
        return { summary, records: yield* io.read(summary.taskId, 0), mail }
      }))
  })

/** Writes a history, each step in an append, some of them in epochs of their own. */
const writeHistory = (
  io: TaskIO.TaskIO["Type"],
  taskId: string,
  steps: ReadonlyArray<{ readonly events: ReadonlyArray<TaskEvent.TaskEvent> }>
) =>
  Effect.gen(function*() {
    let task: Task.Task | undefined
    for (const part of [steps.slice(0, 5), steps.slice(5)]) {
      yield* Effect.scoped(Effect.gen(function*() {
        const journal = yield* io.open(taskId)
        for (const { events: [first, ...rest] } of part) {
          if (first === undefined) continue
          for (const event of [first, ...rest]) task = yield* Task.evolve(taskId, task, event)
          yield* journal.append([first, ...rest], task!)
        }
      }))
    }
  })

const cancelMessage = (reason: string) => ({
  _tag: "Cancel" as const,
  at: DateTime.unsafeMake(0),
  rollback: false,
  reason
})

/** A store with three tasks: one that succeeded, one that failed, with mail, and one that was taken up several times. */
const populated = Effect.gen(function*() {
  const io = yield* MemoryDriver.make
  yield* over(io)(run("done"))
  yield* over(io)(Effect.exit(run("failed", abc(new Ledger(), { fail: failing({ b: 9 }) }))))
  for (const reason of ["one", "two"]) yield* TaskIO.make(io).send("failed", cancelMessage(reason))
  const often = abc(new Ledger(), { fail: failing({ a: 1, b: 1, c: 1 }) })
  for (let time = 0; time < 4; time++) yield* over(io)(Effect.exit(run("often", often)))
  return io
})

describe("a copy", () => {
  it.effect("has the same records, summaries and mail, from memory to files and back", () =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const source = yield* MemoryDriver.make
        const typed = TaskIO.make(source)
        const samples = FastCheck.sample(histories, { numRuns: 60, seed: 7 })
        for (const [index, steps] of samples.entries()) {
          yield* writeHistory(typed, `t-${index}`, steps)
          if (index % 7 === 0) yield* typed.send(`t-${index}`, cancelMessage(`mail ${index}`))
        }
        const before = yield* contentsOf(source)
        expect(before).toHaveLength(60)
        const files = yield* FileDriver.make(directory)
        const out = yield* copy(source, files, { concurrency: 8 })
        expect([out.copied.length, out.skipped, out.failed]).toEqual([60, [], []])
        expect(out.copied.every(({ added, records, removed }) => added === records && !removed)).toBe(true)
        expect(yield* contentsOf(files)).toEqual(before)
        const back = yield* MemoryDriver.make
        expect((yield* copy(files, back, { removeFromSource: true })).copied).toHaveLength(60)
        expect(yield* contentsOf(back)).toEqual(before)
        expect(yield* contentsOf(source)).toEqual(before)
        expect(yield* contentsOf(files)).toEqual([])
        expect(yield* files.waiting).toEqual([])
      })
    ))

  it.effect("can be of some tasks only, tells how far it is, and is nothing when it is done again", () =>
    Effect.gen(function*() {
      const source = yield* populated
      const target = yield* MemoryDriver.make
      const seen: Array<string> = []
      const onProgress = ({ done, outcome, total }: { done: number; total: number; outcome: { taskId: string } }) =>
        Effect.sync(() => void seen.push(`${done}/${total} ${outcome.taskId}`))
      const options = { query: { status: ["Succeeded"] }, onProgress, concurrency: 1 } as const
      yield* copy(source, target, options)
      expect(seen).toEqual(["1/2 done", "2/2 often"])
      expect((yield* contentsOf(target)).map(({ summary }) => summary.taskId)).toEqual(["done", "often"])
      expect((yield* copy(source, target)).copied.map(({ taskId }) => taskId)).toEqual(["failed"])
      const again = yield* copy(source, target)
      expect(again.skipped.map(({ reason }) => reason)).toEqual(["already there", "already there", "already there"])
      expect(yield* contentsOf(target)).toEqual(yield* contentsOf(source))
    }))

  it.effect("that is only tried changes nothing and says what it would do", () =>
    Effect.gen(function*() {
      const source = yield* populated
      const target = yield* MemoryDriver.make
      yield* over(target)(run("done", abc(new Ledger(), { fail: failing({ a: 1 }) })).pipe(Effect.exit))
      const before = [yield* contentsOf(source), yield* contentsOf(target)]
      const lock = yield* MemoryLock.make
      const report = yield* Effect.scoped(Effect.zipRight(
        lock.acquire("often"),
        copy(source, target, { dryRun: true, removeFromSource: true, lock })
      ))
      expect(report.copied).toMatchObject([{ taskId: "failed", removed: false }])
      expect(report.skipped).toMatchObject([{ taskId: "often", reason: "bound" }])
      expect(report.failed).toMatchObject([{ taskId: "done", error: { _tag: "CopyConflictError" } }])
      expect([yield* contentsOf(source), yield* contentsOf(target)]).toEqual(before)
      expect((yield* Effect.scoped(source.open("often"))).epoch).toBe(5)
      expect((yield* Effect.scoped(target.open("often"))).epoch).toBe(1)
    }))

  it.effect("brings each store to the source's epoch in one step, and keeps growing from there", () =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const source = yield* MemoryDriver.make
        yield* over(source)(run("t"))
        yield* Effect.scoped(source.open("t", 1_000_000))
        const ring = { current: "k", keys: { k: Redacted.make(new Uint8Array(32)) } }
        const targets = [
          yield* MemoryDriver.make,
          yield* FileDriver.make(directory),
          yield* Effect.flatMap(MemoryDriver.make, (driver) => Encrypted.make(driver, ring)),
          yield* KeyValueStoreDriver.make().pipe(Effect.provide(KeyValueStore.layerMemory))
        ]
        for (const target of targets) {
          const { copied, failed } = yield* copy(source, target, { claim: true })
          expect([copied.map(({ taskId }) => taskId), failed]).toEqual([["t"], []])
          const epochs = yield* Effect.replicateEffect(
            Effect.scoped(Effect.map(target.open("t"), ({ epoch }) => epoch)),
            3
          )
          expect(epochs[0]).toBeGreaterThan(1_000_000)
          expect([...epochs].sort((left, right) => left - right)).toEqual(epochs)
          expect(new Set(epochs).size).toBe(3)
          expect(yield* target.read("t", 0)).toEqual(yield* source.read("t", 0))
        }
        // In files the epochs are the files' numbers still.
        const fs = yield* FileSystem.FileSystem
        const names = yield* fs.readDirectory(`${directory}/tasks`)
        expect(names.filter((name) => name.endsWith(".ndjson")).length).toBeLessThan(7)
      })
    ))

  it.effect("a move of what is there already goes on with the epochs of the source, and leaps over none", () =>
    Effect.gen(function*() {
      const [source, target] = yield* Effect.all([MemoryDriver.make, MemoryDriver.make])
      yield* over(source)(run())
      expect((yield* copy(source, target)).copied).toHaveLength(1)
      expect((yield* copy(source, target, { removeFromSource: true })).skipped).toMatchObject([{ removed: true }])
      // One claim has run it, and one has moved it.
      expect((yield* Effect.scoped(target.open("t"))).epoch).toBe(3)
    }))

  it.effect("goes on where an earlier one ended, leaves what has gone on in the target, and overwrites nothing", () =>
    Effect.gen(function*() {
      const source = yield* MemoryDriver.make
      const target = yield* MemoryDriver.make
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* over(source)(Effect.exit(run("t", definition)))
      const [first] = (yield* copy(source, target)).copied
      yield* over(source)(run("t", definition))
      const [second] = (yield* copy(source, target)).copied
      expect(second?.added).toBe(second!.records - first!.records)
      expect(yield* contentsOf(target)).toEqual(yield* contentsOf(source))

      yield* over(target)(CheckMateEngine.rollback(definition, "t"))
      const ahead = yield* contentsOf(target)
      expect((yield* copy(source, target, { claim: true })).skipped).toMatchObject([{ reason: "already there" }])
      expect(yield* contentsOf(target)).toEqual(ahead)

      yield* TestClock.adjust("1 second")
      yield* over(source)(CheckMateEngine.rollback(definition, "t"))
      const report = yield* copy(source, target, { removeFromSource: true })
      expect(report.failed).toMatchObject([{ error: { _tag: "CopyConflictError", position: second!.records } }])
      expect(report.failed[0]?.error.message).toContain(`differ from record ${second!.records} on`)
      expect(yield* contentsOf(target)).toEqual(ahead)
      expect(yield* contentsOf(source)).toHaveLength(1)
    }))

  it.effect("reports a damaged task, and one that reads back wrong, and goes on with the others", () =>
    Effect.gen(function*() {
      const source = yield* populated
      const target = yield* MemoryDriver.make
      const damaged: TaskIO.Encoded = {
        ...source,
        open: (id) =>
          Effect.map(
            source.open(id),
            (journal) => id === "done" ? { ...journal, records: journal.records.with(1, "{}") } : journal
          )
      }
      const forgetful: TaskIO.Encoded = {
        ...target,
        read: (id, from) =>
          Effect.map(target.read(id, from), (records) => id === "often" ? records.slice(0, -1) : records)
      }
      const report = yield* copy(damaged, forgetful, { removeFromSource: true, concurrency: 1 })
      expect(report.copied.map(({ taskId }) => taskId)).toEqual(["failed"])
      expect(report.failed).toMatchObject([
        { taskId: "done", error: { _tag: "JournalDamagedError", location: "record 1" } },
        { taskId: "often", error: { _tag: "TaskIOError", problem: "it reads back as something else than was written" } }
      ])
      expect((yield* contentsOf(source)).map(({ summary }) => summary.taskId)).toEqual(["done", "often"])
    }))

  it.effect("brings a store under encryption", () =>
    Effect.gen(function*() {
      const source = yield* populated
      const plain = yield* MemoryDriver.make
      const target = yield* Encrypted.make(plain, { current: "k", keys: { k: Redacted.make(new Uint8Array(32)) } })
      yield* copy(source, target, { removeFromSource: true })
      expect((yield* contentsOf(plain)).flatMap(({ mail, records }) => [...records, ...mail]).join("")).not
        .toContain("Stage")
      expect(yield* over(target)(run("failed"))).toMatchObject({ c: 4 })
    }))
})

describe("a task that was moved", () => {
  const move = (from: TaskIO.Encoded, to: TaskIO.Encoded) =>
    Effect.map(copy(from, to, { removeFromSource: true }), ({ copied, failed, skipped }) => {
      expect([copied.length, skipped, failed]).toEqual([1, [], []])
    })

  const Tokens = State.make({ x: Schema.Number })
  const tokens: Array<number> = []
  const noting = (tries: number) =>
    CheckMate.make("tokens", {
      state: Tokens,
      input: [],
      stages: [
        Stage.make(Tokens, "x", {
          provides: ["x"],
          execute: () =>
            Effect.flatMap(Stage.Context, ({ fencingToken }) => {
              tokens.push(fencingToken)
              return tokens.length < tries ? Effect.fail("again") : Effect.succeed({ x: 1 })
            })
        })
      ]
    })

  it.effect("gets greater fencing tokens than ever before, also where a snapshot of it was there already", () =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const files = yield* FileDriver.make(directory)
        for (const [snapshot, target] of [[false, files], [true, yield* MemoryDriver.make]] as const) {
          tokens.length = 0
          const source = yield* MemoryDriver.make
          const attempt = CheckMateEngine.run(noting(8), { taskId: "t", input: {} })
          for (let time = 0; time < 7; time++) yield* over(source)(Effect.exit(attempt))
          expect(tokens).toEqual([1, 2, 3, 4, 5, 6, 7])
          if (snapshot) yield* copy(source, target)
          const report = yield* copy(source, target, { removeFromSource: true })
          expect(report.failed).toEqual([])
          expect(yield* contentsOf(source)).toEqual([])
          yield* over(target)(attempt)
          expect(tokens.at(-1)).toBeGreaterThan(7)
        }
      })
    ))

  it.effect("that had failed is finished there, and nothing that succeeded runs again", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ c: 1 }) })
      yield* over(source)(Effect.exit(run("t", definition)))
      yield* move(source, target)
      expect(yield* over(target)(run("t", definition))).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "run c", "undo c", "run c"])
    }))

  it.effect("that was cut off in the middle of a stage is recovered there", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      const ledger = new Ledger()
      const faults = yield* Faults.make([Faults.die("append", { nth: 3 })])
      yield* Effect.forkDaemon(over(faults.taskIO(source))(run("t", abc(ledger))))
      yield* faults.died
      yield* move(source, target)
      expect(yield* over(target)(run("t", abc(ledger)))).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "run b", "run c"])
    }))

  it.effect("that was half rolled back is rolled back there, and begins anew", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      const ledger = new Ledger()
      const definition = abc(ledger, { failUndo: failing({ b: 1 }) })
      yield* over(source)(run("t", definition))
      yield* over(source)(Effect.exit(CheckMateEngine.rollback(definition, "t")))
      expect((yield* contentsOf(source))[0]?.summary.status).toBe("RollbackFailed")
      yield* move(source, target)
      yield* over(target)(CheckMateEngine.rollback(definition, "t"))
      expect(ledger.entries.slice(3)).toEqual(["undo c", "undo b", "undo b", "undo a"])
      yield* move(target, source)
      expect(yield* over(source)(run("t", definition))).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
      expect(ledger.count("run a")).toBe(2)
    }))

  it.effect("that waits for a retry waits only what is left", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      let attempts = 0
      const definition = CheckMate.make("waits", {
        state: Tokens,
        input: [],
        stages: [
          Stage.make(Tokens, "x", {
            provides: ["x"],
            retry: Schedule.spaced("1 hour"),
            execute: () => Effect.suspend(() => attempts++ === 0 ? Effect.fail("again") : Effect.succeed({ x: 7 }))
          })
        ]
      })
      const waits = CheckMateEngine.run(definition, { taskId: "t", input: {} })
      const first = yield* Effect.fork(over(source)(waits))
      yield* TestClock.adjust("40 minutes")
      yield* Fiber.interrupt(first)
      yield* move(source, target)
      const second = yield* Effect.fork(over(target)(waits))
      yield* TestClock.adjust("19 minutes")
      expect(attempts).toBe(1)
      yield* TestClock.adjust("2 minutes")
      expect(yield* Fiber.join(second)).toEqual({ x: 7 })
    }))

  it.effect("that was paused is told to go on there, with its mail", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      yield* over(source)(Effect.exit(run("t", abc(new Ledger(), { fail: failing({ b: 1 }) }))))
      yield* TaskIO.make(source).send("t", { _tag: "Pause", at: DateTime.unsafeMake(0) })
      yield* move(source, target)
      expect(yield* source.waiting).toEqual([])
      expect(yield* TaskIO.make(target).take("t")).toMatchObject([{ _tag: "Pause" }])
    }))
})

describe("a task that runs while it is to be moved", () => {
  /** Runs a task up to the middle of its stage b, and what lets it go on. */
  const running = (source: TaskIO.Encoded, lock: BindLock.Driver, ledger: Ledger) =>
    Effect.gen(function*() {
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const fail = (stage: string) =>
        stage === "b" ? Effect.zipRight(Deferred.succeed(inside, undefined), Deferred.await(goOn)) : Effect.void
      const fiber = yield* Effect.fork(
        Effect.provide(run("t", abc(ledger, { fail })), engineOver(source, Layer.succeed(BindLock.BindLock, lock)))
      )
      yield* Deferred.await(inside)
      return { fiber, goOn: Deferred.succeed(goOn, undefined) }
    })

  it.effect("is left alone where the lock is given, and its snapshot can be taken", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      const lock = yield* MemoryLock.make
      const { fiber, goOn } = yield* running(source, lock, new Ledger())
      const report = yield* copy(source, target, { removeFromSource: true, lock })
      expect(report.skipped).toEqual([{ _tag: "Skipped", taskId: "t", reason: "bound", removed: false }])
      expect(yield* contentsOf(target)).toEqual([])
      expect((yield* copy(source, target, { lock })).copied).toHaveLength(1)
      yield* goOn
      expect(yield* Fiber.join(fiber)).toMatchObject({ c: 4 })
    }))

  it.effect("is fenced off where it is not: its engine can write no more, and the target finishes the work", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      const ledger = new Ledger()
      const { fiber, goOn } = yield* running(source, yield* MemoryLock.make, ledger)
      expect((yield* copy(source, target, { claim: true })).copied).toHaveLength(1)
      yield* goOn
      expect(yield* Effect.flip(Fiber.join(fiber))).toMatchObject({ _tag: "StaleWriterError" })
      expect((yield* copy(source, target, { removeFromSource: true })).skipped).toMatchObject([{ removed: true }])
      expect(yield* over(target)(run("t", abc(ledger)))).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "run b", "run c"])
    }))

  it.effect("is not removed where another engine has gone on with it meanwhile", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* MemoryDriver.make, yield* MemoryDriver.make]
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* over(source)(Effect.exit(run("t", definition)))
      const meddled: TaskIO.Encoded = {
        ...target,
        receive: (id) => Effect.zipRight(Effect.orDie(over(source)(run("t", definition))), target.receive(id))
      }
      yield* TaskIO.make(source).send("t", cancelMessage("so that mail is looked at"))
      const report = yield* copy(source, meddled, { removeFromSource: true })
      expect(report.failed).toMatchObject([{ error: { operation: "remove the copied task" } }])
      expect((yield* contentsOf(source))[0]?.summary.status).toBe("Succeeded")
      expect((yield* copy(source, target, { removeFromSource: true })).copied).toMatchObject([{ removed: true }])
    }))

  it.effect("is gone to whoever cancels it in the moment of its removal, whose message goes with it", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* populated, yield* MemoryDriver.make]
      const lock = yield* MemoryLock.make
      const engine = engineOver(source, Layer.succeed(BindLock.BindLock, lock))
      const asked = yield* Deferred.make<Fiber.RuntimeFiber<void, unknown>>()
      const meddled: TaskIO.Encoded = {
        ...source,
        remove: (id) =>
          Effect.gen(function*() {
            yield* Deferred.succeed(asked, yield* Effect.forkDaemon(Effect.provide(CheckMateEngine.cancel(id), engine)))
            yield* Effect.repeat(source.receive(id), { until: (letters) => letters.length > 0 })
            yield* source.remove(id)
          })
      }
      const options = { removeFromSource: true, lock, query: { status: ["Failed"] } } as const
      expect((yield* copy(meddled, target, options)).copied).toMatchObject([{ taskId: "failed", removed: true }])
      yield* TestClock.adjust("1 minute")
      expect(yield* Effect.flip(Fiber.join(yield* Deferred.await(asked)))).toMatchObject({ _tag: "TaskNotFoundError" })
      expect([yield* source.waiting, yield* source.receive("failed")]).toEqual([[], []])
      expect(yield* target.receive("failed")).toHaveLength(2)
    }))

  it.effect("is let go of once its binding is lost", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* populated, yield* MemoryDriver.make]
      const faults = yield* Faults.make([
        Faults.loseLock("acquire", { reason: "taken" }),
        Faults.delay("open", "1 day")
      ])
      const lock = faults.bindLock(yield* MemoryLock.make)
      const fiber = yield* Effect.fork(copy(faults.taskIO(source), target, { claim: true, lock }))
      const report = yield* Fiber.join(fiber)
      expect(report.failed.map(({ error }) => error)).toMatchObject([
        { _tag: "BindingLostError", problem: "taken" },
        { _tag: "BindingLostError", problem: "taken" },
        { _tag: "BindingLostError", problem: "taken" }
      ])
    }))

  it.effect("is copied under a lock that can be lost, also where that is not to be interrupted", () =>
    Effect.gen(function*() {
      const [source, target] = [yield* populated, yield* MemoryDriver.make]
      const faults = yield* Faults.make([Faults.loseLock("acquire", { nth: 100 })])
      const lock = faults.bindLock(yield* MemoryLock.make)
      const report = yield* Effect.uninterruptible(copy(source, target, { claim: true, lock }))
      expect(report.copied).toHaveLength(3)
    }))
})

describe("a move", () => {
  it.effect("leaves a task where it is whose mail it cannot read, and says so", () =>
    Effect.gen(function*() {
      const store = yield* MemoryDriver.make
      const target = yield* MemoryDriver.make
      const [old, recent] = [Redacted.make(new Uint8Array(32)), Redacted.make(new Uint8Array(32).fill(1))]
      const older = yield* Encrypted.make(store, { current: "old", keys: { old } })
      const newer = yield* Encrypted.make(store, { current: "recent", keys: { old, recent } })
      yield* run().pipe(over(older))
      yield* newer.send("t", "a letter")
      const { failed } = yield* copy(older, target, { removeFromSource: true })
      expect(failed.map(({ error }) => error.message)).toEqual([expect.stringContaining("it has mail that")])
      expect((yield* newer.receive("t")).map(({ message }) => message)).toEqual(["a letter"])
      const again = yield* copy(newer, target, { removeFromSource: true })
      expect(again.skipped).toEqual([{ _tag: "Skipped", taskId: "t", reason: "already there", removed: true }])
      expect((yield* target.receive("t")).map(({ message }) => message)).toEqual(["a letter"])
    }))

  it.effect("of a store onto itself removes nothing", () =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const one = yield* FileDriver.make(directory)
        yield* copy(yield* populated, one)
        const before = yield* contentsOf(one)
        // The same directory, as two layers would have it.
        const report = yield* copy(one, yield* FileDriver.make(directory), { removeFromSource: true })
        expect(report.failed.map(({ error }) => error.message)).toEqual([
          expect.stringContaining("both stores seem to be the same one"),
          expect.stringContaining("both stores seem to be the same one"),
          expect.stringContaining("both stores seem to be the same one")
        ])
        expect(yield* contentsOf(one)).toEqual(before)
      })
    ))

  // Every operation on either side, cut before and after, until none is left to cut.
  const operations = ["open", "append", "read", "remove", "send", "receive", "acknowledge"] as const
  for (const side of ["source", "target"] as const) {
    for (const when of ["before", "after"] as const) {
      it.effect(`that died ${when} any operation on the ${side} comes to the same when it is done again`, () =>
        Effect.gen(function*() {
          let cuts = 0
          for (const on of operations) {
            for (let nth = 1;; nth++) {
              const [source, target] = [yield* populated, yield* MemoryDriver.make]
              const expected = yield* contentsOf(source)
              const faults = yield* Faults.make([Faults.die(on, { nth, when })])
              const dying = side === "source"
                ? copy(faults.taskIO(source), target, { removeFromSource: true, concurrency: 1 })
                : copy(source, faults.taskIO(target), { removeFromSource: true, concurrency: 1 })
              const fiber = yield* Effect.forkDaemon(dying)
              const died = yield* Effect.raceFirst(
                Effect.as(faults.died, true),
                Effect.as(Fiber.await(fiber), false)
              )
              if (!died) break
              cuts++
              const report = yield* copy(source, target, { removeFromSource: true })
              expect(report.failed).toEqual([])
              expect(yield* contentsOf(target)).toEqual(expected)
              expect(yield* contentsOf(source)).toEqual([])
              expect(yield* source.waiting).toEqual([])
            }
          }
          expect(cuts).toBeGreaterThan(side === "source" ? 15 : 10)
        }))
    }
  }

  it.effect("whose writes fail, or seem to, reports it, and comes to the same when it is done again", () =>
    Effect.gen(function*() {
      for (const fault of [Faults.fail, Faults.dropAcknowledgement]) {
        const [source, target] = [yield* populated, yield* MemoryDriver.make]
        const expected = yield* contentsOf(source)
        const faults = yield* Faults.make([fault("append", { nth: 2 })])
        const report = yield* copy(source, faults.taskIO(target), { removeFromSource: true, concurrency: 1 })
        expect(report.failed).toMatchObject([{ taskId: "failed", error: { _tag: "TaskIOError" } }])
        expect(Exit.isSuccess(yield* Effect.exit(copy(source, target, { removeFromSource: true })))).toBe(true)
        expect(yield* contentsOf(target)).toEqual(expected)
        expect(yield* contentsOf(source)).toEqual([])
      }
    }))
})
