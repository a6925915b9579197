/**
 * A task is the fold of its journal. This file is that fold, and it is pure: it knows no store, no engine, no clock.
 *
 * @since 0.1.0
 */

import * as Chunk from "effect/Chunk"
import type * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { InvalidTransitionError } from "./CheckMateError.ts"
import type { Failure } from "./Failure.ts"
import * as StageStatus from "./StageStatus.ts"
import type { TaskEvent } from "./TaskEvent.ts"
import * as TaskStatus from "./TaskStatus.ts"

/**
 * Attributes as the journal holds them: encoded, absent ones left out.
 *
 * @since 0.1.0
 * @category models
 */
export type EncodedState = Readonly<Record<string, unknown>>

/**
 * The same, shared between the versions of a task, so that a stage costs the same however large the state has grown.
 *
 * @since 0.1.0
 * @category models
 */
export type SharedState = HashMap.HashMap<string, unknown>

/**
 * A failed attempt that its stage's Schedule has answered with another one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Retry {
  readonly at: DateTime.Utc
  readonly attempt: number
  readonly failure: Failure
}

/**
 * What the journal tells of one stage.
 *
 * @since 0.1.0
 * @category models
 */
export interface StageRecord {
  readonly name: string
  readonly status: StageStatus.StageStatus
  /** Attempts begun so far, over all rounds and in all processes; a `retry` that allows five begins anew after each. */
  readonly attempts: number
  /** How often work of the stage was rolled back, an attempt's or a success; a new round has a new idempotency key. */
  readonly round: number
  /** The failures its Schedule has stepped over since the stage last began afresh: the Schedule's position. */
  readonly retries: Chunk.Chunk<Retry>
  /** The state as the latest attempt saw it. */
  readonly before: SharedState
  /** What the stage provided, while its success stands. */
  readonly output: EncodedState
  /** When the latest attempt began. When the first one did stands in the history, as its first `StageStarted`. */
  readonly startedAt: Option.Option<DateTime.Utc>
  /** When the latest attempt ended; none while it runs. */
  readonly finishedAt: Option.Option<DateTime.Utc>
}

/**
 * One run of a CheckMate, as its journal tells it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Task {
  readonly id: string
  readonly checkMate: string
  readonly status: TaskStatus.TaskStatus
  /** The stages of the definition the task last went on with, in order. */
  readonly definition: ReadonlyArray<string>
  /** The stages that have begun, by name; see {@link stage}. */
  readonly stages: HashMap.HashMap<string, StageRecord>
  /** The stage that was last touched. */
  readonly current: Option.Option<string>
  /** How many stages stand as succeeded. */
  readonly succeeded: number
  /** The attributes as they stand; see {@link state}. */
  readonly attributes: SharedState
  /** What the caller gave last of each attribute that a caller gave. */
  readonly given: EncodedState
  readonly tags: ReadonlyArray<string>
  readonly memo: Option.Option<string>
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
  /** When the engine that ran it last took it up. */
  readonly takenUpAt: DateTime.Utc
  /** How often the task was taken up after a crash in the middle of a stage or rollback, since it last got anywhere. */
  readonly recoveries: number
  /** Whether the engine that had it last let go of it in order, in the middle of a rollback. */
  readonly left: boolean
  /** How many events are folded: the position the next one is appended at. */
  readonly position: number
}

/**
 * A stage that has not begun.
 *
 * @since 0.1.0
 * @category constructors
 */
export const untouched = (name: string): StageRecord => ({
  name,
  status: StageStatus.pending,
  attempts: 0,
  round: 0,
  retries: Chunk.empty(),
  before: HashMap.empty(),
  output: {},
  startedAt: Option.none(),
  finishedAt: Option.none()
})

/**
 * What the journal tells of a stage; a stage that has not begun is Pending.
 *
 * @since 0.1.0
 * @category getters
 */
export const stage = (task: Task, name: string): StageRecord => {
  const found = HashMap.get(task.stages, name)
  return Option.isSome(found) ? found.value : untouched(name)
}

/**
 * The attributes as they stand, encoded. `State.decode` decodes them.
 *
 * @since 0.1.0
 * @category getters
 */
export const state = (task: Task): EncodedState => toRecord(task.attributes)

/**
 * Shared attributes as a record of their own.
 *
 * @since 0.1.0
 * @category getters
 */
export const toRecord = (shared: SharedState): EncodedState => Object.fromEntries(shared)

/**
 * All stages in the order of the definition.
 *
 * @since 0.1.0
 * @category getters
 */
export const stages = (task: Task): ReadonlyArray<StageRecord> => task.definition.map((name) => stage(task, name))

// --- the fold ---------------------------------------------------------------

const withAttributes = (shared: SharedState, attributes: EncodedState): SharedState => {
  let next = shared
  for (const [attribute, value] of Object.entries(attributes)) next = HashMap.set(next, attribute, value)
  return next
}

/** The state without what a stage provided: back to what stood there before it, or absent. */
const withoutOutput = (shared: SharedState, record: StageRecord): SharedState => {
  let next = shared
  for (const attribute of Object.keys(record.output)) {
    next = HashMap.modifyAt(next, attribute, () => HashMap.get(record.before, attribute))
  }
  return next
}

/** A task with what one more event changed. Field by field: a spread of so many takes fifty times as long. */
const evolved = (task: Task, event: TaskEvent, changed: Partial<Task>): Task => ({
  id: task.id,
  checkMate: task.checkMate,
  status: changed.status ?? task.status,
  definition: changed.definition ?? task.definition,
  stages: changed.stages ?? task.stages,
  current: changed.current ?? task.current,
  succeeded: changed.succeeded ?? task.succeeded,
  attributes: changed.attributes ?? task.attributes,
  given: changed.given ?? task.given,
  tags: task.tags,
  memo: task.memo,
  createdAt: task.createdAt,
  updatedAt: event.at,
  takenUpAt: changed.takenUpAt ?? task.takenUpAt,
  recoveries: changed.recoveries ?? task.recoveries,
  left: event._tag === "TaskLeft",
  position: task.position + 1
})

const startsAfresh = (status: StageStatus.StageStatus): boolean => status._tag !== "Waiting"

const evolveStage = (
  record: StageRecord,
  event: StageStatus.Event,
  status: StageStatus.StageStatus,
  before: SharedState
): StageRecord => {
  switch (event._tag) {
    case "StageStarted":
      return {
        ...record,
        status,
        attempts: event.attempt,
        retries: startsAfresh(record.status) ? Chunk.empty() : record.retries,
        before,
        startedAt: Option.some(event.at),
        finishedAt: Option.none()
      }
    case "StageSucceeded":
      return { ...record, status, output: event.output, finishedAt: Option.some(event.at) }
    case "AttemptFailed":
      return {
        ...record,
        status,
        retries: event.next._tag === "Retry"
          ? Chunk.append(record.retries, { at: event.at, attempt: record.attempts, failure: event.failure })
          : record.retries,
        finishedAt: Option.some(event.at)
      }
    case "StageRolledBack":
      return { ...record, status, output: {}, round: record.round + 1 }
    case "AttemptUndone":
      return { ...record, status, round: event.rolledBack === true ? record.round + 1 : record.round }
    case "StageRollbackStarted":
    case "StageRollbackFailed":
      return { ...record, status }
  }
}

/** Whether anything can become of a stage while its task has this status. */
const allows = (status: TaskStatus.Tag, event: StageStatus.Event["_tag"]): boolean => {
  switch (status) {
    case "Running":
      return true
    case "RollingBack":
      return event !== "StageStarted" && event !== "StageSucceeded"
    default:
      return false
  }
}

const onStage = (task: Task, event: StageStatus.Event): Either.Either<Task, InvalidTransitionError> => {
  if (!allows(task.status._tag, event._tag)) return illegal(task, "the task", task.status._tag, event._tag)
  const record = stage(task, event.stage)
  const status = StageStatus.step(record.status, event)
  if (status === undefined) return illegal(task, `stage "${event.stage}"`, record.status._tag, event._tag)
  const next = evolveStage(record, event, status, task.attributes)
  const gotSomewhere = event._tag === "StageSucceeded" || event._tag === "StageRolledBack"
  return Either.right(evolved(task, event, {
    stages: HashMap.set(task.stages, event.stage, next),
    current: Option.some(event.stage),
    succeeded: task.succeeded + Number(status._tag === "Succeeded") - Number(record.status._tag === "Succeeded"),
    attributes: event._tag === "StageSucceeded"
      ? withAttributes(task.attributes, event.output)
      : event._tag === "StageRolledBack"
      ? withoutOutput(task.attributes, record)
      : task.attributes,
    recoveries: gotSomewhere ? 0 : task.recoveries
  }))
}

const withoutWaiting = (
  stages: Task["stages"],
  settle: (record: StageRecord, status: typeof StageStatus.Waiting.Type) => StageRecord
): Task["stages"] =>
  HashMap.map(stages, (record) => record.status._tag === "Waiting" ? settle(record, record.status) : record)

/** What becomes of the stages that wait for another attempt when the task as a whole takes a turn. */
const settledBy = (event: TaskStatus.Event, stages: Task["stages"]): Task["stages"] => {
  switch (event._tag) {
    case "TaskRolledBack":
      // Begun anew, the Schedule and all.
      return withoutWaiting(stages, (record) => ({ ...record, status: StageStatus.pending, retries: Chunk.empty() }))
    case "TaskCancelled":
      // There is no other attempt.
      return withoutWaiting(stages, (record, { attempt, failure }) => ({
        ...record,
        status: { _tag: "Failed", attempt, failure }
      }))
    default:
      return stages
  }
}

const onTask = (task: Task, event: TaskStatus.Event): Either.Either<Task, InvalidTransitionError> => {
  const status = TaskStatus.step(task.status, event)
  if (status === undefined) return illegal(task, "the task", task.status._tag, event._tag)
  const resumed = event._tag === "TaskResumed" ? event : undefined
  const settled = event._tag === "TaskRollbackStarted" || event._tag === "TaskRollbackResumed"
    || (resumed !== undefined && !TaskStatus.isActive(task.status))
  return Either.right(evolved(task, event, {
    status,
    stages: settledBy(event, task.stages),
    definition: resumed?.stages ?? task.definition,
    recoveries: resumed?.recovered === true ? task.recoveries + 1 : settled ? 0 : task.recoveries,
    takenUpAt: resumed === undefined ? task.takenUpAt : event.at
  }))
}

const illegal = (task: Task, subject: string, status: string, event: string) =>
  Either.left(new InvalidTransitionError({ taskId: task.id, subject, status, event, position: task.position }))

const begin = (id: string, event: Extract<TaskEvent, { readonly _tag: "TaskStarted" }>): Task => ({
  id,
  checkMate: event.checkMate,
  status: TaskStatus.running,
  definition: event.stages,
  stages: HashMap.empty(),
  current: Option.none(),
  succeeded: 0,
  attributes: withAttributes(HashMap.empty(), event.input),
  given: event.input,
  tags: event.tags,
  memo: Option.fromNullable(event.memo),
  createdAt: event.at,
  updatedAt: event.at,
  takenUpAt: event.at,
  recoveries: 0,
  left: false,
  position: 1
})

/**
 * The task after one more event. An event that its status or its stage's does not allow is an `InvalidTransitionError`.
 *
 * @since 0.1.0
 * @category folding
 */
export const evolve = (
  id: string,
  task: Task | undefined,
  event: TaskEvent
): Either.Either<Task, InvalidTransitionError> => {
  if (event._tag === "TaskStarted") {
    return task === undefined ? Either.right(begin(id, event)) : illegal(task, "the task", task.status._tag, event._tag)
  }
  if (task === undefined) {
    return Either.left(
      new InvalidTransitionError({
        taskId: id,
        subject: "the task",
        status: "not started",
        event: event._tag,
        position: 0
      })
    )
  }
  switch (event._tag) {
    case "AttributesOverridden":
      if (task.status._tag !== "Running") return illegal(task, "the task", task.status._tag, event._tag)
      return Either.right(evolved(task, event, {
        attributes: withAttributes(task.attributes, event.attributes),
        given: { ...task.given, ...event.attributes }
      }))
    case "StageStarted":
    case "StageSucceeded":
    case "AttemptFailed":
    case "AttemptUndone":
    case "StageRollbackStarted":
    case "StageRolledBack":
    case "StageRollbackFailed":
      return onStage(task, event)
    default:
      return onTask(task, event)
  }
}

/**
 * The task that a whole journal tells of, or the events after those that `before` comes of; none for an empty journal.
 *
 * @since 0.1.0
 * @category folding
 */
export const fold = (
  id: string,
  events: Iterable<TaskEvent>,
  before: Option.Option<Task> = Option.none()
): Either.Either<Option.Option<Task>, InvalidTransitionError> => {
  let task = Option.getOrUndefined(before)
  for (const event of events) {
    const next: Either.Either<Task, InvalidTransitionError> = evolve(id, task, event)
    if (Either.isLeft(next)) return Either.left(next.left)
    task = next.right
  }
  return Either.right(Option.fromNullable(task))
}

// --- summaries --------------------------------------------------------------

/**
 * What a list of tasks shows of each, kept by the store beside the journal's end so that listing folds nothing.
 *
 * @since 0.1.0
 * @category models
 */
export const Summary = Schema.Struct({
  taskId: Schema.String,
  checkMate: Schema.String,
  status: TaskStatus.Tag,
  stage: Schema.optionalWith(Schema.String, { exact: true }),
  succeeded: Schema.Int,
  stages: Schema.Int,
  tags: Schema.Array(Schema.String),
  memo: Schema.optionalWith(Schema.String, { exact: true }),
  createdAt: Schema.DateTimeUtc,
  updatedAt: Schema.DateTimeUtc
})

/**
 * @since 0.1.0
 * @category models
 */
export type Summary = { readonly [Field in keyof typeof Summary.Type]: (typeof Summary.Type)[Field] }

/**
 * What a list shows of a task.
 *
 * @since 0.1.0
 * @category getters
 */
export const summarize = (task: Task): Summary => ({
  taskId: task.id,
  checkMate: task.checkMate,
  status: task.status._tag,
  ...(Option.isSome(task.current) ? { stage: task.current.value } : {}),
  succeeded: task.succeeded,
  stages: task.definition.length,
  tags: task.tags,
  ...(Option.isSome(task.memo) ? { memo: task.memo.value } : {}),
  createdAt: task.createdAt,
  updatedAt: task.updatedAt
})
