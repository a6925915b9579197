/** What becomes of a connection, where what is asked on it is called off. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import * as Sql from "effect-checkmate/sql"
import { settled } from "../../src/sql/calledOff.ts"
import { clientOf, postgres } from "../support/postgres.ts"

describe("a connection whose statement was called off", () => {
  it.live("is waited for and kept, where that is answered meanwhile", () =>
    Effect.gen(function*() {
      let cuts = 0
      const pg = {
        readyForQuery: false,
        end: () => {
          cuts += 1
          return Promise.resolve()
        }
      }
      const sql = yield* SqlClient.SqlClient
      const waiting = yield* Effect.fork(settled({ ...(yield* sql.reserve), ...{ pg } }))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      expect(waiting.unsafePoll()).toBeNull()
      pg.readyForQuery = true
      yield* Fiber.join(waiting)
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      expect(cuts).toBe(0)
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
})

describe("the only connection to Postgres", () => {
  it.live("is not kept from others by who waited for it and was interrupted", () =>
    Effect.gen(function*() {
      const own = yield* postgres()
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { receive } = yield* Sql.makeTaskIO()
        const only = yield* Scope.make()
        yield* Scope.extend(sql.reserve, only)
        const waiting = yield* Effect.fork(receive("t"))
        yield* Effect.repeatN(Effect.yieldNow(), 50)
        expect(Exit.isInterrupted(yield* Fiber.interrupt(waiting))).toBe(true)
        yield* Scope.close(only, Exit.void)
        expect(yield* receive("t")).toEqual([])
      }).pipe(Effect.scoped, Effect.provide(clientOf(own, { maxConnections: 1 })))
    }).pipe(Effect.scoped), 300_000)
})
