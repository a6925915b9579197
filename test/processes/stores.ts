/**
 * Where processes that fight keep their tasks, by a word each is given: `files`, `disk`, `sqlite`, `postgres:<port>:<prefix>`, or
 * `s3:` and, as JSON, a server and a prefix in it.
 */
import { FetchHttpClient, type FileSystem, type Path } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Option, Schema } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import type { BindLockError, TaskIOError, UnfitStoreError } from "effect-checkmate/CheckMateError"
import * as LocalDisk from "effect-checkmate/LocalDisk"
import * as S3 from "effect-checkmate/s3"
import * as Sql from "effect-checkmate/sql"
import * as fs from "node:fs"
import { clientOf } from "../support/postgres.ts"
import { optionsFor } from "../support/s3.ts"

const options = { lease: "1 second", maxRecoveries: 1000 } as const
const postgresWord = /^postgres:(\d+):(\w+)$/

const databaseOf = (store: string, directory: string) => {
  const [, port, prefix = "checkmate_"] = postgresWord.exec(store) ?? []
  const client: Layer.Layer<SqlClient.SqlClient, unknown> = port === undefined
    ? SqliteClient.layer({ filename: `${directory}/work.db` })
    : clientOf({ port: Number(port) }, { maxConnections: 4 })
  return { client: Layer.orDie(client), prefix }
}

export const isOnFiles = (store: string): boolean => store === "files" || store === "disk"

/** An engine over the store, with a short lease. */
export const storeOf = (
  store: string,
  directory: string
): Layer.Layer<
  CheckMateEngine.CheckMateEngine,
  BindLockError | TaskIOError | UnfitStoreError,
  FileSystem.FileSystem | Path.Path
> => {
  if (store === "files") return CheckMateEngine.layerFileSystem(directory, options)
  if (store === "disk") return Layer.provide(CheckMateEngine.layerFileSystem(directory, options), LocalDisk.layer)
  if (store.startsWith("s3:")) {
    const { prefix, server } = JSON.parse(store.slice("s3:".length))
    return Layer.provide(S3.layer({ ...options, ...optionsFor(server, prefix) }), FetchHttpClient.layer)
  }
  const { client, prefix } = databaseOf(store, directory)
  return Layer.provide(Sql.layer({ ...options, prefix }), client)
}

const Count = Schema.decodeUnknownSync(Schema.Tuple(Schema.Struct({ count: Schema.NumberFromString })))

/** What is there though there are no tasks any more; nothing is asked of S3, which keeps a mark for each. */
export const leftoversOn = (store: string, directory: string): Effect.Effect<ReadonlyArray<string>> => {
  if (store.startsWith("s3:")) return Effect.succeed([])
  if (isOnFiles(store)) {
    return Effect.sync(() => [
      ...["tasks", "takes", "mail", "trash"].flatMap((folder) =>
        fs.readdirSync(`${directory}/${folder}`).map((name) => `${folder}/${name}`)
      ),
      ...fs.readdirSync(`${directory}/locks`).filter((name) => !name.endsWith(".engine")).map((name) => `locks/${name}`)
    ])
  }
  const { client, prefix } = databaseOf(store, directory)
  return Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const found = yield* Effect.forEach(
      ["tasks", "batches", "tags", "mail", "locks"],
      (table) =>
        Effect.map(sql`select cast(count(*) as text) as count from ${sql(prefix + table)}`, (rows) => {
          const [{ count }] = Count(rows)
          return count === 0 ? Option.none() : Option.some(`${count} rows of ${table}`)
        })
    )
    return found.flatMap(Option.toArray)
  }).pipe(Effect.provide(client), Effect.orDie)
}
