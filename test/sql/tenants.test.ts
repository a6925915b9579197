/** The same definitions under two prefixes, or in two schemas, of one database. */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Exit, Layer, Scope } from "effect"
import * as Sql from "effect-checkmate/sql"
import { TenantContract } from "effect-checkmate/testing"
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
    }).pipe(Effect.scoped, Effect.provide(Layer.suspend(() => clientOf(server)))))
}
