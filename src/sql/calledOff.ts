/** What becomes of a connection whose statement was called off. */

import type { Connection } from "@effect/sql/SqlConnection"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"

/** What @effect/sql-pg lends: a client of the package `pg`. */
interface Lent {
  /** Whether all that was said has been answered. */
  readonly readyForQuery: boolean
  /** Cuts the connection where something has not. */
  readonly end: () => Promise<void>
}

const isLent = (client: unknown): client is Lent =>
  Predicate.hasProperty(client, "readyForQuery")
  && Predicate.isBoolean(client.readyForQuery)
  && Predicate.hasProperty(client, "end")
  && Predicate.isFunction(client.end)

const lentBy = (connection: Connection): Lent | undefined =>
  "pg" in connection && isLent(connection.pg) ? connection.pg : undefined

/** For so long it is waited for that what was called off is answered, by the machine's clock. */
const looks = Schedule.upTo(Schedule.spaced("100 millis"), "3 seconds")
const clock = Clock.make()

/**
 * Waits until a connection is free, for a while; then cuts it. A client lends it out again even so, and first of all, and
 * what is said next waits behind what was called off: where a network has forgotten a connection, and tells nobody, nothing
 * would be answered for a quarter of an hour, though there is another connection to be had. A client that is not known is
 * left alone.
 */
export const settled = (connection: Connection): Effect.Effect<void> =>
  Effect.suspend(() => {
    const lent = lentBy(connection)
    if (lent === undefined) return Effect.void
    const isFree = Effect.sync(() => lent.readyForQuery)
    // Not waited for: what it is told of is the other end.
    const cut = Effect.forkDaemon(Effect.ignore(Effect.tryPromise(() => lent.end())))
    return Effect.repeat(isFree, { schedule: looks, until: (free) => free }).pipe(
      Effect.withClock(clock),
      Effect.zipRight(Effect.suspend(() => lent.readyForQuery ? Effect.void : Effect.asVoid(cut)))
    )
  })
