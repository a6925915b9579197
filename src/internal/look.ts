/** What a task's journal says, and what it says since it was last looked at. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { InvalidTaskIdError, ReadError, TaskIOError } from "../CheckMateError.ts"
import type { Look } from "../TaskIO.ts"
import { decodeAll, foldAll } from "./journalCodec.ts"

export const nothing: Look = { records: [], events: [], task: Option.none() }

/** What records say: those that an earlier look found are decoded and folded already. */
export const lookAt = (
  taskId: string,
  records: ReadonlyArray<string>,
  earlier: Look = nothing
): Effect.Effect<Look, Exclude<ReadError, InvalidTaskIdError | TaskIOError>> => {
  // Not so where the task was removed meanwhile, and begun anew.
  if (!earlier.records.every((record, index) => record === records[index])) return lookAt(taskId, records)
  const from = earlier.records.length
  // As where a task is claimed that was looked at a moment before.
  if (from === records.length) return Effect.succeed(earlier)
  return Effect.flatMap(
    decodeAll(taskId, from, records.slice(from)),
    (events) =>
      Effect.map(foldAll(taskId, events, earlier.task), (task) => ({
        records,
        events: from === 0 ? events : [...earlier.events, ...events],
        task
      }))
  )
}

/**
 * From where on a journal is read that was looked at before: from the last record that is older than the newest. What is
 * begun anew under its id has no record of that time, so by this one it is told from what was read.
 */
export const againFrom = ({ events }: Look): number => {
  const newest = events.at(-1)?.at
  return newest === undefined ? 0 : Math.max(0, events.findLastIndex(({ at }) => DateTime.lessThan(at, newest)))
}

/** All records, of what was found from a position on; none where that does not go on from what was there. */
export const joined = (
  { records }: Look,
  from: number,
  found: ReadonlyArray<string>
): Option.Option<ReadonlyArray<string>> => {
  if (from === 0) return Option.some(found)
  return records.slice(from).every((record, index) => record === found[index])
    ? Option.some([...records.slice(0, from), ...found])
    : Option.none()
}
