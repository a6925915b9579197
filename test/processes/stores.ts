/**
 * The stores that processes fight over, by a word each process is given: `files`, `sqlite`, or `postgres:<port>:<prefix>`.
 */
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Option, Schema } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import * as fs from "node:fs"
import { clientOf } from "../support/postgres.ts"

const postgresWord = /^postgres:(\d+):(\w+)$/

const clientFor = (store: string, directory: string) => {
  const [, port, prefix = "checkmate_"] = postgresWord.exec(store) ?? []
  const client: Layer.Layer<SqlClient.SqlClient, unknown> = port === undefined
    ? SqliteClient.layer({ filename: `${directory}/work.db` })
    : clientOf({ port: Number(port) }, { maxConnections: 4 })
  return { client, prefix }
}

/** An engine over the store, with a short lease. */
export const engineOn = (store: string, directory: string) => {
  const options = { lease: "1 second", maxRecoveries: 1000 } as const
  if (store === "files") return CheckMateEngine.layerFileSystem(directory, options)
  const { client, prefix } = clientFor(store, directory)
  // With the FileSystem that is there, so that the dead are told from the silent.
  return Sql.layer({ ...options, prefix }).pipe(
    Layer.provide(client),
    Layer.orDie,
    Layer.provideMerge(NodeContext.layer)
  )
}

const Count = Schema.decodeUnknownSync(Schema.Tuple(Schema.Struct({ count: Schema.NumberFromString })))

const counted = (store: string, directory: string, question: (of: (name: string) => string) => string) => {
  const { client, prefix } = clientFor(store, directory)
  return Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(question((name) => `${prefix}${name}`))).pipe(
    Effect.map((rows) => Count(rows)[0].count),
    Effect.provide(client),
    Effect.orDie
  )
}

/** How many journals were claimed anew after their first claim. */
export const takeoversOn = (store: string, directory: string, tasks: number): Effect.Effect<number> => {
  if (store === "files") {
    return Effect.sync(() => fs.readdirSync(`${directory}/tasks`).filter((name) => name.endsWith(".sealed")).length)
  }
  const last = store === "sqlite" ? "epoch" : "last_value"
  return Effect.map(
    counted(store, directory, (of) => `select cast(${last} as text) as count from ${of("epochs")}`),
    (claims) => claims - tasks
  )
}

/** What is there though there are no tasks any more. */
export const leftoversOn = (store: string, directory: string): Effect.Effect<ReadonlyArray<string>> => {
  if (store === "files") {
    return Effect.sync(() => [
      ...["tasks", "takes", "mail", "trash"].flatMap((folder) =>
        fs.readdirSync(`${directory}/${folder}`).map((name) => `${folder}/${name}`)
      ),
      ...fs.readdirSync(`${directory}/locks`).filter((name) => !name.endsWith(".engine")).map((name) => `locks/${name}`)
    ])
  }
  return Effect.map(
    Effect.forEach(["tasks", "batches", "tags", "mail", "locks"], (table) =>
      Effect.map(
        counted(store, directory, (of) => `select cast(count(*) as text) as count from ${of(table)}`),
        (count) => count === 0 ? Option.none() : Option.some(`${count} rows of ${table}`)
      )),
    (found) => found.flatMap(Option.toArray)
  )
}
