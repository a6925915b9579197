/** The file of an engine: who it is, in one line, and behind that a byte for each of its last signs of life. */

import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isNotFound } from "../../internal/files.ts"
import { ProcessIdentity } from "../../internal/processIdentity.ts"
import type { Holder } from "../Driver.ts"

const Engine = Schema.parseJson(Schema.Struct({
  nonce: Schema.String,
  name: Schema.String,
  since: Schema.DateTimeUtc,
  process: Schema.NullOr(ProcessIdentity)
}))

/** Who an engine is. */
export type Engine = typeof Engine.Type

const decodeEngine = Schema.decodeOption(Engine)
const encodeEngine = Schema.encodeSync(Engine)
const encoder = new TextEncoder()

/** What an engine's file begins with. */
export const lineOf = (engine: Engine): Uint8Array => encoder.encode(`${encodeEngine(engine)}\n`)

/** What it is lengthened by. */
export const sign = encoder.encode("\n")

/** After so many signs it is its first line again: every look reads all of it. */
export const mostSigns = 1000

/** An engine's file as it was found. `engine` is none for one that is not what an engine writes. */
export interface Found {
  readonly file: string
  readonly engine: Option.Option<Engine>
  readonly size: number
  readonly modified: Option.Option<Date>
}

/** Looks at an engine's file, by any of its names; none where there is no such file. */
export const look = Effect.fnUntraced(
  function*(fs: FileSystem.FileSystem, file: string): Effect.fn.Return<Option.Option<Found>, PlatformError> {
    const text = yield* fs.readFileString(file)
    const info = yield* fs.stat(file)
    // What is behind the line may be zeros to who reads as it is cut off.
    const [line = ""] = text.split("\n", 1)
    return Option.some({ file, engine: decodeEngine(line), size: Number(info.size), modified: info.mtime })
  },
  Effect.catchIf(isNotFound, () => Effect.succeedNone)
)

export const nonceOf = ({ engine }: Found): string | undefined =>
  Option.getOrUndefined(Option.map(engine, ({ nonce }) => nonce))

/** Which engine was found, and its last sign of life. */
export const stateOf = (found: Found): string => {
  const modified = Option.match(found.modified, { onNone: () => "", onSome: (date) => date.getTime() })
  return [nonceOf(found) ?? "", found.size, modified].join(" ")
}

/** Whether two looks found the same engine, without a sign of life in between. */
export const sameState = (left: Found, right: Found): boolean => stateOf(left) === stateOf(right)

/** The process an engine is in; null where it could not tell. */
export const processOf = ({ engine }: Found): Engine["process"] =>
  Option.match(engine, { onNone: () => null, onSome: ({ process }) => process })

/** An engine as whoever is refused is told of it. */
export const holderOf = ({ engine }: Found): Holder =>
  Option.match(engine, {
    onNone: () => ({ name: "an engine whose file cannot be read", since: DateTime.unsafeMake(0) }),
    onSome: ({ name, since }) => ({ name, since })
  })
