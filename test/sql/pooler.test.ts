/** Behind a transaction pooler, where a session is lent from statement to statement and means nothing. */
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { pgbouncer, pooler } from "../support/pgbouncer.ts"
import { abc, Ledger } from "../support/pipelines.ts"
import { postgres } from "../support/postgres.ts"
import { describeSqlContracts, sharedServer } from "../support/sqlContracts.ts"

if (typeof pgbouncer === "string") {
  console.log(`Not tested behind a pooler: ${pgbouncer}. Put pgbouncer on the PATH, for example with apt-get install`)
}

describe.skipIf(typeof pgbouncer === "string")("behind PgBouncer, with two connections to the server", () => {
  const program = pgbouncer
  const client = sharedServer(
    typeof program === "string"
      ? Effect.dieMessage(program)
      : Effect.flatMap(postgres(), (server) => pooler(program, server))
  )
  // It passes no notification on; mail is found by looking.
  describeSqlContracts("Postgres behind a pooler", client, ["arrivals"])

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
    300_000
  )
})
