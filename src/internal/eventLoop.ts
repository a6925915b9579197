/** The event loop's turns, in each of which signals, sockets and files are seen to. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { Once } from "./once.ts"

/**
 * Asks for a turn of the event loop, for which the effect waits. Timers are no such thing: Node goes on with those that have
 * become due meanwhile before it looks at anything else. `otherwise` is for where there is no `setImmediate`.
 */
export const turn = (otherwise: Effect.Effect<void> = Effect.void): Effect.Effect<void> => {
  const setImmediate: unknown = Reflect.get(globalThis, "setImmediate")
  if (!Predicate.isFunction(setImmediate)) return otherwise
  const turned = new Once<void>()
  setImmediate(() => turned.settle())
  return turned.await
}
