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
import { SqlError } from "@effect/sql/SqlError"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Driver, Holder } from "../BindLock/Driver.ts"
import { BindLockError, TaskBoundError } from "../CheckMateError.ts"
import * as group from "../internal/group.ts"
import type { Restore } from "../internal/inContext.ts"
import * as Lease from "../internal/lease.ts"
import { nonce } from "../internal/nonce.ts"
import { Once } from "../internal/once.ts"
import * as Identity from "../internal/processIdentity.ts"
import type { Database, Rows } from "./database.ts"
import { problemOf } from "./failure.ts"

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

const Process = Schema.NullOr(Schema.parseJson(Identity.ProcessIdentity))
const Found = Schema.Array(Schema.Struct({
  engine: Schema.String,
  since: Schema.NumberFromString,
  name: Schema.NullOr(Schema.String),
  process: Schema.NullOr(Schema.String),
  beat: Schema.NullOr(Schema.Number),
  expired: Schema.NumberFromString
}))
type Found = typeof Found.Type[number]

const TaskIds = Schema.Array(Schema.Struct({ task_id: Schema.String }))
const decodeTaskIds = (rows: Rows) =>
  Effect.mapError(
    Schema.decodeUnknown(TaskIds)(rows),
    (issue) => new SqlError({ message: `the rows are not what was written: ${issue.message}` })
  )

/** How many tasks are bound by one statement at most. */
const groupLimit = 128
const decodeProcess = Schema.decodeUnknownOption(Process)
const encodeProcess = Schema.encodeSync(Schema.parseJson(Identity.ProcessIdentity))

const holderOf = ({ name, since }: Found): Holder => ({
  name: name ?? "an engine that is gone",
  since: DateTime.unsafeMake(since)
})

/**
 * The lock over a database. The engine's own row goes with the Scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(database: Database, options: Options = {}) {
  const { dialect, location, names } = database
  const fs = yield* Effect.serviceOption(FileSystem.FileSystem)
  const [engines, locks] = [names.of("engines"), names.of("locks")]
  const leased = yield* Lease.make<void>(options.lease, "30 seconds", "1 second")
  const { held } = leased
  const leaseMillis = Math.round(Duration.toMillis(leased.lease))
  const me = yield* Option.match(fs, {
    onNone: () => Effect.succeedNone,
    onSome: Identity.self
  })
  const host = Option.isSome(fs) ? yield* Identity.hostName(fs.value) : "an unknown host"
  const id = yield* nonce
  const name = Option.match(me, {
    onNone: () => Option.isSome(fs) ? `engine ${id} on ${host}` : `engine ${id}`,
    onSome: ({ pid }) => `process ${pid} on ${host}`
  })

  const failure = (operation: string, taskId: string) => (error: SqlError) =>
    new BindLockError({ operation, taskId, location, problem: problemOf(error), cause: error })
  const decode = <A, I>(operation: string, taskId: string, schema: Schema.Schema<A, I>) => (rows: Rows) =>
    Effect.mapError(Schema.decodeUnknown(schema)(rows), (issue) =>
      new BindLockError({
        operation,
        taskId,
        location,
        problem: `the rows are not what was written: ${issue.message}`
      }))

  /** A write that ends in `returning`, and whether it found anything to write. */
  const wrote = (text: string, parameters: ReadonlyArray<unknown>) =>
    Effect.map(database.lightly(dialect.lightly(text), parameters), (rows) => rows.length > 0)

  // --- statements ----------------------------------------------------------------

  const lookText = `select l.engine, cast(l.since as text) as since, e.name, e.process, e.beat,
      cast(case when e.expires >= ${dialect.now} then 0 else 1 end as text) as expired
      from ${locks} l left join ${engines} e on e.id = l.engine where l.task_id = ?`
  const takeOverText = `update ${locks} set engine = ?, since = ${dialect.now} where task_id = ? and engine = ?
      and not exists (
        select 1 from (select beat from ${engines} where id = ? ${dialect.asTheyAre}) as holder where beat <> ?
      ) returning 1`
  const signText = `insert into ${engines} (id, name, process, beat, expires)
      select ?, ?, ?, 1, ${dialect.now} + ${leaseMillis} where true on conflict (id) do update set
      beat = ${engines}.beat + 1, expires = excluded.expires returning 1`
  const heldText = `select task_id from ${locks} where engine = ?`
  const leaveText = `delete from ${engines} where id = ? returning 1`
  // Their tasks, if any, are free for whoever asks: the engine of the lock is not there.
  const sweepText = `delete from ${engines} where expires < ${dialect.now} - ${leaseMillis} - 86400000 returning 1`

  const look = (taskId: string) =>
    Effect.map(
      database.patiently(database.once(lookText, [taskId])).pipe(
        Effect.mapError(failure("look for who holds", taskId)),
        Effect.flatMap(decode("look for who holds", taskId, Found))
      ),
      (rows) => Option.fromNullable(rows[0])
    )

  const isAlive = (found: Found) =>
    Option.match(fs, {
      onNone: () => Effect.succeedNone,
      onSome: (files) =>
        Identity.isAlive(
          files,
          me,
          found.process === null ? null : Option.getOrNull(decodeProcess(found.process))
        )
    })

  /** Whether an engine is dead. One whose lease ran out is watched for two signs' time before it is given up. */
  const isDead = Effect.fnUntraced(function*(taskId: string, found: Found) {
    if (found.beat === null || Option.contains(yield* isAlive(found), false)) return true
    if (found.expired === 0) return false
    const again = yield* leased.isStill(look(taskId))
    return Option.isNone(again) || (again.value.engine === found.engine && again.value.beat === found.beat)
  })

  // --- signs of life -----------------------------------------------------------------

  /** What is being bound just now, each with what opens once that has come to something. */
  const trying = new Map<string, Once<void>>()
  /** What is being let go of just now. */
  const releasing = new Set<string>()

  const giveSign = leased.sign(
    wrote(signText, [id, name, Option.match(me, { onNone: () => null, onSome: (own) => encodeProcess(own) })])
  )

  /** Binds, or lets go of, whatever waits for that, in one statement, and says of each whether a row was written. */
  const inGroups = (text: string) =>
    group.make<string, boolean, SqlError>({
      limit: groupLimit,
      keyOf: identity,
      isAlone: (context) => held.size + trying.size <= 1 || database.isHeldBy(context),
      together: (taskIds) =>
        // In one order for all, so that no two statements wait for each other.
        database.lightly(text, [id, JSON.stringify([...taskIds].sort())]).pipe(
          Effect.flatMap(decodeTaskIds),
          Effect.map((rows) => {
            const written = new Set(rows.map(({ task_id }) => task_id))
            return taskIds.map((taskId) => Effect.succeed(written.has(taskId)))
          })
        )
    })
  const bindRow = yield* inGroups(dialect.bind(names))
  const releaseRow = yield* inGroups(dialect.release(names))
  const letGo = (taskId: string) =>
    Effect.suspend(() => {
      releasing.add(taskId)
      return Effect.ensuring(releaseRow(taskId), Effect.sync(() => releasing.delete(taskId)))
    })

  /** Tells whoever holds a task that it is another engine's. What is bound after that does not go with it. */
  const giveUp = (taskId: string, mine: Lease.Held<void> | undefined) =>
    Effect.suspend(() => {
      if (mine === undefined || held.get(taskId) !== mine) return Effect.void
      return Effect.zipRight(leased.takenOver(taskId), Effect.sync(() => held.delete(taskId)))
    })

  /** Whether a task is this engine's after all: its row may have gone with a server that crashed. */
  const holdAgain = Effect.fnUntraced(function*(taskId: string, mine: Lease.Held<void>) {
    if (yield* bindRow(taskId)) return
    const found = yield* look(taskId)
    if (Option.isSome(found) && found.value.engine === id) return
    yield* giveUp(taskId, mine)
  })

  const checkHeld = Effect.gen(function*() {
    // Only what was held before the look can be missed by it.
    const before = [...held]
    const rows = yield* Effect.flatMap(database.once(heldText, [id]), decodeTaskIds)
    const mine = new Set(rows.map(({ task_id }) => task_id))
    for (const [taskId, one] of before) {
      if (!mine.has(taskId) && held.get(taskId) === one) yield* holdAgain(taskId, one)
    }
    // Let go of while the database could not be told.
    for (const taskId of mine) {
      // Seen to its end by another fiber: until then nothing may be bound by the row, however long this one waits. That is
      // noted before that fiber begins, which others may come before.
      const left = yield* Effect.uninterruptible(Effect.suspend(() => {
        if (held.has(taskId) || trying.has(taskId) || releasing.has(taskId)) return Effect.succeedNone
        releasing.add(taskId)
        return Effect.asSome(Effect.forkDaemon(letGo(taskId)))
      }))
      if (Option.isSome(left)) yield* Fiber.join(left.value)
    }
  })

  yield* Effect.mapError(database.patiently(giveSign), failure("prepare to bind", "*"))
  yield* Effect.addFinalizer(() => Effect.ignore(database.lightly(dialect.lightly(leaveText), [id])))
  yield* Effect.ignore(database.lightly(dialect.lightly(sweepText), []))
  const signAndCheck = Effect.zipRight(giveSign, checkHeld)
  yield* leased.keepAlive(
    // A statement without an answer must not keep the next sign from being given. In SQLite it waits for a transaction of
    // this very process, behind which nobody else can write, and is given then.
    (dialect.name === "sqlite" ? signAndCheck : Effect.timeout(signAndCheck, leased.beat)).pipe(
      Effect.catchAll(({ message }) => leased.outOfReach(message))
    )
  )

  // --- binding -----------------------------------------------------------------------

  /** Whether it is written that this engine holds a task; none where another was in the way and has not bound it. */
  const tryToHold = Effect.fnUntraced(
    function*(taskId: string, restore: Restore): Effect.fn.Return<Option.Option<void>, BindLockError | TaskBoundError> {
      const patiently = <A>(self: Effect.Effect<A, SqlError>) =>
        Effect.mapError(database.patiently(self), failure("bind", taskId))
      const mine = (written: boolean): Option.Option<void> => written ? Option.some(undefined) : Option.none()
      // Its row is about to go, and with it whatever was bound by it.
      if (releasing.has(taskId)) return mine(false)
      // What is held now may be let go of between a look at its row and the answer.
      const before = held.get(taskId)
      if (!(yield* leased.isSeenAlive)) yield* patiently(giveSign)
      if (yield* patiently(bindRow(taskId))) {
        // The row of what is held may have been gone. Whoever has not been told of that goes on by the new one.
        if (before === undefined || (before.lost.isSettled && held.get(taskId) === before)) return mine(true)
      }
      const found = yield* look(taskId)
      if (Option.isNone(found)) return mine(false)
      const { beat, engine } = found.value
      // Its own row, and not held: the answer to an earlier statement was lost.
      if (engine === id && !held.has(taskId)) return mine(before === undefined)
      if (engine !== id) {
        yield* giveUp(taskId, before)
        if (yield* restore(isDead(taskId, found.value))) {
          return mine(yield* patiently(wrote(takeOverText, [id, taskId, engine, engine, beat ?? 0])))
        }
      }
      const holder = holderOf(found.value)
      return yield* new TaskBoundError({ taskId, holder: holder.name, since: holder.since })
    }
  )

  /** One try at a time: to another one a row that was just written, and not answered yet, would look like its own. */
  const inTurn = Effect.fnUntraced(function*<A, E>(taskId: string, self: Effect.Effect<A, E>, restore: Restore) {
    for (let other = trying.get(taskId); other !== undefined; other = trying.get(taskId)) {
      yield* restore(other.await)
    }
    const ended = new Once<void>()
    trying.set(taskId, ended)
    return yield* Effect.ensuring(
      self,
      Effect.sync(() => {
        trying.delete(taskId)
        ended.settle()
      })
    )
  })

  const acquiring = Effect.fnUntraced(function*(taskId: string, restore: Restore) {
    const mine = yield* inTurn(taskId, leased.hold(taskId, tryToHold(taskId, restore), restore), restore)
    // Where it cannot be told now, it is with the next sign of life.
    const letItGo = Effect.ignore(letGo(taskId))
    return yield* Lease.bind(name, mine, leased.release(taskId, mine, letItGo))
  })

  const driver: Driver = {
    acquire: (taskId) => Effect.uninterruptibleMask((restore) => acquiring(taskId, restore)),
    holder: (taskId) =>
      Effect.flatMap(
        look(taskId),
        Option.match({
          onNone: () => Effect.succeedNone,
          onSome: (found) =>
            Effect.map(isAlive(found), (alive) => {
              const gone = found.beat === null || !Option.getOrElse(alive, () => found.expired === 0)
              return gone ? Option.none() : Option.some(holderOf(found))
            })
        })
      )
  }
  return driver
})
