/** Work that never ends. Not `Effect.never`, whose timer would keep the process, and what is dead in it. */

import * as Effect from "effect/Effect"

/** Never ends, unless it is interrupted. With its one parameter: without it each time makes an AbortController. */
export const hang: Effect.Effect<never> = Effect.async<never>((_) => undefined)

/** What the dead do, who cannot be interrupted. */
export const hangForGood: Effect.Effect<never> = Effect.uninterruptible(hang)
