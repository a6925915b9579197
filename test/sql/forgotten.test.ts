/** Connections that a network has forgotten, as after a failover: nothing comes through, and nobody is told. */
import { expect, it } from "@effect/vitest"
import { Effect, Option, Schedule } from "effect"
import * as Sql from "effect-checkmate/sql"
import { networkTo } from "../support/network.ts"
import { clientOf, postgres } from "../support/postgres.ts"
import { summaryOf } from "../support/summary.ts"

for (const where of ["a statement", "the begin of a transaction", "the middle of a transaction"] as const) {
  it.live(
    `Postgres is reached again by a new connection after the only one was forgotten in ${where}`,
    () =>
      Effect.gen(function*() {
        const { forget, port } = yield* networkTo((yield* postgres()).port)
        yield* Effect.gen(function*() {
          const { open, read, transaction } = yield* Sql.makeTaskIO({ patience: "500 millis" })
          const together = Option.getOrThrow(Option.fromNullable(transaction))
          const { append } = yield* open("t")
          const appended = append(0, ["{}"], summaryOf("t"))
          const inTheWay = where === "a statement"
            ? Effect.zipRight(forget, appended)
            : where === "the begin of a transaction"
            ? Effect.zipRight(forget, together(appended))
            : together(Effect.zipRight(forget, appended))
          expect(yield* Effect.flip(inTheWay)).toMatchObject({ problem: "it did not answer within 500ms" })
          // As often as it takes for what was said meanwhile to be given up, too.
          const again = Effect.retry(read("t", 0), Schedule.recurs(60))
          expect(yield* again).toEqual([])
          yield* together((yield* open("t")).append(0, ["{}"], summaryOf("t")))
          expect(yield* read("t", 0)).toEqual(["{}"])
        }).pipe(Effect.scoped, Effect.provide(clientOf({ port }, { maxConnections: 1 })))
      }).pipe(Effect.scoped),
    // Each waits most of its time.
    { concurrent: true, timeout: 120_000 }
  )
}
