/** What the tests of SQL stores share: a server for a file, and both contracts over any client. */
import { SqlClient } from "@effect/sql"
import { Effect, Exit, Layer, Scope } from "effect"
import * as Sql from "effect-checkmate/sql"
import { BindLockContract, TaskIOContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { afterAll, beforeAll } from "vitest"
import { clientOf, postgres } from "./postgres.ts"

export type Client = Layer.Layer<SqlClient.SqlClient, unknown>

/** Clients of a server that the tests of a file share: started before the first of them, and gone after the last. */
export const sharedServer = (
  start: Effect.Effect<{ readonly port: number }, never, Scope.Scope> = postgres()
): Client => {
  const scope = Effect.runSync(Scope.make())
  let port = 0
  beforeAll(async () => {
    port = (await Effect.runPromise(Scope.extend(start, scope))).port
  }, 300_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)), 300_000)
  return Layer.suspend(() => clientOf({ port }))
}

/** The ids of the tasks that are bound. */
const boundIn = (prefix: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.orDie(Effect.map(
      sql<{ task_id: string }>`select task_id from ${sql(`${prefix}locks`)}`,
      (rows) => rows.map((row) => row.task_id)
    )))

/** The contracts of the store and of the lock, with tables of their own for each rule. */
export const describeSqlContracts = (name: string, client: Client, lacks: ReadonlyArray<"arrivals"> = []): void => {
  let rules = 0
  const withPrefix = <A, E>(use: (prefix: string) => Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
    Effect.suspend(() => use(`rule${++rules}_`).pipe(Effect.scoped, Effect.provide(client)))

  describeContract(
    `TaskIO contract: ${name}`,
    TaskIOContract.rules,
    (use) => withPrefix((prefix) => Effect.flatMap(Sql.makeTaskIO({ prefix }), use)),
    { lacks }
  )
  describeContract(
    `BindLock contract: ${name}`,
    BindLockContract.rules,
    (use) =>
      withPrefix((prefix) =>
        Effect.gen(function*() {
          const context = yield* Effect.context<SqlClient.SqlClient>()
          const one = yield* Sql.makeBindLock({ prefix })
          const other = yield* Sql.makeBindLock({ prefix })
          return yield* use({ one, other, leftovers: Effect.provide(boundIn(prefix), context) })
        })
      )
  )
}
