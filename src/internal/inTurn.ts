/** One at a time of what is done to the same thing. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Restore } from "./inContext.ts"
import { Once } from "./once.ts"

/** What is being done, each with what is settled once that has come to something. */
export type Turns = Map<string, Once<void>>

/** Waits until nothing is being done by that key, and has the turn then until what it answers is called. */
const take = Effect.fnUntraced(function*(turns: Turns, key: string, restore: Restore): Effect.fn.Return<() => void> {
  for (let other = turns.get(key); other !== undefined; other = turns.get(key)) {
    yield* restore(other.await)
  }
  const ended = new Once<void>()
  turns.set(key, ended)
  return () => {
    turns.delete(key)
    ended.settle()
  }
})

/** Does something once nothing else is being done by that key. Only the wait may be interrupted, where it is restored. */
export const inTurn = <A, E>(
  turns: Turns,
  key: string,
  self: Effect.Effect<A, E>,
  restore: Restore
): Effect.Effect<A, E> =>
  Effect.uninterruptible(Effect.flatMap(take(turns, key, restore), (end) => Effect.ensuring(self, Effect.sync(end))))

/** Waits for the turn, first come, first served, and has it for the length of the Scope. */
export const lineUp = (turns: Turns, key: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      take(turns, key, restore),
      (end) => Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, Effect.sync(end)))
    )
  )
