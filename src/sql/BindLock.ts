/**
 * A lock in an SQL database.
 *
 * ```text
 * <prefix>engines   one row an engine: who it is, its signs of life counted, and until when it is believed
 * <prefix>locks     one row a task that is held: which engine holds it
 * ```
 *
 * To hold a task is to have written its row, or to have put oneself in the place of an engine that is dead. An engine
 * gives a sign of life five times in a lease, for all its tasks in one statement, and sees then which of them are still
 * its own. It is dead if its process is provably gone (where a FileSystem is provided, on Linux), or if its lease ran out
 * by the database's clock and it then gave no sign for two more signs' time by ours. Nothing is tied to a connection, so
 * it works behind a pooler. What a lock writes need not survive the server: an engine that finds a row of its own gone
 * writes it again, if nobody else has.
 *
 * @since 0.1.0
 */

import * as FileSystem from "@effect/platform/FileSystem"
import type { SqlError } from "@effect/sql/SqlError"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Driver, Holder } from "../BindLock/Driver.ts"
import { BindLockError, TaskBoundError } from "../CheckMateError.ts"
import * as group from "../internal/group.ts"
import { inTurn, type Turns } from "../internal/inTurn.ts"
import * as Lease from "../internal/lease.ts"
import { nonce } from "../internal/nonce.ts"
import * as Identity from "../internal/processIdentity.ts"
import { type Restore, uninterruptibleMask } from "../internal/region.ts"
import type { Database } from "./database.ts"
import { problemOf } from "./failure.ts"
import { type Engine, type Found, type LockRows, lockRowsOf } from "./lockRows.ts"

/**
 * How a lock in a database decides that a holder is gone.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * How long a holder that cannot be proven dead may be silent before it is taken over. It gives a sign of life five
   * times in that span. At least 1 second.
   *
   * @default "30 seconds"
   */
  readonly lease?: Duration.DurationInput | undefined
}

/** How many tasks are bound by one statement at most. */
const groupLimit = 128

const holderOf = ({ name, since }: Found): Holder => ({
  name: name ?? "an engine that is gone",
  since: DateTime.unsafeMake(since)
})

const failureOf = ({ location }: Database, operation: string, taskId: string) => (error: SqlError) =>
  new BindLockError({ operation, taskId, location, problem: problemOf(error), cause: error })

// --- an engine and its rows ----------------------------------------------------------

const Process = Schema.parseJson(Identity.ProcessIdentity)
const encodeProcess = Schema.encodeSync(Process)
const decodeProcess = Schema.decodeUnknownOption(Process)

/** Who this engine is, and how to tell which others live: without a FileSystem nobody is provably dead. */
const identify = Effect.gen(function*() {
  const id = yield* nonce
  const files = yield* Effect.serviceOption(FileSystem.FileSystem)
  if (Option.isNone(files)) {
    const engine: Engine = { id, name: `engine ${id}`, process: null }
    return { engine, isAlive: () => Effect.succeedNone }
  }
  const fs = files.value
  const me = yield* Identity.self(fs)
  const host = yield* Identity.hostName(fs)
  const engine: Engine = Option.match(me, {
    onNone: () => ({ id, name: `engine ${id} on ${host}`, process: null }),
    onSome: (process) => ({ id, name: `process ${process.pid} on ${host}`, process: encodeProcess(process) })
  })
  return {
    engine,
    isAlive: ({ process }: Found) => Identity.isAlive(fs, me, Option.getOrNull(decodeProcess(process)))
  }
})

/** What the parts of one engine's lock share. */
interface Lock {
  readonly database: Database
  readonly engine: Engine
  readonly rows: LockRows
  readonly leased: Effect.Effect.Success<ReturnType<typeof Lease.make<void>>>
  /** What is being bound just now, each with what opens once that has come to something. */
  readonly trying: Turns
  /** What is being let go of just now. */
  readonly releasing: Set<string>
  /** Writes the row of a task that nobody holds, and says whether it did. */
  readonly bindRow: (taskId: string) => Effect.Effect<boolean, SqlError>
  readonly letGo: (taskId: string) => Effect.Effect<boolean, SqlError>
  /** Whether an engine is provably dead or alive; none where that cannot be told. */
  readonly isAlive: (found: Found) => Effect.Effect<Option.Option<boolean>>
}

const lockOf = Effect.fnUntraced(
  function*(database: Database, options: Options): Effect.fn.Return<Lock, never, Scope.Scope> {
    const leased = yield* Lease.make<void>(options.lease, "30 seconds", "1 second")
    const { engine, isAlive } = yield* identify
    const rows = lockRowsOf(database, engine, leased.lease)
    const trying: Turns = new Map()
    const releasing = new Set<string>()

    /** Writes for whatever waits for that in one statement, and says of each whether a row was written. */
    const inGroups = (write: (taskIds: ReadonlyArray<string>) => Effect.Effect<ReadonlySet<string>, SqlError>) =>
      group.make<string, boolean, SqlError>({
        limit: groupLimit,
        keyOf: identity,
        isAlone: (context) => leased.held.size + trying.size <= 1 || database.isHeldBy(context),
        together: (taskIds) =>
          Effect.map(write(taskIds), (written) => taskIds.map((taskId) => Effect.succeed(written.has(taskId))))
      })
    const bindRow = yield* inGroups(rows.bind)
    const releaseRow = yield* inGroups(rows.release)
    return {
      database,
      engine,
      rows,
      leased,
      trying,
      releasing,
      bindRow,
      letGo: (taskId) =>
        Effect.suspend(() => {
          releasing.add(taskId)
          return Effect.ensuring(releaseRow(taskId), Effect.sync(() => releasing.delete(taskId)))
        }),
      isAlive
    }
  }
)

/** Whether an engine is dead. One whose lease ran out is watched for two signs' time before it is given up. */
const isDead = Effect.fnUntraced(function*({ isAlive, leased, rows }: Lock, taskId: string, found: Found) {
  if (found.beat === null || Option.contains(yield* isAlive(found), false)) return true
  if (found.expired === 0) return false
  const signOf = ({ beat, engine }: Found): string => `${engine} ${beat}`
  return yield* leased.staysSilent(found.engine, signOf(found), Effect.map(rows.look(taskId), Option.map(signOf)))
})

// --- signs of life -------------------------------------------------------------------

/** Tells whoever holds a task that it is another engine's. What is bound after that does not go with it. */
const giveUp = ({ leased }: Lock, taskId: string, mine: Lease.Held<void> | undefined) =>
  Effect.suspend(() => {
    if (mine === undefined || leased.held.get(taskId) !== mine) return Effect.void
    return Effect.zipRight(leased.takenOver(taskId), Effect.sync(() => leased.held.delete(taskId)))
  })

/** Whether a task is this engine's after all: its row may have gone with a server that crashed. */
const holdAgain = Effect.fnUntraced(function*(lock: Lock, taskId: string, mine: Lease.Held<void>) {
  if (yield* lock.bindRow(taskId)) return
  const found = yield* lock.rows.look(taskId)
  if (Option.isSome(found) && found.value.engine === lock.engine.id) return
  yield* giveUp(lock, taskId, mine)
})

/** Gives up what is another engine's, and says which tasks have a row of this one. */
const checkHeld = Effect.fnUntraced(function*(lock: Lock) {
  const { leased: { held }, rows } = lock
  // Only what was held before the look can be missed by it.
  const before = [...held]
  const mine = yield* rows.held
  for (const [taskId, one] of before) {
    if (!mine.has(taskId) && held.get(taskId) === one) yield* holdAgain(lock, taskId, one)
  }
  return mine
})

/** A sign counts once it is known what is still held: who was taken over knows it within the lease. */
const giveSign = (lock: Lock) => lock.leased.sign(Effect.zipRight(lock.rows.sign, checkHeld(lock)))

/** Lets go of what could not be let go of while the database could not be told. */
const settle = Effect.fnUntraced(function*(lock: Lock, mine: ReadonlySet<string>) {
  const { leased: { held }, releasing, trying } = lock
  for (const taskId of mine) {
    // Seen to its end by another fiber: until then nothing may be bound by the row, however long this one waits. That is
    // noted before that fiber begins, which others may come before.
    const left = yield* Effect.uninterruptible(Effect.suspend(() => {
      if (held.has(taskId) || trying.has(taskId) || releasing.has(taskId)) return Effect.succeedNone
      releasing.add(taskId)
      return Effect.asSome(Effect.forkDaemon(lock.letGo(taskId)))
    }))
    if (Option.isSome(left)) yield* Fiber.join(left.value)
  }
})

/** Gives signs of life as long as the Scope, with which the engine's own row goes. */
const live = Effect.fnUntraced(function*(lock: Lock): Effect.fn.Return<void, BindLockError, Scope.Scope> {
  const { database, leased, rows } = lock
  yield* Effect.mapError(database.patiently(giveSign(lock)), failureOf(database, "prepare to bind", "*"))
  yield* Effect.addFinalizer(() => Effect.ignore(rows.leave))
  yield* Effect.ignore(rows.sweep)
  const signAndSettle = Effect.flatMap(giveSign(lock), (mine) => settle(lock, mine))
  yield* leased.keepAlive(
    // A statement without an answer must not keep the next sign from being given. In SQLite it waits for a transaction of
    // this very process, behind which nobody else can write, and is given then.
    (database.dialect.name === "sqlite" ? signAndSettle : Effect.timeout(signAndSettle, leased.beat)).pipe(
      Effect.catchAll(({ message }) => leased.outOfReach(message))
    )
  )
})

// --- binding -------------------------------------------------------------------------

/** Whether it is written that this engine holds a task; none where another was in the way and has not bound it. */
const tryToHold = Effect.fnUntraced(
  function*(
    lock: Lock,
    taskId: string,
    restore: Restore
  ): Effect.fn.Return<Option.Option<void>, SqlError | TaskBoundError> {
    const { bindRow, database: { patiently }, engine, leased, releasing, rows } = lock
    const { held } = leased
    const mine = (written: boolean): Option.Option<void> => written ? Option.some(undefined) : Option.none()
    // Its row is about to go, and with it whatever was bound by it.
    if (releasing.has(taskId)) return mine(false)
    // What is held now may be let go of between a look at its row and the answer.
    const before = held.get(taskId)
    if (!(yield* leased.isSeenAlive)) yield* patiently(giveSign(lock))
    if (yield* patiently(bindRow(taskId))) {
      // The row of what is held may have been gone. Whoever has not been told of that goes on by the new one.
      if (before === undefined || (before.lost.isSettled && held.get(taskId) === before)) return mine(true)
    }
    const looked = yield* rows.look(taskId)
    if (Option.isNone(looked)) return mine(false)
    const found = looked.value
    // Its own row, and not held: the answer to an earlier statement was lost.
    if (found.engine === engine.id && !held.has(taskId)) return mine(before === undefined)
    if (found.engine !== engine.id) {
      yield* giveUp(lock, taskId, before)
      if (yield* restore(isDead(lock, taskId, found))) return mine(yield* patiently(rows.takeOver(taskId, found)))
    }
    const holder = holderOf(found)
    return yield* new TaskBoundError({ taskId, holder: holder.name, since: holder.since })
  }
)

const acquire = Effect.fnUntraced(function*(lock: Lock, taskId: string, restore: Restore) {
  const { database, engine, leased, letGo } = lock
  const holding = leased.hold(taskId, tryToHold(lock, taskId, restore), restore)
  const mine = yield* Effect.mapError(
    // To another try a row that was just written, and not answered yet, would look like its own.
    inTurn(lock.trying, taskId, holding, restore),
    (error) => error._tag === "SqlError" ? failureOf(database, "bind", taskId)(error) : error
  )
  // Where it cannot be told now, it is with the next sign of life.
  return yield* Lease.bind(engine.name, mine, leased.release(taskId, mine, Effect.ignore(letGo(taskId))))
})

const holder = Effect.fnUntraced(function*({ isAlive, rows }: Lock, taskId: string) {
  const found = yield* rows.look(taskId)
  if (Option.isNone(found)) return Option.none()
  const alive = yield* isAlive(found.value)
  const gone = found.value.beat === null || !Option.getOrElse(alive, () => found.value.expired === 0)
  return gone ? Option.none() : Option.some(holderOf(found.value))
})

/**
 * The lock over a database. The engine's own row goes with the Scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(
  function*(database: Database, options: Options = {}): Effect.fn.Return<Driver, BindLockError, Scope.Scope> {
    const lock = yield* lockOf(database, options)
    yield* live(lock)
    return {
      acquire: (taskId) => uninterruptibleMask((restore) => acquire(lock, taskId, restore)),
      holder: (taskId) => Effect.mapError(holder(lock, taskId), failureOf(database, "look for who holds", taskId))
    }
  }
)
