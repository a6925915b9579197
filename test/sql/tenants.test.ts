/** The same definitions under two prefixes, or in two schemas, of one database. */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect } from "effect"
import * as Sql from "effect-checkmate/sql"
import { TenantContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { sharedServer } from "../support/sqlContracts.ts"

const server = sharedServer()
let number = 0

describeContract(
  "Tenants in SQLite, by prefix",
  TenantContract.rules,
  (use) =>
    Effect.gen(function*() {
      const one = yield* Sql.makeTaskIO({ prefix: "a_" })
      const two = yield* Sql.makeTaskIO({ prefix: "a_b_" })
      return yield* use({ one, two })
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" }))),
  { lacks: ["arrivals"] }
)

for (const by of ["prefix", "schema"] as const) {
  describeContract(`Tenants in Postgres, by ${by}`, TenantContract.rules, (use) =>
    Effect.gen(function*() {
      const name = `tenant${++number}_`
      const options = (tenant: string): Sql.Options =>
        by === "prefix" ? { prefix: name + tenant } : { schema: name + tenant }
      const one = yield* Sql.makeTaskIO(options("a_"))
      const two = yield* Sql.makeTaskIO(options("a_b_"))
      return yield* use({ one, two })
    }).pipe(Effect.scoped, Effect.provide(server)))
}
