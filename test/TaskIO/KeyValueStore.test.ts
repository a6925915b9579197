import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { BindLock, CheckMateEngine, TaskIO } from "effect-checkmate"
import * as KeyValueDriver from "effect-checkmate/TaskIO/KeyValueStore"
import { abc, failing, Ledger } from "../support/pipelines.ts"
import { summaryOf } from "../support/summary.ts"

/** An engine of its own over a store that is there already. */
const engineOver = (store: KeyValueStore.KeyValueStore, prefix?: string) =>
  CheckMateEngine.layer.pipe(
    Layer.provideMerge(TaskIO.layerKeyValueStore(prefix === undefined ? {} : { prefix })),
    Layer.provide(BindLock.layerMemory),
    Layer.provide(Layer.succeed(KeyValueStore.KeyValueStore, store))
  )

const withStore = <A, E>(use: (store: KeyValueStore.KeyValueStore) => Effect.Effect<A, E>) =>
  Effect.flatMap(KeyValueStore.KeyValueStore, use).pipe(Effect.provide(KeyValueStore.layerMemory))

describe("journals in a KeyValueStore", () => {
  it.effect("outlive the engine: another one goes on from the last checkpoint", () =>
    withStore((store) =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const definition = abc(ledger, { fail: failing({ c: 1 }) })
        const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
        expect(yield* Effect.flip(Effect.provide(run, engineOver(store)))).toMatchObject({ _tag: "Boom" })
        expect(yield* Effect.provide(run, engineOver(store))).toMatchObject({ c: 4 })
        expect(ledger.entries).toEqual(["run a", "run b", "run c", "undo c", "run c"])
      })
    ))

  it.effect("under two prefixes never see each other", () =>
    withStore((store) =>
      Effect.gen(function*() {
        const run = CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
        yield* Effect.provide(run, engineOver(store, "one/"))
        const other = engineOver(store, "two/")
        expect(yield* Effect.provide(CheckMateEngine.find(), other)).toEqual([])
        expect(yield* Effect.provide(Effect.flip(CheckMateEngine.get("t")), other)).toMatchObject({
          _tag: "TaskNotFoundError"
        })
        yield* Effect.provide(CheckMateEngine.clean(), other)
        expect(yield* Effect.provide(CheckMateEngine.find(), engineOver(store, "one/"))).toHaveLength(1)
      })
    ))

  it.effect("refuse a writer that another process has overtaken, and leave nothing behind once removed", () =>
    withStore((store) =>
      Effect.gen(function*() {
        let overtaken = false
        const other = engineOver(store)
        const slow = abc(new Ledger(), {
          // Another process, which knows nothing of this one's lock, takes the task up meanwhile.
          fail: (stage) =>
            stage === "b" && !overtaken
              ? Effect.suspend(() => {
                overtaken = true
                return Effect.orDie(Effect.provide(
                  CheckMateEngine.resume(abc(new Ledger()), "t"),
                  other
                ))
              })
              : Effect.void
        })
        const run = CheckMateEngine.run(slow, { taskId: "t", input: { seed: 1 } })
        expect(yield* Effect.flip(Effect.provide(run, engineOver(store)))).toMatchObject({ _tag: "StaleWriterError" })
        const view = yield* Effect.provide(CheckMateEngine.get("t"), other)
        expect([view.task.status._tag, view.state["c"]]).toEqual(["Succeeded", 4])
        yield* Effect.provide(CheckMateEngine.clean(), other)
        // One of the parts of the list of ids, which is empty.
        expect(yield* store.size).toBe(1)
      })
    ))

  it.effect("leave nothing behind once removed, also where a removal was cut off, or the head cannot be read", () =>
    withStore((store) =>
      Effect.gen(function*() {
        const io = yield* Effect.provideService(KeyValueDriver.make(), KeyValueStore.KeyValueStore, store)
        const write = Effect.scoped(Effect.flatMap(io.open("t"), ({ append }) =>
          Effect.forEach([0, 1, 2, 3], (position) =>
            append(position, [String(position)], summaryOf("t")))))
        yield* write
        yield* store.set("checkmate/head/t", "{")
        yield* io.remove("t")
        expect(yield* store.size).toBe(1)
        for (const left of [5, 4, 3, 2, 1]) {
          yield* write
          let keys = 5 - left
          const cutOff: KeyValueStore.KeyValueStore = {
            ...store,
            remove: (key) =>
              keys-- > 0 ? store.remove(key) : Effect.die("it is cut off")
          }
          const dying = yield* Effect.provideService(KeyValueDriver.make(), KeyValueStore.KeyValueStore, cutOff)
          yield* Effect.exit(dying.remove("t"))
          // And the list of ids.
          expect(yield* store.size).toBe(left + 1)
          yield* io.remove("t")
          expect(yield* store.size).toBe(1)
        }
      })
    ))

  it.scoped("in platform's files are of ids whose keys make no longer file names than there are, others are refused", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
      const run = (taskId: string) =>
        CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } }).pipe(
          Effect.provide(Layer.fresh(
            CheckMateEngine.layer.pipe(
              Layer.provideMerge(TaskIO.layerKeyValueStore()),
              Layer.provide([BindLock.layerMemory, KeyValueStore.layerFileSystem(directory)])
            )
          ))
        )
      for (const taskId of ["a".repeat(200), `a${"@".repeat(75)}`]) {
        expect(yield* run(taskId)).toMatchObject({ c: 4 })
      }
      const error = yield* Effect.flip(run(`a${"@".repeat(199)}`))
      expect(error).toMatchObject({ _tag: "TaskIOError", problem: expect.stringContaining("ENAMETOOLONG") })
    }).pipe(Effect.provide(NodeContext.layer)))

  it.effect("are read as they were or as they are, where the task is removed and begun anew meanwhile", () =>
    withStore((store) =>
      Effect.gen(function*() {
        const driver = (over: KeyValueStore.KeyValueStore) =>
          Effect.provideService(KeyValueDriver.make(), KeyValueStore.KeyValueStore, over)
        const io = yield* driver(store)
        const write = (...records: ReadonlyArray<string>) =>
          Effect.scoped(Effect.flatMap(io.open("t"), ({ append }) =>
            Effect.forEach(records, (record, position) =>
              append(position, [record], summaryOf("t")))))
        const meanwhile = [
          { what: Effect.void, found: ["old 1", "old 2"] },
          { what: io.remove("t"), found: [] },
          {
            what: Effect.zipRight(io.remove("t"), write("new 1", "new 2", "new 3")),
            found: ["new 1", "new 2", "new 3"]
          }
        ]
        for (const { found, what } of meanwhile) {
          for (const place of ["head/t", "batch/t/0"]) {
            yield* io.remove("t")
            yield* write("old 1", "old 2")
            let between: Effect.Effect<unknown, unknown> = what
            const reader = yield* driver({
              ...store,
              get: (key) =>
                Effect.tap(store.get(key), () => {
                  if (key !== `checkmate/${place}`) {
                    return Effect.void
                  }
                  const now = between
                  between = Effect.void
                  return Effect.orDie(now)
                })
            })
            expect(yield* reader.read("t", 0)).toEqual(found)
          }
        }
      })
    ))

  it.effect("take turns: who asks again and again keeps nobody else waiting", () =>
    withStore((store) =>
      Effect.gen(function*() {
        const sent: Array<string> = []
        const driver = yield* KeyValueDriver.make().pipe(
          Effect.provideService(KeyValueStore.KeyValueStore, {
            ...store,
            set: (key, value) =>
              Effect.zipRight(
                Effect.sync(() => key.includes("mail/") && sent.push(key.slice(-1))),
                Effect.zipRight(Effect.yieldNow(), store.set(key, value))
              )
          })
        )
        const many = Effect.forEach(["1", "2", "3", "4"], (message) => driver.send("a", message))
        yield* Effect.all([many, driver.send("b", "1"), driver.send("c", "1")], { concurrency: "unbounded" })
        expect(sent).toEqual(["a", "b", "c", "a", "a", "a"])
      })
    ))

  it.effect("say which key is damaged", () =>
    withStore((store) =>
      Effect.gen(function*() {
        const engine = engineOver(store)
        yield* Effect.provide(CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }), engine)
        const get = Effect.flip(Effect.provide(CheckMateEngine.get("t"), engine))
        yield* store.set("checkmate/batch/t/1", "[")
        expect(yield* get).toMatchObject({ _tag: "JournalDamagedError", location: "checkmate/batch/t/1" })
        yield* store.set("checkmate/batch/t/1", "[]")
        expect(yield* get).toMatchObject({ _tag: "JournalDamagedError", location: "checkmate/head/t" })
        yield* store.remove("checkmate/batch/t/1")
        expect(yield* get).toMatchObject({
          _tag: "JournalDamagedError",
          location: "checkmate/batch/t/1",
          problem: "the batch is not there"
        })
        const head = JSON.parse(Option.getOrElse(yield* store.get("checkmate/head/t"), () => ""))
        yield* store.set("checkmate/head/t", JSON.stringify({ ...head, batches: 5_000_000_000 }))
        expect(yield* get).toMatchObject({ _tag: "JournalDamagedError", location: "checkmate/batch/t/1" })
        yield* store.set("checkmate/head/t", "{}")
        expect(yield* get).toMatchObject({ _tag: "JournalDamagedError", location: "checkmate/head/t" })
        expect(yield* Effect.provide(CheckMateEngine.find(), engine)).toEqual([])
      })
    ))
})
