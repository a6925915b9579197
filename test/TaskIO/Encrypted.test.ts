import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  ConfigProvider,
  Data,
  DateTime,
  Effect,
  Either,
  Encoding,
  Exit,
  Layer,
  Logger,
  Option,
  Redacted,
  Schema,
  Stream
} from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, TaskIO } from "effect-checkmate"
import * as Encrypted from "effect-checkmate/TaskIO/Encrypted"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { TaskIOContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { abc, engineOver, failing, Ledger } from "../support/pipelines.ts"

class Leak extends Data.TaggedError("Leak")<{ readonly message: string }> {}

const keyOf = (fill: number) => Redacted.make(new Uint8Array(32).fill(fill))
const november: Encrypted.Keys = { current: "2026-11", keys: { "2026-11": keyOf(11) } }
const rotated: Encrypted.Keys = { current: "2026-12", keys: { "2026-12": keyOf(12), "2026-11": keyOf(11) } }
const december: Encrypted.Keys = { current: "2026-12", keys: { "2026-12": keyOf(12) } }

const inDirectory = <A, E>(use: (directory: string) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

describeContract(
  "TaskIO contract: encrypted, in memory",
  TaskIOContract.rules,
  (use) => Effect.scoped(Effect.flatMap(Effect.flatMap(MemoryDriver.make, (io) => Encrypted.make(io, november)), use))
)

describeContract(
  "TaskIO contract: encrypted, on files",
  TaskIOContract.rules,
  (use) =>
    Effect.flatMap(FileSystem.FileSystem, (fs) =>
      fs.makeTempDirectoryScoped().pipe(
        Effect.flatMap(FileDriver.make),
        Effect.flatMap((io) => Encrypted.make(io, november)),
        Effect.flatMap(use)
      )).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
  { lacks: ["arrivals"] }
)

const run = (taskId: string, definition = abc(new Ledger())) =>
  CheckMateEngine.run(definition, { taskId, input: { seed: 1 } })

/** A store in memory, and what it looks like with keys. */
const makeStore = Effect.map(MemoryDriver.make, (plain) => ({
  plain,
  with: (keys: Encrypted.Keys, options?: Encrypted.EncryptedOptions) => Encrypted.make(plain, keys, options)
}))

const over = (driver: TaskIO.Encoded) => Effect.provide(engineOver(driver))

/** The store with other records for a task than it has. */
const withRecords = (
  plain: TaskIO.Encoded,
  change: (records: ReadonlyArray<string>) => ReadonlyArray<string>
): TaskIO.Encoded => ({ ...plain, read: (id, from) => Effect.map(plain.read(id, 0), (all) => change(all).slice(from)) })

const keyIdsOf = (records: ReadonlyArray<string>) =>
  new Set(records.map((record) => (JSON.parse(record) as { readonly key: string }).key))

describe("what an encrypted store keeps", () => {
  const secrets = ["input", "output", "failure", "memo", "reason"].map((what) => `secret-${what}-7f3a`)
  const [input, output, failure, memo, reason] = secrets as [string, string, string, string, string]
  const Secret = State.make({ given: Schema.String, made: Schema.String })
  const definition = CheckMate.make("secret", {
    state: Secret,
    input: ["given"],
    stages: [
      Stage.make(Secret, "make", { provides: ["made"], execute: () => Effect.succeed({ made: output }) }),
      Stage.make(Secret, "fail", { execute: () => new Leak({ message: failure }) })
    ]
  })

  /** Runs the task to its failure, leaves a letter, and returns all bytes that are on the disk then. */
  const bytesWith = (wrap: (store: ReturnType<typeof TaskIO.layerFileSystem>) => Layer.Layer<TaskIO.TaskIO, unknown>) =>
    inDirectory((directory) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* Effect.gen(function*() {
          const task = { taskId: "t", input: { given: input }, memo, tags: ["nightly"] }
          yield* Effect.exit(CheckMateEngine.run(definition, task))
          const io = yield* TaskIO.TaskIO
          yield* io.send("t", { _tag: "Cancel", at: yield* DateTime.now, rollback: false, reason })
          const [summary] = yield* CheckMateEngine.find()
          expect(summary).toMatchObject({ taskId: "t", status: "Failed", memo, tags: ["nightly"] })
          expect((yield* CheckMateEngine.get("t")).state).toEqual({ given: input, made: output })
        }).pipe(
          Effect.provide(
            Layer.provideMerge(
              CheckMateEngine.layer,
              Layer.merge(wrap(TaskIO.layerFileSystem(directory)), BindLock.layerMemory)
            )
          )
        )
        const names = yield* fs.readDirectory(directory, { recursive: true })
        const texts = yield* Effect.forEach(names, (name) =>
          Effect.orElseSucceed(fs.readFileString(`${directory}/${name}`), () => ""))
        return [...names, ...texts].join("\n")
      })
    )
  const onDisk = Layer.provide(NodeContext.layer)

  it.effect("is neither state, outputs, failures, memos nor messages; ids, names, statuses and tags are in clear", () =>
    Effect.gen(function*() {
      const sealed = yield* bytesWith((store) => onDisk(store.pipe(TaskIO.encrypted(november))))
      for (const secret of secrets) expect(sealed).not.toContain(secret)
      for (const clear of [`"taskId":"t"`, `"checkMate":"secret"`, `"status":"Failed"`, `"tags":["nightly"]`]) {
        expect(sealed).toContain(clear)
      }
      // All of it is there without encryption, so the look for it finds what there is.
      const plain = yield* bytesWith(onDisk)
      for (const secret of secrets) expect(plain).toContain(secret)
    }))

  it.effect("carries a whole engine: failures, another engine's resume, rollbacks, and mail", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const io = yield* store.with(november)
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ c: 1 }) })
      yield* over(io)(Effect.exit(run("t", definition)))
      const again = yield* store.with(november)
      expect(yield* over(again)(run("t", definition))).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
      yield* over(again)(CheckMateEngine.rollback(definition, "t"))
      expect(ledger.entries.slice(-3)).toEqual(["undo c", "undo b", "undo a"])
      expect((yield* over(io)(CheckMateEngine.get("t"))).task.status._tag).toBe("RolledBack")
      yield* over(io)(CheckMateEngine.clean())
      expect(yield* over(io)(CheckMateEngine.find())).toEqual([])
    }))
})

describe("keys", () => {
  it.effect("are rotated: old records stay readable, new ones are written with the current key", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* over(yield* store.with(november))(Effect.exit(run("t", definition)))
      expect(keyIdsOf(yield* store.plain.read("t", 0))).toEqual(new Set(["2026-11"]))
      expect(yield* over(yield* store.with(rotated))(run("t", definition))).toMatchObject({ c: 4 })
      expect(keyIdsOf(yield* store.plain.read("t", 0))).toEqual(new Set(["2026-11", "2026-12"]))
    }))

  it.effect("that are not known are named, and what is known, and nothing is changed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* over(yield* store.with(november))(run("t"))
      const before = yield* store.plain.read("t", 0)
      const error = yield* over(yield* store.with(december))(Effect.flip(run("t")))
      expect(error).toMatchObject({ _tag: "DecryptionError", taskId: "t", location: "record 0", key: "2026-11" })
      expect((error as Error).message).toContain(`encrypted with key "2026-11", and known are "2026-12"`)
      expect(yield* store.plain.read("t", 0)).toEqual(before)
    }))

  it.effect("of a known id that are others are told from damage as little as can be, and nothing is to be removed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* over(yield* store.with(november))(run("t"))
      const wrong = yield* store.with({ current: "2026-11", keys: { "2026-11": keyOf(99) } })
      const error = yield* over(wrong)(Effect.flip(run("t")))
      expect(error).toMatchObject({
        _tag: "DecryptionError",
        taskId: "t",
        location: "record 0",
        key: "2026-11",
        problem: expect.stringContaining(`it is not what key "2026-11" wrote here. Give the key of that id`)
      })
      expect((error as Error).message).not.toContain("remove")
    }))

  it.effect("that cannot be used are refused as the layer is built, without showing them", () =>
    Effect.gen(function*() {
      const base64 = Encoding.encodeBase64(new Uint8Array(31).fill(77))
      const refused = (current: string, keys: Encrypted.Keys["keys"]) =>
        Effect.flip(Effect.provide(TaskIO.TaskIO, TaskIO.encrypted({ current, keys })(TaskIO.layerMemory)))
      const errors = yield* Effect.all([
        refused("a", { a: Redacted.make(base64) }),
        refused("a", { a: Redacted.make("no base64 %%") }),
        refused("b", { a: keyOf(1) }),
        refused("a:b", { "a:b": keyOf(1) }),
        refused("constructor", {})
      ])
      expect(errors.map(({ keyId, problem }) => [keyId, problem])).toEqual([
        ["a", "has 31 bytes, not 32"],
        ["a", "is not base64"],
        ["b", "is to be the current one, and is not among the keys"],
        ["a:b", "is no id for a key"],
        ["constructor", "is to be the current one, and is not among the keys"]
      ])
      for (const error of errors) {
        expect(error._tag).toBe("EncryptionKeysError")
        for (const shown of [String(error), JSON.stringify(error)]) expect(shown).not.toMatch(/TU1N|no base64 %%/)
      }
    }))

  it.effect("that untyped code gives in another shape are refused the same way", () =>
    Effect.gen(function*() {
      const refused = (keys: unknown) =>
        Effect.flip(Effect.provide(TaskIO.TaskIO, TaskIO.encrypted(keys as Encrypted.Keys)(TaskIO.layerMemory)))
      const plain = Encoding.encodeBase64(new Uint8Array(32).fill(77))
      const shapes = [undefined, null, plain, {}, [], { current: "a" }, { keys: { a: keyOf(1) } }]
      for (const error of yield* Effect.forEach(shapes, refused)) {
        expect(error._tag).toBe("EncryptionKeysError")
        expect(error.message).toContain("{ current: id, keys: { id: Redacted } }")
      }
      const error = yield* refused({ current: "a", keys: { a: plain } })
      expect(error).toMatchObject({ _tag: "EncryptionKeysError", keyId: "a", problem: "is no Redacted" })
      expect(String(error)).not.toContain(plain)
    }))

  it.effect("come from configuration, the current one first", () =>
    Effect.gen(function*() {
      const [one, two] = [1, 2].map((fill) => Encoding.encodeBase64(new Uint8Array(32).fill(fill)))
      const keysFrom = (text: string) =>
        Effect.withConfigProvider(Encrypted.config(), ConfigProvider.fromMap(new Map([["CHECKMATE_KEYS", text]])))
      const keys = yield* keysFrom(` new:${two}, old:${one}`)
      expect(keys.current).toBe("new")
      expect(Object.keys(keys.keys)).toEqual(["new", "old"])
      const store = yield* MemoryDriver.make
      const old = yield* Encrypted.make(store, { current: "old", keys: { old: keyOf(1) } })
      yield* over(old)(run("t"))
      expect(yield* over(yield* Encrypted.make(store, keys))(run("t"))).toMatchObject({ c: 4 })
      for (const text of ["", "new", `new:${one}:x`, `a:${one},a:${two}`, `a:${one},`]) {
        const error = yield* Effect.flip(keysFrom(text))
        expect(String(error)).not.toContain(String(one))
        expect(error._tag).toBe("ConfigError")
      }
      const layer = TaskIO.layerMemory.pipe(TaskIO.encryptedConfig())
      const built = (entries: ReadonlyArray<readonly [string, string]>) =>
        TaskIO.TaskIO.pipe(
          Effect.provide(layer),
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map(entries))),
          Effect.exit
        )
      expect(Exit.isSuccess(yield* built([["CHECKMATE_KEYS", `new:${two}`]]))).toBe(true)
      expect(Exit.isFailure(yield* built([]))).toBe(true)
    }))
})

describe("a sealed record", () => {
  it.effect("that is changed at any place opens as nothing else than it was", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* over(yield* store.with(november))(run("t"))
      const whole = yield* Effect.flatMap(store.with(november), (io) => io.read("t", 0))
      const records = yield* store.plain.read("t", 0)
      const record = records[2] ?? ""
      let refused = 0
      for (let place = 0; place < record.length; place++) {
        for (const other of ["", "A", "\"", "=", String.fromCharCode(record.charCodeAt(place) ^ 1)]) {
          if (other === record[place]) continue
          const changed = record.slice(0, place) + other + record.slice(place + 1)
          const store = withRecords(yield* MemoryDriver.make, () => records.with(2, changed))
          for (const options of [{}, { allowPlaintext: true }]) {
            const io = TaskIO.make(yield* Encrypted.make(store, november, options))
            const events = yield* Effect.either(io.read("t"))
            if (Either.isLeft(events)) {
              expect(["DecryptionError", "JournalDamagedError", "JournalVersionError"]).toContain(events.left._tag)
              refused++
            } else {
              // Bits of base64 that stand for nothing.
              const found = yield* Effect.flatMap(Encrypted.make(store, november), (sealed) => sealed.read("t", 0))
              expect(found).toEqual(whole)
            }
          }
        }
      }
      expect(refused).toBeGreaterThan(record.length * 2)
    }), 300_000)

  it.effect("opens neither at another position nor in another task", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      for (const id of ["t", "u"]) yield* over(yield* store.with(november))(run(id))
      const other = yield* store.plain.read("u", 0)
      const changes: ReadonlyArray<(records: ReadonlyArray<string>) => ReadonlyArray<string>> = [
        (records) => records.with(1, records[2] ?? "").with(2, records[1] ?? ""),
        (records) => [...records.slice(0, 1), ...records.slice(2)],
        (records) => [...records.slice(0, 1), ...records],
        (records) => records.with(1, other[1] ?? "")
      ]
      for (const change of changes) {
        const io = yield* Encrypted.make(withRecords(store.plain, change), november)
        const error = yield* Effect.flip(io.read("t", 0))
        expect(error).toMatchObject({ _tag: "DecryptionError", location: "record 1" })
      }
      // A letter is no record, and a memo no letter.
      const io = yield* store.with(november)
      yield* io.send("t", "{}")
      const [letter] = yield* store.plain.receive("t")
      yield* store.plain.send("u", letter?.message ?? "")
      expect(yield* io.receive("u")).toEqual([])
      expect(yield* io.receive("t")).toHaveLength(1)
    }))

  it.effect("of a newer format is told as such", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const newer = withRecords(store.plain, () => [JSON.stringify({ encrypted: 2, key: "x", data: "" })])
      const error = yield* Effect.flip(Effect.flatMap(Encrypted.make(newer, november), (io) => io.read("t", 0)))
      expect(error).toMatchObject({ _tag: "JournalVersionError", version: 2, supported: 1 })
    }))

  it.effect("is never the same twice", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const io = yield* store.with(november)
      for (let time = 0; time < 3; time++) yield* io.send("t", "the same")
      expect(new Set((yield* store.plain.receive("t")).map(({ message }) => message)).size).toBe(3)
    }))
})

describe("a store that was not encrypted from its beginning", () => {
  it.effect("is refused, and goes on encrypted where that is allowed", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      const memo = `"quoted" {"like":"JSON"}`
      const started = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 }, memo })
      yield* over(store.plain)(Effect.exit(started))
      const before = (yield* store.plain.read("t", 0)).length
      const error = yield* over(yield* store.with(november))(Effect.flip(run("t", definition)))
      expect(error).toMatchObject({ _tag: "DecryptionError", location: "record 0" })
      expect((error as Error).message).toContain("it is not encrypted")
      const lenient = yield* store.with(november, { allowPlaintext: true })
      expect((yield* over(lenient)(CheckMateEngine.find()))[0]?.memo).toBe(memo)
      expect(yield* over(lenient)(run("t", definition))).toMatchObject({ c: 4 })
      expect((yield* over(lenient)(CheckMateEngine.find()))[0]?.memo).toBe(memo)
      const records = yield* store.plain.read("t", 0)
      for (const record of records.slice(0, before)) expect(JSON.parse(record)).toHaveProperty("v")
      expect(keyIdsOf(records.slice(before))).toEqual(new Set(["2026-11"]))
    }))

  it.effect("says so where the keys are missing", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* over(yield* store.with(november))(run("t"))
      const error = yield* over(store.plain)(Effect.flip(run("t")))
      expect(error).toMatchObject({ _tag: "DecryptionError", location: "record 0" })
      expect((error as Error).message).toContain("Give them with TaskIO.encrypted")
    }))
})

describe("without the right key", () => {
  const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => lines.push(String(message)))
      return Effect.map(Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)), (value) => ({
        value,
        lines
      }))
    })

  it.effect("lists show everything but memos", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const task = { taskId: "t", input: { seed: 1 }, memo: "for people \ud800", tags: ["x"] }
      const io = yield* store.with(november)
      yield* over(io)(CheckMateEngine.run(abc(new Ledger()), task))
      const [whole] = Chunk.toReadonlyArray(yield* Stream.runCollect(io.list({})))
      expect(whole?.memo).toBe(task.memo)
      const blind = yield* store.with(december)
      const { lines, value } = yield* logged(Stream.runCollect(blind.list({})))
      const { memo: _, ...rest } = whole ?? { memo: "" }
      expect(Chunk.toReadonlyArray(value)).toEqual([rest])
      expect(lines).toEqual([expect.stringContaining("The memo of task t is left out")])
    }))

  it.effect("messages are left for who can read them, and told of once", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const sender = yield* store.with(november)
      yield* sender.send("t", "{}")
      yield* store.plain.send("t", "{}")
      const blind = TaskIO.make(yield* store.with(december))
      const { lines, value } = yield* logged(Effect.all([blind.take("t"), blind.take("t")]))
      expect(value).toEqual([[], []])
      expect(lines).toHaveLength(2)
      expect(Option.fromNullable((yield* sender.receive("t"))[0]?.message)).toEqual(Option.some("{}"))
      expect(yield* store.plain.receive("t")).toHaveLength(2)
    }))
})
