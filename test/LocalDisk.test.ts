import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import { abc, failing, Ledger } from "./support/pipelines.ts"
import { localDisk } from "./support/platforms.ts"
import { shaky } from "./support/shakyFiles.ts"
import { summaryOf } from "./support/summary.ts"
import { describeTurns, turnsOf } from "./support/turns.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

/** What a file operation ends with, for comparison. */
const endOf = <A, E extends { readonly _tag: string; readonly message: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.match(self, {
    onFailure: (error) => [error._tag, "reason" in error ? error.reason : ""],
    onSuccess: (value) => value instanceof Uint8Array ? new TextDecoder().decode(value) : value
  })

/** All that journals and locks do with files, right and wrong, in a directory of its own; what each ended with. */
const everything = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* fs.makeTempDirectoryScoped()
  const at = (name: string) => path.join(directory, name)
  const handle = yield* fs.open(at("a"), { flag: "ax" })
  const steps = {
    append: handle.writeAll(bytes("one\n")),
    appendMore: handle.writeAll(bytes("x".repeat(100_000))),
    write: handle.write(bytes("two\n")),
    sync: handle.sync,
    statOfHandle: Effect.map(handle.stat, ({ mtime, nlink, size, type }) => [Option.isSome(mtime), nlink, size, type]),
    openAgain: Effect.scoped(fs.open(at("a"), { flag: "ax" })),
    readHandle: handle.readAlloc(3),
    cutHandle: handle.truncate(20),
    readFile: fs.readFile(at("a")),
    readMissing: fs.readFile(at("b")),
    readDirectory: fs.readFile(directory),
    link: fs.link(at("a"), at("b")),
    linkAgain: fs.link(at("a"), at("b")),
    linkMissing: fs.link(at("nothing"), at("c")),
    stat: Effect.map(fs.stat(at("b")), ({ nlink, size, type }) => [nlink, size, type]),
    statMissing: fs.stat(at("nothing")),
    statDirectory: Effect.map(fs.stat(directory), ({ type }) => type),
    rename: fs.rename(at("b"), at("c")),
    renameMissing: fs.rename(at("b"), at("d")),
    remove: fs.remove(at("c")),
    removeMissing: fs.remove(at("c")),
    removeMissingAllTheSame: fs.remove(at("c"), { force: true }),
    removeDirectory: fs.remove(directory),
    intoAFile: fs.readFile(at("a/b")),
    full: Effect.scoped(
      Effect.flatMap(fs.open("/dev/full", { flag: "a" }), (file) => file.writeAll(bytes("there is no room")))
    ),
    syncWhatCannotBe: Effect.scoped(Effect.flatMap(fs.open("/dev/null", { flag: "a" }), (file) => file.sync)),
    readLarge: Effect.zipRight(
      fs.writeFile(at("large"), new Uint8Array(3_000_000)),
      Effect.map(fs.readFile(at("large")), ({ length }) => length)
    ),
    listed: Effect.map(fs.readDirectory(directory), (names) => names.toSorted())
  }
  return yield* Effect.all(Object.fromEntries(Object.entries(steps).map(([name, step]) => [name, endOf(step)])))
}).pipe(Effect.scoped)

describe("LocalDisk", () => {
  it.live("does what the platform's file system does, and fails as it does", () =>
    Effect.gen(function*() {
      const expected = yield* Effect.provide(everything, NodeContext.layer)
      expect(yield* Effect.provide(everything, localDisk)).toEqual(expected)
    }))

  it.live("also while several files are being written", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      for (const name of ["a", "b"]) {
        const file = yield* fs.open(`${directory}/${name}`, { flag: "a" })
        yield* Effect.zipRight(file.writeAll(bytes(name)), file.sync)
      }
      const found = yield* everything
      expect(found).toEqual(yield* Effect.provide(everything, NodeContext.layer))
    }).pipe(Effect.scoped, Effect.provide(localDisk)))

  it.live("waits for the disk itself for as long as one task is written, and lets others go on while it waits for several", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const open = (name: string) => fs.open(`${directory}/${name}`, { flag: "ax" })
      /** Whether the process came to do something else meanwhile. */
      const leftRoom = (file: FileSystem.File) =>
        Effect.map(turnsOf(Effect.zipRight(file.writeAll(bytes("x")), file.sync)), (turns) => turns > 0)
      const one = yield* open("one")
      expect(yield* leftRoom(one)).toBe(false)
      yield* Effect.scoped(Effect.gen(function*() {
        const two = yield* open("two")
        expect(yield* leftRoom(two)).toBe(true)
        expect(yield* leftRoom(one)).toBe(true)
      }))
      expect(yield* leftRoom(one)).toBe(false)
    }).pipe(Effect.scoped, Effect.provide(localDisk)))

  it.live("is the same store as the platform's: a task goes on by way of the one where it was left by way of the other", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 1, c: 1 }) })
      const run = Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      const engine = CheckMateEngine.layerFileSystem(directory)
      expect(yield* Effect.provide(run, engine)).toMatchObject({ _tag: "Failure" })
      expect(yield* Effect.provide(run, Layer.provide(engine, NodeContext.layer))).toMatchObject({ _tag: "Failure" })
      expect(yield* Effect.provide(run, engine)).toMatchObject({ _tag: "Success", value: { c: 4 } })
      expect(["run a", "run b", "run c"].map((entry) => ledger.count(entry))).toEqual([1, 2, 2])
    }).pipe(Effect.scoped, Effect.provide(localDisk)))

  it.live("tells of a disk that is full, and of who has been overtaken, with one task and with several", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const driver = yield* FileDriver.make(directory).pipe(shaky((whole) => ({
        open: (file, options) =>
          file.endsWith("full.1.ndjson") ? whole.open("/dev/full", { flag: "a" }) : whole.open(file, options)
      })))
      const append = (taskId: string) =>
        Effect.flatMap(driver.open(taskId), (journal) => journal.append(0, ["one"], summaryOf(taskId, {})))
      const problems = Effect.scoped(Effect.gen(function*() {
        const full = yield* Effect.flip(append("full"))
        const journal = yield* driver.open("t")
        const { length } = journal.records
        yield* journal.append(length, ["one", "x".repeat(300_000)], summaryOf("t", {}))
        yield* driver.open("t")
        const stale = yield* Effect.flip(journal.append(length + 2, ["three"], summaryOf("t", {})))
        expect((yield* driver.read("t", 0)).length).toBe(length + 2)
        return [full.message.includes("ENOSPC"), stale._tag]
      }))
      expect(yield* problems).toEqual([true, "StaleWriterError"])
      // Others are being written from now on.
      yield* append("other")
      yield* append("another")
      expect(yield* problems).toEqual([true, "StaleWriterError"])
    }).pipe(Effect.scoped, Effect.provide(localDisk)))
})

const engine = Layer.unwrapScoped(
  Effect.map(
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
    (directory) => CheckMateEngine.layerFileSystem(directory)
  )
)

describeTurns("LocalDisk", Layer.provide(engine, localDisk))
