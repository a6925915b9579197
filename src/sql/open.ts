/**
 * Opens a database that holds a store: its tables, made and brought up to date; statements on a connection of their own;
 * and what to do when it is busy, restarting or out of reach.
 */

import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { TaskIOError } from "../CheckMateError.ts"
import * as deadline from "../internal/deadline.ts"
import * as eventLoop from "../internal/eventLoop.ts"
import { inScope } from "../internal/inContext.ts"
import { duration } from "../internal/options.ts"
import { type Restore, uninterruptibleMask } from "../internal/region.ts"
import { settled } from "./calledOff.ts"
import type { Database, Options, Rows } from "./database.ts"
import { type Dialect, namesOf } from "./dialect.ts"
import { isPassing, isSaid, storeError, unusable } from "./failure.ts"
import { notWithin, outside, type Own, ownOf, OwnTransaction } from "./ownTransaction.ts"
import { postgres } from "./postgres.ts"
import { sqlite } from "./sqlite.ts"
import { migrate, settle } from "./tables.ts"

/** How to give back the connection of a transaction: noted when it is lent, as an interruption may come before the answer. */
interface Lent {
  giveBack: Effect.Effect<void>
}

const withNumbers = Effect.provideService(SqlClient.SafeIntegers, false)

const rolledBack = new SqlError({ message: "it was rolled back, because a statement in it had failed" })

/** Soon at first, and twice a second in the end. */
const backoff = Schedule.jittered(Schedule.union(Schedule.exponential("5 millis"), Schedule.spaced("500 millis")))

const nameRule = /^[a-z_][a-z0-9_]{0,39}$/

const dialectOf = (client: SqlClient.SqlClient): Effect.Effect<Dialect, TaskIOError> =>
  client.onDialectOrElse({
    sqlite: (): Effect.Effect<Dialect, TaskIOError> => Effect.succeed(sqlite),
    pg: () => Effect.succeed(postgres),
    orElse: () =>
      Effect.fail(
        unusable("the SQL client", "only the dialects of SQLite and Postgres are known; use a client of those")
      )
  })

/**
 * Opens a store's place in a database, and makes its tables.
 */
export const make = Effect.fnUntraced(
  function*(options: Options = {}): Effect.fn.Return<Database, TaskIOError, SqlClient.SqlClient | Scope.Scope> {
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
    const patience = yield* duration("patience", options.patience, "30 seconds")

    const limit = Duration.format(patience)
    const bounded = yield* deadline.make(patience, () =>
      new SqlError({
        message: dialect.name === "sqlite"
          ? `SQLite does one thing at a time, for ${limit} now a transaction: ask outside of yours, which this may wait for`
          : `it did not answer within ${limit}`
      }))
    const isHeldBy: Database["isHeldBy"] = (context) =>
      dialect.name === "sqlite"
      && context.unsafeMap.has(SqlClient.TransactionConnection.key)
      && ownOf(client, context) === undefined
    // SQLite answers before anything else can happen, but where a transaction has the one connection: where that is the
    // caller's own, it waits for who waits for it.
    const inTime: deadline.InTime<SqlError> = dialect.name === "sqlite"
      ? (self) => Effect.withFiberRuntime(({ currentContext }) => isHeldBy(currentContext) ? bounded(self) : self)
      : bounded
    // There are few texts, and all are used again and again.
    const texts = new Map<string, string>()
    const textOf = (text: string): string => {
      const known = texts.get(text)
      if (known !== undefined) return known
      const found = dialect.parameters(text)
      texts.set(text, found)
      return found
    }
    /**
     * A statement that could not be prepared is not prepared again for minutes by a client that remembers, whatever was
     * in the way: a file that was locked just then. So it is said without.
     */
    const saidAnew = (connection: Connection, text: string, parameters: ReadonlyArray<unknown>, error: SqlError) =>
      /prepare/.test(error.message)
        ? Effect.catchAllDefect(
          Effect.suspend(() => connection.executeUnprepared(text, parameters, undefined)),
          (cause) => new SqlError({ message: error.message, cause })
        )
        : Effect.fail(error)
    const say = (connection: Connection, text: string, parameters: ReadonlyArray<unknown>) =>
      Effect.withFiberRuntime<Rows, SqlError>(({ currentContext }) => {
        const asked = connection.execute(textOf(text), parameters, undefined)
        const said = dialect.name === "sqlite"
          ? Effect.catchAll(asked, (error) => saidAnew(connection, text, parameters, error))
          : asked
        // Whatever callers want of their own statements: a client keeps it for a text from then on.
        return Context.get(currentContext, SqlClient.SafeIntegers) ? withNumbers(said) : said
      })
    const breathe = dialect.name === "sqlite" ? eventLoop.breathing() : identity
    /** A connection is not given back before it is seen what becomes of a statement on it that was called off. */
    const orSettled = <A>(connection: Connection, said: Effect.Effect<A, SqlError>) =>
      Effect.catchAllCause(
        said,
        (cause) =>
          Effect.zipRight(Cause.isInterrupted(cause) ? settled(connection) : Effect.void, Effect.failCause(cause))
      )
    /**
     * A client of Postgres lends a connection out for ever where the wait for it is interrupted. Nobody else waits for that then,
     * as with SQLite they would, for whatever transaction has the one connection.
     */
    const reserved = (restore: Restore) => dialect.name === "sqlite" ? restore(client.reserve) : client.reserve
    const onConnection = <A>(use: (connection: Connection) => Effect.Effect<A, SqlError>) =>
      breathe(inTime(
        uninterruptibleMask((restore) =>
          inScope(
            Effect.flatMap(reserved(restore), (connection) => orSettled(connection, restore(use(connection))))
          )
        )
      ))

    /** Says what begins or ends a transaction, and waits for the same where that is called off. */
    const saidInTime = (connection: Connection, text: string) =>
      Effect.suspend(() => {
        let isAnswered = false
        const said = Effect.onExit(connection.executeUnprepared(text, [], undefined), (exit) =>
          Effect.sync(() => {
            isAnswered = !Exit.isInterrupted(exit)
          }))
        return Effect.ensuring(inTime(said), Effect.suspend(() => isAnswered ? Effect.void : settled(connection)))
      })

    const around = options.durability === "relaxed" ? undefined : dialect.aroundLight
    const begin = dialect.name === "sqlite" ? "begin immediate" : "begin"

    const alone = dialect.name === "sqlite" ? notWithin(client) : identity
    const again = <A>(self: Effect.Effect<A, SqlError>) =>
      Effect.retry(self, { schedule: Schedule.upTo(backoff, patience), while: isPassing })

    /**
     * A connection on which a transaction is begun. A fiber of its own sees to that, because clients lend a connection out
     * for ever where the wait for it is interrupted. What comes too late is given back, without its transaction.
     */
    const begun = (lent: Lent) =>
      again(
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const scope = yield* Scope.make()
            const close = Scope.close(scope, Exit.void)
            const fiber = yield* Scope.extend(client.reserve, scope).pipe(
              Effect.tap((connection) => saidInTime(connection, begin)),
              Effect.forkDaemon
            )
            const giveBack = Fiber.join(fiber).pipe(
              Effect.flatMap((connection) => saidInTime(connection, "rollback")),
              Effect.exit,
              Effect.zipRight(close)
            )
            const connection = yield* Fiber.join(fiber).pipe(
              inTime,
              restore,
              Effect.onError(() => Effect.forkDaemon(giveBack))
            )
            lent.giveBack = giveBack
            return { close, connection }
          })
        )
      ).pipe(alone, Effect.mapError(storeError("begin a transaction", location)))

    /** SQLite ends a transaction by itself at some failures; what is said then is written at once, by itself. */
    const isOpen = (connection: Connection): Effect.Effect<unknown, SqlError> =>
      Effect.matchEffect(connection.executeUnprepared("begin", [], undefined), {
        onFailure: (error) => isSaid(error, "within a transaction") ? Effect.void : Effect.fail(error),
        onSuccess: () => Effect.fail(rolledBack)
      })
    const ready = dialect.name === "sqlite" ? isOpen : () => Effect.void

    const committed = (connection: Connection): Effect.Effect<unknown, SqlError> =>
      dialect.name === "sqlite"
        // Without a WAL whoever reads keeps it waiting; the transaction stays open then.
        ? again(connection.executeUnprepared("commit", [], undefined))
        // A transaction in which a statement has failed is rolled back by Postgres then, and that is no error of its own.
        : Effect.filterOrFail(
          inTime(connection.executeRaw("commit", [])),
          (said) => !(Predicate.hasProperty(said, "command") && said.command === "ROLLBACK"),
          () => rolledBack
        )

    /** Gives a connection back, and waits for that no longer than for anything else; later it is given back even so. */
    const givenBack = ({ giveBack }: Lent): Effect.Effect<void> =>
      Effect.flatMap(Effect.forkDaemon(giveBack), (fiber) => Effect.ignore(inTime(Fiber.join(fiber))))

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
      isHeldBy,
      within: (text, parameters) =>
        Effect.withFiberRuntime(({ currentContext }) => {
          const own = ownOf(client, currentContext)
          return own === undefined
            ? Effect.succeedNone
            : Effect.asSome(inTime(Effect.zipRight(ready(own.connection), say(own.connection, text, parameters))))
        }),
      outside,
      patiently: (self) => alone(Effect.catchAll(self, (error) => isPassing(error) ? again(self) : Effect.fail(error))),
      transaction: <A, E, R>(self: Effect.Effect<A, E, R>) =>
        uninterruptibleMask((restore) => {
          const lent: Lent = { giveBack: Effect.void }
          return Effect.flatMap(restore(begun(lent)), ({ close, connection }) => {
            const own: Own = { client, connection, isOver: false }
            const inside = Effect.ensuring(
              Effect.mapInputContext(self, (context: Context.Context<R>) =>
                context.pipe(
                  Context.add(SqlClient.SqlClient, client),
                  Context.add(SqlClient.TransactionConnection, [connection, 0]),
                  Context.add(OwnTransaction, own)
                )),
              Effect.sync(() => {
                own.isOver = true
              })
            )
            const commit = Effect.mapBoth(committed(connection), {
              onFailure: storeError("commit a transaction", location),
              onSuccess: () => {
                lent.giveBack = close
              }
            })
            return Effect.tap(restore(inside), commit)
            // Rolled back, too, where it is not committed: SQLite leaves a transaction open whose commit it refuses, and what
            // came next would be lost with it.
          }).pipe(Effect.ensuring(Effect.suspend(() => givenBack(lent))))
        })
    }
    yield* withNumbers(Effect.zipRight(settle(database, options), migrate(database))).pipe(
      Effect.retry({
        schedule: Schedule.upTo(Schedule.jittered(Schedule.spaced("200 millis")), patience),
        while: (error) => error._tag === "SqlError" && isPassing(error)
      }),
      Effect.catchTag("SqlError", (error) => Effect.fail(storeError("prepare the database", location)(error)))
    )
    return database
  }
)
