/** Journals on files while they are removed, and while they are read. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Scope, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import { failure, shaky } from "../support/shakyFiles.ts"
import { summaryOf } from "../support/summary.ts"

type Needs = NodeContext.NodeContext | Scope.Scope

const onFiles = <A, E>(use: (directory: string) => Effect.Effect<A, E, Needs>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.provide(NodeContext.layer)
  )

const write = (driver: TaskIO.Encoded, position: number, record: string) =>
  Effect.tap(driver.open("t"), (journal) => journal.append(position, [record], summaryOf("t", { memo: record })))

const memos = (driver: TaskIO.Encoded) =>
  Effect.map(Stream.runCollect(driver.list({})), (all) => Chunk.toReadonlyArray(all).map(({ memo }) => memo))

/** Removes the task in a process that dies once it is out of sight. */
const removeHalf = (directory: string) =>
  Effect.flatMap(FileDriver.make(directory), (driver) => Effect.flip(driver.remove("t"))).pipe(
    shaky(() => ({ remove: () => Effect.fail(failure) }))
  )

/** A task that was taken up twice and whose removal was cut off; who wrote it last. */
const halfRemoved = (driver: TaskIO.Encoded, directory: string) =>
  Effect.gen(function*() {
    yield* write(driver, 0, "old 1")
    const last = yield* write(driver, 1, "old 2")
    yield* removeHalf(directory)
    return last
  })

describe("a removal that was cut off", () => {
  it.scoped("leaves no task in lists, and hides none that is begun anew", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        yield* halfRemoved(driver, directory)
        expect([yield* driver.read("t", 0), yield* memos(driver)]).toEqual([[], []])
        yield* write(driver, 0, "new")
        expect([yield* driver.read("t", 0), yield* memos(driver)]).toEqual([["new"], ["new"]])
        yield* driver.remove("t")
        const fs = yield* FileSystem.FileSystem
        expect(yield* fs.readDirectory(`${directory}/tasks`)).toEqual([])
      })
    ))

  it.scoped("lets nobody write who still thinks that the task is theirs", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        const frozen = yield* halfRemoved(driver, directory)
        const fresh = yield* write(driver, 0, "new 1")
        const late = frozen.append(2, ["old 3"], summaryOf("t", {}))
        expect(yield* Effect.flip(late)).toMatchObject({ _tag: "StaleWriterError", epoch: 2 })
        yield* fresh.append(1, ["new 2"], summaryOf("t", {}))
        expect(yield* driver.read("t", 0)).toEqual(["new 1", "new 2"])
      })
    ))

  it.scoped("brings nothing back where the first who claimed the task had written nothing", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        yield* Effect.scoped(driver.open("t"))
        yield* write(driver, 0, "old")
        yield* removeHalf(directory)
        expect(yield* driver.read("t", 0)).toEqual([])
        yield* write(driver, 0, "new 1")
        expect(yield* driver.read("t", 0)).toEqual(["new 1"])
        yield* write(driver, 1, "new 2")
        expect(yield* driver.read("t", 0)).toEqual(["new 1", "new 2"])
      })
    ))

  it.scoped("is in nobody's way where somebody has tidied up meanwhile", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        yield* halfRemoved(driver, directory)
        const writer = yield* write(driver, 0, "new 1")
        const fs = yield* FileSystem.FileSystem
        yield* fs.remove(`${directory}/trash`, { recursive: true })
        yield* write(driver, 1, "new 2")
        expect(yield* Effect.flip(writer.append(2, ["late"], summaryOf("t", {})))).toMatchObject({
          _tag: "StaleWriterError"
        })
        expect(yield* driver.read("t", 0)).toEqual(["new 1", "new 2"])
      })
    ))

  it.scoped("lets two take over what was begun anew without letting in who wrote it", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        yield* halfRemoved(driver, directory)
        const writer = yield* write(driver, 0, "new 1")
        // Of two that find the second name of the removed task's file one has taken over before the other goes on.
        let between: Effect.Effect<unknown, unknown, Scope.Scope> = driver.open("t")
        const late: Array<Exit.Exit<void, unknown>> = []
        const append = Effect.map(
          Effect.exit(writer.append(1, ["new 2"], summaryOf("t", {}))),
          (exit) => late.push(exit)
        )
        const scope = yield* Effect.scope
        const other = yield* FileDriver.make(directory).pipe(shaky((fs) => ({
          stat: (file) =>
            Effect.tap(fs.stat(file), () => {
              if (!file.endsWith("t.1.ndjson")) return Effect.void
              const now = between
              between = Effect.void
              return Effect.ignore(Effect.provideService(now, Scope.Scope, scope))
            }),
          // As soon as it might be let in.
          remove: (file) => Effect.zipLeft(fs.remove(file), file.includes("/t.1.") ? append : Effect.void)
        })))
        yield* other.open("t")
        yield* append
        expect(late.map((exit) => exit._tag)).not.toContain("Success")
        expect(yield* driver.read("t", 0)).toEqual(["new 1"])
        yield* driver.remove("t")
        const fs = yield* FileSystem.FileSystem
        expect([yield* fs.readDirectory(`${directory}/tasks`), yield* fs.readDirectory(`${directory}/trash`)])
          .toEqual([[], []])
      })
    ))
})

/** Removes the task, and fails at the nth thing that is done to files for it; whether there was as much to do. */
const removeUpTo = (directory: string, n: number) => {
  let left = Infinity
  const step = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | typeof failure, R> => --left === 0 ? Effect.fail(failure) : self)
  return Effect.flatMap(FileDriver.make(directory), (driver) => {
    left = n
    return Effect.map(Effect.exit(driver.remove("t")), Exit.isFailure)
  }).pipe(
    shaky((fs) => ({
      link: (...of) => step(fs.link(...of)),
      open: (...of) => step(fs.open(...of)),
      readDirectory: (...of) => step(fs.readDirectory(...of)),
      readFile: (...of) => step(fs.readFile(...of)),
      rename: (...of) => step(fs.rename(...of)),
      remove: (...of) => step(fs.remove(...of))
    }))
  )
}

describe("a removal that fails anywhere", () => {
  const meanwhile: Readonly<Record<string, (directory: string) => Effect.Effect<unknown, unknown, Needs>>> = {
    "": () => Effect.void,
    ", also once another engine has begun,": FileDriver.make,
    ", also once it was done again,": (directory) =>
      Effect.flatMap(FileDriver.make(directory), (driver) => driver.remove("t")),
    ", also once a new task was taken over,": (directory) =>
      Effect.flatMap(
        FileDriver.make(directory),
        (driver) => Effect.flatMap(write(driver, 0, "new 1"), () => write(driver, 1, "new 2"))
      )
  }
  for (const [when, happens] of Object.entries(meanwhile)) {
    for (const times of [1, 2]) {
      it.scoped(`and has the task out of sight${when} lets nobody write to it: claim ${times}`, () =>
        Effect.gen(function*() {
          let removals = 0
          const failsAt = (n: number) =>
            onFiles((directory) =>
              Effect.gen(function*() {
                const driver = yield* FileDriver.make(directory)
                for (let time = 1; time < times; time++) yield* write(driver, time - 1, "old")
                const late = yield* driver.open("t")
                yield* late.append(times - 1, ["old"], summaryOf("t", {}))
                const failed = yield* removeUpTo(directory, n)
                if ((yield* driver.read("t", 0)).length > 0) return failed
                removals++
                yield* happens(directory)
                const told = yield* Effect.flip(late.append(times, ["late"], summaryOf("t", {})))
                expect(told, `failed at step ${n}`).toMatchObject({ _tag: "StaleWriterError" })
                return failed
              })
            )
          for (let n = 1; yield* Effect.scoped(failsAt(n)); n++);
          expect(removals).toBeGreaterThan(4)
        }))
    }
  }
})

describe("removals that are asked for at the same time", () => {
  const many = Array.from({ length: 100 }, (_, number) => `t${number}`)
  const writeAll = (driver: TaskIO.Encoded, tasks: ReadonlyArray<string>) =>
    Effect.forEach(
      tasks,
      (taskId) => Effect.flatMap(driver.open(taskId), (journal) => journal.append(0, ["old"], summaryOf(taskId, {}))),
      {
        discard: true
      }
    )

  /** A store of which a folder is read once all have asked for something, and how often it is read for that. */
  const counting = (directory: string, folder: string) =>
    Effect.gen(function*() {
      const gate = yield* Effect.makeLatch(true)
      let [asked, reads] = [0, 0]
      const driver = yield* FileDriver.make(directory).pipe(shaky((fs) => ({
        readDirectory: (read) =>
          Effect.suspend(() => {
            if (read.endsWith(`/${folder}`)) reads += 1
            return Effect.zipRight(gate.await, fs.readDirectory(read))
          })
      })))
      const readsFor = <A, E>(use: (taskId: string) => Effect.Effect<A, E>) =>
        Effect.gen(function*() {
          yield* gate.close
          reads = 0
          const counted = (taskId: string) =>
            Effect.suspend(() => {
              asked += 1
              return use(taskId)
            })
          const using = yield* Effect.fork(Effect.forEach(many, counted, { concurrency: "unbounded" }))
          while (asked < many.length) yield* Effect.yieldNow()
          yield* gate.open
          yield* Fiber.join(using)
          return reads
        })
      return { driver, readsFor }
    })

  it.scoped("read the names of all tasks once for sixteen of them", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const { driver, readsFor } = yield* counting(directory, "tasks")
        yield* writeAll(driver, many)
        // The first one goes by itself.
        expect(yield* readsFor(driver.remove)).toBe(1 + Math.ceil((many.length - 1) / 16))
        const fs = yield* FileSystem.FileSystem
        const left = ["tasks", "trash"].map((folder) => fs.readDirectory(`${directory}/${folder}`))
        expect(yield* Effect.all(left)).toEqual([[], []])
      })
    ))

  it.scoped("and looks for mail read the mailbox once for sixteen of them", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const { driver, readsFor } = yield* counting(directory, "mail")
        yield* Effect.forEach(many, (taskId) => driver.send(taskId, taskId), { discard: true })
        const found: Array<string> = []
        const receive = (taskId: string) =>
          Effect.map(driver.receive(taskId), (letters) => found.push(...letters.map(({ message }) => message)))
        expect(yield* readsFor(receive)).toBe(1 + Math.ceil((many.length - 1) / 16))
        expect(found.toSorted()).toEqual(many.toSorted())
      })
    ))

  it.scoped("fail each by itself", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory).pipe(shaky((fs) => ({
          rename: (from, to) => from.endsWith("t7.1.ndjson") ? Effect.fail(failure) : fs.rename(from, to)
        })))
        yield* writeAll(driver, many)
        const exits = yield* Effect.forEach(many, (taskId) => Effect.exit(driver.remove(taskId)), {
          concurrency: "unbounded"
        })
        expect(many.filter((_, index) => exits[index]?._tag === "Failure")).toEqual(["t7"])
        const fs = yield* FileSystem.FileSystem
        expect((yield* fs.readDirectory(`${directory}/tasks`)).filter((name) => !name.startsWith("t7."))).toEqual([])
      })
    ))

  it.scoped("are over when whoever asked for them and was interrupted goes on", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const gate = yield* Effect.makeLatch()
        const begun: Array<string> = []
        const ended: Array<string> = []
        const driver = yield* FileDriver.make(directory).pipe(shaky((fs) => ({
          rename: (from, to) =>
            Effect.suspend(() => {
              begun.push(from)
              return Effect.zipRight(gate.await, fs.rename(from, to))
            }),
          remove: (file) =>
            Effect.tap(
              fs.remove(file),
              () => file.includes("trash") ? Effect.sync(() => ended.push(file)) : Effect.void
            )
        })))
        const few = many.slice(0, 4)
        yield* writeAll(driver, few)
        // The first one goes by itself, the others together.
        const fibers = yield* Effect.forEach(few, (taskId) => Effect.fork(driver.remove(taskId)))
        while (begun.length < few.length) yield* Effect.yieldNow()
        const interrupting = yield* Effect.fork(Fiber.interruptAll(fibers.slice(1)))
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        yield* gate.open
        yield* Fiber.join(interrupting)
        expect(ended.filter((file) => !file.includes("t0."))).toHaveLength(3)
      })
    ))
})

describe("a reader", () => {
  it.scoped("finds no damage where a task is written to and taken over between its looks", () =>
    onFiles((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        const writer = yield* write(driver, 0, "one")
        let between: Effect.Effect<unknown, unknown, Scope.Scope> = Effect.zipRight(
          writer.append(1, ["two"], summaryOf("t", {})),
          driver.open("t")
        )
        const scope = yield* Effect.scope
        const reader = yield* FileDriver.make(directory).pipe(shaky((fs) => ({
          readFile: (file) =>
            Effect.tap(fs.readFile(file), () => {
              const now = between
              if (file.endsWith("t.1.ndjson")) between = Effect.void
              return file.endsWith("t.1.ndjson")
                ? Effect.ignore(Effect.provideService(now, Scope.Scope, scope))
                : Effect.void
            })
        })))
        expect(yield* reader.read("t", 0)).toEqual(["one", "two"])
      })
    ))
})
