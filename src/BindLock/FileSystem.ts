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
 * An engine lengthens its file by a byte as a sign of life, five times in a lease, and now and then cuts all of these off.
 * It is dead if its process is provably gone (same boot, same process-id namespace, no process of that id and start time),
 * or if it stayed silent for the lease, by the file system's own clock, and then for two more signs' time by ours. It has
 * lost a task whose lock is no longer a link to its file.
 *
 * @since 0.1.0
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type BindLockError, TaskBoundError } from "../CheckMateError.ts"
import { lockError, problemOf } from "../internal/files.ts"
import * as Lease from "../internal/lease.ts"
import * as Identity from "../internal/processIdentity.ts"
import { type Restore, uninterruptibleMask } from "../internal/region.ts"
import type { Driver, FileSystemOptions } from "./Driver.ts"
import * as Dead from "./FileSystem/dead.ts"
import { holderOf, look, processOf } from "./FileSystem/engineFile.ts"
import * as Held from "./FileSystem/held.ts"
import * as Layout from "./FileSystem/layout.ts"
import * as Own from "./FileSystem/own.ts"
import { takeOver } from "./FileSystem/takeOver.ts"

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
    const layout = yield* Layout.of(directory)
    const { fs, lockOf } = layout
    const leased = yield* Lease.make<void>(options.lease, "10 seconds", "1 second")
    const me = yield* Identity.self(fs)
    const host = yield* Identity.hostName(fs)
    const name = Option.match(me, { onNone: () => host, onSome: ({ pid }) => `process ${pid} on ${host}` })
    yield* Layout.create(layout)
    const own = yield* Own.create(layout, { name, process: Option.getOrNull(me) }, leased.sign)

    const isAlive: Dead.IsAlive = (found) => Identity.isAlive(fs, me, processOf(found))
    yield* Dead.removeDead(layout, isAlive)
    const { isDead, seemsDead } = Dead.verdicts(layout, own, isAlive, leased)

    const locks = Held.make(layout, own, leased)
    yield* Effect.addFinalizer(() => locks.settle)
    const checkAndSign = Effect.catchAll(
      Effect.zipRight(locks.check, own.giveSign),
      (error) => leased.outOfReach(problemOf(error))
    )
    // A network's may not answer for as long as its server is gone.
    yield* leased.keepAlive(leased.unanswered(checkAndSign, "the file system does not answer"))

    /** One try to hold a task; none where another engine was in the way and has not bound it. */
    const tryToHold = Effect.fnUntraced(
      function*(taskId: string, restore: Restore) {
        if (!(yield* leased.isSeenAlive)) yield* own.giveSign
        if (yield* locks.making(taskId, own.link(lockOf(taskId)))) return Option.some(undefined)
        const found = yield* look(fs, lockOf(taskId))
        if (Option.isNone(found)) return Option.none()
        if (yield* restore(isDead(found.value))) {
          const isTaken = yield* takeOver(layout, own, locks, taskId, found.value, (other) => restore(isDead(other)))
          return isTaken ? Option.some(undefined) : Option.none()
        }
        const holder = holderOf(found.value)
        return yield* new TaskBoundError({ taskId, holder: holder.name, since: holder.since })
      },
      (tried, taskId) =>
        Effect.mapError(
          tried,
          (error) => error._tag === "TaskBoundError" ? error : lockError("bind", lockOf(taskId), taskId)(error)
        )
    )

    const acquiring = Effect.fnUntraced(function*(taskId: string, restore: Restore) {
      const mine = yield* leased.hold(taskId, tryToHold(taskId, restore), restore)
      return yield* Lease.bind(name, mine, leased.release(taskId, mine, locks.letGo(taskId)))
    })

    return {
      acquire: (taskId) => uninterruptibleMask((restore) => acquiring(taskId, restore)),
      holder: Effect.fnUntraced(function*(taskId) {
        const lock = lockOf(taskId)
        const found = yield* Effect.mapError(look(fs, lock), lockError("look for who holds", lock, taskId))
        if (Option.isNone(found)) return Option.none()
        const isGone = yield* Effect.mapError(
          seemsDead(found.value),
          lockError("look for who holds", layout.locks, taskId)
        )
        return isGone ? Option.none() : Option.some(holderOf(found.value))
      })
    }
  }
)
