/** Behind a transaction pooler, where a session is lent from statement to statement and means nothing. */
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { BindLockContract, TaskIOContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { afterAll, beforeAll } from "vitest"
import { pgbouncer, pooler } from "../support/pgbouncer.ts"
import { abc, Ledger } from "../support/pipelines.ts"
import { clientOf, postgres } from "../support/postgres.ts"

if (typeof pgbouncer === "string") {
  console.log(`Not tested behind a pooler: ${pgbouncer}. Put pgbouncer on the PATH, for example with apt-get install`)
}

describe.skipIf(typeof pgbouncer === "string")("behind PgBouncer, with two connections to the server", () => {
  const scope = Effect.runSync(Scope.make())
  let port = 0
  let number = 0
  beforeAll(async () => {
    const program = pgbouncer
    if (typeof program === "string") return
    const started = Effect.flatMap(postgres(), (server) => pooler(program, server))
    port = (await Effect.runPromise(Scope.extend(started, scope))).port
  }, 60_000)
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)), 60_000)

  const client = Layer.suspend(() => clientOf({ port }))
  const withPrefix = <A, E>(use: (prefix: string) => Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
    Effect.suspend(() => use(`pooled${++number}_`).pipe(Effect.scoped, Effect.provide(client)))

  describeContract(
    "TaskIO contract: Postgres behind a pooler",
    TaskIOContract.rules,
    (use) => withPrefix((prefix) => Effect.flatMap(Sql.makeTaskIO({ prefix }), use)),
    // It passes no notification on; mail is found by looking.
    { lacks: ["arrivals"] }
  )

  describeContract(
    "BindLock contract: Postgres behind a pooler",
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

  it.live(
    "engines of many clients run each task once, and a message reaches the one that runs it",
    () =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const taskIds = Array.from({ length: 30 }, (_, index) => `task-${index}`)
        const engine = Layer.provide(Sql.layer(), Layer.fresh(client))
        const runAll = Effect.forEach(
          taskIds,
          (taskId) => CheckMateEngine.run(abc(ledger), { taskId, input: { seed: 1 }, whenBound: "wait" }),
          { concurrency: 8 }
        )
        yield* Effect.forEach([1, 2, 3], () => Effect.provide(runAll, Layer.fresh(engine)), {
          concurrency: "unbounded"
        })
        for (const stage of ["a", "b", "c"]) expect(ledger.count(`run ${stage}`)).toBe(30)

        const begun = yield* Effect.makeLatch()
        const hanging = abc(ledger, { fail: () => Effect.zipRight(begun.open, Effect.never) })
        const running = yield* Effect.fork(
          Effect.exit(Effect.provide(CheckMateEngine.run(hanging, { taskId: "hangs", input: { seed: 1 } }), engine))
        )
        yield* begun.await
        yield* Effect.provide(CheckMateEngine.cancel("hangs"), Layer.fresh(engine))
        const exit = yield* running
        expect(Exit.isFailure(exit)).toBe(true)
        const { holder, task } = yield* Effect.provide(CheckMateEngine.get("hangs"), Layer.fresh(engine))
        expect([task.status._tag, Option.isNone(holder)]).toEqual(["Cancelled", true])
      }).pipe(Effect.provide(NodeContext.layer)),
    60_000
  )
})
