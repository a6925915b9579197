import { FileSystem, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Exit, Fiber, Layer, Scope, TestClock } from "effect"
import { BindLock, CheckMateEngine, TaskIO } from "effect-checkmate"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as path from "node:path"
import { abc, failing, Ledger } from "../support/pipelines.ts"
import { failure, shaky } from "../support/shakyFiles.ts"
import { summaryOf } from "../support/summary.ts"

const inDirectory = <A, E>(
  use: (
    directory: string,
    fs: FileSystem.FileSystem
  ) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | Scope.Scope>
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* use(yield* fs.makeTempDirectoryScoped(), fs)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const engine = (directory: string) => CheckMateEngine.layerFileSystem(directory)

/** A task of two epochs: it failed in one engine and was finished by another. */
const twoEpochs = (directory: string) =>
  Effect.gen(function*() {
    const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
    const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
    yield* Effect.exit(Effect.provide(run, engine(directory)))
    yield* Effect.provide(run, engine(directory))
    return [`${directory}/tasks/t.1.ndjson`, `${directory}/tasks/t.2.ndjson`] as const
  })

const readRecords = (directory: string) =>
  Effect.scoped(Effect.flatMap(FileDriver.make(directory), (driver) => Effect.either(driver.read("t", 0))))

/** A driver that is shown other bytes of some files than they hold. */
const shownOtherwise = (directory: string, fs: FileSystem.FileSystem) => {
  const shown = new Map<string, Uint8Array>()
  return Effect.map(
    Effect.provideService(FileDriver.make(directory), FileSystem.FileSystem, {
      ...fs,
      readFile: (path) => Effect.orElse(Effect.fromNullable(shown.get(path)), () => fs.readFile(path))
    }),
    (driver) => ({ shown, read: Effect.either(driver.read("t", 0)) })
  )
}

describe("journal files", () => {
  it.effect("are NDJSON that people and jq can read, and nothing else is left in the directory", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const files = yield* twoEpochs(directory)
        for (const file of files) {
          const lines = (yield* fs.readFileString(file)).trimEnd().split("\n")
          for (const line of lines) expect(JSON.parse(line)).toHaveProperty("sum")
          expect(JSON.parse(lines[0] ?? "")).toMatchObject({ header: { format: 1, taskId: "t" } })
        }
        expect((yield* fs.readDirectory(`${directory}/tasks`)).sort()).toEqual([
          "t.1.ndjson",
          "t.1.sealed",
          "t.2.ndjson"
        ])
        expect(yield* fs.readDirectory(`${directory}/locks`)).toEqual([])
        expect(yield* fs.readDirectory(`${directory}/mail`)).toEqual([])
        expect(yield* fs.readDirectory(`${directory}/trash`)).toEqual([])
      })
    ))

  it.effect("of messages of one engine are read in the order they were sent, also within a millisecond", () =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        const messages = Array.from({ length: 20 }, (_, index) => String(index))
        for (const message of messages) yield* driver.send("t", message)
        expect((yield* driver.receive("t")).map(({ message }) => message)).toEqual(messages)
      })
    ))

  it.effect("of a message that could not be sent, nothing stays; of one whose sender died, nothing after a day", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const mailbox = `${directory}/mail`
        const driver = yield* FileDriver.make(directory)
        yield* fs.remove(mailbox, { recursive: true })
        expect((yield* Effect.flip(driver.send("t", "hello")))._tag).toBe("TaskIOError")
        yield* fs.makeDirectory(mailbox)
        const full = new SystemError({
          reason: "Unknown",
          module: "FileSystem",
          method: "rename",
          description: "ENOSPC"
        })
        const blocked = { ...fs, rename: () => full }
        const cut = yield* Effect.provideService(FileDriver.make(directory), FileSystem.FileSystem, blocked)
        expect((yield* Effect.flip(cut.send("t", "hello")))._tag).toBe("TaskIOError")
        expect(yield* fs.readDirectory(mailbox)).toEqual([])

        yield* fs.writeFileString(`${mailbox}/t.000000000000000-00000000aa.tmp`, "hel")
        yield* driver.send("t", "hello")
        yield* TestClock.adjust("1 day")
        yield* FileDriver.make(directory)
        expect(yield* fs.readDirectory(mailbox)).toHaveLength(2)
        yield* TestClock.adjust("1 second")
        yield* FileDriver.make(directory)
        const names = yield* fs.readDirectory(mailbox)
        expect(names.map((name) => path.extname(name))).toEqual([".json"])
        expect((yield* driver.receive("t")).map(({ message }) => message)).toEqual(["hello"])
      })
    ))

  it.effect("a directory without a name is refused, for tasks and for locks", () =>
    Effect.gen(function*() {
      const problems = yield* Effect.all([
        Effect.flip(Layer.build(TaskIO.layerFileSystem(""))),
        Effect.flip(Layer.build(BindLock.layerFileSystem("")))
      ])
      for (const { message } of problems) expect(message).toContain(`the directory's name is empty; say "."`)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))

  it.effect(
    "promise 8: cut at any byte, a journal reads as what was whole before, and the task goes on to the same result",
    () =>
      inDirectory((directory, fs) =>
        Effect.gen(function*() {
          const [, last] = yield* twoEpochs(directory)
          const whole = yield* fs.readFile(last)
          const { read, shown } = yield* shownOtherwise(directory, fs)
          const all = Either.getOrThrow(yield* read)
          let longest = 0
          for (let length = 0; length < whole.length; length++) {
            shown.set(last, whole.subarray(0, length))
            const records = Either.getOrThrow(yield* read)
            expect(all.slice(0, records.length)).toEqual(records)
            expect(records.length).toBeGreaterThanOrEqual(longest)
            longest = records.length
            if (length % 97 !== 0) continue
            const copy = `${directory}-${length}`
            yield* fs.writeFile(last, whole.subarray(0, length))
            yield* fs.copy(directory, copy)
            expect(
              yield* Effect.provide(
                CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }),
                engine(copy)
              )
            ).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
            yield* fs.remove(copy, { recursive: true })
          }
          expect(longest).toBeLessThan(all.length)
        })
      ),
    300_000
  )

  it.effect(
    "promise 8: one flipped bit anywhere is an error that names the file and the place, and nothing is overwritten",
    () =>
      inDirectory((directory, fs) =>
        Effect.gen(function*() {
          const files = yield* twoEpochs(directory)
          const { read, shown } = yield* shownOtherwise(directory, fs)
          for (const file of files) shown.set(file, Uint8Array.from(yield* fs.readFile(file)))
          for (const [file, whole] of [...shown]) {
            for (let byte = 0; byte < whole.length; byte++) {
              const flipped = whole.slice()
              flipped[byte] = flipped[byte]! ^ (1 << (byte % 8))
              shown.set(file, flipped)
              const found = yield* read
              expect(Either.isLeft(found) && found.left).toMatchObject({ _tag: "JournalDamagedError", taskId: "t" })
              expect(Either.isLeft(found) && found.left.message).toContain(file)
            }
            shown.set(file, whole)
            const flipped = whole.slice()
            flipped[200] = flipped[200]! ^ 1
            yield* fs.writeFile(file, flipped)
            const before = yield* fs.readDirectory(`${directory}/tasks`)
            const error = yield* Effect.flip(
              Effect.provide(
                CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }),
                engine(directory)
              )
            )
            expect(error).toMatchObject({ _tag: "JournalDamagedError" })
            expect(String(error)).toContain("Restore it from a backup")
            expect(yield* fs.readDirectory(`${directory}/tasks`)).toEqual(before)
            expect(Uint8Array.from(yield* fs.readFile(file))).toEqual(flipped)
            yield* fs.writeFile(file, whole)
          }
        })
      ),
    300_000
  )

  it.effect("promise 8: zeros, missing lines, repeated lines and swapped lines are errors", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const [first, last] = yield* twoEpochs(directory)
        const lines = (yield* fs.readFileString(last)).split(/(?<=\n)/)
        const broken = {
          zeros: "\0".repeat(500),
          "a tail of zeros": `${lines.join("")}${"\0".repeat(100)}`,
          "a missing line": lines.toSpliced(2, 1).join(""),
          "a repeated line": lines.toSpliced(2, 0, lines[2] ?? "").join(""),
          "swapped lines": lines.toSpliced(1, 2, lines[2] ?? "", lines[1] ?? "").join("")
        }
        for (const [name, text] of Object.entries(broken)) {
          yield* fs.writeFileString(last, text)
          const read = yield* readRecords(directory)
          expect([name, Either.isLeft(read) && read.left._tag]).toEqual([name, "JournalDamagedError"])
        }
        yield* fs.writeFileString(last, lines.join(""))
        // A sealed epoch that lost what a later one counts on.
        const older = yield* fs.readFile(first)
        yield* fs.writeFile(first, older.subarray(0, older.length - 10))
        expect(yield* readRecords(directory)).toMatchObject({ _tag: "Left", left: { _tag: "JournalDamagedError" } })
        yield* fs.writeFileString(first, "")
        expect(yield* readRecords(directory)).toMatchObject({ _tag: "Left", left: { _tag: "JournalDamagedError" } })
      })
    ))

  it.effect("bytes that a stale writer adds to a sealed epoch do not count", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const [first] = yield* twoEpochs(directory)
        const before = yield* readRecords(directory)
        yield* fs.writeFileString(first, "{\"sum\":\"garbage\n", { flag: "a" })
        expect(yield* readRecords(directory)).toEqual(before)
      })
    ))

  it.effect("a copy of the directory that lost its hard links reads the same, and goes on", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const definition = abc(new Ledger(), { fail: failing({ b: 1, c: 1 }) })
        const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
        for (let time = 0; time < 2; time++) yield* Effect.exit(Effect.provide(run, engine(directory)))
        const copy = `${directory}-copy`
        yield* fs.makeDirectory(`${copy}/tasks`, { recursive: true })
        for (const name of yield* fs.readDirectory(`${directory}/tasks`)) {
          yield* fs.writeFile(`${copy}/tasks/${name}`, yield* fs.readFile(`${directory}/tasks/${name}`))
        }
        expect(yield* readRecords(copy)).toEqual(yield* readRecords(directory))
        expect(yield* Effect.provide(run, engine(copy))).toMatchObject({ c: 4 })
        yield* fs.remove(copy, { recursive: true })
      })
    ))

  it.effect("files that are called otherwise than those of a task are in no removal's way", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        yield* twoEpochs(directory)
        const others = [
          "t.ndjson",
          "t.0.ndjson",
          "t.01.ndjson",
          "t.003.sealed",
          "t.9007199254740993.ndjson",
          ".DS_Store"
        ]
        for (const name of others) yield* fs.writeFileString(`${directory}/tasks/${name}`, "not ours")
        expect(yield* Effect.provide(CheckMateEngine.find(), engine(directory))).toHaveLength(1)
        yield* Effect.provide(CheckMateEngine.remove("t"), engine(directory))
        expect((yield* fs.readDirectory(`${directory}/tasks`)).sort()).toEqual(others.toSorted())
      })
    ))

  it.effect("a removal that was cut off leaves nothing of the old task to be read in a new one of its id", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const [first] = yield* twoEpochs(directory)
        yield* fs.rename(first, `${directory}/trash/t.cut`)
        expect(Either.getOrThrow(yield* readRecords(directory))).toEqual([])
        const ledger = new Ledger()
        const definition = abc(ledger, { fail: failing({ b: 2 }) })
        const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 10 } })
        for (let time = 0; time < 2; time++) yield* Effect.exit(Effect.provide(run, engine(directory)))
        expect(yield* Effect.provide(run, engine(directory))).toMatchObject({ c: 13 })
        expect(ledger.count("run a")).toBe(1)
        // Nor to be found on the disk.
        expect(yield* fs.readDirectory(`${directory}/trash`)).toEqual([])
      })
    ))

  it.effect("a removal that was cut off is in the way of no claim that has written nothing yet", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        yield* twoEpochs(directory)
        const driver = yield* FileDriver.make(directory).pipe(
          shaky(() => ({ remove: (path) => path.endsWith(".2.ndjson") ? Effect.fail(failure) : fs.remove(path) }))
        )
        yield* Effect.flip(driver.remove("t"))
        expect(yield* fs.readDirectory(`${directory}/tasks`)).toContain("t.2.ndjson")
        // Who has claimed it has not begun, or has died.
        yield* Effect.scoped(driver.open("t"))
        expect(yield* readRecords(directory)).toEqual(Either.right([]))
        yield* fs.writeFileString(`${directory}/tasks/t.1.ndjson`, "{\"sum\":\"5b1c")
        expect(yield* readRecords(directory)).toEqual(Either.right([]))
        const run = CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 10 } })
        expect(yield* Effect.provide(run, engine(directory))).toMatchObject({ c: 13 })
        expect(Either.getOrThrow(yield* readRecords(directory)).length).toBeGreaterThan(1)
      })
    ))

  it.effect("a newer format, of the file or of an event, is a typed error that says which version it needs", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const [, last] = yield* twoEpochs(directory)
        const driver = yield* Effect.map(FileDriver.make(directory), TaskIO.make)
        const whole = yield* fs.readFileString(last)
        const rewritten = yield* Effect.promise(() => import("../../src/internal/crc32.ts"))
        const resum = (line: string) => {
          const bytes = new TextEncoder().encode(line)
          return `{"sum":"${rewritten.crc32(bytes, 18)}",${line.slice(18)}`
        }
        yield* fs.writeFileString(
          last,
          whole.split("\n").map((line) =>
            line.includes("\"format\":1") ? resum(line.replace("\"format\":1", "\"format\":7")) : line
          ).join("\n")
        )
        expect(yield* Effect.flip(driver.get("t"))).toMatchObject({
          _tag: "JournalVersionError",
          version: 7,
          supported: 1
        })
        yield* fs.writeFileString(
          last,
          whole.split("\n").map((line) => line.includes("\"v\":1") ? resum(line.replace("\"v\":1", "\"v\":9")) : line)
            .join("\n")
        )
        const error = yield* Effect.flip(driver.get("t"))
        expect(error).toMatchObject({ _tag: "JournalVersionError", version: 9, supported: 1 })
        expect(String(error)).toContain("Upgrade effect-checkmate")
      }).pipe(Effect.scoped)
    ))

  it.effect("a damaged task is left out of lists with a warning, and the others are shown", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const [, last] = yield* twoEpochs(directory)
        yield* Effect.provide(
          CheckMateEngine.run(abc(new Ledger()), { taskId: "good", input: { seed: 1 } }),
          engine(directory)
        )
        const whole = yield* fs.readFileString(last)
        yield* fs.writeFileString(last, `${whole.slice(0, -20)}\n`)
        const found = yield* Effect.provide(CheckMateEngine.find(), engine(directory))
        expect(found.map(({ taskId }) => taskId)).toEqual(["good"])
      })
    ))
})

describe("a directory in trouble is a typed error that says where", () => {
  const opening = (directory: string) =>
    Effect.flip(Effect.scoped(Layer.build(engine(directory)))).pipe(Effect.provide(NodeContext.layer))

  it.effect("one that cannot be made", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        yield* fs.writeFileString(`${directory}/file`, "")
        const error = yield* opening(`${directory}/file/checkmate`)
        expect(error).toMatchObject({ _tag: expect.stringMatching(/TaskIOError|BindLockError/) })
        expect(String(error)).toContain(`${directory}/file/checkmate`)
      })
    ))

  it.effect("one that is removed while a task runs", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const definition = abc(new Ledger(), {
          fail: (stage) => stage === "a" ? Effect.orDie(fs.remove(directory, { recursive: true })) : Effect.void
        })
        const exit = yield* Effect.exit(
          Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }), engine(directory))
        )
        expect(Exit.isFailure(exit) && exit.cause.toString()).toContain("the task was removed")
        yield* fs.makeDirectory(directory)
      })
    ))

  /** The real file system, on which one operation fails as told from the nth use on. */
  const failingFileSystem = (
    operation: "writeAll" | "sync" | "open",
    from: number,
    code: string,
    only: (path: string) => boolean = () => true
  ) => {
    const uses = { count: 0 }
    const fault = new SystemError({
      reason: "Unknown",
      module: "FileSystem",
      method: operation,
      description: `${code}: injected, ${operation}`
    })
    const guard = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SystemError, R> =>
      Effect.suspend((): Effect.Effect<A, E | SystemError, R> => ++uses.count >= from ? Effect.fail(fault) : effect)
    return Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (fs): FileSystem.FileSystem => ({
        ...fs,
        open: (path, options) => {
          const opened = Effect.map(fs.open(path, options), (file): FileSystem.File => {
            if (!only(path)) return file
            return Object.create(file, {
              writeAll: {
                value: (bytes: Uint8Array) =>
                  operation === "writeAll" ? guard(file.writeAll(bytes)) : file.writeAll(bytes)
              },
              sync: { get: () => operation === "sync" ? guard(file.sync) : file.sync },
              stat: { get: () => file.stat },
              write: { value: (bytes: Uint8Array) => file.write(bytes) }
            })
          })
          return operation === "open" && only(path) && options?.flag === "ax" ? guard(opened) : opened
        }
      }))
    ).pipe(Layer.provideMerge(NodeContext.layer))
  }

  for (
    const [what, operation, code] of [
      ["a full disk", "writeAll", "ENOSPC"],
      ["a write error", "writeAll", "EIO"],
      ["a failing sync", "sync", "EIO"],
      ["a read-only file system", "open", "EROFS"]
    ] as const
  ) {
    it.effect(`${what}, at any append: the task stops, and goes on to the same result once that is mended`, () =>
      inDirectory((directory) =>
        Effect.gen(function*() {
          const ledger = new Ledger()
          const isJournal = (path: string) => path.endsWith(".ndjson")
          for (let from = 1; from <= 6; from++) {
            const taskId = `t-${from}`
            ledger.entries.length = 0
            const run = CheckMateEngine.run(abc(ledger), { taskId, input: { seed: 1 } })
            const exit = yield* Effect.exit(
              Effect.provide(run, Layer.provide(engine(directory), failingFileSystem(operation, from, code, isJournal)))
            )
            if (Exit.isFailure(exit)) {
              expect(exit.cause.toString()).toContain(code)
              expect(exit.cause.toString()).toContain(`${taskId}.1.ndjson`)
            }
            expect(yield* Effect.provide(run, engine(directory))).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
            // Nothing ran twice without being undone in between, and nothing stands undone.
            for (const stage of ["a", "b", "c"]) {
              const story = ledger.entries.filter((entry) => entry.endsWith(stage)).join()
              expect(story).toMatch(/^(undo .,)*run .(,(undo .,)+run .)*$/)
            }
          }
        })
      ))
  }

  for (const what of ["an append", "a claim"] as const) {
    it.effect(`${what} that is interrupted waits for its write, before the file's number can be another file's`, () =>
      inDirectory((directory) =>
        Effect.gen(function*() {
          const told: Array<string> = []
          const begun = yield* Effect.makeLatch()
          const goOn = yield* Effect.makeLatch()
          /** As another thread does it: whether or not anybody waits for it. */
          const elsewhere = <A, E>(write: Effect.Effect<A, E>) =>
            Effect.flatMap(
              Effect.forkDaemon(begun.open.pipe(
                Effect.zipRight(goOn.await),
                Effect.zipRight(write),
                Effect.tap(() => told.push("written"))
              )),
              (fiber) => Effect.async<A, E>((resume) => fiber.addObserver(resume))
            )
          const slow = Layer.effect(
            FileSystem.FileSystem,
            Effect.map(FileSystem.FileSystem, (fs): FileSystem.FileSystem => ({
              ...fs,
              open: (path, options) =>
                options?.flag !== "ax" || !path.endsWith(what === "a claim" ? ".2.ndjson" : ".1.ndjson")
                  ? fs.open(path, options)
                  : Effect.tap(
                    Effect.map(fs.open(path, options), (file): FileSystem.File =>
                      Object.create(file, {
                        writeAll: { value: (bytes: Uint8Array) => elsewhere(file.writeAll(bytes)) },
                        sync: { get: () => file.sync },
                        stat: { get: () => file.stat }
                      })),
                    () => Effect.addFinalizer(() => Effect.sync(() => told.push("closed")))
                  )
            }))
          ).pipe(Layer.provideMerge(NodeContext.layer))
          const driver = yield* Effect.provide(FileDriver.make(directory), slow)
          if (what === "a claim") yield* Effect.scoped(driver.open("t"))
          const scope = yield* Scope.make()
          const working = yield* Scope.extend(driver.open("t"), scope).pipe(
            Effect.flatMap(({ append }) => append(0, ["{}"], summaryOf("t"))),
            Effect.fork
          )
          yield* begun.await
          const stopping = yield* Effect.fork(
            Effect.zipRight(Fiber.interrupt(working), Scope.close(scope, Exit.void))
          )
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          yield* goOn.open
          yield* Fiber.join(stopping)
          expect(told).toEqual(["written", "closed"])
        }).pipe(Effect.scoped)
      ))
  }

  it.effect("what an overtaken writer may not have synced is synced before it counts", () =>
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory)
        const journal = yield* driver.open("t")
        yield* journal.append(0, ["{}"], summaryOf("t"))
        const isOlder = (path: string) => path.endsWith("t.1.ndjson")
        const other = yield* FileDriver.make(directory).pipe(
          Effect.provide(failingFileSystem("sync", 1, "EIO", isOlder))
        )
        const error = yield* Effect.flip(other.open("t"))
        expect(error).toMatchObject({ _tag: "TaskIOError", operation: "open the journal" })
        expect(String(error)).toContain("t.1.ndjson")
        // Nothing says yet that it counts.
        expect(yield* fs.readFileString(`${directory}/tasks/t.2.ndjson`)).toBe("")
        expect((yield* driver.open("t")).records).toEqual(["{}"])
      }).pipe(Effect.scoped)
    ))

  it.effect("after a failed sync nothing more is written by this writer", () =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const driver = yield* FileDriver.make(directory).pipe(
          Effect.provide(failingFileSystem("sync", 2, "EIO", (path) => path.endsWith(".ndjson")))
        )
        const summary = summaryOf("t")
        const journal = yield* driver.open("t")
        yield* journal.append(0, ["{}"], summary)
        expect(yield* Effect.flip(journal.append(1, ["{}"], summary))).toMatchObject({ _tag: "TaskIOError" })
        const error = yield* Effect.flip(journal.append(1, ["{}"], summary))
        expect(error).toMatchObject({ _tag: "StaleWriterError" })
        expect(String(error)).toContain("an earlier append failed")
      }).pipe(Effect.scoped)
    ))
})
