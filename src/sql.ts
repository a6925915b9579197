/**
 * Journals and locks in an SQL database, over the SqlClient of @effect/sql: SQLite, Postgres, and what speaks their
 * dialects.
 *
 * ```ts
 * import { SqliteClient } from "@effect/sql-sqlite-node"
 * import * as Sql from "effect-checkmate/sql"
 *
 * const Engine = Sql.layer().pipe(Layer.provide(SqliteClient.layer({ filename: "work.db" })))
 * ```
 *
 * @since 0.1.0
 */

import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BindLock from "./BindLock.ts"
import * as CheckMateEngine from "./CheckMateEngine.ts"
import type { BindLockError, TaskIOError } from "./CheckMateError.ts"
import * as lock from "./sql/BindLock.ts"
import type * as database from "./sql/database.ts"
import * as open from "./sql/open.ts"
import * as store from "./sql/TaskIO.ts"
import * as Stage from "./Stage.ts"
import * as TaskIO from "./TaskIO.ts"

export type { Options } from "./sql/database.ts"

/**
 * The same as {@link Options}, and the lock's lease.
 *
 * @since 0.1.0
 * @category options
 */
export type LockOptions = database.Options & lock.Options

/**
 * The driver of the store, for contracts and wrappers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeTaskIO = (options?: database.Options) => Effect.flatMap(open.make(options), store.make)

/**
 * The lock by itself, for contracts and wrappers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeBindLock = (options?: LockOptions) =>
  Effect.flatMap(open.make(options), (opened) => lock.make(opened, options))

const transactions = Layer.succeed(Stage.Transactions, true)

/**
 * Journals in the database of the SqlClient, with transactions for `Stage.transactional`. The tables are made where they
 * are not there.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTaskIO = (
  options?: database.Options
): Layer.Layer<TaskIO.TaskIO | Stage.Transactions, TaskIOError, SqlClient.SqlClient> =>
  Layer.merge(Layer.scoped(TaskIO.TaskIO, Effect.map(makeTaskIO(options), TaskIO.make)), transactions)

/**
 * A lock in the database of the SqlClient. Where a FileSystem is provided too, a holder that was killed on this machine
 * is taken over at once; others after the lease.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerBindLock = (
  options?: LockOptions
): Layer.Layer<BindLock.BindLock, TaskIOError | BindLockError, SqlClient.SqlClient> =>
  Layer.scoped(BindLock.BindLock, makeBindLock(options))

/**
 * An engine that keeps journals and locks in the database of the SqlClient.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: CheckMateEngine.Options & LockOptions
): Layer.Layer<
  CheckMateEngine.CheckMateEngine | Stage.Transactions,
  TaskIOError | BindLockError,
  SqlClient.SqlClient
> =>
  Layer.unwrapScoped(Effect.map(open.make(options), (opened) =>
    Layer.merge(
      Layer.provide(
        CheckMateEngine.layerWith(options),
        Layer.merge(
          Layer.scoped(TaskIO.TaskIO, Effect.map(store.make(opened), TaskIO.make)),
          Layer.scoped(BindLock.BindLock, lock.make(opened, options))
        )
      ),
      transactions
    )))
