/** Those who use one database, of which the statements mix. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as Sql from "effect-checkmate/sql"
import { answering } from "../support/answering.ts"
import { sharedServer } from "../support/sqlContracts.ts"
import { summaryOf } from "../support/summary.ts"

describe("of one engine that binds a task again while it lets go of it", () => {
  it.live("each holds it by a row of its own", () =>
    Effect.gen(function*() {
      const answered = yield* Deferred.make<void>()
      const looking = yield* Deferred.make<void>()
      // The answer to a look at who holds the task comes late.
      const client = answering(SqliteClient.layer({ filename: ":memory:" }), (text) =>
        text.startsWith("select l.engine")
          ? Effect.zipRight(Deferred.succeed(looking, undefined), Deferred.await(answered))
          : Effect.void)
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const lock = yield* Sql.makeBindLock({ durability: "relaxed" })
        const first = yield* Scope.make()
        yield* Scope.extend(lock.acquire("t"), first)
        const second = yield* Effect.fork(lock.acquire("t"))
        yield* Deferred.await(looking)
        const letGo = yield* Effect.fork(Scope.close(first, Exit.void))
        yield* Effect.yieldNow()
        yield* Deferred.succeed(answered, undefined)
        yield* Fiber.join(letGo)
        yield* Fiber.join(second)
        expect(yield* sql`select task_id from checkmate_locks`).toEqual([{ task_id: "t" }])
      }).pipe(Effect.scoped, Effect.provide(client))
    }))
})

describe("Postgres: a removal of a task that is not there yet", () => {
  const server = sharedServer()

  it.live("takes nothing from the one that is begun in the middle of it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* Sql.makeTaskIO()
      // Whoever has looked for the task waits until it is let go on.
      yield* sql`create function wait_a_little() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock(42); return null; end $$`
      yield* sql`create trigger wait_a_little after delete on checkmate_tasks for each statement
        execute function wait_a_little()`
      const removal = yield* sql.withTransaction(Effect.gen(function*() {
        yield* sql`select pg_advisory_xact_lock(42)`
        const fiber = yield* Effect.forkDaemon(store.remove("t"))
        yield* Effect.repeat(
          sql`select 1 from pg_locks where locktype = 'advisory' and not granted`,
          { until: (rows) => rows.length > 0 }
        )
        const journal = yield* store.open("t")
        yield* journal.append(0, ["1"], summaryOf("t"))
        return fiber
      }))
      yield* Fiber.join(removal)
      expect(yield* store.read("t", 0)).toEqual(["1"])
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(server))))
})

describe("Postgres: a task that is taken over just as its engine gives a sign of life", () => {
  const server = sharedServer()

  it.live("stays with that engine, which has looked by then, and found it its own", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const lock = yield* Sql.makeBindLock({ lease: "1 second" })
      yield* sql`insert into checkmate_engines values ('other', 'the other', null, 7, 0)`
      yield* sql`insert into checkmate_locks values ('t', 'other', 0)`
      // Whoever takes a task over waits until it is let go on.
      yield* sql`create function wait_a_little() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock(42); return null; end $$`
      yield* sql`create trigger wait_a_little before update on checkmate_locks for each statement
        execute function wait_a_little()`
      const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const keepsWaiting = sql`select pg_advisory_xact_lock(42)`.pipe(
        Effect.zipRight(Deferred.succeed(begun, undefined)),
        Effect.zipRight(Deferred.await(go)),
        sql.withTransaction
      )
      yield* Effect.forkScoped(keepsWaiting)
      yield* Deferred.await(begun)
      const taking = yield* Effect.fork(Effect.exit(lock.acquire("t")))
      yield* Effect.repeat(
        sql`select 1 from pg_locks where locktype = 'advisory' and not granted`,
        { until: (rows) => rows.length > 0 }
      )
      yield* sql`update checkmate_engines set beat = 8, expires = 9000000000000 where id = 'other'`
      expect(yield* sql`select engine from checkmate_locks`).toEqual([{ engine: "other" }])
      yield* Deferred.succeed(go, undefined)
      expect(yield* Fiber.join(taking)).toMatchObject({ cause: { error: { _tag: "TaskBoundError" } } })
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(server))))
})
