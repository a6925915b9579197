/** Journals and summaries between what drivers store and what is typed. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { UnreadableError } from "../CheckMateError.ts"
import type * as Task from "../Task.ts"
import * as TaskEvent from "../TaskEvent.ts"
import type { EncodedQuery, EncodedSummary } from "../TaskIO/Encoded.ts"
import { isoTime } from "./isoTime.ts"

/** A summary as a store keeps it. Looked at closely above the drivers, where it is decoded. */
export const SummarySchema = Schema.declare((u): u is EncodedSummary => typeof u === "object" && u !== null)

export const encodeSummary = (summary: Task.Summary): EncodedSummary => ({
  ...summary,
  createdAt: isoTime(summary.createdAt),
  updatedAt: isoTime(summary.updatedAt)
})

/** The events of records that begin at a position. */
export const decodeAll = (
  taskId: string,
  from: number,
  records: ReadonlyArray<string>
): Either.Either<ReadonlyArray<TaskEvent.TaskEvent>, UnreadableError> => {
  const events: Array<TaskEvent.TaskEvent> = []
  for (const record of records) {
    const event = TaskEvent.decode(taskId, from + events.length, record)
    if (Either.isLeft(event)) return Either.left(event.left)
    events.push(event.right)
  }
  return Either.right(events)
}

/** Another version may have written a summary, so what is not as it should be fits nothing, and fails nothing. */
export const matches = (query: EncodedQuery) => (summary: EncodedSummary): boolean =>
  (query.status === undefined || query.status.includes(summary.status))
  && (query.checkMate === undefined || query.checkMate === summary.checkMate)
  && (query.tags === undefined || query.tags.every((tag) => Array.isArray(summary.tags) && summary.tags.includes(tag)))
  && (query.since === undefined || query.since <= summary.updatedAt)
