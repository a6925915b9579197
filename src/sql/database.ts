/** A database that holds a store: where in it the store is, and what can be said to it. */

import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as TaskIO from "../TaskIO.ts"
import type { Outside } from "../TaskIO/Encoded.ts"
import type { Dialect, Names } from "./dialect.ts"

/**
 * Where in a database the store is, and how patient and durable it is.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * What the names of all tables begin with: 1 to 40 small letters, digits and underscores, first no digit. Stores with
   * different prefixes never see each other.
   *
   * @default "checkmate_"
   */
  readonly prefix?: string | undefined
  /**
   * The schema the tables are in, named as a prefix may be, which is created where it does not exist. Without it they are
   * where `search_path` finds them, or else puts them. Postgres only.
   */
  readonly schema?: string | undefined
  /**
   * How long to wait for a database that is busy, restarting or out of reach, and how long for one that does not answer,
   * give or take a tenth, before an operation fails. A task whose binding is in the same database is lost after the lock's lease.
   *
   * @default "30 seconds"
   */
  readonly patience?: Duration.DurationInput | undefined
  /**
   * `"full"`: what was acknowledged survives a failure of power; a server that cannot promise it is refused.
   * `"relaxed"`: whatever the database is set to, which for SQLite may lose the last commits, never tear them.
   *
   * @default "full"
   */
  readonly durability?: "full" | "relaxed" | undefined
  /**
   * How long SQLite may block this process while another one writes. After it, the operation is tried again, without
   * blocking, for as long as `patience` says. It holds for the client, whatever else uses it.
   *
   * @default "100 millis"
   */
  readonly busyTimeout?: Duration.DurationInput | undefined
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
  /** Whether what anybody says to the database waits until the caller, whose context it is, has ended its transaction. */
  readonly isHeldBy: (context: Context.Context<never>) => boolean
  /** Tries again what failed because the database was busy, restarting or out of reach, for as long as its patience. */
  readonly patiently: <A>(self: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>
  /** Runs an effect in a transaction that everything takes part in which it does with `SqlClient`: it is given ours. */
  readonly transaction: TaskIO.Transaction
  /** Takes an effect out of the transaction that it is called in, be it one of ours or its caller's. */
  readonly outside: Outside
  /** The same as {@link Database.once}, but in the transaction it is called in, if it is called in one of ours. */
  readonly within: (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Option.Option<Rows>, SqlError>
}
