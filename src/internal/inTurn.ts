/** One at a time of what is done to the same thing. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Scope from "effect/Scope"
import { Once } from "./once.ts"
import { type Restore, uninterruptible, uninterruptibleMask } from "./region.ts"

/**
 * What is being done, and what waits for that, in the order that it came in; each with what is settled once it has the turn. Not
 * Effect's Semaphore, of which each release wakes all that wait, who keep two kilobytes for each time that another was first.
 */
export type Turns = Map<string, Set<Once<void>>>

/** Waits for the turn by that key, first come, first served, and has it then until what it answers is called. */
const take = (turns: Turns, key: string, restore: Restore): Effect.Effect<() => void> =>
  Effect.suspend(() => {
    const line = turns.get(key) ?? new Set()
    const own = new Once<void>()
    const isFirst = line.size === 0
    turns.set(key, line.add(own))
    const end = () => {
      line.delete(own)
      const [next] = line
      if (next === undefined) turns.delete(key)
      else next.settle()
    }
    // Whoever is interrupted may have been given the turn in the same moment.
    return isFirst
      ? Effect.succeed(end)
      : Effect.as(Effect.onInterrupt(restore(own.await), () => Effect.sync(end)), end)
  })

/** Does something once nothing else is being done by that key. Only the wait may be interrupted, where it is restored. */
export const inTurn = <A, E>(
  turns: Turns,
  key: string,
  self: Effect.Effect<A, E>,
  restore: Restore = identity
): Effect.Effect<A, E> =>
  uninterruptible(
    Effect.flatMap(take(turns, key, restore), (end) =>
      Effect.flatMap(Effect.exit(self), (exit) => {
        end()
        return exit
      }))
  )

/** Makes what does one at a time of all that it is given. */
export const oneAtATime = () => {
  const turns: Turns = new Map()
  return <A, E>(self: Effect.Effect<A, E>, restore?: Restore): Effect.Effect<A, E> => inTurn(turns, "", self, restore)
}

/** Waits for the turn, first come, first served, and has it for the length of the Scope. */
export const lineUp = (turns: Turns, key: string): Effect.Effect<void, never, Scope.Scope> =>
  uninterruptibleMask((restore) =>
    Effect.flatMap(
      take(turns, key, restore),
      (end) => Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, Effect.sync(end)))
    )
  )
