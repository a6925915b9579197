/**
 * A lock in an S3 bucket that all engines share.
 *
 * ```text
 * <prefix>engine/<nonce>    one object for each engine: its signs of life
 * <prefix>lock/<task id>    which engine holds the task
 * ```
 *
 * To hold a task is to have created its lock, or to have replaced that of a dead engine, over the ETag it was read with:
 * the store itself lets one win. One sign of life, five in a lease, serves all tasks that an engine holds, and one listing
 * of the locks tells it whether they are still its own.
 *
 * An engine is dead if its process is provably gone (same boot, same process-id namespace, no process of that id and
 * start time), or if its object is gone or was silent for the lease, by the store's own clock, and it then gives no sign
 * for two more signs' time by ours. No two machines' clocks are compared.
 *
 * A lock is released by removing it, which stores do whatever its ETag is. So an engine that is not sure to have been seen
 * alive all the time writes the lock anew before, over its ETag: whoever was about to take it over is refused then.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Driver, Holder } from "../BindLock/Driver.ts"
import { TaskBoundError } from "../CheckMateError.ts"
import * as Lease from "../internal/lease.ts"
import { nonce } from "../internal/nonce.ts"
import * as Identity from "../internal/processIdentity.ts"
import { type Restore, uninterruptibleMask } from "../internal/region.ts"
import type { Client, Condition, Found } from "./client.ts"
import { S3Failure, toBindLockError } from "./failure.ts"

/**
 * How a lock in a bucket decides that a holder is gone.
 *
 * @since 0.1.0
 * @category options
 */
export interface LeaseOptions {
  /**
   * How long a holder that cannot be proven dead may be silent before it is taken over. It gives a sign of life five
   * times in that span, while it holds tasks. At least 2 seconds.
   *
   * @default "10 seconds"
   */
  readonly lease?: Duration.DurationInput | undefined
}

const Engine = Schema.Struct({
  engine: Schema.String,
  name: Schema.String,
  since: Schema.DateTimeUtc,
  process: Schema.NullOr(Identity.ProcessIdentity)
})
type Engine = typeof Engine.Type

/** In a lock, `since` is when the task was bound; in an engine's own object, when that began. */
const decode = Schema.decodeOption(Schema.parseJson(Engine))
const encode = Schema.encodeSync(Schema.parseJson(Engine))

/** What an engine knows of a lock of its own. */
interface Mark {
  readonly etag: string
  /** How often the engine had been silent before it wrote it; none where that is not known. */
  readonly silences: number | undefined
}

const engineIn = ({ content }: Found): Option.Option<Engine> => decode(content)

const holderOf = (engine: Option.Option<Engine>): Holder =>
  Option.match(engine, {
    onNone: () => ({ name: "an engine whose lock cannot be read", since: DateTime.unsafeMake(0) }),
    onSome: ({ name, since }) => ({ name, since })
  })

/**
 * Engines' objects are removed that were silent for so long, and for a lease, by whoever begins. One that lives writes it
 * anew.
 */
const forgotten = Duration.hours(1)
/** How many of them are looked at. */
const lookedAt = 50

/** The lock over a bucket. The engine's own object goes with the Scope. */
export const make = Effect.fnUntraced(
  function*(
    client: Client,
    options: LeaseOptions = {}
  ): Effect.fn.Return<Driver, never, FileSystem.FileSystem | Scope.Scope> {
    const fs = yield* FileSystem.FileSystem
    // Stores tell times in seconds.
    const leased = yield* Lease.make<Mark>(options.lease, "10 seconds", "2 seconds")
    const { held, lease } = leased
    const me = yield* Identity.self(fs)
    const host = yield* Identity.hostName(fs)
    const name = Option.match(me, { onNone: () => host, onSome: ({ pid }) => `process ${pid} on ${host}` })
    const self: Engine = { engine: yield* nonce, name, since: yield* DateTime.now, process: Option.getOrNull(me) }
    const locks = `${client.prefix}lock/`
    const engines = `${client.prefix}engine/`
    const lockOf = (taskId: string): string => `${locks}${taskId}`
    const engineOf = (engine: string): string => `${engines}${engine}`

    /** The tasks that are bound here, or are being bound or released. */
    const busy = new Set<string>()
    /** The tasks whose lock may be this engine's without its knowing, because the store failed. */
    const doubtful = new Set<string>()

    // --- looking -----------------------------------------------------------------

    const isAlive = (engine: Option.Option<Engine>) =>
      Identity.isAlive(fs, me, Option.match(engine, { onNone: () => null, onSome: ({ process }) => process }))

    const isOlder = (found: Found, than: Duration.Duration): boolean =>
      Option.exists(found.age, (age) => age > Duration.toMillis(than))

    /** What tells of a holder's life; its lock itself where that does not say whose it is. */
    const signOf = (lock: Found) =>
      Option.match(engineIn(lock), {
        onNone: () => Effect.succeedSome(lock),
        onSome: ({ engine }) => client.get(engineOf(engine))
      })

    const isSilent = (sign: Option.Option<Found>): boolean =>
      Option.match(sign, { onNone: () => true, onSome: (found) => isOlder(found, lease) })

    const tagOf = (sign: Option.Option<Found>): string =>
      Option.match(sign, { onNone: () => "", onSome: ({ etag }) => etag })

    /** Whether a holder is dead. A silent one is watched for two signs' time before it is given up. */
    const isDead = Effect.fnUntraced(function*(lock: Found) {
      const engine = engineIn(lock)
      if (Option.contains(yield* isAlive(engine), false)) return true
      const sign = yield* signOf(lock)
      const id = Option.match(engine, { onNone: () => lock.nonce, onSome: ({ engine }) => engine })
      if (!isSilent(sign)) {
        leased.seenAlive(id)
        return false
      }
      return yield* leased.staysSilent(id, tagOf(sign), Effect.asSome(Effect.map(signOf(lock), tagOf)))
    })

    const isMine = (lock: Found): boolean => Option.exists(engineIn(lock), ({ engine }) => engine === self.engine)

    // --- signs of life -----------------------------------------------------------

    /** How often this engine was silent for so long that others may have begun to take it for dead. */
    let silences = 0

    /** One look at all locks: those that this engine holds have the ETag they were written with. */
    const checkHeld = Effect.gen(function*() {
      const asked = [...held]
      const { entries } = yield* client.list(locks)
      const there = new Map(entries.map(({ etag, key }) => [key, etag]))
      for (const [taskId, mine] of asked) {
        if (there.get(lockOf(taskId)) === mine.mark.etag || held.get(taskId) !== mine) continue
        yield* leased.takenOver(taskId)
      }
    })

    /** A sign counts once it is known what is still held: who was taken over knows it within the lease. */
    const giveSign = leased.sign(Effect.gen(function*() {
      yield* client.put(engineOf(self.engine), encode(self), "any")
      if (!(yield* leased.isSeenAlive)) silences += 1
      if (held.size > 0) yield* checkHeld
    }))

    /** Removes a lock of this engine's. */
    const removeLock = Effect.fnUntraced(function*(taskId: string, mark: Mark) {
      if (mark.silences === silences && (yield* leased.isSeenAlive)) {
        return yield* client.remove(lockOf(taskId), mark.etag)
      }
      yield* giveSign
      const anew = yield* client.put(lockOf(taskId), encode({ ...self, since: yield* DateTime.now }), mark)
      if (anew._tag === "Written") yield* client.remove(lockOf(taskId), anew.etag)
    })

    const settle = Effect.gen(function*() {
      for (const taskId of doubtful) {
        if (busy.has(taskId)) continue
        // Nobody here binds it meanwhile, whose new lock would be removed for the old one.
        busy.add(taskId)
        yield* Effect.gen(function*() {
          const found = yield* client.get(lockOf(taskId))
          if (Option.isSome(found) && isMine(found.value)) {
            yield* removeLock(taskId, { etag: found.value.etag, silences: undefined })
          }
          doubtful.delete(taskId)
        }).pipe(Effect.ensuring(Effect.sync(() => busy.delete(taskId))))
      }
    })

    // A store that hangs after it had failed is not waited for until after the lease.
    const signAndSettle = Effect.suspend(() =>
      held.size + doubtful.size === 0 ? Effect.void : Effect.zipRight(giveSign, settle)
    )
    const live = Effect.flatMap(leased.left, (left) =>
      signAndSettle.pipe(
        Effect.timeoutFail({
          duration: left,
          onTimeout: () =>
            new S3Failure({ location: client.location(locks), problem: "the store does not answer", kind: "passing" })
        })
      )).pipe(
        Effect.catchAll(({ problem }) => leased.outOfReach(problem))
      )

    /** Removes the objects of engines that are gone. */
    const removeDead = Effect.gen(function*() {
      const { entries } = yield* client.page(engines, { limit: lookedAt })
      for (const { key } of entries) {
        // What others put there, the mark of a folder for instance, keeps nothing else from being looked at.
        const found = yield* Effect.catchIf(client.get(key), ({ kind }) => kind === "damaged", () => Effect.succeedNone)
        if (Option.isNone(found)) continue
        const alive = yield* isAlive(engineIn(found.value))
        const gone = Option.isSome(alive) ? !alive.value : isOlder(found.value, Duration.max(forgotten, lease))
        if (gone) yield* client.remove(key, found.value.etag)
      }
    })

    yield* Effect.addFinalizer(() =>
      Effect.ignore(Effect.zipRight(
        settle,
        leased.wasEverAlive() ? client.remove(engineOf(self.engine)) : Effect.void
      ))
    )
    yield* Effect.ignore(removeDead)
    yield* leased.keepAlive(live)

    // --- binding -----------------------------------------------------------------

    const bound = (taskId: string, { name, since }: Holder) => new TaskBoundError({ taskId, holder: name, since })

    const writeLock = Effect.fnUntraced(function*(taskId: string, condition: Condition) {
      doubtful.add(taskId)
      const outcome = yield* client.put(lockOf(taskId), encode({ ...self, since: yield* DateTime.now }), condition)
      doubtful.delete(taskId)
      return outcome
    })

    /** One try to hold a task: what is known of its lock; none where another was in the way and has not bound it. */
    const tryToHold = Effect.fnUntraced(
      function*(taskId: string, restore: Restore): Effect.fn.Return<Option.Option<Mark>, S3Failure | TaskBoundError> {
        // An engine that was frozen, or held nothing, has to be seen alive before it holds anything.
        if (!(yield* leased.isSeenAlive)) yield* giveSign
        const before = silences
        const created = yield* writeLock(taskId, "absent")
        if (created._tag === "Written") return Option.some({ etag: created.etag, silences: before })
        if (Option.isNone(created.found)) return Option.none()
        const lock = created.found.value
        // One of this engine's that is in nobody's use is left from when the store failed.
        if (!isMine(lock) && !(yield* restore(isDead(lock)))) {
          return yield* bound(taskId, holderOf(engineIn(lock)))
        }
        const taken = yield* writeLock(taskId, { etag: lock.etag })
        return taken._tag === "Written" ? Option.some({ etag: taken.etag, silences: before }) : Option.none()
      }
    )

    const release = (taskId: string, mark: Mark) =>
      Effect.suspend(() => {
        held.delete(taskId)
        // For as long as this takes, signs of life are given.
        doubtful.add(taskId)
        return removeLock(taskId, mark)
      }).pipe(
        Effect.tap(() => Effect.sync(() => doubtful.delete(taskId))),
        Effect.ignore,
        Effect.ensuring(Effect.sync(() => busy.delete(taskId)))
      )

    const acquiring = Effect.fnUntraced(function*(taskId: string, restore: Restore) {
      if (busy.has(taskId)) return yield* bound(taskId, { name, since: self.since })
      busy.add(taskId)
      const mine = yield* leased.hold(taskId, tryToHold(taskId, restore), restore).pipe(
        Effect.mapError((error) => error._tag === "S3Failure" ? toBindLockError("bind", taskId)(error) : error),
        Effect.onError(() => Effect.sync(() => busy.delete(taskId)))
      )
      return yield* Lease.bind(name, mine, release(taskId, mine.mark))
    })

    return {
      acquire: (taskId) => uninterruptibleMask((restore) => acquiring(taskId, restore)),
      holder: (taskId) =>
        Effect.gen(function*() {
          const lock = yield* client.get(lockOf(taskId))
          if (Option.isNone(lock)) return Option.none()
          const engine = engineIn(lock.value)
          const alive = yield* isAlive(engine)
          const gone = Option.isSome(alive) ? !alive.value : isSilent(yield* signOf(lock.value))
          return gone ? Option.none() : Option.some(holderOf(engine))
        }).pipe(Effect.mapError(toBindLockError("look for who holds", taskId)))
    }
  }
)
