/** What only stores in a database do: make their tables, list by index, and come through every crash on them. */
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import {
  Array as Arr,
  DateTime,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Random,
  Redacted,
  Scope,
  Stream,
  TestClock
} from "effect"
import { CheckMateEngine, Task, TaskIO } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { Crashes } from "effect-checkmate/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { answering } from "../support/answering.ts"
import { abc, Boom, engineOver, Ledger } from "../support/pipelines.ts"
import { clientOf, postgres } from "../support/postgres.ts"
import { sharedServer } from "../support/sqlContracts.ts"
import { asOfVersion3 } from "../support/sqliteOlder.ts"
import { summaryOf } from "../support/summary.ts"

const server = sharedServer()
let number = 0

const withFile = <A, E>(use: (filename: string) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-sqlite-"))),
    (directory) => use(path.join(directory, "work.db")),
    (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
  )

const memory: Layer.Layer<SqlClient.SqlClient, unknown> = SqliteClient.layer({ filename: ":memory:" })

describe("the tables", () => {
  it.effect("are left alone where they are up to date: nobody waits for a transaction then", () => {
    const said: Array<string> = []
    const noting = answering(memory, (text) =>
      Effect.sync(() => {
        said.push(text)
      }))
    return Effect.gen(function*() {
      yield* Sql.makeTaskIO()
      expect(said).toContain("begin immediate")
      said.length = 0
      yield* Sql.makeTaskIO()
      expect(said).not.toContain("begin immediate")
    }).pipe(Effect.scoped, Effect.provide(noting))
  })

  const atOnce = (client: () => Layer.Layer<SqlClient.SqlClient, unknown>, options: Sql.Options) =>
    Effect.gen(function*() {
      const engines = yield* Effect.forEach(Array.from({ length: 6 }), () =>
        Effect.scoped(Effect.provide(
          Effect.flatMap(Sql.makeTaskIO(options), (store) => Effect.scoped(store.open("t"))),
          client()
        )), { concurrency: "unbounded" })
      expect(new Set(engines.map(({ epoch }) => epoch)).size).toBe(6)
    })

  it.live("are made by many that come at once, by one of them: SQLite", () =>
    withFile((filename) => atOnce(() => SqliteClient.layer({ filename }), {})))

  it.live("are made by many that come at once, by one of them: Postgres, in a schema", () =>
    atOnce(() => server, { schema: "made_at_once", prefix: "cm_" }))

  it.live("of several stores are made at once in a schema that is not there yet", () =>
    Effect.gen(function*() {
      const prefixes = ["a_", "b_", "c_", "d_"]
      for (const schema of ["fresh_a", "fresh_b", "fresh_c", "fresh_d"]) {
        yield* Effect.forEach(prefixes, (prefix) =>
          Effect.scoped(Effect.provide(Sql.makeTaskIO({ schema, prefix }), Layer.fresh(server))), {
          concurrency: "unbounded"
        })
      }
    }))

  it.live(
    "are not waited for longer than the patience where another that makes them is frozen: Postgres",
    () =>
      Effect.gen(function*() {
        const frozen = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql.reserve)
        const say = (text: string) => frozen.executeUnprepared(text, [], undefined)
        for (const schema of [undefined, "frozen"]) {
          yield* say("begin")
          yield* say(
            schema === undefined
              ? "select pg_advisory_xact_lock(hashtext('checkmate .frozen_'))"
              : `select pg_advisory_xact_lock(hashtext('checkmate schema ${schema}'))`
          )
          const open = Sql.makeTaskIO({ prefix: "frozen_", schema, patience: "1 second" })
          const error = yield* Effect.flip(Effect.scoped(open)).pipe(Effect.timeout("15 seconds"))
          expect(error).toMatchObject({ _tag: "TaskIOError", problem: expect.stringContaining("within 1s") })
          yield* say("rollback")
          yield* Effect.scoped(open)
        }
      }).pipe(Effect.scoped, (self) => Effect.suspend(() => Effect.provide(self, server))),
    300_000
  )

  it.effect("of two schemas or two prefixes are two stores", () =>
    Effect.gen(function*() {
      const run = CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      yield* Effect.provide(run, Sql.layer({ schema: "tenant_a" }))
      for (const other of [{ schema: "tenant_b" }, { schema: "tenant_a", prefix: "checkmate_b_" }]) {
        expect(yield* Effect.provide(CheckMateEngine.find(), Sql.layer(other))).toEqual([])
      }
      expect(yield* Effect.provide(CheckMateEngine.find(), Sql.layer({ schema: "tenant_a" }))).toHaveLength(1)
    }).pipe((self) => Effect.suspend(() => Effect.provide(self, server))))

  it.live("are made by a role that may make nothing but what is in its schema", () =>
    Effect.gen(function*() {
      const own = yield* postgres()
      yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.zipRight(
          sql`create role app login password 'app'`,
          sql`create schema jobs authorization app`
        )).pipe(Effect.provide(clientOf(own)))
      const epoch = Effect.flatMap(Sql.makeTaskIO({ schema: "jobs" }), (store) => store.open("t")).pipe(
        Effect.map((journal) => journal.epoch),
        Effect.scoped,
        Effect.provide(clientOf(own, { username: "app", password: Redacted.make("app") }))
      )
      expect(yield* epoch).toBe(1)
    }).pipe(Effect.scoped), 300_000)

  for (const prefixes of [["x_", "x_fenced_"], ["x_fenced_", "x_"]]) {
    const run = (prefix: string, taskId: string) =>
      Effect.provide(
        CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } }),
        Layer.fresh(Sql.layer({ prefix }))
      )
    const idsIn = (prefix: string) =>
      Effect.map(
        Effect.provide(CheckMateEngine.find(), Layer.fresh(Sql.layer({ prefix }))),
        (found) => found.map(({ taskId }) => taskId).sort()
      )

    it.effect(`of a prefix that ends as names of the tables begin are a store of their own: ${prefixes.join(", ")}`, () =>
      Effect.gen(function*() {
        for (const prefix of prefixes) yield* run(prefix, prefix)
        for (const prefix of prefixes) expect(yield* idsIn(prefix)).toEqual([prefix])
      }).pipe(Effect.provide(memory)))

    it.effect(`so are they beside those of an older version, which are brought up to date: ${prefixes.join(", ")}`, () =>
      Effect.gen(function*() {
        const [older = "", other = ""] = prefixes
        yield* run(older, "before")
        yield* asOfVersion3(older)
        yield* run(other, "t")
        yield* run(older, "after")
        expect(yield* idsIn(older)).toEqual(["after", "before"])
        expect(yield* idsIn(other)).toEqual(["t"])
      }).pipe(Effect.provide(memory)))
  }

  const transformQueryNames = (name: string) => `q_${name}`
  const transformResultNames = (name: string) => `r_${name}`
  it.effect("have the same names whatever the client makes of names", () =>
    Effect.gen(function*() {
      yield* Effect.provide(
        CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }),
        Layer.fresh(Sql.layer())
      )
      const sql = yield* SqlClient.SqlClient
      expect((yield* sql.unsafe("select name from checkmate_migrations").withoutTransform).length).toBeGreaterThan(0)
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", transformQueryNames, transformResultNames }))))

  it.effect("are not made by a client that gives them other names", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Sql.makeTaskIO()))
      expect(String(error)).toContain("transformQueryNames")
      const sql = yield* SqlClient.SqlClient
      expect(yield* sql`select name from sqlite_master`).toEqual([])
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", transformQueryNames }))))

  it.effect("of a newer version are refused", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Sql.makeTaskIO())
      const sql = yield* SqlClient.SqlClient
      yield* sql`insert into checkmate_migrations (migration_id, name) values (99, 'later')`
      const error = yield* Effect.flip(Effect.scoped(Sql.makeTaskIO()))
      expect(String(error)).toContain("its tables are of version 99, and this library knows 4: use a newer one")
    }).pipe(Effect.provide(memory)))

  it.live("that a newer version makes while they are looked at are refused, too", () =>
    withFile((filename) =>
      Effect.gen(function*() {
        yield* Effect.scoped(Sql.makeTaskIO())
        yield* asOfVersion3("checkmate_")
        const sql = yield* SqlClient.SqlClient
        const later = sql`insert or ignore into checkmate_migrations (migration_id, name) values (99, 'later')`
        const meanwhile = answering(
          Layer.fresh(SqliteClient.layer({ filename })),
          (text) => text.includes("max(migration_id)") ? Effect.asVoid(later) : Effect.void
        )
        const error = yield* Effect.flip(Effect.scoped(Effect.provide(Sql.makeTaskIO(), meanwhile)))
        expect(String(error)).toContain("its tables are of version 99, and this library knows 4: use a newer one")
      }).pipe(Effect.provide(SqliteClient.layer({ filename })))
    ))

  it.effect("have names that need no quoting, and a schema only where there are any", () =>
    Effect.gen(function*() {
      for (const prefix of ["", "Upper_", "a-b", "a\"; drop table x; --", "9lives", "x".repeat(41)]) {
        const error = yield* Effect.flip(Effect.scoped(Sql.makeTaskIO({ prefix })))
        expect(String(error)).toContain("small letters, digits and underscores")
      }
      const error = yield* Effect.flip(Effect.scoped(Sql.makeTaskIO({ schema: "s" })))
      expect(String(error)).toContain("SQLite has no schemas")
    }).pipe(Effect.provide(memory)))
})

const onBoth = (
  what: string,
  test: (prefix: string) => Effect.Effect<void, unknown, SqlClient.SqlClient | Scope.Scope>
) => {
  it.effect(`${what}: SQLite`, () => test("checkmate_").pipe(Effect.scoped, Effect.provide(memory)))
  it.effect(`${what}: Postgres`, () =>
    Effect.suspend(() => test(`store${++number}_`).pipe(Effect.scoped, Effect.provide(server))))
}

describe("a list", () => {
  onBoth("holds for every query just what a store in memory finds", (prefix) =>
    Effect.gen(function*() {
      const own = TaskIO.make(yield* Sql.makeTaskIO({ prefix }))
      const ownDriver = yield* Sql.makeTaskIO({ prefix })
      const memoryDriver = yield* MemoryDriver.make
      const other = TaskIO.make(memoryDriver)
      const pick = <A>(values: ReadonlyArray<A>) =>
        Effect.map(Random.nextIntBetween(0, values.length), (index) => values[index])
      const statuses = ["Running", "Succeeded", "Failed", "Cancelled"] as const
      const checkMates = ["one", "two", "nul\0 and \ud800"]
      const tags = ["a", "b", "nul\0", "ü"]
      const times = ["2026-01-01T00:00:00.000Z", "2026-01-01T00:59:59.999Z", "2026-03-01T01:00:00.000Z"]
      for (let index = 0; index < 60; index++) {
        const taskId = `task-${index}`
        const at = yield* pick(times)
        const summary = summaryOf(taskId, {
          status: (yield* pick(statuses)) ?? "Running",
          checkMate: (yield* pick(checkMates)) ?? "one",
          tags: [(yield* pick(tags)) ?? "a", (yield* pick(tags)) ?? "b"],
          memo: "nul\0 and \ud800",
          ...(at === undefined ? {} : { updatedAt: at })
        })
        for (const driver of [ownDriver, memoryDriver]) {
          const journal = yield* driver.open(taskId)
          yield* journal.append(0, ["{}"], summaryOf(taskId, { tags: ["before", "then"] }))
          yield* journal.append(1, ["{}"], summary)
          yield* journal.append(2, ["{}"], summary)
        }
      }
      const all = (taskIO: typeof own, query: TaskIO.Query) =>
        Effect.map(Stream.runCollect(taskIO.list(query)), (found) => [...found].map(({ taskId }) => taskId).sort())
      const queries: Array<TaskIO.Query> = [{}, { status: [] }, { tags: ["before"] }]
      for (let index = 0; index < 60; index++) {
        const status = yield* pick([undefined, [statuses[0]], [statuses[1], statuses[2]]])
        const checkMate = yield* pick([undefined, ...checkMates, "none"])
        const wanted = yield* pick([undefined, ["a"], ["a", "b"], ["nul\0"], ["nul"], ["ü"]])
        const since = yield* pick([undefined, ...times, "2026-03-01T01:00:00.001Z"])
        queries.push({
          ...(status === undefined ? {} : { status }),
          ...(checkMate === undefined ? {} : { checkMate }),
          ...(wanted === undefined ? {} : { tags: wanted }),
          ...(since === undefined ? {} : { since })
        })
      }
      for (const query of queries) expect(yield* all(own, query)).toEqual(yield* all(other, query))
      expect((yield* all(own, {})).length).toBe(60)
    }))

  onBoth(
    "finds tasks by names and tags of any length, also by those that were indexed whole",
    (prefix) =>
      Effect.gen(function*() {
        const driver = yield* Sql.makeTaskIO({ prefix })
        const store = TaskIO.make(driver)
        // Of letters that do not compress, and of four bytes each.
        let seed = 1
        const long = Array.from({ length: 4_000 }, () => {
          seed = (seed * 48_271) % 2_147_483_647
          return String.fromCodePoint(0x20000 + seed % 40_000)
        }).join("")
        // With a letter of one unit before them, so that a cut goes through a pair.
        const names = { one: `1${long}1`, two: `1${long}2`, three: `${long}3` }
        for (const [taskId, name] of Object.entries(names)) {
          const journal = yield* driver.open(taskId)
          yield* journal.append(0, ["{}"], summaryOf(taskId, { checkMate: name, tags: [name, `${name}!`] }))
        }
        const find = (query: TaskIO.Query) =>
          Effect.map(Stream.runCollect(store.list(query)), (found) => [...found].map(({ taskId }) => taskId))
        const everyOne = Effect.gen(function*() {
          for (const [taskId, name] of Object.entries(names)) {
            expect(yield* find({ checkMate: name })).toEqual([taskId])
            expect(yield* find({ tags: [name, `${name}!`] })).toEqual([taskId])
            expect(yield* find({ tags: [`${name}!!`] })).toEqual([])
          }
        })
        yield* everyOne
        // As before long ones were cut: only what compresses well got into the index.
        const sql = yield* SqlClient.SqlClient
        const before = "x".repeat(4_000)
        const journal = yield* driver.open("before")
        yield* journal.append(0, ["{}"], summaryOf("before", { checkMate: before, tags: [before] }))
        yield* sql`update ${sql(`${prefix}tasks`)} set check_mate = ${before} where task_id = 'before'`
        yield* sql`update ${sql(`${prefix}tags`)} set tag = ${before} where task_id = 'before'`
        expect(yield* find({ checkMate: before, tags: [before] })).toEqual(["before"])
      })
  )

  it.effect("of more tasks than are read at a time holds them all, and comes by an index; of its first, no others", () => {
    let asked = 0
    return Effect.gen(function*() {
      const store = yield* Sql.makeTaskIO()
      const sql = yield* SqlClient.SqlClient
      const rows = Array.from({ length: 2_500 }, (_, index) => {
        const { checkMate, createdAt, status, taskId, updatedAt, ...rest } = summaryOf(`task-${index}`)
        return {
          task_id: taskId,
          epoch: 1,
          owner: "o",
          records: 0,
          status,
          check_mate: checkMate,
          created_at: createdAt,
          updated_at: updatedAt,
          updated_hour: updatedAt.slice(0, 13),
          summary: JSON.stringify({ checkMate, createdAt, status, taskId, updatedAt, ...rest })
        }
      })
      for (let from = 0; from < rows.length; from += 500) {
        yield* sql`insert into checkmate_tasks ${sql.insert(rows.slice(from, from + 500))}`
      }
      const found = yield* Stream.runCollect(store.list({}))
      expect([...found].map(({ taskId }) => taskId).sort()).toEqual(rows.map(({ task_id }) => task_id).sort())
      const plan = yield* sql<{ detail: string }>`explain query plan select task_id, summary from checkmate_tasks
        where summary is not null and status in ('Failed') and task_id > '' order by task_id limit 1000`
      expect(plan.map(({ detail }) => detail).join("; ")).toContain("checkmate_tasks_by_status")
      asked = 0
      const ids = yield* Effect.forEach(
        [undefined, "ascending"] as const,
        (order) => CheckMateEngine.find({ limit: 2, ...(order === undefined ? {} : { order }) })
      ).pipe(Effect.provide(engineOver(store)))
      expect(ids.flat().map(({ taskId }) => taskId)).toEqual(["task-999", "task-998", "task-0", "task-1"])
      expect(asked).toBe(2)
    }).pipe(
      Effect.scoped,
      Effect.provide(answering(memory, (text) =>
        Effect.sync(() => {
          if (text.startsWith("select task_id, summary")) asked += 1
        })))
    )
  })

  onBoth("takes any number of tags and statuses", (prefix) =>
    Effect.gen(function*() {
      const driver = yield* Sql.makeTaskIO({ prefix })
      const tags = Array.from({ length: 1_500 }, (_, index) => `tag ${index}`)
      for (const [taskId, own] of Object.entries({ all: tags, most: tags.slice(1), some: tags.slice(0, -1) })) {
        const journal = yield* driver.open(taskId)
        yield* journal.append(0, ["{}"], summaryOf(taskId, { status: "Failed", tags: own }))
      }
      const store = TaskIO.make(driver)
      const find = (query: TaskIO.Query) =>
        Effect.map(Stream.runCollect(store.list(query)), (found) => [...found].map(({ taskId }) => taskId))
      expect(yield* find({ tags })).toEqual(["all"])
      expect(yield* find({ tags: tags.slice(0, 2) })).toEqual(["all", "some"])
      expect(yield* find({ status: Array.from({ length: 70_000 }, () => "Failed") })).toEqual(["all", "most", "some"])
    }))

  onBoth(
    "of which the first are asked for is not cut short by what only seems to fit, or cannot be read",
    (prefix) =>
      Effect.gen(function*() {
        const store = yield* Sql.makeTaskIO({ prefix })
        const sql = yield* SqlClient.SqlClient
        const long = "x".repeat(600)
        for (let index = 0; index < 9; index++) {
          const journal = yield* store.open(`t${index}`)
          const at = `2026-01-01T00:00:0${index}.000Z`
          const names = { checkMate: `${long}${index % 3}`, tags: index === 6 ? ["nul"] : ["nul\0"] }
          yield* journal.append(0, ["{}"], summaryOf(`t${index}`, { createdAt: at, updatedAt: at, ...names }))
        }
        yield* sql`update ${sql(`${prefix}tasks`)} set summary = '{' where task_id = 't8'`
        yield* sql`update ${sql(`${prefix}tasks`)} set summary = '{}' where task_id = 't7'`
        const find = (options: CheckMateEngine.FindOptions) =>
          Effect.map(CheckMateEngine.find(options), (found) => found.map(({ taskId }) => taskId))
        yield* Effect.gen(function*() {
          expect(yield* find({ limit: 2 })).toEqual(["t6", "t5"])
          expect(yield* find({ limit: 1, checkMate: `${long}1` })).toEqual(["t4"])
          expect(yield* find({ limit: 2, tags: ["nul\0"], sort: "updatedAt" })).toEqual(["t5", "t4"])
          expect(yield* find({ limit: 2, checkMate: `${long}2`, order: "ascending" })).toEqual(["t2", "t5"])
        }).pipe(Effect.provide(engineOver(store)))
      })
  )
})

describe("an append", () => {
  for (const writers of [1, 2]) {
    it.scoped(`that went through is told so where its answer was lost: of ${writers} at the same time`, () => {
      let losing = 0
      return Effect.gen(function*() {
        const store = yield* Sql.makeTaskIO()
        const journals = yield* Effect.forEach(
          Array.from({ length: writers }, (_, index) => `t${index}`),
          (taskId) => Effect.map(store.open(taskId), (journal) => ({ taskId, journal }))
        )
        losing = 1
        yield* Effect.forEach(journals, ({ journal, taskId }) => journal.append(0, ["{}"], summaryOf(taskId)), {
          concurrency: "unbounded"
        })
        expect(losing).toBe(0)
        for (const { taskId } of journals) expect(yield* store.read(taskId, 0)).toEqual(["{}"])
      }).pipe(Effect.provide(answering(memory, (text) => {
        if (!text.startsWith("insert into \"checkmate_appends_by_epoch\"") || losing === 0) return Effect.void
        losing -= 1
        return new SqlError({ message: "lost", cause: new Error("Connection terminated unexpectedly") })
      })))
    })
  }

  onBoth(
    "of a claim that was overtaken is refused, also where both claimants had the same name",
    (prefix) =>
      Effect.gen(function*() {
        const store = yield* Sql.makeTaskIO({ prefix })
        const sql = yield* SqlClient.SqlClient
        const tasks = sql(`${prefix}tasks`)
        const owners = sql<{ owner: string }>`select owner from ${tasks}`
        const first = yield* store.open("t")
        const [one] = yield* owners
        const second = yield* store.open("t")
        const [other] = yield* owners
        yield* sql`update ${tasks} set owner = ${one?.owner ?? ""}`
        expect(yield* Effect.flip(first.append(0, ["\"stale\""], summaryOf("t")))).toMatchObject({
          _tag: "StaleWriterError",
          problem: "a newer epoch has taken it over"
        })
        yield* sql`update ${tasks} set owner = ${other?.owner ?? ""}`
        yield* second.append(0, ["{}"], summaryOf("t"))
        expect(yield* store.read("t", 0)).toEqual(["{}"])
      })
  )

  onBoth("goes into tables of the first version once they are brought up to date", (prefix) =>
    Effect.gen(function*() {
      yield* Sql.makeTaskIO({ prefix })
      const sql = yield* SqlClient.SqlClient
      yield* sql.onDialectOrElse({
        sqlite: () => Effect.zipRight(asOfVersion3(prefix), sql`drop view ${sql(`${prefix}fenced_appends`)}`),
        orElse: () => Effect.void
      })
      yield* sql`delete from ${sql(`${prefix}migrations`)} where migration_id > 1`
      const store = yield* Sql.makeTaskIO({ prefix })
      const journal = yield* store.open("t")
      yield* journal.append(0, ["{}"], summaryOf("t"))
      expect(yield* store.read("t", 0)).toEqual(["{}"])
      const latest = sql.onDialectOrElse({ sqlite: () => 4, orElse: () => 6 })
      expect(yield* sql`select migration_id from ${sql(`${prefix}migrations`)} order by migration_id`)
        .toEqual(Arr.makeBy(latest, (index) => ({ migration_id: index + 1 })))
    }))

  it.scoped("to SQLite takes little more space than its records, also where they are longer than a quarter of a page", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* Sql.makeTaskIO()
      const record = JSON.stringify("x".repeat(1_100))
      for (const taskId of ["a", "b", "c", "d"]) {
        const journal = yield* store.open(taskId)
        for (let at = 0; at < 100; at++) yield* journal.append(at, [record], summaryOf(taskId))
      }
      const [size] = yield* sql<{ bytes: number }>`select page_count * page_size as bytes
        from pragma_page_count(), pragma_page_size()`
      expect(size?.bytes).toBeLessThan(400 * 1_100 * 1.5)
    }).pipe(Effect.provide(memory)))

  it.scoped("to SQLite follows what an older version had written into a table of another kind", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const written = (store: TaskIO.Encoded, at: number) =>
        Effect.scoped(Effect.flatMap(store.open("t"), (journal) => journal.append(at, [`${at}`], summaryOf("t"))))
      const older = yield* Sql.makeTaskIO()
      yield* written(older, 0)
      // As it was before the third version.
      yield* asOfVersion3("checkmate_")
      yield* sql`pragma legacy_alter_table = on`
      yield* sql`alter table checkmate_batches rename to rows_of_batches`
      yield* sql`create table checkmate_batches (task_id text not null, position integer not null, records text not null,
        primary key (task_id, position)) without rowid`
      yield* sql`insert into checkmate_batches select * from rows_of_batches`
      yield* sql`drop table rows_of_batches`
      yield* sql`pragma legacy_alter_table = off`
      yield* sql`delete from checkmate_migrations where migration_id > 2`

      const newer = yield* Sql.makeTaskIO()
      yield* written(newer, 1)
      // Who was at work while the tables were changed goes on, by the views of that version.
      for (const [at, view] of ["appends", "fenced_appends"].entries()) {
        const [task] = yield* sql<{ owner: string; epoch: number }>`select owner, epoch from checkmate_tasks`
        const append = ["t", task?.owner, 2 + at, 1, `${2 + at}`, "Running", "c", "", "", "{}", null, task?.epoch]
        yield* sql`insert into ${sql(`checkmate_${view}`)} values ${sql.in(append.slice(0, 11 + at))}`
      }
      expect(yield* newer.read("t", 0)).toEqual(["0", "1", "2", "3"])
      expect(yield* sql`select name from pragma_table_list where name like '%batches%' and wr = 1`).toEqual([])
      yield* older.remove("t")
      expect(yield* sql`select * from checkmate_batches`).toEqual([])
    }).pipe(Effect.provide(memory)))

  it.scoped("of many megabytes goes with others only as far as 16 million characters", () => {
    const ids = ["a", "b", "c", "d"]
    const sent: Array<ReadonlyArray<string>> = []
    return Effect.gen(function*() {
      const store = yield* Sql.makeTaskIO()
      const journals = yield* Effect.forEach(
        ids,
        (taskId) => Effect.map(store.open(taskId), (journal) => ({ taskId, journal }))
      )
      const record = JSON.stringify("x".repeat(7_000_000))
      yield* Effect.forEach(journals, ({ journal, taskId }) => journal.append(0, [record], summaryOf(taskId)), {
        concurrency: "unbounded"
      })
      expect(sent).toEqual([["a", "b"], ["c", "d"]])
      for (const { taskId } of journals) expect(yield* store.read(taskId, 0)).toEqual([record])
    }).pipe(Effect.provide(answering(memory, (text, parameters) =>
      Effect.sync(() => {
        if (!text.startsWith("insert into \"checkmate_appends_by_epoch\"")) return
        sent.push(ids.filter((id) => parameters.includes(id)))
      }))))
  })
})

describe("a caller that wants integers as bigint", () => {
  onBoth("is served as any other, and gets its own integers so", (prefix) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const ledger = new Ledger()
      yield* Effect.gen(function*() {
        yield* CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
        expect(yield* CheckMateEngine.find()).toHaveLength(1)
        yield* CheckMateEngine.rollback(abc(ledger), "t")
        expect((yield* CheckMateEngine.get("t")).task.status._tag).toBe("RolledBack")
        const { open, send, receive, transaction } = yield* Sql.makeTaskIO({ prefix })
        const journal = yield* open("other")
        const append = journal.append(0, ["{}"], summaryOf("other"))
        yield* transaction === undefined ? append : transaction(append)
        yield* send("other", "{}")
        expect(yield* receive("other")).toHaveLength(1)
        return yield* sql<{ one: unknown }>`select cast(1 as bigint) as one`
      }).pipe(
        Effect.provide(Sql.layer({ prefix })),
        Effect.provideService(SqlClient.SafeIntegers, true),
        Effect.tap((rows) => Effect.sync(() => expect(typeof rows[0]?.one).not.toBe("number")))
      )
      // Nor does it change what others get.
      yield* Effect.provide(CheckMateEngine.get("t"), Sql.layer({ prefix }))
    }))
})

describe("mail", () => {
  it.scopedLive("is told of by Postgres, however long the names of prefix and schema are", () =>
    Effect.gen(function*() {
      const names = { prefix: `${"p".repeat(39)}_`, schema: "s".repeat(40) }
      const store = yield* Sql.makeTaskIO(names)
      const sql = yield* SqlClient.SqlClient
      const { arrivals } = yield* Sql.makeTaskIO(names)
      const first = yield* Effect.fork(Stream.runHead(arrivals ?? Stream.empty))
      // Where it does not listen it would look after some seconds.
      yield* Effect.repeat(sql`select 1 from pg_stat_activity where query like 'LISTEN "pppp%'`, {
        until: (rows) => rows.length > 0
      })
      yield* store.send("t", "{}")
      expect(yield* Effect.timeout(Fiber.join(first), "4 seconds")).toEqual(Option.some("t"))
    }).pipe((self) => Effect.suspend(() => Effect.provide(self, server))))
})

describe("an engine on Postgres", () => {
  it.live("that is closed soon leaves no connection behind, which would keep its process alive", () =>
    Effect.gen(function*() {
      const own = yield* postgres()
      const client = clientOf(own, { applicationName: "short-lived" })
      const closedAfter = (millis: number) =>
        Effect.scoped(
          Effect.zipRight(Layer.build(Layer.provide(Sql.layer(), Layer.fresh(client))), Effect.sleep(millis))
        )
      // One is closed while it connects to listen, whenever that is.
      yield* Effect.forEach(Array.from({ length: 30 }, (_, index) => index * 4), closedAfter)
      yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) =>
          Effect.repeat(sql`select 1 from pg_stat_activity where application_name = 'short-lived'`, {
            until: (rows) => rows.length === 0
          })
      ).pipe(Effect.provide(clientOf(own)))
    }).pipe(Effect.scoped))
})

describe("a move", () => {
  it.effect("takes what was copied before from a store whose epochs, shared by all tasks, have come past the target's", () =>
    Effect.gen(function*() {
      const source = yield* Sql.makeTaskIO({ prefix: "source_" })
      const target = yield* Sql.makeTaskIO({ prefix: "target_" })
      const claimOther = (store: TaskIO.Encoded, atLeast?: number) => Effect.scoped(store.open("other", atLeast))
      // Others are claimed before each claim, as where several tasks are moved at a time.
      const busy = TaskIO.make({
        ...source,
        open: (taskId) => Effect.zipRight(Effect.repeatN(claimOther(source), 2), source.open(taskId))
      })
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }).pipe(
        Effect.provide(engineOver(source))
      )
      yield* TaskIO.copy(busy, TaskIO.make(target))
      // The source claims it four epochs on, the target one after that, and the source again four on.
      yield* claimOther(target, (yield* claimOther(source)).epoch + 5)
      const report = yield* TaskIO.copy(busy, TaskIO.make(target), { removeFromSource: true })
      expect(report).toMatchObject({ failed: [], skipped: [{ taskId: "t", reason: "already there", removed: true }] })
      expect(yield* source.read("t", 0)).toEqual([])
      expect((yield* target.read("t", 0)).length).toBeGreaterThan(0)
    }).pipe(Effect.scoped, Effect.provide(memory)))

  it.effect("of a store onto itself removes nothing", () =>
    Effect.gen(function*() {
      const one = yield* Sql.makeTaskIO()
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }).pipe(
        Effect.provide(engineOver(one))
      )
      const before = yield* one.read("t", 0)
      const other = TaskIO.make(yield* Sql.makeTaskIO())
      const { failed } = yield* TaskIO.copy(TaskIO.make(one), other, { removeFromSource: true })
      expect(String(failed[0]?.error)).toContain("both stores seem to be the same one")
      expect(yield* one.read("t", 0)).toEqual(before)
    }).pipe(Effect.scoped, Effect.provide(memory)))
})

/** Claims of a store in which two journals are open, so that others are claimed in groups. */
const claiming = (prefix: string) =>
  Effect.gen(function*() {
    const store = yield* Sql.makeTaskIO({ prefix })
    yield* store.open("first")
    yield* store.open("second")
    const claim = (taskId: string) => Effect.scoped(store.open(taskId))
    return { claim, store }
  })

describe("claims", () => {
  for (const [name, client] of [["SQLite", memory], ["Postgres", server]] as const) {
    it.effect(`that are asked for at once are one statement, and each gets its own records: ${name}`, () => {
      let said = 0
      return Effect.gen(function*() {
        const { claim, store } = yield* claiming(`claims${++number}_`)
        // Names that every object has are names of tasks, too.
        const tasks = ["__proto__", "constructor", "c", "d"]
        for (const taskId of tasks.slice(1)) {
          yield* Effect.scoped(
            Effect.flatMap(
              store.open(taskId),
              (journal) => journal.append(0, [JSON.stringify(taskId), "{}"], summaryOf(taskId))
            )
          )
        }
        said = 0
        const claims = yield* Effect.forEach(tasks, claim, { concurrency: "unbounded" })
        expect(said).toBe(1)
        expect(claims.map(({ records }) => records)).toEqual([
          [],
          ...tasks.slice(1).map((taskId) => [JSON.stringify(taskId), "{}"])
        ])
        const looks = yield* Effect.forEach([...tasks, "toString"], (taskId) => store.read(taskId, 0), {
          concurrency: "unbounded"
        })
        expect(looks).toEqual([...claims.map(({ records }) => records), []])
        expect(new Set(claims.map(({ epoch }) => epoch)).size).toBe(4)
      }).pipe(
        Effect.scoped,
        Effect.provide(answering(Layer.suspend(() => client), (text) =>
          Effect.sync(() => {
            if (/^(insert|select).*claim/.test(text)) said += 1
          })))
      )
    })

    it.live(`that are under way are waited for by who is interrupted, so that none comes later: ${name}`, () => {
      let held: Effect.Effect<void> = Effect.void
      return Effect.gen(function*() {
        const { claim } = yield* claiming(`claims${++number}_`)
        const began = yield* Effect.makeLatch()
        const goOn = yield* Effect.makeLatch()
        held = Effect.zipRight(began.open, goOn.await)
        const both = yield* Effect.forEach(["a", "b"], (taskId) => Effect.fork(claim(taskId)))
        yield* began.await
        const gone = yield* Effect.fork(Effect.forEach(both, Fiber.interrupt, { concurrency: "unbounded" }))
        for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow()
        expect(yield* Fiber.poll(gone)).toEqual(Option.none())
        held = Effect.void
        yield* goOn.open
        expect((yield* Fiber.join(gone)).every(Exit.isInterrupted)).toBe(true)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          answering(Layer.suspend(() => client), (text) => /^(insert|select).*claim/.test(text) ? held : Effect.void)
        )
      )
    })
  }

  it.live("of Postgres leave out one whose row is locked, which waits by itself", () =>
    Effect.gen(function*() {
      const prefix = `claims${++number}_`
      const { claim } = yield* claiming(prefix)
      yield* claim("locked")
      const sql = yield* SqlClient.SqlClient
      const locked = yield* Effect.makeLatch()
      const unlock = yield* Effect.makeLatch()
      const blocker = yield* Effect.fork(sql.withTransaction(
        sql`select 1 from ${sql(`${prefix}tasks`)} where task_id = 'locked' for update`.pipe(
          Effect.zipRight(locked.open),
          Effect.zipRight(unlock.await)
        )
      ))
      yield* locked.await
      const waiting = yield* Effect.fork(claim("locked"))
      yield* Effect.forEach(["a", "b"], claim, { concurrency: "unbounded" })
      // Also those that come while it waits.
      yield* Effect.forEach(["a", "b"], claim, { concurrency: "unbounded" })
      expect(yield* Fiber.poll(waiting)).toEqual(Option.none())
      yield* unlock.open
      yield* Fiber.join(blocker)
      expect(yield* Fiber.join(waiting)).toMatchObject({ records: [] })
    }).pipe(Effect.scoped, Effect.provide(server)))
})

describe("a journal", () => {
  onBoth(
    "is claimed at the epoch that another store has brought it to, and at later ones from there",
    (prefix) =>
      Effect.gen(function*() {
        const store = yield* Sql.makeTaskIO({ prefix })
        const epochOf = (atLeast?: number) => Effect.scoped(Effect.map(store.open("t", atLeast), ({ epoch }) => epoch))
        const first = yield* epochOf(10)
        expect(yield* epochOf(5_000)).toBe(5_000)
        expect(first).toBe(10)
        expect([yield* epochOf(7), yield* epochOf()]).toEqual([5_001, 5_002])
        expect(yield* epochOf(5_003)).toBe(5_003)
      })
  )

  it.effect("of which rows are missing or were changed is damaged, and says where", () =>
    Effect.gen(function*() {
      const store = yield* Sql.makeTaskIO()
      const sql = yield* SqlClient.SqlClient
      const journal = yield* Effect.scoped(store.open("t"))
      for (let position = 0; position < 3; position++) yield* journal.append(position, ["{}"], summaryOf("t"))
      yield* sql`delete from checkmate_batches where position = 1`
      expect(yield* Effect.flip(store.read("t", 0))).toMatchObject({
        _tag: "JournalDamagedError",
        location: "the SQLite tables \"checkmate_*\", task \"t\"",
        problem: "the records from 1 to 2 are not there"
      })
      yield* sql`delete from checkmate_batches where position = 2`
      expect(yield* Effect.flip(store.open("t"))).toMatchObject({
        problem: "it holds 1 records, and 3 were written"
      })
      yield* sql`insert into checkmate_batches values ('t', 1, '{}'), ('t', 2, '{}')`
      expect(yield* store.read("t", 0)).toEqual(["{}", "{}", "{}"])
      yield* sql`delete from checkmate_batches where position = 0`
      expect(yield* Effect.flip(store.read("t", 0))).toMatchObject({ problem: "the records from 0 to 1 are not there" })
    }).pipe(Effect.scoped, Effect.provide(memory)))

  for (const [name, client] of [["SQLite", memory], ["Postgres", server]] as const) {
    /** With how many batches the database has answered since that was last asked. */
    const counting = (
      test: (batches: () => number) => Effect.Effect<void, unknown, SqlClient.SqlClient | Scope.Scope>
    ) => {
      let answered = 0
      const batches = () => {
        const before = answered
        answered = 0
        return before
      }
      return test(batches).pipe(
        Effect.scoped,
        Effect.provide(answering(Layer.suspend(() => client), (text, _, rows) =>
          Effect.sync(() => {
            if (text.startsWith("select") && /journals_from|batches/.test(text)) answered += rows.length
          })))
      )
    }

    it.effect(`that is read from a record on is read from its batch on: ${name}`, () =>
      counting((batches) =>
        Effect.gen(function*() {
          const prefix = `from${++number}_`
          const store = yield* Sql.makeTaskIO({ prefix })
          const sql = yield* SqlClient.SqlClient
          const journal = yield* store.open("t")
          yield* store.open("other")
          const records: Array<string> = []
          for (const size of [3, 1, 1, 4, 2]) {
            const batch = Arr.makeBy(size, (index) => String(records.length + index))
            yield* journal.append(records.length, batch, summaryOf("t"))
            records.push(...batch)
          }
          batches()
          const counts: Array<number> = []
          for (let from = 0; from <= records.length + 2; from++) {
            expect(yield* store.read("t", from)).toEqual(records.slice(from))
            counts.push(batches())
          }
          expect(counts).toEqual([5, 5, 5, 4, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1])
          // Of several who ask at once each gets its own.
          const asked = [9, 11, 4, 9] as const
          expect(yield* Effect.forEach(asked, (from) => store.read("t", from), { concurrency: "unbounded" }))
            .toEqual(asked.map((from) => records.slice(from)))
          const lose = (position: number) => sql`delete from ${sql(`${prefix}batches`)} where position = ${position}`
          const problemOf = (from: number) =>
            Effect.map(Effect.flip(store.read("t", from)), (error) => {
              return "problem" in error ? error.problem : ""
            })
          yield* lose(3)
          expect(yield* problemOf(3)).toBe("the records from 3 to 4 are not there")
          expect(yield* problemOf(0)).toBe("the records from 3 to 4 are not there")
          expect(yield* store.read("t", 4)).toEqual(records.slice(4))
          yield* lose(5)
          expect(yield* problemOf(4)).toBe("the records from 5 to 9 are not there")
          expect(yield* problemOf(8)).toBe("the records from 5 to 9 are not there")
          yield* lose(9)
          expect(yield* problemOf(9)).toBe("it holds 5 records, and 11 were written")
          yield* sql`delete from ${sql(`${prefix}batches`)}`
          expect(yield* problemOf(9)).toBe("it holds 0 records, and 11 were written")
        })
      ))

    it.effect(`that was looked at is asked only for what is newer: ${name}`, () =>
      counting((batches) =>
        Effect.gen(function*() {
          const store = yield* Sql.makeTaskIO({ prefix: `again${++number}_` })
          const taskIO = TaskIO.make(store)
          const journal = yield* taskIO.open("t")
          let look = yield* taskIO.look("t")
          for (let second = 0; second < 50; second++) {
            const at = DateTime.unsafeMake(second * 1_000)
            const events = second === 0
              ? [{ _tag: "TaskStarted", at, checkMate: "abc", stages: ["a"], input: {}, tags: [] }] as const
              : [{ _tag: "TaskPaused", at }, { _tag: "TaskResumed", at, stages: ["a"], recovered: false }] as const
            const task = yield* Task.fold("t", events, look.task)
            yield* journal.append(events, yield* task)
            batches()
            look = yield* taskIO.look("t", look)
            // What is new, the newest before that, and what is older than that.
            expect(batches()).toBe(Math.min(3, second + 1))
          }
          expect(look).toEqual(yield* taskIO.look("t"))
          expect(batches()).toBe(50)
        })
      ))

    it.effect(`is whole to each of many who read it at once, beside others: ${name}`, () =>
      Effect.gen(function*() {
        const store = yield* Sql.makeTaskIO({ prefix: "readers_" })
        for (const taskId of ["a", "b"]) {
          const journal = yield* store.open(taskId)
          for (const record of [0, 1, 2]) {
            yield* journal.append(record, [JSON.stringify(`${taskId}${record}`)], summaryOf(taskId))
          }
        }
        const asked = ["a", "b", "a", "a", "none", "b", "a"]
        const read = yield* Effect.forEach(asked, (taskId) => store.read(taskId, 0), { concurrency: "unbounded" })
        expect(read).toEqual(
          asked.map((taskId) =>
            taskId === "none" ? [] : [0, 1, 2].map((record) => JSON.stringify(`${taskId}${record}`))
          )
        )
      }).pipe(Effect.scoped, Effect.provide(name === "SQLite" ? memory : server)))

    it.effect(`comes through every crash to the same end: ${name}`, () =>
      Effect.gen(function*() {
        const explored = yield* Crashes.explore(
          (ledger: Ledger) =>
            abc(ledger, {
              fail: (stage) => stage === "c" ? Effect.fail(new Boom({ stage, status: 503 })) : Effect.void,
              onFailure: "rollback"
            }),
          {
            input: { seed: 1 },
            before: Effect.sync(() => new Ledger()),
            // What was rolled back is undone as often as it ran, or once more where nobody could know.
            invariant: ({ world }) =>
              Effect.sync(() => expect(world.count("undo a")).toBeGreaterThanOrEqual(world.count("run a"))),
            // SQLite reads its whole schema again with each table that is made: a database of its own is the quicker way.
            store: name === "SQLite"
              ? Effect.flatMap(Layer.build(Layer.fresh(memory)), (client) => Effect.provide(Sql.makeTaskIO(), client))
              : Effect.suspend(() => Sql.makeTaskIO({ prefix: `crash${++number}_` })),
            pairs: name === "SQLite"
          }
        )
        expect(explored.smallest).toEqual(Option.none())
        expect(explored.cuts).toBeGreaterThan(5)
      }).pipe(
        Effect.scoped,
        Effect.provide(name === "SQLite" ? memory : server)
      ), 300_000)
  }
})

describe("the lock", () => {
  /** Lets time pass in steps until an effect has ended. */
  const inTime = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(self)
      let steps = 0
      while (Option.isNone(yield* Fiber.poll(fiber))) {
        yield* TestClock.adjust("1 seconds")
        yield* Effect.yieldNow()
        steps += 1
      }
      return { steps, exit: yield* Fiber.await(fiber) }
    })

  /** Task "t" held by another engine, which is not of this process. */
  const heldBy = (change: { readonly pid?: string; readonly boot?: string }, expires: number) =>
    Effect.gen(function*() {
      const lock = yield* Sql.makeBindLock()
      const sql = yield* SqlClient.SqlClient
      const [own] = yield* sql<{ process: string }>`select process from checkmate_engines`
      const process = JSON.stringify({ ...JSON.parse(own?.process ?? "{}"), ...change })
      yield* sql`insert into checkmate_engines ${
        sql.insert({ id: "other", name: "the other", process, beat: 1, expires })
      }`
      yield* sql`insert into checkmate_locks ${sql.insert({ task_id: "t", engine: "other", since: 0 })}`
      return lock
    })
  const onSqlite = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | NodeContext.NodeContext | Scope.Scope>) =>
    self.pipe(Effect.scoped, Effect.provide(Layer.merge(memory, NodeContext.layer)))
  const farAhead = 32_503_680_000_000

  it.effect("takes over at once from a process that is gone, however lately it gave a sign", () =>
    onSqlite(Effect.gen(function*() {
      const lock = yield* heldBy({ pid: "999999999" }, farAhead)
      expect(yield* lock.holder("t")).toEqual(Option.none())
      // No time passes by the TestClock.
      yield* lock.acquire("t")
      expect(Option.getOrThrow(yield* lock.holder("t")).name).not.toBe("the other")
    })))

  it.effect("leaves a task with a holder on another machine for its lease, and takes it over after two signs' time", () =>
    onSqlite(Effect.gen(function*() {
      const alive = yield* heldBy({ boot: "another" }, farAhead)
      expect(yield* Effect.flip(alive.acquire("t"))).toMatchObject({ _tag: "TaskBoundError", holder: "the other" })
      const sql = yield* SqlClient.SqlClient
      yield* sql`update checkmate_engines set expires = 1 where id = 'other'`
      const { exit, steps } = yield* inTime(alive.acquire("t"))
      expect(Exit.isSuccess(exit)).toBe(true)
      expect(steps).toBeGreaterThanOrEqual(12)
    })))

  it.effect("watches a silent holder once for all of its tasks, and anew once it has given a sign", () =>
    onSqlite(Effect.gen(function*() {
      const lock = yield* heldBy({ boot: "another" }, 1)
      const sql = yield* SqlClient.SqlClient
      const rows = ["u", "v", "w"].map((task_id) => ({ task_id, engine: "other", since: 0 }))
      yield* sql`insert into checkmate_locks ${sql.insert(rows)}`
      yield* inTime(lock.acquire("t"))
      // No time passes by the TestClock.
      yield* Effect.forEach(["u", "v"], lock.acquire)
      yield* sql`update checkmate_engines set beat = beat + 1 where id = 'other'`
      const { exit, steps } = yield* inTime(lock.acquire("w"))
      expect([exit._tag, steps >= 12]).toEqual(["Success", true])
    })))

  it.effect("forgets engines that have given no sign for a day, and no others", () =>
    onSqlite(Effect.gen(function*() {
      yield* heldBy({ boot: "another" }, farAhead)
      const sql = yield* SqlClient.SqlClient
      for (const hours of [23, 25]) {
        yield* sql`insert into checkmate_engines
          select ${`silent for ${hours} hours`}, 'silent', null, 1, (julianday('now', ${`-${hours} hours`}) - 2440587.5) * 86400000`
      }
      yield* Sql.makeBindLock()
      const left = yield* sql`select id from checkmate_engines where name in ('silent', 'the other') order by id`
      expect(left).toEqual([{ id: "other" }, { id: "silent for 23 hours" }])
    })))

  it.effect("gives back, with its next sign of life, what it could not let go of, and takes back what was lost", () =>
    onSqlite(Effect.gen(function*() {
      const lock = yield* Sql.makeBindLock({ lease: "5 seconds" })
      const sql = yield* SqlClient.SqlClient
      const [own] = yield* sql<{ id: string }>`select id from checkmate_engines`
      const { lost } = yield* lock.acquire("held")
      yield* sql`insert into checkmate_locks ${sql.insert({ task_id: "left", engine: own?.id ?? "", since: 0 })}`
      // As a server may, that crashed.
      yield* sql`delete from checkmate_locks where task_id = 'held'`
      yield* TestClock.adjust("3 seconds")
      expect(yield* sql`select task_id from checkmate_locks`).toEqual([{ task_id: "held" }])
      yield* sql`update checkmate_locks set engine = 'another'`
      const fiber = yield* Effect.fork(lost)
      yield* TestClock.adjust("3 seconds")
      expect(yield* Fiber.join(fiber)).toContain("another engine took it over")
    })))

  it.effect("is lost within the lease where it cannot be seen whether it was taken over, though signs of life are given", () => {
    let isSeen = true
    const client = answering(memory, (text) =>
      isSeen || !text.startsWith("select task_id from \"checkmate_locks\"")
        ? Effect.void
        : new SqlError({ message: "the test says so" }))
    return Effect.gen(function*() {
      const { lost } = yield* (yield* Sql.makeBindLock({ lease: "5 seconds" })).acquire("t")
      const loss = yield* Effect.fork(lost)
      const isLostIn = (seconds: number) =>
        Effect.zipRight(TestClock.adjust(`${seconds} seconds`), Effect.map(Fiber.poll(loss), Option.isSome))
      expect(yield* isLostIn(20)).toBe(false)
      isSeen = false
      expect(yield* isLostIn(4)).toBe(false)
      expect(yield* isLostIn(3)).toBe(true)
      expect(yield* Fiber.join(loss)).toBe("its lock cannot be reached: the test says so")
    }).pipe(Effect.scoped, Effect.provide(client))
  })

  it.scopedLive("is not taken for its own by a try beside which another of the same engine is being answered", () =>
    Effect.gen(function*() {
      const prefix = `store${++number}_`
      const gate = yield* Effect.makeLatch()
      const written = yield* Effect.makeLatch()
      let answers = 0
      const slow = answering(server, (text) =>
        text.includes(`from "${prefix}bind"`) && ++answers === 1
          ? Effect.zipRight(written.open, gate.await)
          : Effect.void)
      yield* Effect.gen(function*() {
        const lock = yield* Sql.makeBindLock({ prefix })
        const sql = yield* SqlClient.SqlClient
        const one = yield* Effect.fork(Effect.either(lock.acquire("t")))
        yield* written.await
        const two = yield* Effect.fork(Effect.either(lock.acquire("t")))
        // Time enough for it to look at the row.
        yield* Effect.repeatN(sql`select 1`, 20)
        yield* gate.open
        expect(yield* Fiber.join(one)).toMatchObject({ _tag: "Right" })
        expect(yield* Fiber.join(two)).toMatchObject({ left: { _tag: "TaskBoundError" } })
      }).pipe(Effect.provide(slow))
    }))

  it.effect("lets go of nothing that the same engine holds anew, when what it had lost is released", () =>
    onSqlite(Effect.gen(function*() {
      const lock = yield* Sql.makeBindLock({ lease: "5 seconds" })
      const sql = yield* SqlClient.SqlClient
      const first = yield* Scope.make()
      const { lost } = yield* Scope.extend(lock.acquire("t"), first)
      yield* sql`update checkmate_locks set engine = 'another'`
      const told = yield* Effect.fork(lost)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(told)
      yield* sql`delete from checkmate_locks`
      yield* lock.acquire("t")
      yield* Scope.close(first, Exit.void)
      expect(yield* sql`select task_id from checkmate_locks`).toEqual([{ task_id: "t" }])
      // The next sign of life does not let go of it either.
      yield* TestClock.adjust("3 seconds")
      expect(yield* sql`select task_id from checkmate_locks`).toEqual([{ task_id: "t" }])
    })))

  it.live("does not bind a task by such a row either where signs of life come in between", () =>
    Effect.gen(function*() {
      const lock = yield* Sql.makeBindLock({ prefix: "signing_", lease: "1 second" })
      const sql = yield* SqlClient.SqlClient
      const held = yield* Scope.make()
      yield* Scope.extend(lock.acquire("t"), held)
      const locked = yield* Effect.makeLatch()
      const unlock = yield* Effect.makeLatch()
      const blocker = yield* Effect.fork(sql.withTransaction(
        sql`select 1 from signing_locks where task_id = 't' for update`.pipe(
          Effect.zipRight(locked.open),
          Effect.zipRight(unlock.await)
        )
      ))
      yield* locked.await
      const release = yield* Effect.fork(Scope.close(held, Exit.void))
      // Some signs' time.
      yield* Effect.sleep("1 second")
      const again = yield* Effect.fork(Effect.scoped(Effect.zipRight(
        lock.acquire("t"),
        Effect.zipRight(Fiber.join(release), sql`select task_id from signing_locks where task_id = 't'`)
      )))
      yield* Effect.sleep("300 millis")
      yield* unlock.open
      yield* Fiber.join(blocker)
      expect(yield* Fiber.join(again)).toEqual([{ task_id: "t" }])
    }).pipe(Effect.scoped, Effect.provide(server)))

  it.scopedLive("keeps what it holds through a transaction that has SQLite's only connection for longer than the lease", () =>
    Effect.gen(function*() {
      const lock = yield* Sql.makeBindLock({ lease: "1 second" })
      const { transaction } = yield* Sql.makeTaskIO()
      const { lost } = yield* lock.acquire("t")
      yield* Option.getOrThrow(Option.fromNullable(transaction))(Effect.sleep("1500 millis"))
      expect(yield* Effect.timeoutOption(lost, "500 millis")).toEqual(Option.none())
      expect(Option.isSome(yield* lock.holder("t"))).toBe(true)
    }).pipe(Effect.provide(memory)))

  it.live("does not bind a task by the row that its own release is about to take away", () =>
    Effect.gen(function*() {
      const lock = yield* Sql.makeBindLock({ prefix: "releasing_" })
      const sql = yield* SqlClient.SqlClient
      const hold = (taskId: string) =>
        Effect.flatMap(Scope.make(), (scope) => Effect.as(Scope.extend(lock.acquire(taskId), scope), scope))
      const [stuck, waiting] = yield* Effect.all([hold("stuck"), hold("t"), hold("u"), hold("v")])
      const locked = yield* Effect.makeLatch()
      const unlock = yield* Effect.makeLatch()
      const blocker = yield* Effect.fork(sql.withTransaction(
        sql`select 1 from releasing_locks where task_id = 'stuck' for update`.pipe(
          Effect.zipRight(locked.open),
          Effect.zipRight(unlock.await)
        )
      ))
      yield* locked.await
      // The first release waits for the row, and the second for the first.
      const first = yield* Effect.fork(Scope.close(stuck, Exit.void))
      yield* Effect.repeat(
        sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%releasing_release%'`,
        { until: (rows) => rows.length > 0 }
      )
      const second = yield* Effect.fork(Scope.close(waiting, Exit.void))
      const again = yield* Effect.fork(Effect.scoped(Effect.zipRight(
        lock.acquire("t"),
        Effect.zipRight(Fiber.join(second), sql`select task_id from releasing_locks where task_id = 't'`)
      )))
      yield* Effect.repeatN(sql`select 1`, 10)
      yield* unlock.open
      yield* Effect.all([Fiber.join(blocker), Fiber.join(first), Fiber.join(second)])
      expect(yield* Fiber.join(again)).toEqual([{ task_id: "t" }])
    }).pipe(Effect.scoped, Effect.provide(server)))
})
