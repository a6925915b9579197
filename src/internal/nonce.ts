import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** Sixteen random hexadecimal digits. */
export const nonce: Effect.Effect<string> = Effect.map(
  Effect.all([Random.nextIntBetween(0, 0x1_0000_0000), Random.nextIntBetween(0, 0x1_0000_0000)]),
  (halves) => halves.map((half) => half.toString(16).padStart(8, "0")).join("")
)
