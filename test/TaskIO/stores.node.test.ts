/** One story told to an engine over every store: each must answer as the store in memory does. */
import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import type { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Random, Redacted, type Scope, TestClock, TestContext } from "effect"
import { CheckMateEngine, Task, type TaskIO, type TaskStatus } from "effect-checkmate"
import * as LocalDisk from "effect-checkmate/LocalDisk"
import * as S3 from "effect-checkmate/s3"
import * as Sql from "effect-checkmate/sql"
import * as Encrypted from "effect-checkmate/TaskIO/Encrypted"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as KeyValueStoreDriver from "effect-checkmate/TaskIO/KeyValueStore"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import * as madeUpStore from "../s3/madeUpStore.ts"
import { abc, engineOver, failing, Ledger } from "../support/pipelines.ts"
import { sharedServer } from "../support/sqlContracts.ts"

const server = sharedServer()

// --- stores ---------------------------------------------------------------------

type Store = Effect.Effect<TaskIO.Encoded, unknown, Scope.Scope>

const onFiles = Effect.flatMap(
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
  FileDriver.make
)
let prefixes = 0
const inSql = (client: Layer.Layer<SqlClient.SqlClient, unknown>): Store =>
  Effect.flatMap(Layer.build(Layer.fresh(client)), (context) =>
    Effect.map(
      Effect.provide(Sql.makeTaskIO({ prefix: `story${++prefixes}_` }), context),
      // Nobody else sends anything here, and to look for it at intervals takes as long as an hour of the story has looks.
      ({ arrivals: _, ...driver }) => driver
    ))
const sqlite = inSql(SqliteClient.layer({ filename: ":memory:" }))
const encrypted = (store: Store): Store =>
  Effect.flatMap(
    store,
    (driver) => Encrypted.make(driver, { current: "k", keys: { k: Redacted.make(new Uint8Array(32)) } })
  )

const stores: Readonly<Record<string, Store>> = {
  "on files": Effect.provide(onFiles, NodeContext.layer),
  "on files by way of LocalDisk": Effect.provide(onFiles, Layer.provideMerge(LocalDisk.layer, NodeContext.layer)),
  "in a KeyValueStore": Effect.provide(KeyValueStoreDriver.make(), KeyValueStore.layerMemory),
  "in SQLite": sqlite,
  "in Postgres": Effect.suspend(() => inSql(server)),
  "in S3": Effect.suspend(() => Effect.provide(S3.makeTaskIO(madeUpStore.options), madeUpStore.make().layer)),
  "encrypted in memory": encrypted(MemoryDriver.make),
  "encrypted in SQLite": encrypted(sqlite)
}

// --- what is asked ----------------------------------------------------------------

const pick = <A>(values: readonly [A, ...ReadonlyArray<A>]): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, values.length), (index) => values[index] ?? values[0])

/** One of those, in half of the cases. */
const maybe = <Name extends string, A>(name: Name, values: readonly [A, ...ReadonlyArray<A>]) =>
  Effect.flatMap(
    Random.nextBoolean,
    (given): Effect.Effect<{ readonly [Key in Name]?: A }> =>
      given ? Effect.map(pick(values), (value) => ({ [name]: value }) as { [Key in Name]: A }) : Effect.succeed({})
  )

const long = "l".repeat(499)
const names = ["abc", "it's \"quoted\"", "ünï%_", "nul\0", `${long}ab`, `${long}ac`, `${long}a`] as const
const tags = [
  "a",
  "A",
  "",
  "a'b",
  "%",
  "ü",
  "u\u0308",
  "nul\0",
  "nul",
  "\ud800",
  "🙂",
  `${long}ab`,
  `${long}ac`,
  "a\nb"
] as const
const ids = ["t", "T", "t.1", "t.1.2", "t-1", "t@x", "x".repeat(200)] as const

const someTags = Effect.flatMap(Random.nextIntBetween(0, 6), (count) => Effect.replicateEffect(pick(tags), count))

const someQuery = Effect.gen(function*() {
  const now = DateTime.toEpochMillis(yield* DateTime.now)
  return {
    ...(yield* maybe<"status", ReadonlyArray<TaskStatus.Tag>>("status", [[], ["Succeeded"], ["Failed", "Cancelled"], [
      "Failed",
      "Failed"
    ]])),
    ...((yield* Random.next) < 0.2 ? yield* maybe("checkMate", ["", "none", ...names]) : {}),
    ...((yield* Random.next) < 0.6 ? yield* maybe("tags", [[], [yield* pick(tags)], yield* someTags]) : {}),
    ...(yield* maybe("since", [now, now - 1, now - 60_000, new Date(now - 3_600_000)]))
  }
})

const someFind = Effect.gen(function*() {
  return {
    ...(yield* someQuery),
    ...(yield* maybe("order", ["ascending", "descending"] as const)),
    ...(yield* maybe("sort", ["createdAt", "updatedAt"] as const)),
    ...(yield* maybe("limit", [0, 1, 2, 3, 100, 2.5, -1, Number.NaN, Number.POSITIVE_INFINITY])),
    ...(yield* maybe("offset", [0, 1, 2, 5, 2.5, -1, Number.NaN])),
    ...((yield* Random.next) < 0.3 ? yield* maybe("held", [true, false]) : {})
  }
})

const someClean = Effect.gen(function*() {
  return {
    olderThan: yield* pick([0, 1, 1_000, 3_600_000]),
    ...(yield* maybe<"status", ReadonlyArray<"Succeeded" | "Failed" | "Cancelled" | "RolledBack">>("status", [[
      "Succeeded"
    ], [
      "Failed",
      "Cancelled",
      "RolledBack"
    ], []]))
  }
})

const clean = Effect.gen(function*() {
  const options = yield* someClean
  const cleaned = (dryRun: boolean) =>
    Effect.map(
      CheckMateEngine.clean({ ...options, dryRun }),
      (found) => found.toSorted((left, right) => left.taskId < right.taskId ? -1 : 1)
    )
  const foretold = yield* cleaned(true)
  expect(yield* cleaned(false)).toEqual(foretold)
  return foretold
})

type Asked = Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>

const step = Effect.gen(function*() {
  yield* TestClock.adjust(yield* pick([0, 0, 1, 1, 500, 1_000, 3_599_999, 3_600_000]))
  const taskId = yield* pick(ids)
  // Mostly the CheckMate that the task began with.
  const other = (yield* Random.next) < 0.05 ? 1 : 0
  const definition = {
    ...abc(new Ledger(), {
      fail: failing(yield* pick([{}, {}, { b: 1 }, { c: 99 }])),
      failUndo: failing(yield* pick([{}, {}, { a: 1 }])),
      onFailure: yield* pick(["halt", "rollback"] as const)
    }),
    name: names[ids.indexOf(taskId) + other] ?? "abc"
  }
  const started = {
    tags: yield* someTags,
    ...(yield* maybe("memo", ["", "a memo", "nul\0 \ud800 🙂", "m".repeat(5_000)]))
  }
  const find = yield* someFind
  const seldom = yield* pick<Asked>([
    CheckMateEngine.resume(definition, taskId),
    CheckMateEngine.cancel(taskId, { reason: "because" }),
    CheckMateEngine.cancel(taskId, { rollback: definition }),
    CheckMateEngine.rollback(definition, taskId),
    CheckMateEngine.retryFrom(definition, taskId, yield* pick(["a", "b", "c"])),
    CheckMateEngine.pause(taskId),
    CheckMateEngine.remove(taskId),
    clean,
    Effect.map(CheckMateEngine.get(taskId), ({ history, task }) => [Task.summarize(task), history])
  ])
  const run = CheckMateEngine.run(definition, { taskId, input: { seed: 1 }, ...started })
  const asked = yield* pick<Asked>([run, CheckMateEngine.find(find), seldom])
  const answer = yield* Effect.match(asked, { onFailure: String, onSuccess: (value) => value })
  return { taskId, find, answer }
})

const tell = (store: Store) =>
  Effect.gen(function*() {
    const driver = yield* store
    return yield* Effect.replicateEffect(step, 100).pipe(Effect.provide(engineOver(driver)))
  }).pipe(Effect.scoped, Effect.withRandom(Random.make("a story")), Effect.provide(TestContext.TestContext))

describe("a story of runs, steps back, removals and questions", () => {
  for (const [where, store] of Object.entries(stores)) {
    it.live(`is answered ${where} as it is in memory`, () =>
      Effect.gen(function*() {
        const told = yield* tell(store)
        for (const [index, expected] of (yield* tell(MemoryDriver.make)).entries()) {
          expect(told[index], `step ${index}`).toEqual(expected)
        }
      }), 300_000)
  }
})
