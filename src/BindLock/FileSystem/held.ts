/** The locks that this engine holds: whether they are still its own, and letting go of them. */

import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Layout } from "./layout.ts"
import type { Own } from "./own.ts"

/** What is done about the locks that this engine holds. */
interface Locks {
  /** Takes away a lock that is this engine's own; where that fails, it is tried again with the next sign of life. */
  readonly letGo: (taskId: string) => Effect.Effect<void>
  /** One look at all that is held: the file has one name for itself and one for each task, or some are lost. */
  readonly check: Effect.Effect<void, PlatformError>
}

/** `held` is what this engine holds, and `takenOver` is told which of that it has lost. */
export const make = (
  { fs, lockOf }: Layout,
  own: Own,
  held: ReadonlyMap<string, unknown>,
  takenOver: (taskId: string) => Effect.Effect<void>
): Locks => {
  /** Tasks that were let go of, and whose lock is still there. */
  const leftover = new Set<string>()

  const letGo = (taskId: string) =>
    Effect.matchEffect(
      Effect.flatMap(own.isMine(taskId), (mine) => mine ? fs.remove(lockOf(taskId)) : Effect.void),
      {
        onFailure: () => Effect.sync(() => void leftover.add(taskId)),
        onSuccess: () => Effect.sync(() => void leftover.delete(taskId))
      }
    )

  return {
    letGo,
    check: Effect.gen(function*() {
      yield* Effect.forEach([...leftover], letGo, { discard: true })
      // What is left has a name, too, which would stand for that of a lock that was lost.
      if (Option.contains(yield* own.names, held.size + leftover.size + 1)) return
      for (const taskId of held.keys()) {
        if (yield* own.isMine(taskId)) continue
        yield* takenOver(taskId)
      }
    })
  }
}
