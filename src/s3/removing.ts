/** How a store is asked to remove many objects at once (DeleteObjects), and what it answers. */

import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { UnreadableError } from "./listing.ts"
import * as xml from "./xml.ts"

/** How many are asked for in one request: stores take a thousand, and do them one by one. */
export const mostAtOnce = 500

const encoder = new TextEncoder()

/** Answered with those alone that are not removed. */
export const bodyOf = (keys: ReadonlyArray<string>): Uint8Array =>
  encoder.encode(
    `<Delete><Quiet>true</Quiet>${
      keys.map((key) => `<Object><Key>${xml.escape(key)}</Key></Object>`).join("")
    }</Delete>`
  )

/** The keys that were not removed. */
export const leftOf = (document: string): Either.Either<ReadonlyArray<string>, UnreadableError> =>
  xml.parse(document).pipe(
    Option.filter(({ name }) => name === "DeleteResult"),
    Option.flatMap((root) => Option.all(xml.all(root, "Error").map((error) => xml.textOf(error, "Key")))),
    Either.fromOption(() => new UnreadableError())
  )
