/**
 * What stands in every object: a line with a nonce, the content's checksum and its length, and then the content.
 *
 * The nonce makes every write's object, and so its ETag, unlike every other, and tells whether an object is what a
 * write whose answer got lost has put there. Checksum and length tell an answer that is only half there from a whole one.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { crc32 } from "../internal/crc32.ts"
import { nonce } from "../internal/nonce.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

export interface Sealed {
  readonly nonce: string
  readonly bytes: Uint8Array
}

export const seal = (content: string): Effect.Effect<Sealed> =>
  Effect.map(Effect.all([nonce, nonce]), (halves) => {
    const mark = halves.join("")
    const body = encoder.encode(content)
    const line = encoder.encode(`${mark} ${crc32(body)} ${body.length}\n`)
    const bytes = new Uint8Array(line.length + body.length)
    bytes.set(line)
    bytes.set(body, line.length)
    return { nonce: mark, bytes }
  })

const head = /^([0-9a-f]{32}) ([0-9a-f]{8}) ([0-9]{1,15})\n/
const longest = 32 + 1 + 8 + 1 + 15 + 1

/** The nonce and the content; none for bytes that are not a whole object of ours. */
export const unseal = (
  bytes: Uint8Array
): Option.Option<{ readonly nonce: string; readonly content: string }> => {
  const match = head.exec(decoder.decode(bytes.subarray(0, longest)))
  if (match === null) return Option.none()
  const [line, mark, checksum, length] = match
  const body = bytes.subarray(line.length)
  return mark !== undefined && body.length === Number(length) && crc32(body) === checksum
    ? Option.some({ nonce: mark, content: decoder.decode(body) })
    : Option.none()
}
