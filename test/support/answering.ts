/** A client with something between what a statement did and its answer. */
import { SqlClient } from "@effect/sql"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, Layer } from "effect"

export const answering = (
  client: Layer.Layer<SqlClient.SqlClient, unknown>,
  answered: (
    text: string,
    parameters: ReadonlyArray<unknown>,
    rows: ReadonlyArray<unknown>
  ) => Effect.Effect<void, SqlError>
): Layer.Layer<SqlClient.SqlClient, unknown> =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const over =
        (name: "execute" | "executeUnprepared", connection: Connection): Connection["execute"] =>
        (text, parameters, transform) =>
          Effect.tap(connection[name](text, parameters, transform), (rows) => answered(text, parameters, rows))
      const reserve = Effect.map(sql.reserve, (connection): Connection =>
        new Proxy(connection, {
          get: (target, key) =>
            key === "execute" || key === "executeUnprepared" ? over(key, target) : Reflect.get(target, key)
        }))
      return new Proxy(sql, { get: (target, key) => key === "reserve" ? reserve : Reflect.get(target, key) })
    })
  ).pipe(Layer.provide(client))
