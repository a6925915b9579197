/** Work that never ends. Not `Effect.never`, whose timer would keep the process, and what is dead in it. */

import * as Effect from "effect/Effect"

/** Never ends, unless it is interrupted. */
export const hang: Effect.Effect<never> = Effect.async<never>(() => undefined)

/** What the dead do, who cannot be interrupted. */
export const hangForGood: Effect.Effect<never> = Effect.uninterruptible(hang)
