/**
 * A database that holds a store: its tables, made and brought up to date; statements on a connection of their own; and
 * what to do when it is busy, restarting or out of reach.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { TaskIOError } from "../CheckMateError.ts"
import type * as TaskIO from "../TaskIO.ts"
import { type Dialect, type Names, namesOf } from "./dialect.ts"
import { postgres } from "./postgres.ts"
import { sqlite } from "./sqlite.ts"

/**
 * Where in a database a store is, and how patient it is.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * What the names of all tables begin with: small letters, digits and underscores. Stores with different prefixes never see
   * each other.
   *
   * @default "checkmate_"
   */
  readonly prefix?: string
  /** The schema the tables are in, which is created where it does not exist. Postgres only. */
  readonly schema?: string
  /**
   * How long to wait for a database that is busy, restarting or out of reach, and how long for one that does not answer,
   * before an operation fails. A task whose binding is in the same database is lost after the lock's lease.
   *
   * @default "30 seconds"
   */
  readonly patience?: Duration.DurationInput
  /**
   * `"full"`: what was acknowledged survives a failure of power; a server that cannot promise it is refused.
   * `"relaxed"`: whatever the database is set to, which for SQLite may lose the last commits, never tear them.
   *
   * @default "full"
   */
  readonly durability?: "full" | "relaxed"
  /**
   * How long SQLite may block this process while another one writes. After it, the operation is tried again, without
   * blocking, for as long as `patience` says. It holds for the client, whatever else uses it.
   *
   * @default "100 millis"
   */
  readonly busyTimeout?: Duration.DurationInput
}

/** What a statement answered. */
export type Rows = ReadonlyArray<unknown>

export interface Database {
  readonly client: SqlClient.SqlClient
  readonly dialect: Dialect
  readonly names: Names
  readonly patience: Duration.Duration
  /** For messages: the database and the tables' prefix. */
  readonly location: string
  /** One statement, by itself. */
  readonly once: (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, SqlError>
  /** The same, where the last of what was written may be lost with the server's memory. */
  readonly lightly: (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, SqlError>
  /** Tries again what failed because the database was busy, restarting or out of reach, for as long as its patience. */
  readonly patiently: <A>(self: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
  /** Runs an effect in a transaction that everything takes part in which it does with `SqlClient`: it is given ours. */
  readonly transaction: TaskIO.Transaction
  /** The same as {@link Database.once}, but in the transaction it is called in, if it is called in one of ours. */
  readonly within: (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Option.Option<Rows>, SqlError>
}

/** The connection of the store's own transaction, told from those that callers of the engine may have begun. */
class OwnTransaction extends Context.Tag("checkmate/sql/OwnTransaction")<OwnTransaction, Connection>() {}

// --- what went wrong ------------------------------------------------------------

const Caused = Schema.Struct({ code: Schema.optional(Schema.String), message: Schema.optional(Schema.String) })
const causeOf = (error: SqlError): typeof Caused.Type =>
  Option.getOrElse(Schema.decodeUnknownOption(Caused)(error.cause), () => ({}))

/** What the database said, for people. */
export const problemOf = (error: SqlError): string => {
  const { code, message } = causeOf(error)
  const said = message === undefined || message === "" ? error.message : message
  return code === undefined ? said : `${said} (${code})`
}

export const isSaid = (error: SqlError, text: string): boolean => causeOf(error).message?.includes(text) === true

/**
 * SQLite's busy and locked; Postgres's lost connections (08), serialization failures and deadlocks (40), lack of
 * resources (53), shut-downs (57P), and servers that may only be read (25006); and what the network says.
 */
const passing =
  /^(SQLITE_BUSY|SQLITE_LOCKED|SQLITE_PROTOCOL|08|40|53|57P|25006|ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|EAI_AGAIN|ENOENT$)/

/** Soon at first, and twice a second in the end. */
const backoff = Schedule.jittered(Schedule.union(Schedule.exponential("5 millis"), Schedule.spaced("500 millis")))

/** Whether the same statement may go through later. */
const isPassing = (error: SqlError): boolean => {
  const { code, message } = causeOf(error)
  return code === undefined ? /connect|terminated/i.test(message ?? error.message) : passing.test(code)
}

/** Turns what a statement failed with into a store's failure. */
export const storeError = (operation: string, location: string, taskId?: string) => (error: SqlError): TaskIOError =>
  new TaskIOError({
    operation,
    location,
    problem: problemOf(error),
    cause: error,
    ...(taskId === undefined ? {} : { taskId })
  })

// --- the database -----------------------------------------------------------------

const nameRule = /^[a-z_][a-z0-9_]{0,39}$/

const unusable = (location: string, problem: string) =>
  new TaskIOError({ operation: "prepare the database", location, problem })

const dialectOf = (client: SqlClient.SqlClient): Effect.Effect<Dialect, TaskIOError> =>
  client.onDialectOrElse({
    sqlite: (): Effect.Effect<Dialect, TaskIOError> => Effect.succeed(sqlite),
    pg: () => Effect.succeed(postgres),
    orElse: () =>
      Effect.fail(
        unusable("the SQL client", "only the dialects of SQLite and Postgres are known; use a client of those")
      )
  })

const Version = Schema.decodeUnknownOption(Schema.Tuple(Schema.Struct({ version: Schema.NumberFromString })))

/** Brings the tables up to date. Many processes may do this at once: one does it, the others find it done. */
const migrate = (database: Database): Effect.Effect<void, SqlError | TaskIOError> =>
  Effect.gen(function*() {
    const { client, dialect, location, names } = database
    const migrations = dialect.migrations(names)
    const table = `${names.schema === undefined ? "" : `${names.schema}.`}${names.prefix}migrations`
    // Asked for first: a client may remember a statement that failed for want of its table.
    const version = Effect.flatMap(database.once(dialect.hasTable, [table]), (tables) =>
      tables.length === 0
        ? Effect.succeed(0)
        : Effect.map(
          database.once(`select cast(max(migration_id) as text) as version from ${names.of("migrations")}`, []),
          (rows) => Option.match(Version(rows), { onNone: () => 0, onSome: ([row]) => row.version })
        ))
    const found = yield* version
    if (found > migrations.length) {
      return yield* unusable(
        location,
        `its tables are of version ${found}, and this library knows ${migrations.length}: use a newer one`
      )
    }
    if (found === migrations.length) return
    const tell = (statements: ReadonlyArray<string>) =>
      Effect.forEach(statements, (text) => client.unsafe(text).unprepared, { discard: true })
    const steps = migrations.map(({ name, statements }, index): Migrator.ResolvedMigration => [
      index + 1,
      name,
      Effect.succeed(tell(statements))
    ])
    const run = Migrator.make({})({ loader: Effect.succeed(steps), table }).pipe(
      Effect.provideService(SqlClient.SqlClient, client),
      Effect.catchAllDefect((defect) =>
        Effect.fail(defect instanceof Migrator.MigrationError ? defect : new SqlError({ cause: defect }))
      ),
      Effect.catchTag("MigrationError", ({ cause, message }) =>
        Effect.fail(cause instanceof SqlError ? cause : new SqlError({ message, cause: new Error(message) })))
    )
    // One process at a time: the others find it done.
    yield* database.transaction(Effect.zipRight(
      tell(dialect.beforeMigrating(names)),
      run
    ))
  })

const Setting = Schema.decodeUnknownOption(
  Schema.Tuple(Schema.Record({ key: Schema.String, value: Schema.Union(Schema.String, Schema.Number) }))
)
const settingOf = (rows: Rows): string =>
  Option.match(Setting(rows), { onNone: () => "unknown", onSome: ([row]) => String(Object.values(row)[0]) })

/** Sets how durable a commit is, and looks whether it is so. */
const settle = (database: Database, options: Options): Effect.Effect<void, SqlError | TaskIOError> =>
  Effect.gen(function*() {
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
    const busy = Math.round(Duration.toMillis(options.busyTimeout ?? "100 millis"))
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
  })

/**
 * Opens a store's place in a database, and makes its tables.
 */
export const make = (options: Options = {}): Effect.Effect<Database, TaskIOError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const client = yield* SqlClient.SqlClient
    const dialect = yield* dialectOf(client)
    const prefix = options.prefix ?? "checkmate_"
    const { schema } = options
    const names = namesOf(prefix, schema)
    const location = `the ${dialect.name === "pg" ? "Postgres" : "SQLite"} tables ${names.of("*")}`
    for (const name of schema === undefined ? [prefix] : [prefix, schema]) {
      if (!nameRule.test(name)) {
        return yield* unusable(
          location,
          `"${name}" is not 1 to 40 small letters, digits and underscores that begin with no digit`
        )
      }
    }
    if (schema !== undefined && dialect.name === "sqlite") {
      return yield* unusable(location, "SQLite has no schemas; tell stores apart by their prefix")
    }
    const patience = Duration.decode(options.patience ?? "30 seconds")

    /**
     * Gives up what is not answered, also where the caller is not to be interrupted, and does not wait until that is
     * called off. Not for SQLite, which answers before anything else can happen.
     */
    const inTime = <A>(self: Effect.Effect<A, SqlError>) =>
      dialect.name === "sqlite" ? self : Effect.timeoutFail(Effect.interruptible(Effect.disconnect(self)), {
        duration: patience,
        onTimeout: () => new SqlError({ message: `it did not answer within ${Duration.format(patience)}` })
      })
    const say = (connection: Connection, text: string, parameters: ReadonlyArray<unknown>) =>
      connection.execute(dialect.parameters(text), parameters, undefined)
    const onConnection = <A>(use: (connection: Connection) => Effect.Effect<A, SqlError>) =>
      // Not interrupted while it waits for a connection, which clients would lend out for ever then.
      inTime(Effect.uninterruptibleMask((restore) =>
        Effect.scoped(Effect.flatMap(client.reserve, (connection) => restore(use(connection))))
      ))

    const around = options.durability === "relaxed" ? undefined : dialect.aroundLight
    const begin = dialect.name === "sqlite" ? "begin immediate" : "begin"

    const again = <A>(self: Effect.Effect<A, SqlError>) =>
      Effect.retry(self, { schedule: Schedule.upTo(backoff, patience), while: isPassing })

    /** A connection on which a transaction is begun. One on which that failed is given back before the next try. */
    const begun = (opened: Array<Scope.CloseableScope>) =>
      again(
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(Scope.make(), (scope) =>
            Scope.extend(client.reserve, scope).pipe(
              Effect.tap((connection) => connection.executeUnprepared(begin, [], undefined)),
              inTime,
              restore,
              Effect.onError(() => Scope.close(scope, Exit.void)),
              Effect.tap(() => Effect.sync(() => opened.push(scope)))
            ))
        )
      ).pipe(Effect.mapError(storeError("begin a transaction", location)))

    const database: Database = {
      client,
      dialect,
      names,
      patience,
      location,
      once: (text, parameters) => onConnection((connection) => say(connection, text, parameters)),
      lightly: (text, parameters) =>
        onConnection((connection) =>
          around === undefined
            ? say(connection, text, parameters)
            : Effect.acquireUseRelease(
              say(connection, around[0], []),
              () => say(connection, text, parameters),
              () => Effect.orDie(say(connection, around[1], []))
            )
        ),
      within: (text, parameters) =>
        Effect.flatMap(
          Effect.serviceOption(OwnTransaction),
          Option.match({
            onNone: () => Effect.succeedNone,
            onSome: (connection) => Effect.asSome(say(connection, text, parameters))
          })
        ),
      patiently: (self) => Effect.catchAll(self, (error) => isPassing(error) ? again(self) : Effect.fail(error)),
      transaction: <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.uninterruptibleMask((restore) => {
          // Noted as they are opened: an interruption may come between that and the answer.
          const opened: Array<Scope.CloseableScope> = []
          return Effect.flatMap(restore(begun(opened)), (connection) => {
            const inside = Effect.mapInputContext(self, (context: Context.Context<R>) =>
              context.pipe(
                Context.add(SqlClient.SqlClient, client),
                Context.add(SqlClient.TransactionConnection, [connection, 0]),
                Context.add(OwnTransaction, connection)
              ))
            return restore(inside).pipe(
              Effect.exit,
              Effect.tap((exit) =>
                Exit.isSuccess(exit)
                  ? Effect.mapError(
                    connection.executeUnprepared("commit", [], undefined),
                    storeError("commit a transaction", location)
                  )
                  : Effect.ignore(connection.executeUnprepared("rollback", [], undefined))
              ),
              Effect.flatten
            )
          }).pipe(Effect.ensuring(Effect.suspend(() =>
            Effect.forEach(opened, (scope) => Scope.close(scope, Exit.void), { discard: true })
          )))
        })
    }
    yield* Effect.zipRight(settle(database, options), migrate(database)).pipe(
      Effect.retry({
        schedule: Schedule.upTo(Schedule.jittered(Schedule.spaced("200 millis")), patience),
        while: (error) => error._tag === "SqlError" && isPassing(error)
      }),
      Effect.catchTag("SqlError", (error) => Effect.fail(storeError("prepare the database", location)(error)))
    )
    return database
  })
