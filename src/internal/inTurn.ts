/** One at a time of what is done to the same thing. */
import * as Effect from "effect/Effect"
import type { Restore } from "./inContext.ts"
import { Once } from "./once.ts"

/** What is being done, each with what is settled once that has come to something. */
export type Turns = Map<string, Once<void>>

/** Does something once nothing else is being done by that key. Only the wait may be interrupted, where it is restored. */
export const inTurn = Effect.fnUntraced(
  function*<A, E>(turns: Turns, key: string, self: Effect.Effect<A, E>, restore: Restore): Effect.fn.Return<A, E> {
    for (let other = turns.get(key); other !== undefined; other = turns.get(key)) {
      yield* restore(other.await)
    }
    const ended = new Once<void>()
    turns.set(key, ended)
    return yield* Effect.ensuring(
      self,
      Effect.sync(() => {
        turns.delete(key)
        ended.settle()
      })
    )
  },
  Effect.uninterruptible
)
