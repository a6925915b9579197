/**
 * The events a journal holds, and how they are written: one JSON text per event, marked with the format's version.
 *
 * @since 0.1.0
 */

import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { DecryptionError, JournalDamagedError, JournalVersionError, type UnreadableError } from "./CheckMateError.ts"
import { isoTime } from "./internal/isoTime.ts"
import * as StageStatus from "./StageStatus.ts"
import * as TaskStatus from "./TaskStatus.ts"

/**
 * The newest journal format this version reads, and the one it writes.
 *
 * @since 0.1.0
 * @category constants
 */
export const version = 1

const Attributes = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/**
 * A task begins: its definition's name and stages, and its input, encoded.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskStarted = Schema.TaggedStruct("TaskStarted", {
  at: Schema.DateTimeUtc,
  checkMate: Schema.String,
  stages: Schema.Array(Schema.String),
  input: Attributes,
  tags: Schema.Array(Schema.String),
  memo: Schema.optionalWith(Schema.String, { exact: true })
})

/**
 * The caller gave attributes that differ from the persisted ones; these are theirs, encoded.
 *
 * @since 0.1.0
 * @category events
 */
export const AttributesOverridden = Schema.TaggedStruct("AttributesOverridden", {
  at: Schema.DateTimeUtc,
  attributes: Attributes
})

/**
 * The schema of everything a journal can hold.
 *
 * @since 0.1.0
 * @category models
 */
export const TaskEvent = Schema.Union(
  TaskStarted,
  AttributesOverridden,
  ...TaskStatus.Event.members,
  ...StageStatus.Event.members
)

/**
 * Anything a journal can hold.
 *
 * @since 0.1.0
 * @category models
 */
export type TaskEvent = Exclude<typeof TaskEvent.Type, never>

const decodeEvent = ParseResult.decodeUnknownEither(TaskEvent)
// What `Schema.parseJson` does, in a fifth of its time.
const parseJson = (text: string) => Either.try((): unknown => JSON.parse(text))

/**
 * An event as its journal text: one line of JSON. An event is its own JSON, but for its times, and those say
 * themselves how they are written, so no schema is run on the way out.
 *
 * @since 0.1.0
 * @category codecs
 */
export const encode = (event: TaskEvent): string =>
  `{"v":${version},${JSON.stringify({ ...event, at: isoTime(event.at) }).slice(1)}`

/**
 * Reads an event from its journal text. A newer format is a `JournalVersionError`, an encrypted text a
 * `DecryptionError`; anything else that does not read is a `JournalDamagedError` that names the position.
 *
 * @since 0.1.0
 * @category codecs
 */
export const decode = (
  taskId: string,
  position: number,
  text: string
): Either.Either<TaskEvent, UnreadableError> => {
  const damaged = (problem: string) =>
    Either.left(new JournalDamagedError({ taskId, location: `record ${position}`, problem }))
  const parsed = parseJson(text)
  if (Either.isLeft(parsed)) return damaged("the record is not JSON")
  const record = parsed.right
  if (Predicate.hasProperty(record, "encrypted")) {
    return Either.left(
      new DecryptionError({
        taskId,
        location: `record ${position}`,
        problem: "it is encrypted, and this store has no keys. Give them with TaskIO.encrypted"
      })
    )
  }
  const format = Predicate.hasProperty(record, "v") ? record.v : undefined
  if (typeof format !== "number" || !Number.isInteger(format) || format < 1) {
    return damaged("the record does not say which format it is of")
  }
  if (format > version) return Either.left(new JournalVersionError({ taskId, version: format, supported: version }))
  const event = decodeEvent(record)
  return Either.isLeft(event) ? damaged(firstIssue(event.left)) : Either.right(event.right)
}

/** What is wrong first, and where; not all that would have been right. */
const firstIssue = (issue: ParseResult.ParseIssue): string => {
  const [first] = ParseResult.ArrayFormatter.formatIssueSync(issue)
  if (first === undefined) return "the record is no event"
  const path = first.path.map(String).join(".")
  return `${path === "" ? "" : `at ${path}: `}${first.message.slice(0, 300)}`
}
