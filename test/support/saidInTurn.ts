/** Clients of one SQLite database, of which each statement waits for its turn, and its answer for another one. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import type { Connection } from "@effect/sql/SqlConnection"
import { Effect, type Scope } from "effect"
import * as HandClock from "./handClock.ts"

type Turn = (text: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** How to make such a client. What its statements wait for does not keep others from being said, as it would in a pool of one. */
export const clients = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const connection = yield* Effect.scoped(sql.reserve)
  return (turn: Turn): SqlClient.SqlClient => {
    const over = (name: "execute" | "executeUnprepared"): Connection["execute"] => (text, parameters, transform) =>
      connection[name](text, parameters, transform).pipe(
        turn(text),
        Effect.zipLeft(Effect.void.pipe(turn(`answer to ${text}`))),
        // What is said is done.
        Effect.uninterruptible
      )
    const own: Connection = new Proxy(connection, {
      get: (target, key) => key === "execute" || key === "executeUnprepared" ? over(key) : Reflect.get(target, key)
    })
    return new Proxy(sql, {
      get: (target, key) => key === "reserve" ? Effect.succeed(own) : Reflect.get(target, key)
    })
  }
})

/** Who holds tasks, as the rows tell. */
export const holders = Effect.map(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ engine: string }>`select engine from checkmate_locks`,
    (found) => found.map(({ engine }) => engine)
  ))

/** Has a test use a setting that is made on a database of its own, where a clock is moved by hand. */
export const withSettingOf =
  <Setting, E>(make: (time: HandClock.HandClock) => Effect.Effect<Setting, E, SqlClient.SqlClient | Scope.Scope>) =>
  <A, E2>(use: (setting: Setting) => Effect.Effect<A, E2, Scope.Scope>) =>
    Effect.flatMap(HandClock.make, (time) =>
      Effect.flatMap(make(time), use).pipe(
        Effect.withClock(time.clock),
        Effect.provide(SqliteClient.layer({ filename: ":memory:" }))
      ))
