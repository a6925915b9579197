/** Journals, summaries and queries between what drivers store and are asked, and what is typed. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { InvalidTransitionError, UnreadableError } from "../CheckMateError.ts"
import * as Task from "../Task.ts"
import * as TaskEvent from "../TaskEvent.ts"
import type { Query } from "../TaskIO.ts"
import type { EncodedQuery, EncodedSummary, First } from "../TaskIO/Encoded.ts"
import { turn } from "./eventLoop.ts"
import { isoTime } from "./isoTime.ts"
import { checkQuery } from "./options.ts"

/** A summary as a store keeps it. Looked at closely above the drivers, where it is decoded. */
export const SummarySchema = Schema.declare((u): u is EncodedSummary => typeof u === "object" && u !== null)

export const encodeSummary = (summary: Task.Summary): EncodedSummary => ({
  ...summary,
  createdAt: isoTime(summary.createdAt),
  updatedAt: isoTime(summary.updatedAt)
})

/** How many records are read before everything else has its turn, and how long they are in all: some 20 milliseconds. */
const perTurn = { count: 1_000, characters: 1_000_000 }

/** What is read in one turn, each: as much as there may be, but one at least. */
const partsOf = <A>(all: ReadonlyArray<A>, lengthOf: (one: A) => number): ReadonlyArray<ReadonlyArray<A>> => {
  const parts: Array<ReadonlyArray<A>> = []
  let start = 0
  let characters = 0
  for (const [index, one] of all.entries()) {
    const length = lengthOf(one)
    if (index > start && (index - start === perTurn.count || characters + length > perTurn.characters)) {
      parts.push(all.slice(start, index))
      start = index
      characters = 0
    }
    characters += length
  }
  return [...parts, start === 0 ? all : all.slice(start)]
}

/** Goes through what may take seconds as a whole, in which an engine must go on to give signs of life. */
const inTurns = <A, E>(
  all: ReadonlyArray<A>,
  lengthOf: (one: A) => number,
  step: (some: ReadonlyArray<A>) => Either.Either<void, E>
) => {
  const parts = partsOf(all, lengthOf)
  const next = (some: ReadonlyArray<A>) => Effect.suspend(() => step(some))
  return parts.length === 1
    ? next(all)
    : Effect.forEach(parts, (some) => Effect.zipRight(turn(), next(some)), { discard: true })
}

/** The events of records that begin at a position. */
export const decodeAll = (
  taskId: string,
  from: number,
  records: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<TaskEvent.TaskEvent>, UnreadableError> =>
  Effect.suspend(() => {
    const events: Array<TaskEvent.TaskEvent> = []
    const decode = (some: ReadonlyArray<string>): Either.Either<void, UnreadableError> => {
      for (const record of some) {
        const event = TaskEvent.decode(taskId, from + events.length, record)
        if (Either.isLeft(event)) return Either.left(event.left)
        events.push(event.right)
      }
      return Either.void
    }
    return Effect.as(inTurns(records, ({ length }) => length, decode), events)
  })

/** What `Task.fold` does. */
export const foldAll = (
  taskId: string,
  events: ReadonlyArray<TaskEvent.TaskEvent>,
  before: Option.Option<Task.Task> = Option.none()
): Effect.Effect<Option.Option<Task.Task>, InvalidTransitionError> =>
  Effect.suspend(() => {
    let task = before
    const fold = (some: ReadonlyArray<TaskEvent.TaskEvent>) =>
      Either.map(Task.fold(taskId, some, task), (next) => {
        task = next
      })
    return Effect.map(inTurns(events, () => 0, fold), () => task)
  })

/** No text of a later time is greater than that of this one, and no task is touched later. */
const latest = DateTime.unsafeMake("9999-12-31T23:59:59.999Z")

/** A query as a driver is given it, and {@link matches}. */
export const encodeQuery = (query: Query, first?: First): Effect.Effect<EncodedQuery> =>
  Effect.map(checkQuery(query), () => ({
    ...(query.status === undefined ? {} : { status: query.status }),
    ...(query.checkMate === undefined ? {} : { checkMate: query.checkMate }),
    ...(query.tags === undefined ? {} : { tags: query.tags }),
    ...(query.since === undefined
      ? {}
      : { since: DateTime.formatIso(DateTime.min(DateTime.unsafeMake(query.since), latest)) }),
    ...(first === undefined ? {} : { first })
  }))

/** Another version may have written a summary, so what is not as it should be fits nothing, and fails nothing. */
export const matches = (query: EncodedQuery) => (summary: EncodedSummary): boolean =>
  (query.status === undefined || query.status.includes(summary.status))
  && (query.checkMate === undefined || query.checkMate === summary.checkMate)
  && (query.tags === undefined || query.tags.every((tag) => Array.isArray(summary.tags) && summary.tags.includes(tag)))
  && (query.since === undefined || query.since <= summary.updatedAt)
