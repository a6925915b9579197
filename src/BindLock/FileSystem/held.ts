/** The locks that this engine holds: whether they are still its own, and letting go of them. */

import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isNotFound } from "../../internal/files.ts"
import { inTurn, type Turns } from "../../internal/inTurn.ts"
import type { Layout } from "./layout.ts"
import type { Own } from "./own.ts"

/** What is done about the locks that this engine holds. */
export interface Locks {
  /** Whether this engine's last sign of life is recent, so that it was not frozen since. */
  readonly isSeenAlive: Effect.Effect<boolean>
  /** Makes a task's lock this engine's. Where that fails it may have been made, and is taken away as one that was let go of. */
  readonly making: <A>(taskId: string, make: Effect.Effect<A, PlatformError>) => Effect.Effect<A, PlatformError>
  /** Takes away a lock that is this engine's own; where that fails, it is tried again with the next sign of life. */
  readonly letGo: (taskId: string) => Effect.Effect<void>
  /** Removes this engine's try to take a task over; where that fails, it is tried again with the next sign of life. */
  readonly dropTake: (take: string) => Effect.Effect<void>
  /** Takes away what could not be taken away before. */
  readonly settle: Effect.Effect<void>
  /** One look at all that is held: the file has one name for itself and one for each task, or some are lost. */
  readonly check: Effect.Effect<void, PlatformError>
}

/** `held` is what this engine holds, and `takenOver` is told which of that it has lost. */
export const make = (
  { fs, lockOf }: Layout,
  own: Own,
  { held, isSeenAlive, takenOver }: {
    readonly held: ReadonlyMap<string, unknown>
    readonly isSeenAlive: Effect.Effect<boolean>
    readonly takenOver: (taskId: string) => Effect.Effect<void>
  }
): Locks => {
  /** Tasks that nobody here holds, and whose lock may be there. */
  const doubtful = new Set<string>()
  /** Takes that could not be removed. */
  const takes = new Set<string>()
  /** Locks that are being made or taken away: one that is new looks like the one that was there before. */
  const turns: Turns = new Map()

  /** Whether a task's lock is this engine's no more. */
  const removeLock = Effect.fnUntraced(function*(taskId: string): Effect.fn.Return<boolean, PlatformError> {
    // Whoever holds it anew found no lock there.
    if (held.has(taskId)) return true
    if (!(yield* isSeenAlive)) yield* own.giveSign
    if (!(yield* own.isMine(taskId))) return true
    // By the time that this is known another engine may have taken the task over, where this one was frozen meanwhile.
    if (!(yield* isSeenAlive)) return false
    yield* fs.remove(lockOf(taskId))
    return true
  })

  const letGo = (taskId: string) =>
    Effect.map(
      Effect.orElseSucceed(inTurn(turns, taskId, removeLock(taskId)), () => false),
      (gone) => void (gone ? doubtful.delete(taskId) : doubtful.add(taskId))
    )

  const dropTake = (take: string) =>
    Effect.match(Effect.catchIf(fs.remove(take), isNotFound, () => Effect.void), {
      onFailure: () => void takes.add(take),
      onSuccess: () => void takes.delete(take)
    })

  const settle = Effect.suspend(() =>
    Effect.zipRight(
      Effect.forEach([...doubtful], letGo, { discard: true }),
      Effect.forEach([...takes], dropTake, { discard: true })
    )
  )

  return {
    isSeenAlive,
    making: (taskId, make) =>
      inTurn(turns, taskId, Effect.tapError(make, () => Effect.sync(() => doubtful.add(taskId)))),
    letGo,
    dropTake,
    settle,
    check: Effect.gen(function*() {
      yield* settle
      // What is left has a name, too, which would stand for that of a lock that was lost.
      const isSure = doubtful.size + takes.size === 0
      if (isSure && Option.contains(yield* own.names, held.size + 1)) return
      const all = [...held]
      for (const [taskId, mine] of all) {
        // Let go of and held again, it may have had no lock in between.
        if ((yield* own.isMine(taskId)) || held.get(taskId) !== mine) continue
        yield* takenOver(taskId)
      }
    })
  }
}
