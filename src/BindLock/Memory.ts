/**
 * A lock within one process.
 *
 * @since 0.1.0
 */

import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { TaskBoundError } from "../CheckMateError.ts"
import { uninterruptible } from "../internal/region.ts"
import type { Driver, Holder } from "./Driver.ts"

const acquire = Effect.fnUntraced(function*(held: Map<string, Holder>, taskId: string) {
  const holder: Holder = { name: "this process", since: yield* DateTime.now }
  // From here to where it is set nothing yields, or two would hold it.
  const other = held.get(taskId)
  if (other !== undefined) {
    return yield* new TaskBoundError({ taskId, holder: other.name, since: other.since })
  }
  held.set(taskId, holder)
  yield* Scope.addFinalizer(yield* Effect.scope, Effect.sync(() => held.delete(taskId)))
  return { holder, lost: Effect.never }
}, uninterruptible)

/**
 * A lock over a map. Every lock made knows only its own holders.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Driver> = Effect.sync(() => {
  const held = new Map<string, Holder>()
  return {
    acquire: (taskId) => acquire(held, taskId),
    holder: (taskId) => Effect.sync(() => Option.fromNullable(held.get(taskId)))
  }
})
