/**
 * A lock in a directory that all engines share.
 *
 * ```text
 * directory/locks/<nonce>.engine           one file for each engine: who it is, and its signs of life
 *                 <task id>.lock           a hard link to the file of the engine that holds the task
 * directory/takes/<task id>.<nonce>.take   an engine's try to take the task over from one that is dead
 * ```
 *
 * To hold a task is to have linked its lock to one's own file; a link is made exclusively or not at all. A lock whose
 * engine is dead is taken over by linking a take to one's own file, and looking again: the taker holds the task only if
 * nobody else is trying, and after that look the dead engine's lock is still there; then it renames its take to the lock.
 * Of two takers that overlap the later one sees the other's take, or else its lock. A take is its engine's own name, so
 * that who removes a dead one's, or was given up itself, meets nobody else's. The lock is there at every moment that anyone
 * holds the task.
 *
 * An engine lengthens its file by a byte as a sign of life, five times in a lease. It is dead if its process is provably
 * gone (same boot, same process-id namespace, no process of that id and start time), or if it stayed silent for the
 * lease, by the file system's own clock, and then for two more signs' time by ours. It has lost a task whose lock is no
 * longer a link to its file.
 *
 * @since 0.1.0
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { BindLockError, TaskBoundError } from "../CheckMateError.ts"
import { alreadyExists, emptyName, entries, isNotFound, problemOf, written } from "../internal/files.ts"
import type { Restore } from "../internal/inContext.ts"
import * as Lease from "../internal/lease.ts"
import { nonce } from "../internal/nonce.ts"
import * as Identity from "../internal/processIdentity.ts"
import type { Driver, FileSystemOptions, Holder } from "./Driver.ts"

const Engine = Schema.parseJson(Schema.Struct({
  nonce: Schema.String,
  name: Schema.String,
  since: Schema.DateTimeUtc,
  process: Schema.NullOr(Identity.ProcessIdentity)
}))
type Engine = typeof Engine.Type

const decodeEngine = Schema.decodeOption(Engine)
const encodeEngine = Schema.encodeSync(Engine)

/** An engine's file as it was found. `engine` is none for one that is not what an engine writes. */
interface Found {
  readonly file: string
  readonly engine: Option.Option<Engine>
  readonly size: number
  readonly modified: Option.Option<Date>
}

const sameState = (left: Found, right: Found): boolean =>
  left.size === right.size
  && Option.getOrUndefined(Option.map(left.engine, ({ nonce }) => nonce))
    === Option.getOrUndefined(Option.map(right.engine, ({ nonce }) => nonce))

const sign = new TextEncoder().encode("\n")

const holderOf = ({ engine }: Found): Holder =>
  Option.match(engine, {
    onNone: () => ({ name: "an engine whose file cannot be read", since: DateTime.unsafeMake(0) }),
    onSome: ({ name, since }) => ({ name, since })
  })

/**
 * The lock over a directory, which is created where it does not exist. The engine's own file goes with the Scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(
  function*(
    directory: string,
    options: FileSystemOptions = {}
  ): Effect.fn.Return<Driver, BindLockError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    if (directory === "") {
      return yield* new BindLockError({
        operation: "prepare to bind",
        taskId: "*",
        location: root,
        problem: emptyName
      })
    }
    const locks = path.join(root, "locks")
    // A folder of their own, which is almost always empty: it is listed for each takeover.
    const takes = path.join(root, "takes")
    /** Tasks that were let go of, and whose lock is still there. */
    const leftover = new Set<string>()
    const leased = yield* Lease.make<void>(options.lease, "10 seconds", "1 second")
    const { held, lease } = leased
    const me = yield* Identity.self(fs)
    const host = yield* Identity.hostName(fs)
    const name = Option.match(me, { onNone: () => host, onSome: ({ pid }) => `process ${pid} on ${host}` })
    const lockOf = (taskId: string): string => path.join(locks, `${taskId}.lock`)
    const failure = (operation: string, taskId: string, location: string) => (error: Parameters<typeof problemOf>[0]) =>
      new BindLockError({ operation, taskId, location, problem: problemOf(error), cause: error })

    // --- looking ---------------------------------------------------------------

    const look = Effect.fnUntraced(function*(file: string) {
      const text = yield* fs.readFileString(file)
      const info = yield* fs.stat(file)
      const found: Found = {
        file,
        engine: decodeEngine(text.trimEnd()),
        size: Number(info.size),
        modified: info.mtime
      }
      return Option.some(found)
    }, Effect.catchIf(isNotFound, () => Effect.succeed(Option.none<Found>())))

    const lookAt = (taskId: string, file: string) =>
      Effect.mapError(look(file), failure("look for who holds", taskId, file))

    /** The file system's own time, which it stamps this engine's sign of life with, as it does others'. */
    const now = Effect.suspend(() => Effect.zipRight(giveSign, created.handle.stat)).pipe(
      Effect.map(({ mtime }) => Option.match(mtime, { onNone: () => 0, onSome: (time) => time.getTime() }))
    )

    const looksSilent = (found: Found) =>
      Option.match(found.modified, {
        onNone: () => Effect.succeed(false),
        onSome: (modified) => Effect.map(now, (time) => time - modified.getTime() > Duration.toMillis(lease))
      })

    const isAlive = (found: Found) =>
      Identity.isAlive(fs, me, Option.match(found.engine, { onNone: () => null, onSome: ({ process }) => process }))

    /** Whether an engine is dead. A silent one is watched for two signs' time before it is given up. */
    const isDead = Effect.fnUntraced(function*(found: Found) {
      const alive = yield* isAlive(found)
      if (Option.contains(alive, false)) return true
      if (!(yield* looksSilent(found))) return false
      const again = yield* leased.isStill(look(found.file))
      return Option.isNone(again) || sameState(again.value, found)
    })

    const removeIfDead = (file: string) =>
      Effect.gen(function*() {
        const found = yield* look(file)
        if (Option.isSome(found) && Option.contains(yield* isAlive(found.value), false)) yield* fs.remove(file)
      })

    /** Removes the takes of engines that are provably dead, and the files of those that hold nothing any more. */
    const removeDead = Effect.gen(function*() {
      for (const entry of yield* entries(fs, takes)) yield* Effect.ignore(removeIfDead(path.join(takes, entry)))
      for (const entry of yield* entries(fs, locks)) {
        if (!entry.endsWith(".engine")) continue
        const file = path.join(locks, entry)
        const holdsNothing = Effect.map(fs.stat(file), ({ nlink }) => Option.contains(nlink, 1))
        yield* Effect.ignore(Effect.whenEffect(removeIfDead(file), holdsNothing))
      }
    })

    // --- this engine's file ------------------------------------------------------

    for (const folder of [locks, takes]) {
      yield* Effect.mapError(fs.makeDirectory(folder, { recursive: true }), failure("prepare to bind", "*", folder))
    }
    const since = yield* DateTime.now
    // The file is its first sign of life.
    const created = yield* leased.sign(Effect.uninterruptible(Effect.gen(function*() {
      const engine: Engine = { nonce: yield* nonce, name, since, process: Option.getOrNull(me) }
      const file = path.join(locks, `${engine.nonce}.engine`)
      const handle = yield* fs.open(file, { flag: "ax" })
      yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(file)))
      yield* handle.writeAll(new TextEncoder().encode(encodeEngine(engine)))
      const { ino } = yield* handle.stat
      return { file, handle, ino, nonce: engine.nonce }
    }))).pipe(
      Effect.retry({ while: alreadyExists, times: 10 }),
      Effect.mapError(failure("prepare to bind", "*", locks))
    )
    yield* Effect.ignore(removeDead)
    const giveSign = leased.sign(written(created.handle.writeAll(sign)))

    /** Whether a task's lock is still a link to this engine's file. */
    const isMine = (taskId: string) =>
      Effect.map(
        fs.stat(lockOf(taskId)),
        ({ ino }) => Option.isNone(ino) || Option.isNone(created.ino) || ino.value === created.ino.value
      ).pipe(
        Effect.catchIf(isNotFound, () => Effect.succeed(false))
      )

    /** Takes away a lock that is this engine's own; where that fails, it is tried again with the next sign of life. */
    const unlink = (taskId: string) =>
      Effect.matchEffect(
        Effect.flatMap(isMine(taskId), (own) => own ? fs.remove(lockOf(taskId)) : Effect.void),
        {
          onFailure: () => Effect.sync(() => leftover.add(taskId)),
          onSuccess: () => Effect.sync(() => leftover.delete(taskId))
        }
      )

    /** One look at all that is held: the file has one name for itself and one for each task, or some are lost. */
    const checkHeld = Effect.gen(function*() {
      yield* Effect.forEach([...leftover], unlink, { discard: true })
      const { nlink } = yield* created.handle.stat
      if (Option.contains(nlink, held.size + 1)) return
      for (const taskId of held.keys()) {
        if (yield* isMine(taskId)) continue
        yield* leased.takenOver(taskId)
      }
    })

    yield* leased.keepAlive(
      Effect.catchAll(Effect.zipRight(checkHeld, giveSign), (error) => leased.outOfReach(problemOf(error)))
    )

    // --- binding -----------------------------------------------------------------

    const link = (file: string) =>
      Effect.as(fs.link(created.file, file), true).pipe(
        Effect.catchIf(alreadyExists, () => Effect.succeed(false))
      )

    const takeName = /\.[0-9a-f]+\.take$/

    const takesOf = (taskId: string) =>
      Effect.map(
        entries(fs, takes),
        (names) =>
          names.filter((entry) => entry.startsWith(`${taskId}.`) && takeName.exec(entry)?.index === taskId.length)
      )

    /** Puts this engine's link in the place of a dead one's; false where another engine was in the way. */
    const takeOver = Effect.fnUntraced(function*(taskId: string, dead: Found, restore: Restore) {
      for (const entry of yield* takesOf(taskId)) {
        const other = yield* look(path.join(takes, entry))
        if (Option.isNone(other)) continue
        if (!(yield* restore(isDead(other.value)))) return false
        yield* Effect.ignore(fs.remove(other.value.file))
      }
      const take = path.join(takes, `${taskId}.${created.nonce}.take`)
      if (!(yield* link(take))) return false
      const takeIt = Effect.gen(function*() {
        // In this order: a taker whose take is a lock by the time of the first look is seen by the second.
        const isAlone = (yield* takesOf(taskId)).length === 1
        const still = yield* look(lockOf(taskId))
        const isFree = isAlone && Option.isSome(still) && sameState(still.value, dead)
        yield* isFree ? fs.rename(take, lockOf(taskId)) : Effect.ignore(fs.remove(take))
        return isFree
      })
      return yield* takeIt.pipe(
        // A take that is left would be in everybody's way for as long as this engine lives.
        Effect.onError(() => Effect.ignore(fs.remove(take))),
        // Another engine took this one for dead, and its take away.
        Effect.catchIf(isNotFound, () => Effect.succeed(false))
      )
    })

    /** One try to hold a task; none where another engine was in the way and has not bound it. */
    const tryToHold = Effect.fnUntraced(
      function*(taskId: string, restore: Restore) {
        if (!(yield* leased.isSeenAlive)) yield* giveSign
        if (yield* link(lockOf(taskId))) return Option.some(undefined)
        const found = yield* look(lockOf(taskId))
        if (Option.isNone(found)) return Option.none()
        if (yield* restore(isDead(found.value))) {
          return (yield* takeOver(taskId, found.value, restore)) ? Option.some(undefined) : Option.none()
        }
        const holder = holderOf(found.value)
        return yield* new TaskBoundError({ taskId, holder: holder.name, since: holder.since })
      },
      (tried, taskId) =>
        Effect.mapError(
          tried,
          (error) => error._tag === "TaskBoundError" ? error : failure("bind", taskId, lockOf(taskId))(error)
        )
    )

    const acquiring = Effect.fnUntraced(function*(taskId: string, restore: Restore) {
      const mine = yield* leased.hold(taskId, tryToHold(taskId, restore), restore)
      return yield* Lease.bind(name, mine, leased.release(taskId, mine, unlink(taskId)))
    })

    return {
      acquire: (taskId) => Effect.uninterruptibleMask((restore) => acquiring(taskId, restore)),
      holder: Effect.fnUntraced(function*(taskId) {
        const found = yield* lookAt(taskId, lockOf(taskId))
        if (Option.isNone(found)) return Option.none()
        const alive = yield* isAlive(found.value)
        const gone = Option.isSome(alive)
          ? !alive.value
          : yield* Effect.mapError(looksSilent(found.value), failure("look for who holds", taskId, locks))
        return gone ? Option.none() : Option.some(holderOf(found.value))
      })
    }
  }
)
