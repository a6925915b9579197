/**
 * The text of a journal file: NDJSON, one file per epoch, readable by people and by `jq`.
 *
 * ```text
 * {"sum":"5b1cf40e","header":{"format":1,"taskId":"docs","epoch":2,"origin":"9f…","after":{"epoch":1,"bytes":2310,"records":7}}}
 * {"sum":"e01a77c2","n":7,"event":{"v":1,"_tag":"StageSucceeded",…}}
 * {"sum":"0f3d9a51","n":8,"event":{"v":1,"_tag":"StageStarted",…}}
 * {"sum":"77ab10cd","end":9,"task":{"taskId":"docs","status":"Running",…}}
 * ```
 *
 * `sum` is the CRC-32 of the line's bytes behind it. A batch counts once its `end` line stands; `after` says how much
 * of the epoch before counts, so that bytes a stale writer adds later do not. An append is one write, so what a crash
 * leaves of it is a prefix: a last batch that breaks off is dropped, and everything else that does not read is damage.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { crc32 } from "../../internal/crc32.ts"
import { SummarySchema } from "../../internal/journalCodec.ts"
import type { EncodedSummary } from "../Encoded.ts"

/** The newest file format this version reads, and the one it writes. */
export const format = 1
const newline = 10
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** `{"sum":"xxxxxxxx",` */
const prefixLength = 18

/** Lines with their checksums; encoded together, because to encode one takes as long as to write it down. */
const lines = (contents: ReadonlyArray<string>): Uint8Array => {
  let text = ""
  for (const content of contents) text += `{"sum":"00000000",${content}}\n`
  const bytes = encoder.encode(text)
  // What stands in JSON has no line breaks.
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(newline, start)
    const sum = crc32(bytes, start + prefixLength, end)
    for (let index = 0; index < 8; index++) bytes[start + 8 + index] = sum.charCodeAt(index)
    start = end + 1
  }
  return bytes
}

const Seal = Schema.Struct({ epoch: Schema.Int, bytes: Schema.Int, records: Schema.Int })

/** How much of an earlier epoch's file counts. */
export type Seal = typeof Seal.Type

const Header = Schema.Struct({
  format: Schema.Int,
  taskId: Schema.String,
  epoch: Schema.Int,
  /** The same in all files of a task, and another one when the task is removed and begun anew. */
  origin: Schema.String,
  /** How far the fencing token is ahead of the file's number, for a task that was brought here from another store. */
  ahead: Schema.optionalWith(Schema.Int, { exact: true }),
  after: Schema.NullOr(Seal)
})

/** The first line of an epoch's file. */
export type Header = typeof Header.Type

const HeaderLine = Schema.parseJson(Schema.Struct({ header: Header }))
const EndLine = Schema.parseJson(
  Schema.Struct({
    end: Schema.Int,
    task: SummarySchema
  })
)
const decodeHeader = Schema.decodeUnknownOption(HeaderLine)
const decodeEnd = Schema.decodeUnknownOption(EndLine)

const headerContent = (header: Omit<Header, "format">): string => `"header":${JSON.stringify({ format, ...header })}`

export const headerLine = (header: Omit<Header, "format">): Uint8Array => lines([headerContent(header)])

/**
 * A batch as it is appended: its records, numbered from `position`, and the line that makes them count. The first of a
 * file has the file's header before it.
 */
export const batch = (
  header: Omit<Header, "format"> | undefined,
  position: number,
  records: ReadonlyArray<string>,
  summary: EncodedSummary
): Uint8Array =>
  lines([
    ...(header === undefined ? [] : [headerContent(header)]),
    ...records.map((record, index) => `"n":${position + index},"event":${record}`),
    `"end":${position + records.length},"task":${JSON.stringify(summary)}`
  ])

/** What stands in a file. */
export interface Contents {
  /** None where the file breaks off before its header is whole: a claim that wrote nothing. */
  readonly header: Option.Option<Header>
  readonly records: ReadonlyArray<string>
  /** How many bytes count: up to the last batch that is whole. */
  readonly bytes: number
  readonly summary: Option.Option<EncodedSummary>
}

/** Where a file cannot be read, and why. `newer` is the format it needs, where that is the reason. */
export interface Damage {
  readonly line: number
  readonly byte: number
  readonly problem: string
  readonly newer?: number
}

const isWhole = (bytes: Uint8Array, start: number, end: number): boolean =>
  end - start > prefixLength
  && decoder.decode(bytes.subarray(start, start + prefixLength))
    === `{"sum":"${crc32(bytes, start + prefixLength, end)}",`

/** Whether a file breaks off before its first line is whole, as a crash leaves it. */
export const isWithoutHeader = (bytes: Uint8Array): boolean =>
  !bytes.includes(newline) && !bytes.includes(0) && !isWhole(bytes, 0, bytes.length - 1)

/** The header of a file whose first line is whole and sound. */
export const parseHeader = (bytes: Uint8Array): Option.Option<Header> => {
  const end = bytes.indexOf(newline)
  return end > 0 && isWhole(bytes, 0, end) ? headerIn(decoder.decode(bytes.subarray(prefixLength, end))) : Option.none()
}

const headerIn = (content: string): Option.Option<Header> =>
  Option.map(decodeHeader(`{${content}`), (parsed) => parsed.header)

/**
 * Reads a file's bytes.
 */
export const parse = (bytes: Uint8Array): Either.Either<Contents, Damage> => {
  let header = Option.none<Header>()
  let summary = Option.none<EncodedSummary>()
  const records: Array<string> = []
  let pending: Array<string> = []
  let counted = 0
  let base: number | undefined
  let start = 0
  let number = 1
  const damaged = (problem: string, newer?: number) =>
    Either.left({ line: number, byte: start, problem, ...(newer === undefined ? {} : { newer }) })

  while (start < bytes.length) {
    const end = bytes.indexOf(newline, start)
    if (end === -1) {
      // A whole line with something else where its line break was is no write that broke off.
      return isWhole(bytes, start, bytes.length - 1)
        ? damaged("the line break at the end of the line is damaged")
        : bytes.includes(0, start)
        ? damaged("the file goes on with zeros")
        : Either.right({ header, records, bytes: counted, summary })
    }
    if (!isWhole(bytes, start, end)) return damaged("the line does not match its checksum")
    const content = decoder.decode(bytes.subarray(start + prefixLength, end))
    if (start === 0) {
      header = headerIn(content)
      if (Option.isNone(header)) return damaged("the first line is no header of a journal")
      if (header.value.format > format) {
        return damaged(`the file is of format ${header.value.format}`, header.value.format)
      }
      base = header.value.after?.records ?? 0
      counted = end + 1
    } else if (content.startsWith(`"n":`)) {
      const expected = `"n":${(base ?? 0) + records.length + pending.length},"event":`
      if (!content.startsWith(expected)) return damaged("a record is missing or stands twice before this line")
      pending.push(content.slice(expected.length, -1))
    } else {
      const parsed = decodeEnd(`{${content}`)
      if (Option.isNone(parsed)) return damaged("the line is neither a record nor the end of a batch")
      for (const record of pending) records.push(record)
      pending = []
      if (parsed.value.end !== (base ?? 0) + records.length) {
        return damaged("the batch has more or fewer records than it says")
      }
      summary = Option.some(parsed.value.task)
      counted = end + 1
    }
    start = end + 1
    number += 1
  }
  return Either.right({ header, records, bytes: counted, summary })
}

/** The summary in the last line of a file's tail; none where that is not the end of a batch. */
export const summaryOf = (tail: Uint8Array): Option.Option<EncodedSummary> => {
  const end = tail.length - 1
  if (tail[end] !== newline) return Option.none()
  const start = tail.lastIndexOf(newline, end - 1) + 1
  return isWhole(tail, start, end)
    ? Option.map(decodeEnd(`{${decoder.decode(tail.subarray(start + prefixLength, end))}`), (parsed) => parsed.task)
    : Option.none()
}
