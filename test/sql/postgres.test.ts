import { SqlClient } from "@effect/sql"
import { Effect, Exit, Scope } from "effect"
import * as Sql from "effect-checkmate/sql"
import { BindLockContract, TaskIOContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { afterAll, beforeAll } from "vitest"
import { clientOf, type Postgres, postgres } from "../support/postgres.ts"

const scope = Effect.runSync(Scope.make())
let server: Postgres
let number = 0

beforeAll(async () => {
  server = await Effect.runPromise(Scope.extend(postgres(), scope))
}, 60_000)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)), 60_000)

/** A store of its own for each rule. */
const withPrefix = <A, E>(use: (prefix: string) => Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.suspend(() => use(`rule${++number}_`).pipe(Effect.scoped, Effect.provide(clientOf(server))))

describeContract(
  "TaskIO contract: Postgres",
  TaskIOContract.rules,
  (use) => withPrefix((prefix) => Effect.flatMap(Sql.makeTaskIO({ prefix }), use))
)

describeContract(
  "BindLock contract: Postgres",
  BindLockContract.rules,
  (use) =>
    withPrefix((prefix) =>
      Effect.gen(function*() {
        const one = yield* Sql.makeBindLock({ prefix })
        const other = yield* Sql.makeBindLock({ prefix })
        const sql = yield* SqlClient.SqlClient
        const leftovers = Effect.orDie(Effect.map(
          sql<{ task_id: string }>`select task_id from ${sql(`${prefix}locks`)}`,
          (rows) => rows.map((row) => row.task_id)
        ))
        return yield* use({ one, other, leftovers })
      })
    )
)
