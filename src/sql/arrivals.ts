/** Tells of mail as it arrives, where the database can: Postgres, by LISTEN and NOTIFY. */

import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { TaskIOError } from "../CheckMateError.ts"
import { logDebug } from "../internal/log.ts"
import type { Database } from "./database.ts"
import { channelOf } from "./postgres.ts"

/** What the client of @effect/sql-pg can do beside. */
interface Listening {
  readonly listen: (channel: string) => Stream.Stream<string, SqlError>
}

const canListen = (client: SqlClient): client is SqlClient & Listening =>
  "listen" in client && typeof client.listen === "function"

/** Mail is looked for this often beside: a connection that is lost, or a pooler that passes nothing on, says nothing. */
const lookEvery = "5 seconds"
/** A connection that has been lost is not told of, so another one is made this often. */
const listenFor = "1 minute"

/** Who is over sooner does not begin to listen. */
const listenAfter = Duration.millis(50)
/**
 * A client that is interrupted while it connects to listen forgets the connection, which keeps the process alive for ever. By
 * then it has connected, or cannot.
 */
const connectedAfter = Duration.seconds(1)
/** By the machine's clock, as connections are made. */
const clock = Clock.make()

/** The ids of tasks as they get mail; nothing where the database cannot tell. */
export const arrivalsOf = (
  { client, dialect, names }: Database,
  waiting: Effect.Effect<ReadonlyArray<string>, TaskIOError>
): Stream.Stream<string, TaskIOError> | undefined => {
  if (dialect.name !== "pg" || !canListen(client)) return undefined
  let begun: bigint | undefined
  const connecting = Effect.sync(() => {
    begun = clock.unsafeCurrentTimeNanos()
  })
  const connected = Effect.suspend(() =>
    begun === undefined
      ? Effect.void
      : clock.sleep(Duration.subtract(connectedAfter, Duration.nanos(clock.unsafeCurrentTimeNanos() - begun)))
  )
  const listening = Stream.unwrap(Effect.as(connecting, client.listen(channelOf(names)))).pipe(
    Stream.interruptAfter(listenFor),
    // A lost connection fails in ways of its own when it is closed; the looks go on meanwhile.
    Stream.catchAllCause((cause) =>
      Stream.fromEffect(
        Cause.isInterruptedOnly(cause) ? Effect.void : logDebug("Listening for messages failed", cause)
      ).pipe(Stream.drain, Stream.concat(Stream.drain(Stream.fromEffect(Effect.sleep("1 second")))))
    ),
    Stream.forever
  )
  // By a fiber of its own, which nobody waits for in the end: to stop listening takes an answer, which may never come.
  const heard = Stream.unwrapScoped(Effect.gen(function*() {
    const ids = yield* Queue.unbounded<string>()
    const listener = Effect.zipRight(
      clock.sleep(listenAfter),
      Stream.runForEach(listening, (id) => Queue.offer(ids, id))
    )
    yield* Effect.acquireRelease(
      Effect.forkDaemon(Effect.interruptible(listener)),
      (fiber) => Effect.forkDaemon(Effect.zipRight(connected, Fiber.interrupt(fiber)))
    )
    return Stream.fromQueue(ids)
  }))
  const found = Stream.fromSchedule(Schedule.spaced(lookEvery)).pipe(
    Stream.mapEffect(() => Effect.orElseSucceed(waiting, (): ReadonlyArray<string> => [])),
    Stream.mapConcat((ids) => ids)
  )
  return Stream.merge(heard, found)
}
