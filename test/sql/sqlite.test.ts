import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect } from "effect"
import * as Sql from "effect-checkmate/sql"
import { BindLockContract, TaskIOContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"

const client = SqliteClient.layer({ filename: ":memory:" })

describeContract(
  "TaskIO contract: SQLite",
  TaskIOContract.rules,
  (use) => Effect.flatMap(Sql.makeTaskIO(), use).pipe(Effect.scoped, Effect.provide(client)),
  { lacks: ["arrivals"] }
)

describeContract("BindLock contract: SQLite", BindLockContract.rules, (use) =>
  Effect.gen(function*() {
    const one = yield* Sql.makeBindLock()
    const other = yield* Sql.makeBindLock()
    const sql = yield* SqlClient.SqlClient
    const leftovers = Effect.orDie(
      Effect.map(
        sql<{ task_id: string }>`select task_id from checkmate_locks`,
        (rows) => rows.map((row) => row.task_id)
      )
    )
    return yield* use({ one, other, leftovers })
  }).pipe(Effect.scoped, Effect.provide(client)))
