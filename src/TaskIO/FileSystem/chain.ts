/** The files of one task, epoch by epoch, put together to the journal they hold. */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { JournalDamagedError, JournalVersionError } from "../../CheckMateError.ts"
import type { EncodedSummary } from "../Encoded.ts"
import * as JournalFile from "./journalFile.ts"

export type Damaged = JournalDamagedError | JournalVersionError

/** What the files of a task hold together. */
export interface Chain {
  readonly records: ReadonlyArray<string>
  readonly seal: JournalFile.Seal | null
  readonly summary: Option.Option<EncodedSummary>
  readonly origin: Option.Option<string>
  readonly ahead: number
}

export const nothing: Chain = { records: [], seal: null, summary: Option.none(), origin: Option.none(), ahead: 0 }

/** What a file holds that is not there. */
export const empty = new Uint8Array(0)

const afterOf = (contents: JournalFile.Contents): JournalFile.Seal | null =>
  Option.match(contents.header, { onNone: () => null, onSome: (header) => header.after })

/** Reads one epoch's file. */
const parse = (
  taskId: string,
  epoch: number,
  file: string,
  bytes: Uint8Array
): Either.Either<JournalFile.Contents, Damaged> => {
  const damaged = (location: string, problem: string) =>
    Either.left(new JournalDamagedError({ taskId, location: `${file}${location}`, problem }))
  const parsed = JournalFile.parse(bytes)
  if (Either.isLeft(parsed)) {
    const { byte, line, newer, problem } = parsed.left
    return newer === undefined
      ? damaged(`, line ${line}, byte ${byte}`, problem)
      : Either.left(new JournalVersionError({ taskId, version: newer, supported: JournalFile.format }))
  }
  const { header } = parsed.right
  if (Option.isNone(header)) return Either.right(parsed.right)
  const { after } = header.value
  if (header.value.taskId !== taskId || header.value.epoch !== epoch) {
    return damaged(", line 1", `it is epoch ${header.value.epoch} of task "${header.value.taskId}"`)
  }
  // Whoever went there would come back here.
  return after !== null && after.epoch >= epoch
    ? damaged(", line 1", `it says that epoch ${after.epoch} was before it`)
    : Either.right(parsed.right)
}

/** Of an older epoch just what the epoch after it counts on. */
const cut = (
  taskId: string,
  file: string,
  bytes: Uint8Array,
  seal: JournalFile.Seal
): Either.Either<JournalFile.Contents, Damaged> => {
  const damaged = (problem: string) => Either.left(new JournalDamagedError({ taskId, location: file, problem }))
  if (bytes.length < seal.bytes) {
    return damaged(`it has ${bytes.length} bytes, and a later file of the task counts on ${seal.bytes}`)
  }
  return Either.flatMap(
    parse(taskId, seal.epoch, file, bytes.subarray(0, seal.bytes)),
    (contents) =>
      contents.bytes === seal.bytes && (afterOf(contents)?.records ?? 0) + contents.records.length === seal.records
        ? Either.right(contents)
        : damaged(
          `it does not end at byte ${seal.bytes} with record ${seal.records}, as a later file of the task counts on`
        )
  )
}

/**
 * Which of a task's files is the newest that counts. Who finds nothing before it names an origin, and who finds something
 * takes over its origin. Of many that claim an empty journal at once several may name one, and write it in any order.
 * One of an origin that neither the first has nor anyone has named was left behind when an earlier task of this id was
 * removed.
 */
const newestOf = (headers: ReadonlyArray<Option.Option<JournalFile.Header>>): number => {
  const origins = new Set(
    headers.flatMap((header) => Option.isSome(header) && header.value.after === null ? [header.value.origin] : [])
  )
  // Where whoever named it has lost it, that is damage, and not another task.
  const first = Option.firstSomeOf(headers)
  if (Option.isSome(first)) origins.add(first.value.origin)
  return headers.findLastIndex(Option.exists(({ origin }) => origins.has(origin)))
}

/** Puts the files of a task together: those of epoch 1, 2, … as they were found, and what each is called. */
export const assemble = (
  taskId: string,
  found: ReadonlyArray<Uint8Array>,
  fileOf: (epoch: number) => string
): Either.Either<Chain, Damaged> => {
  const headers: Array<Option.Option<JournalFile.Header>> = []
  for (const [index, bytes] of found.entries()) {
    const header = JournalFile.parseHeader(bytes)
    // A file that breaks off in its header is a claim that wrote nothing; else reading it says where it is damaged.
    if (Option.isNone(header) && !JournalFile.isWithoutHeader(bytes)) {
      const parsed = parse(taskId, index + 1, fileOf(index + 1), bytes)
      if (Either.isLeft(parsed)) return Either.left(parsed.left)
    }
    headers.push(header)
  }
  const index = newestOf(headers)
  const bytes = found[index]
  if (bytes === undefined) return Either.right(nothing)
  const top = parse(taskId, index + 1, fileOf(index + 1), bytes)
  if (Either.isLeft(top)) return Either.left(top.left)
  const parts = [top.right.records]
  let { summary } = top.right
  for (let after = afterOf(top.right); after !== null;) {
    const older: Either.Either<JournalFile.Contents, Damaged> = cut(
      taskId,
      fileOf(after.epoch),
      found[after.epoch - 1] ?? empty,
      after
    )
    if (Either.isLeft(older)) return Either.left(older.left)
    parts.unshift(older.right.records)
    const before = older.right.summary
    summary = Option.orElse(summary, () => before)
    after = afterOf(older.right)
  }
  const records = parts.flat()
  const { header } = top.right
  return Either.right({
    records,
    seal: { epoch: index + 1, bytes: top.right.bytes, records: records.length },
    summary,
    origin: Option.map(header, ({ origin }) => origin),
    ahead: Option.match(header, { onNone: () => 0, onSome: ({ ahead = 0 }) => ahead })
  })
}
