/**
 * A lock within one process.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TaskBoundError } from "../CheckMateError.ts"
import type { Driver, Holder } from "./Driver.ts"

/**
 * A lock over a map. Every lock made knows only its own holders.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Driver> = Effect.sync(() => {
  const held = new Map<string, Holder>()
  return {
    acquire: (taskId) =>
      Effect.acquireRelease(
        Effect.flatMap(DateTime.now, (since): Effect.Effect<Holder, TaskBoundError> => {
          const other = held.get(taskId)
          if (other !== undefined) {
            return Effect.fail(new TaskBoundError({ taskId, holder: other.name, since: other.since }))
          }
          const holder = { name: "this process", since }
          held.set(taskId, holder)
          return Effect.succeed(holder)
        }),
        (holder) =>
          Effect.sync(() => {
            if (held.get(taskId) === holder) held.delete(taskId)
          })
      ).pipe(Effect.map((holder) => ({ holder, lost: Effect.never }))),
    holder: (taskId) => Effect.sync(() => Option.fromNullable(held.get(taskId)))
  }
})
