/** Puts this engine's link in the place of a dead one's. */

import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isNotFound } from "../../internal/files.ts"
import { type Found, look, sameState } from "./engineFile.ts"
import type { Locks } from "./held.ts"
import { type Layout, takesOf } from "./layout.ts"
import type { Own } from "./own.ts"

/** Removes the takes of dead engines, and what this one left of an earlier try; false where a living one tries, too. */
const clearWay = Effect.fnUntraced(
  function*(
    layout: Layout,
    taskId: string,
    take: string,
    isDead: (found: Found) => Effect.Effect<boolean, PlatformError>
  ): Effect.fn.Return<boolean, PlatformError> {
    const { fs, path, takes } = layout
    for (const entry of yield* takesOf(layout, taskId)) {
      const file = path.join(takes, entry)
      const other = yield* look(fs, file)
      if (Option.isNone(other)) continue
      if (file !== take && !(yield* isDead(other.value))) return false
      yield* Effect.ignore(fs.remove(other.value.file))
    }
    return true
  }
)

/** Makes this engine's take the lock, if nobody else tries and the dead engine's lock is there still. */
const takeIfFree = Effect.fnUntraced(
  function*(
    layout: Layout,
    { dropTake, isSeenAlive }: Locks,
    taskId: string,
    take: string,
    dead: Found
  ): Effect.fn.Return<boolean, PlatformError> {
    const { fs, lockOf } = layout
    // In this order: a taker whose take is a lock by the time of the first look is seen by the second.
    const isAlone = (yield* takesOf(layout, taskId)).length === 1
    const still = yield* look(fs, lockOf(taskId))
    // Where this engine was frozen since that look, the dead one may have let go, and another one may hold the task.
    const isFree = isAlone && Option.isSome(still) && sameState(still.value, dead) && (yield* isSeenAlive)
    yield* isFree ? fs.rename(take, lockOf(taskId)) : dropTake(take)
    return isFree
  }
)

/** Takes a task over from a dead engine; false where another engine, or another try of this one, was in the way. */
export const takeOver = Effect.fnUntraced(
  function*(
    layout: Layout,
    own: Own,
    locks: Locks,
    taskId: string,
    dead: Found,
    isDead: (found: Found) => Effect.Effect<boolean, PlatformError>
  ): Effect.fn.Return<boolean, PlatformError> {
    const take = layout.takeOf(taskId, own.nonce)
    if (!(yield* clearWay(layout, taskId, take, isDead))) return false
    const tried = own.link(take).pipe(
      Effect.flatMap((linked) => linked ? takeIfFree(layout, locks, taskId, take, dead) : Effect.succeed(false)),
      // A take that is left is in everybody's way.
      Effect.onError(() => locks.dropTake(take)),
      // Another engine took this one for dead, and its take away.
      Effect.catchIf(isNotFound, () => Effect.succeed(false))
    )
    return yield* locks.making(taskId, tried)
  },
  // One try at a time: each would take the other's take for left over.
  (tried, _, { trying }, _locks, taskId) =>
    Effect.suspend(() => {
      if (trying.has(taskId)) return Effect.succeed(false)
      trying.add(taskId)
      return Effect.ensuring(tried, Effect.sync(() => trying.delete(taskId)))
    })
)
