import * as Effect from "effect/Effect"

/**
 * Sixteen random hexadecimal digits, by which engines and their writes are told apart. Not of Effect's Random: two
 * processes that seed it alike, to run the same each time, would take each other's locks and journals for their own.
 */
export const nonce: Effect.Effect<string> = Effect.sync(() =>
  Array.from(globalThis.crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join(
    ""
  )
)
