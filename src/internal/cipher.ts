/** Authenticated encryption of texts: AES-256-GCM. The one place where WebCrypto is called. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type * as Redacted from "effect/Redacted"
import * as RedactedValue from "effect/Redacted"

/** A key that can be used, and nothing else: what it is made of cannot be read from it. */
export type Key = CryptoKey

/** A key cannot be used, and why: it never says what the key is. */
export class UnusableKey extends Data.TaggedError("UnusableKey")<{ readonly problem: string }> {}

/** WebCrypto refused to encrypt. */
export class SealError extends Data.TaggedError("SealError")<{ readonly cause: unknown }> {}

/** What was to be opened is not what was sealed with this key for this place. */
export class NotAuthentic extends Data.TaggedError("NotAuthentic") {}

const keyLength = 32
const nonceLength = 12
const encoder = new TextEncoder()
// Fatal: what is not text was not sealed here.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A copy that is sure to be in an ArrayBuffer of its own, as WebCrypto wants it. */
const owned = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(bytes)

const bytesOf = (secret: string | Uint8Array): Either.Either<Uint8Array, UnusableKey> =>
  typeof secret === "string"
    // Its own error would show the text.
    ? Either.mapLeft(Encoding.decodeBase64(secret.trim()), () => new UnusableKey({ problem: "is not base64" }))
    : Either.right(secret)

const alphabet = encoder.encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
const padding = 61

/** As effect/Encoding does it, which for each megabyte takes some 70 milliseconds, and this 5. */
const toBase64 = (bytes: Uint8Array): string => {
  const text = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    const left = bytes.length - from
    const three = bytes[from]! << 16 | (bytes[from + 1] ?? 0) << 8 | (bytes[from + 2] ?? 0)
    text[to] = alphabet[three >> 18]!
    text[to + 1] = alphabet[three >> 12 & 63]!
    text[to + 2] = left > 1 ? alphabet[three >> 6 & 63]! : padding
    text[to + 3] = left > 2 ? alphabet[three & 63]! : padding
  }
  return decoder.decode(text)
}

/** Makes a key of 32 bytes, given as they are or as base64. */
export const makeKey = Effect.fnUntraced(
  function*(secret: Redacted.Redacted<string | Uint8Array>): Effect.fn.Return<Key, UnusableKey> {
    if (!RedactedValue.isRedacted(secret)) return yield* new UnusableKey({ problem: "is no Redacted" })
    const bytes = yield* bytesOf(RedactedValue.value(secret))
    if (bytes.length !== keyLength) {
      return yield* new UnusableKey({ problem: `has ${bytes.length} bytes, not ${keyLength}` })
    }
    return yield* Effect.tryPromise({
      try: () => globalThis.crypto.subtle.importKey("raw", owned(bytes), "AES-GCM", false, ["encrypt", "decrypt"]),
      catch: () => new UnusableKey({ problem: "is refused by WebCrypto, or there is none here" })
    })
  }
)

/** Seals a text for a place, which is no secret and not part of the result: base64 of the nonce and what is sealed. */
export const seal = (key: Key, place: string, text: string): Effect.Effect<string, SealError> =>
  Effect.tryPromise({
    try: async () => {
      // Not by the Random service, which can be foretold: a nonce that comes twice gives the key away.
      const nonce = globalThis.crypto.getRandomValues(new Uint8Array(nonceLength))
      const algorithm = { name: "AES-GCM", iv: nonce, additionalData: encoder.encode(place) }
      const sealed = await globalThis.crypto.subtle.encrypt(algorithm, key, encoder.encode(text))
      const whole = new Uint8Array(nonceLength + sealed.byteLength)
      whole.set(nonce)
      whole.set(new Uint8Array(sealed), nonceLength)
      return toBase64(whole)
    },
    catch: (cause) => new SealError({ cause })
  })

/** Opens what {@link seal} sealed with this key for this place. */
export const open = (key: Key, place: string, sealed: string): Effect.Effect<string, NotAuthentic> =>
  Effect.flatMap(
    Effect.mapError(Encoding.decodeBase64(sealed), () => new NotAuthentic()),
    (whole) =>
      Effect.tryPromise({
        try: async () => {
          const bytes = owned(whole)
          const algorithm = {
            name: "AES-GCM",
            iv: bytes.subarray(0, nonceLength),
            additionalData: encoder.encode(place)
          }
          return decoder.decode(
            await globalThis.crypto.subtle.decrypt(algorithm, key, bytes.subarray(nonceLength))
          )
        },
        catch: () => new NotAuthentic()
      })
  )
