import { SqlClient } from "@effect/sql"
import { Effect, Logger, LogLevel, Layer } from "effect"
import * as Sql from "effect-checkmate/sql"
import { CheckMateEngine } from "effect-checkmate"
import * as bench from "../test/bench/support.ts"
import { clientOf, postgres } from "../test/support/postgres.ts"
await Effect.gen(function*() {
  const server = yield* postgres()
  yield* Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* CheckMateEngine.run(bench.pipeline(2), { taskId: "t", input: {} }).pipe(Effect.provide(Sql.layer({ prefix: "outer_", patience: "3 seconds" })), sql.withTransaction)
  }).pipe(Effect.provide(clientOf(server)))
}).pipe(Effect.scoped, Effect.timeout("15 seconds"), Logger.withMinimumLogLevel(LogLevel.Debug), Effect.runPromise).then(console.log, (e) => console.log(String(e), e))
process.exit(0)
