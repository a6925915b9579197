import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect } from "effect"
import * as Sql from "effect-checkmate/sql"
Effect.gen(function*() {
  const t = yield* Sql.makeTaskIO()
  console.log("made")
  const j = yield* t.open("a")
  console.log(j)
  yield* j.append(0, ["{}"], { taskId: "a", checkMate: "c", status: "Running", succeeded: 0, stages: 1, tags: ["x"], createdAt: "2020", updatedAt: "2021" })
  console.log(yield* t.read("a", 0))
}).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" })), Effect.runPromise).then(console.log, console.error)
