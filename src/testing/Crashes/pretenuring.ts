/**
 * V8's guesses at what lives long, which are wrong about processes that die, and take half of the time.
 *
 * A fiber that waits is held by a function that V8 made one of the long-lived from its beginning, and a dead process waits for
 * good: so what it was made of stands until the next full collection of garbage. V8 sees that it stands, and makes the like of it
 * long-lived from their beginning, too, which are kept longer still, with all that hangs on them.
 */

import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

const off = "--no-allocation-site-pretenuring"
const on = "--allocation-site-pretenuring"

/** Sets an option of V8, where that can be had: in Node. What stands in its place elsewhere may throw. */
const setFlag = (flag: string): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => {
    const process: unknown = Reflect.get(globalThis, "process")
    if (!Predicate.hasProperty(process, "getBuiltinModule") || !Predicate.isFunction(process.getBuiltinModule)) return
    // Whoever gave it to Node keeps it.
    if (
      Predicate.hasProperty(process, "execArgv") && Array.isArray(process.execArgv) && process.execArgv.includes(off)
    ) return
    const v8: unknown = process.getBuiltinModule("node:v8")
    if (Predicate.hasProperty(v8, "setFlagsFromString") && Predicate.isFunction(v8.setFlagsFromString)) {
      v8.setFlagsFromString(flag)
    }
  }))

/** How many are at it. */
let running = 0

/** Runs an effect without such guesses, which come back when it ends. */
export const withoutPretenuring = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.suspend(() => running++ === 0 ? setFlag(off) : Effect.void),
    () => self,
    () => Effect.suspend(() => --running === 0 ? setFlag(on) : Effect.void)
  )
