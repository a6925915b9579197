/** A move that is cut off at each operation of what lies below a store: files, a KeyValueStore, or a database. */
import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, DateTime, Deferred, Effect, Fiber, Layer, Option, Predicate, type Scope, Stream } from "effect"
import { CheckMateEngine, TaskIO } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as KeyValueStoreDriver from "effect-checkmate/TaskIO/KeyValueStore"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { answering } from "../support/answering.ts"
import { abc, engineOver, failing, Ledger } from "../support/pipelines.ts"

// --- cuts -----------------------------------------------------------------------

/** Never comes back from the nth operation, as a process that is killed before it. */
class Cut {
  private seen = 0
  private readonly at: number
  private readonly died: Deferred.Deferred<void>
  constructor(at: number, died: Deferred.Deferred<void>) {
    this.at = at
    this.died = died
  }
  readonly over = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() =>
      ++this.seen === this.at ? Effect.zipRight(Deferred.succeed(this.died, undefined), Effect.never) : self
    )
  /** All that an object does, and what is opened by it. */
  readonly wrap = <A extends object>(of: A): A =>
    new Proxy(of, {
      get: (target, key) => {
        const found: unknown = Reflect.get(target, key)
        if (Effect.isEffect(found)) return this.over(found)
        if (!Predicate.isFunction(found)) return found
        return (...args: ReadonlyArray<unknown>) => {
          const answer: unknown = Reflect.apply(found, target, args)
          if (!Effect.isEffect(answer)) return answer
          return this.over(key === "open" ? Effect.map(answer, (file) => this.wrap(file as object)) : answer)
        }
      }
    })
}

/** What a store is over: as one process has it, and as another, whose operations are cut. */
interface Medium {
  readonly store: (cut?: Cut) => Effect.Effect<TaskIO.Encoded, unknown, Scope.Scope>
  readonly leftovers: Effect.Effect<ReadonlyArray<string>, unknown>
}

const onFiles = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const medium: Medium = {
    store: (cut) =>
      FileDriver.make(directory).pipe(
        cut === undefined ? (self) => self : Effect.provideService(FileSystem.FileSystem, cut.wrap(fs)),
        Effect.provide(NodeContext.layer)
      ),
    leftovers: Effect.map(
      Effect.forEach(
        ["tasks", "takes", "mail", "trash"],
        (folder) => Effect.orElseSucceed(fs.readDirectory(`${directory}/${folder}`), () => [])
      ),
      (found) => found.flat()
    )
  }
  return medium
}).pipe(Effect.provide(NodeContext.layer))

const inKeys = Effect.sync(() => {
  const keys = new Map<string, string>()
  const store = KeyValueStore.makeStringOnly({
    get: (key) => Effect.sync(() => Option.fromNullable(keys.get(key))),
    set: (key, value) => Effect.sync(() => void keys.set(key, value)),
    remove: (key) => Effect.sync(() => void keys.delete(key)),
    clear: Effect.sync(() => keys.clear()),
    size: Effect.sync(() => keys.size)
  })
  const medium: Medium = {
    store: (cut) =>
      Effect.provideService(KeyValueStoreDriver.make(), KeyValueStore.KeyValueStore, cut?.wrap(store) ?? store),
    leftovers: Effect.sync(() => [...keys].filter(([, value]) => value !== "[]").map(([key]) => key))
  }
  return medium
})

const inSqlite = Effect.gen(function*() {
  const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
  const client = SqliteClient.layer({ filename: `${directory}/work.db` })
  const storeOver = (layer: Layer.Layer<SqlClient.SqlClient, unknown>) =>
    Effect.flatMap(Layer.build(Layer.fresh(layer)), (context) => Effect.provide(Sql.makeTaskIO(), context))
  // A transaction that makes tables would not end with a process that is only taken for dead.
  yield* Effect.scoped(storeOver(client))
  const medium: Medium = {
    store: (cut) => storeOver(cut === undefined ? client : answering(client, () => cut.over(Effect.void))),
    leftovers: Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        Effect.forEach(
          ["tasks", "batches", "tags", "mail"],
          (table) => Effect.map(sql`select * from ${sql(`checkmate_${table}`)}`, (rows) => rows.map(() => table))
        )
    ).pipe(
      Effect.map((found) => found.flat()),
      Effect.provide(Layer.fresh(client))
    )
  }
  return medium
}).pipe(Effect.provide(NodeContext.layer))

// --- moves ------------------------------------------------------------------------

/** A task that failed, and was taken up again, with mail. */
const told = Effect.gen(function*() {
  const io = yield* MemoryDriver.make
  const definition = abc(new Ledger(), { fail: failing({ b: 9 }) })
  const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
  for (let time = 0; time < 2; time++) yield* Effect.exit(Effect.provide(run, engineOver(io)))
  for (const reason of ["one", "two"]) {
    yield* TaskIO.make(io).send("t", { _tag: "Cancel", at: DateTime.unsafeMake(0), rollback: false, reason })
  }
  return io
})

const contentsOf = (io: TaskIO.Encoded) =>
  Effect.gen(function*() {
    const summaries = Chunk.toReadonlyArray(yield* Stream.runCollect(io.list({})))
    const mail = (yield* io.receive("t")).map(({ message }) => message)
    return { summaries, records: yield* io.read("t", 0), mail, waiting: yield* io.waiting }
  })

const move = (from: TaskIO.Encoded, to: TaskIO.Encoded) =>
  TaskIO.copy(TaskIO.make(from), TaskIO.make(to), { removeFromSource: true })

const mediums = { "files": onFiles, "a KeyValueStore": inKeys, "SQLite": inSqlite }

describe("a move that is cut off at any operation comes to the same when it is done again", () => {
  for (const [name, make] of Object.entries(mediums)) {
    for (const side of ["from", "to"] as const) {
      it.live(`${side} ${name}`, () =>
        Effect.gen(function*() {
          const given = yield* told
          const expected = yield* contentsOf(given)
          let cuts = 0
          for (;;) {
            const ended = yield* Effect.scoped(Effect.gen(function*() {
              const medium = yield* make
              const other = yield* MemoryDriver.make
              const died = yield* Deferred.make<void>()
              const begun = side === "from" ? yield* medium.store() : other
              yield* TaskIO.copy(TaskIO.make(given), TaskIO.make(begun))
              const cut = new Cut(cuts + 1, died)
              const dying = Effect.scoped(Effect.flatMap(
                medium.store(cut),
                (store) => side === "from" ? move(store, other) : move(other, store)
              ))
              const fiber = yield* Effect.forkDaemon(dying)
              const isDead = yield* Effect.raceFirst(
                Effect.as(Deferred.await(died), true),
                Effect.as(Fiber.await(fiber), false)
              )
              // Another process, which knows nothing of the first one.
              const store = yield* medium.store()
              const [source, target] = side === "from" ? [store, other] : [other, store]
              const { failed } = yield* move(source, target)
              const where = `cut before operation ${cuts + 1}`
              expect(failed, where).toEqual([])
              expect(yield* contentsOf(target), where).toEqual(expected)
              expect(yield* contentsOf(source), where).toEqual({ summaries: [], records: [], mail: [], waiting: [] })
              // What a removal leaves that is cut off is nobody's, and goes with the next one.
              yield* source.remove("t")
              if (side === "from") expect(yield* medium.leftovers, where).toEqual([])
              return !isDead
            }))
            if (ended) break
            cuts++
          }
          expect(cuts).toBeGreaterThan(8)
        }))
    }
  }
})
