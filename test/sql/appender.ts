/** Appends so many records to a journal in SQLite, one after the other: a process whose syncs are counted. */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect } from "effect"
import * as Sql from "effect-checkmate/sql"
import { summaryOf } from "../support/summary.ts"

const [, , filename = "", appends = "0", durability] = process.argv

const program = Effect.gen(function*() {
  const store = yield* Sql.makeTaskIO({ durability: durability === "relaxed" ? "relaxed" : "full" })
  const journal = yield* store.open("t")
  for (let position = 0; position < Number(appends); position++) {
    yield* journal.append(position, [JSON.stringify({ at: position, text: "x".repeat(200) })], summaryOf("t"))
  }
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename }))))
