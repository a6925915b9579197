/** What is done when a store is opened: its tables are brought up to date, and commits are made as durable as they are to be. */

import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { TaskIOError } from "../CheckMateError.ts"
import { duration } from "../internal/options.ts"
import type { Database, Options, Rows } from "./database.ts"
import { unusable } from "./failure.ts"

const Version = Schema.decodeUnknownOption(Schema.Tuple(Schema.Struct({ version: Schema.NumberFromString })))

/** Brings the tables up to date. Many processes may do this at once: one does it, the others find it done. */
export const migrate = Effect.fnUntraced(function*(database: Database): Effect.fn.Return<void, SqlError | TaskIOError> {
  const { client, dialect, location, names } = database
  const table = `${names.schema === undefined ? "" : `${names.schema}.`}${names.prefix}migrations`
  // Asked for first: a client may remember a statement that failed for want of its table.
  const versionBy = (ask: Database["once"]) =>
    Effect.flatMap(ask(dialect.hasTable, [table]), (tables) =>
      tables.length === 0
        ? Effect.succeed(0)
        : Effect.map(
          ask(`select cast(max(migration_id) as text) as version from ${names.of("migrations")}`, []),
          (rows) => Option.match(Version(rows), { onNone: () => 0, onSome: ([row]) => row.version })
        ))
  const known = dialect.migrations(names, 0).length
  const usable = (version: number) =>
    version <= known ? Effect.succeed(version) : Effect.fail(unusable(
      location,
      `its tables are of version ${version}, and this library knows ${known}: use a newer one`
    ))
  const found = yield* Effect.flatMap(versionBy(database.once), usable)
  if (found === known) return
  // The Migrator's table would have another name else than the one it is looked for by.
  const plain = client.withoutTransforms()
  const name = `${names.prefix}migrations`
  const [named] = plain`${plain(name)}`.compile()
  if (named !== `"${name}"`) {
    return yield* unusable(
      location,
      `its client makes ${named} of "${name}", by transformQueryNames, and can be asked not to only `
        + "where it has transformResultNames too: give it both, or leave that name as it is"
    )
  }
  const tell = (statements: ReadonlyArray<string>) =>
    Effect.forEach(statements, (text) => client.unsafe(text).unprepared, { discard: true })
  const run = (version: number) => {
    const steps = dialect.migrations(names, version).map(({ name, statements }, index): Migrator.ResolvedMigration => [
      index + 1,
      name,
      Effect.succeed(tell(statements))
    ])
    return Migrator.make({})({ loader: Effect.succeed(steps), table }).pipe(
      Effect.provideService(SqlClient.SqlClient, plain),
      Effect.catchAllDefect((defect) =>
        Effect.fail(defect instanceof Migrator.MigrationError ? defect : new SqlError({ cause: defect }))
      ),
      Effect.catchTag(
        "MigrationError",
        ({ cause, message }) =>
          Effect.fail(cause instanceof SqlError ? cause : new SqlError({ message, cause: new Error(message) }))
      )
    )
  }
  const within: Database["once"] = (text, parameters) =>
    Effect.map(database.within(text, parameters), Option.getOrElse((): Rows => []))
  // One process at a time: the others find it done, maybe by a newer library, so that it is asked again what there is.
  yield* database.transaction(
    // Said within the patience, as the one before may be frozen.
    Effect.forEach(dialect.beforeMigrating(names), (text) => within(text, []), { discard: true }).pipe(
      Effect.zipRight(versionBy(within)),
      Effect.flatMap(usable),
      Effect.flatMap(run)
    )
  )
})

const Setting = Schema.decodeUnknownOption(
  Schema.Tuple(Schema.Record({ key: Schema.String, value: Schema.Union(Schema.String, Schema.Number) }))
)
const settingOf = (rows: Rows): string =>
  Option.match(Setting(rows), { onNone: () => "unknown", onSome: ([row]) => String(Object.values(row)[0]) })

/** Sets how durable a commit is, and looks whether it is so. */
export const settle = Effect.fnUntraced(
  function*(database: Database, options: Options): Effect.fn.Return<void, SqlError | TaskIOError> {
    const { dialect, location } = database
    const full = options.durability !== "relaxed"
    if (dialect.name === "pg") {
      const fsync = settingOf(yield* database.once("show fsync", []))
      if (full && fsync !== "on") {
        return yield* unusable(
          location,
          `the server runs with fsync = ${fsync}, so a commit may be lost; switch it on, or say durability: "relaxed"`
        )
      }
      return
    }
    const busy = Math.round(Duration.toMillis(yield* duration("busyTimeout", options.busyTimeout, "100 millis")))
    yield* database.once(`pragma busy_timeout = ${busy}`, [])
    if (!full) return
    yield* database.once("pragma synchronous = full", [])
    const synchronous = settingOf(yield* database.once("pragma synchronous", []))
    if (synchronous !== "2" && synchronous !== "3") {
      return yield* unusable(
        location,
        `"pragma synchronous" is ${synchronous} after it was set to full, so a commit may be lost; use a client that `
          + "keeps it, or say durability: \"relaxed\""
      )
    }
  }
)
