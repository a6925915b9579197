/** Writers of one journal in SQLite whose statements mix, and their answers. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer } from "effect"
import * as Sql from "effect-checkmate/sql"
import * as Interleaved from "../support/interleaved.ts"
import { describeMixes, type Name, names, type Setting } from "../support/mixedJournals.ts"
import { clients } from "../support/saidInTurn.ts"

/** What a statement, or its answer, is called in a test that fails. */
const short = (text: string) => text.split("\n", 1).join("").replaceAll("\"checkmate_", "").slice(0, 60)

const setting = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const clientOf = yield* clients
  const players = Interleaved.makeTurns(names)
  const options = { durability: "relaxed" } as const
  const driver = (name: Name) =>
    Effect.provideService(
      Sql.makeTaskIO(options),
      SqlClient.SqlClient,
      clientOf((text) => players.inTurn(name, short(text)))
    )
  const made: Setting = {
    players,
    drivers: { a: yield* driver("a"), b: yield* driver("b"), c: yield* driver("c") },
    fresh: yield* Sql.makeTaskIO(options),
    leftovers: Effect.map(
      sql<{ task_id: string }>`select task_id from checkmate_tasks union select task_id from checkmate_batches
        union select task_id from checkmate_tags`,
      (rows) => rows.map(({ task_id }) => task_id)
    ),
    // What is claimed is read by another statement.
    refusesClaims: true,
    showsRefused: false
  }
  return made
})

const database = SqliteClient.layer({ filename: ":memory:" })
describeMixes(
  "in SQLite",
  Effect.flatMap(Layer.build(Layer.fresh(database)), (context) => Effect.provide(setting, context)),
  30
)
