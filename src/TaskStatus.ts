/**
 * Where a whole task stands: a tagged union whose members carry only what is valid in them, the events that move
 * it, and the one table of legal transitions.
 *
 * ```text
 *                     TaskSucceeded
 *   Running ───────────────────────────► Succeeded ──────────┐
 *    │ ▲ ▲ ▲                                                 │
 *    │ │ │ └──── TaskResumed ───── Failed ◄── TaskFailed     │
 *    │ │ └────── TaskResumed ───── Paused ◄── TaskPaused     │ TaskRollbackStarted, also from Running, Failed,
 *    │ │                         Poisoned ◄── TaskPoisoned   │ Paused, Poisoned, Cancelled and RolledBack
 *    │ │                        Cancelled ◄── TaskCancelled  │
 *    │ │                                                     ▼
 *    │ │              TaskRolledBack (purpose Retry)     RollingBack ──────────────► RolledBack | Cancelled
 *    │ ├───────────────────────────────────────────────────┘ ▲   │    TaskRolledBack      │ (by its purpose)
 *    │ │                                                     │   │ TaskRollbackFailed     │
 *    │ │ TaskRollbackResumed                                 │   ▼                        │
 *    │ ├──────────────────── RollbackFailed ─────────────────┘ ◄─┘                        │
 *    │ │                         ▲   (goes back to what it interrupted)                   │
 *    └─┼─────────────────────────┘ TaskRollbackFailed (a failed attempt's own rollback)   │
 *      └────────────────────────────────────────────────────── TaskResumed ───────────────┘ (RolledBack)
 * ```
 *
 * Not drawn: TaskCancelled leads to Cancelled also from Failed, Paused, Poisoned and RollbackFailed; TaskPoisoned also from
 * RollingBack; TaskResumed and TaskLeft stay in Running and in RollingBack, where an engine takes up what another one left.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import { Failure } from "./Failure.ts"
import * as stateMachine from "./internal/stateMachine.ts"

// --- events -----------------------------------------------------------------

const at = { at: Schema.DateTimeUtc }
const reason = { reason: Schema.optionalWith(Schema.String, { exact: true }) }

/**
 * Why a task is rolled back, and so what it becomes when that is done: `Failure` and `Request` end in RolledBack,
 * `Cancel` in Cancelled, `Retry` in Running, from the stage it names.
 *
 * @since 0.1.0
 * @category events
 */
export const Purpose = Schema.Union(
  Schema.TaggedStruct("Failure", { stage: Schema.String, failure: Failure }),
  Schema.TaggedStruct("Request", reason),
  Schema.TaggedStruct("Cancel", reason),
  Schema.TaggedStruct("Retry", { from: Schema.String })
)

/**
 * @since 0.1.0
 * @category events
 */
export type Purpose = Exclude<typeof Purpose.Type, never>

/**
 * An engine goes on with the task. `recovered` marks that the one before it died in the middle of a stage or of a
 * rollback; `stages` is the definition it goes on with.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskResumed = Schema.TaggedStruct("TaskResumed", {
  ...at,
  stages: Schema.Array(Schema.String),
  recovered: Schema.Boolean
})

/**
 * Every stage has succeeded.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskSucceeded = Schema.TaggedStruct("TaskSucceeded", at)

/**
 * A stage failed for good, and earlier checkpoints stand.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskFailed = Schema.TaggedStruct("TaskFailed", { ...at, stage: Schema.String, failure: Failure })

/**
 * The task stopped at a stage boundary because it was asked to.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskPaused = Schema.TaggedStruct("TaskPaused", at)

/**
 * The engine that had the task ended in order in the middle of a rollback, which is to be gone on with: no crash.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskLeft = Schema.TaggedStruct("TaskLeft", at)

/**
 * The task crashed its process too often.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskPoisoned = Schema.TaggedStruct("TaskPoisoned", {
  ...at,
  stage: Schema.String,
  recoveries: Schema.Int
})

/**
 * The task was cancelled without a rollback.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskCancelled = Schema.TaggedStruct("TaskCancelled", { ...at, ...reason })

/**
 * Stages are rolled back from the last one on.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskRollbackStarted = Schema.TaggedStruct("TaskRollbackStarted", { ...at, purpose: Purpose })

/**
 * Every stage the rollback was about is rolled back.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskRolledBack = Schema.TaggedStruct("TaskRolledBack", at)

/**
 * A stage's rollback failed for good; what comes after it was not tried.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskRollbackFailed = Schema.TaggedStruct("TaskRollbackFailed", {
  ...at,
  stage: Schema.String,
  failure: Failure
})

/**
 * The failed rollback is tried again.
 *
 * @since 0.1.0
 * @category events
 */
export const TaskRollbackResumed = Schema.TaggedStruct("TaskRollbackResumed", at)

/**
 * Everything that moves a task once it exists.
 *
 * @since 0.1.0
 * @category events
 */
export const Event = Schema.Union(
  TaskResumed,
  TaskSucceeded,
  TaskFailed,
  TaskPaused,
  TaskLeft,
  TaskPoisoned,
  TaskCancelled,
  TaskRollbackStarted,
  TaskRolledBack,
  TaskRollbackFailed,
  TaskRollbackResumed
)

/**
 * @since 0.1.0
 * @category events
 */
export type Event = Exclude<typeof Event.Type, never>

// --- statuses ---------------------------------------------------------------

/**
 * Stages run, or wait for their next attempt, or were running when their process ended.
 *
 * @since 0.1.0
 * @category models
 */
export const Running = Schema.TaggedStruct("Running", {})

/**
 * Every stage has succeeded.
 *
 * @since 0.1.0
 * @category models
 */
export const Succeeded = Schema.TaggedStruct("Succeeded", { finishedAt: Schema.DateTimeUtc })

/**
 * A stage failed for good; `run` and `resume` go on from it.
 *
 * @since 0.1.0
 * @category models
 */
export const Failed = Schema.TaggedStruct("Failed", { stage: Schema.String, failure: Failure })

/**
 * Stopped at a stage boundary; `run` and `resume` go on.
 *
 * @since 0.1.0
 * @category models
 */
export const Paused = Schema.TaggedStruct("Paused", {})

/**
 * Crashed its process too often; only `retryFrom`, `rollback` and `cancel` touch it.
 *
 * @since 0.1.0
 * @category models
 */
export const Poisoned = Schema.TaggedStruct("Poisoned", { stage: Schema.String, recoveries: Schema.Int })

/**
 * Cancelled; only `retryFrom` and `rollback` touch it.
 *
 * @since 0.1.0
 * @category models
 */
export const Cancelled = Schema.TaggedStruct("Cancelled", reason)

/**
 * Stages are being rolled back, for `purpose`.
 *
 * @since 0.1.0
 * @category models
 */
export const RollingBack = Schema.TaggedStruct("RollingBack", { purpose: Purpose })

/**
 * Every stage is rolled back; `failure` says why, where it was one.
 *
 * @since 0.1.0
 * @category models
 */
export const RolledBack = Schema.TaggedStruct("RolledBack", {
  failure: Schema.optionalWith(Failure, { exact: true })
})

/**
 * A rollback failed for good; `interrupted` is what trying again goes back to.
 *
 * @since 0.1.0
 * @category models
 */
export const RollbackFailed = Schema.TaggedStruct("RollbackFailed", {
  stage: Schema.String,
  failure: Failure,
  interrupted: Schema.Union(Running, RollingBack)
})

/**
 * The schema of a task's status.
 *
 * @since 0.1.0
 * @category models
 */
export const TaskStatus = Schema.Union(
  Running,
  Succeeded,
  Failed,
  Paused,
  Poisoned,
  Cancelled,
  RollingBack,
  RolledBack,
  RollbackFailed
)

/**
 * Where a task stands.
 *
 * @since 0.1.0
 * @category models
 */
export type TaskStatus = Exclude<typeof TaskStatus.Type, never>

/**
 * The names of the statuses.
 *
 * @since 0.1.0
 * @category models
 */
export const Tag = Schema.Literal(
  "Running",
  "Succeeded",
  "Failed",
  "Paused",
  "Poisoned",
  "Cancelled",
  "RollingBack",
  "RolledBack",
  "RollbackFailed"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Tag = TaskStatus["_tag"]

/**
 * Where every task begins.
 *
 * @since 0.1.0
 * @category constructors
 */
export const running: typeof Running.Type = { _tag: "Running" }

/**
 * Whether an engine has something to do for a task in this status without being asked: it runs, or is being rolled
 * back.
 *
 * @since 0.1.0
 * @category guards
 */
export const isActive = (status: { readonly _tag: Tag }): boolean =>
  status._tag === "Running" || status._tag === "RollingBack"

// --- transitions ------------------------------------------------------------

interface CanRollBack {
  readonly TaskRollbackStarted: typeof RollingBack.Type
}

/**
 * The legal transitions: by status and event, the status that follows.
 *
 * @since 0.1.0
 * @category transitions
 */
export interface Transitions {
  readonly Running: CanRollBack & {
    readonly TaskResumed: typeof Running.Type
    readonly TaskSucceeded: typeof Succeeded.Type
    readonly TaskFailed: typeof Failed.Type
    readonly TaskPaused: typeof Paused.Type
    readonly TaskLeft: typeof Running.Type
    readonly TaskPoisoned: typeof Poisoned.Type
    readonly TaskCancelled: typeof Cancelled.Type
    readonly TaskRollbackFailed: typeof RollbackFailed.Type
  }
  readonly Succeeded: CanRollBack
  readonly Failed: CanRollBack & {
    readonly TaskResumed: typeof Running.Type
    readonly TaskCancelled: typeof Cancelled.Type
  }
  readonly Paused: CanRollBack & {
    readonly TaskResumed: typeof Running.Type
    readonly TaskCancelled: typeof Cancelled.Type
  }
  readonly Poisoned: CanRollBack & { readonly TaskCancelled: typeof Cancelled.Type }
  readonly Cancelled: CanRollBack
  readonly RollingBack: {
    readonly TaskResumed: typeof RollingBack.Type
    readonly TaskLeft: typeof RollingBack.Type
    readonly TaskPoisoned: typeof Poisoned.Type
    readonly TaskRolledBack: typeof RolledBack.Type | typeof Cancelled.Type | typeof Running.Type
    readonly TaskRollbackFailed: typeof RollbackFailed.Type
  }
  readonly RolledBack: CanRollBack & { readonly TaskResumed: typeof Running.Type }
  readonly RollbackFailed: {
    readonly TaskRollbackResumed: typeof Running.Type | typeof RollingBack.Type
    readonly TaskCancelled: typeof Cancelled.Type
  }
}

const resumed = (): typeof Running.Type => running

const withReason = (reason: string | undefined): { readonly reason?: string } => reason === undefined ? {} : { reason }

const cancelled = (_: TaskStatus, { reason }: typeof TaskCancelled.Type): typeof Cancelled.Type => ({
  _tag: "Cancelled",
  ...withReason(reason)
})

const poisoned = (_: TaskStatus, { recoveries, stage }: typeof TaskPoisoned.Type): typeof Poisoned.Type => ({
  _tag: "Poisoned",
  stage,
  recoveries
})

const rollbackFailed = (
  interrupted: typeof Running.Type | typeof RollingBack.Type,
  { failure, stage }: typeof TaskRollbackFailed.Type
): typeof RollbackFailed.Type => ({ _tag: "RollbackFailed", stage, failure, interrupted })

const canRollBack = {
  TaskRollbackStarted: (_: TaskStatus, { purpose }: typeof TaskRollbackStarted.Type): typeof RollingBack.Type => ({
    _tag: "RollingBack",
    purpose
  })
}

const table: stateMachine.Table<Transitions, TaskStatus, Event> = {
  Running: {
    ...canRollBack,
    TaskResumed: resumed,
    TaskSucceeded: (_, event) => ({ _tag: "Succeeded", finishedAt: event.at }),
    TaskFailed: (_, { failure, stage }) => ({ _tag: "Failed", stage, failure }),
    TaskPaused: () => ({ _tag: "Paused" }),
    TaskLeft: resumed,
    TaskPoisoned: poisoned,
    TaskCancelled: cancelled,
    TaskRollbackFailed: rollbackFailed
  },
  Succeeded: canRollBack,
  Failed: { ...canRollBack, TaskResumed: resumed, TaskCancelled: cancelled },
  Paused: { ...canRollBack, TaskResumed: resumed, TaskCancelled: cancelled },
  Poisoned: { ...canRollBack, TaskCancelled: cancelled },
  Cancelled: canRollBack,
  RollingBack: {
    TaskResumed: (status) => status,
    TaskLeft: (status) => status,
    TaskPoisoned: poisoned,
    TaskRolledBack: ({ purpose }) => {
      switch (purpose._tag) {
        case "Failure":
          return { _tag: "RolledBack", failure: purpose.failure }
        case "Request":
          return { _tag: "RolledBack" }
        case "Cancel":
          return { _tag: "Cancelled", ...withReason(purpose.reason) }
        case "Retry":
          return running
      }
    },
    TaskRollbackFailed: rollbackFailed
  },
  RolledBack: { ...canRollBack, TaskResumed: resumed },
  RollbackFailed: {
    TaskRollbackResumed: ({ interrupted }) => interrupted,
    TaskCancelled: cancelled
  }
}

/**
 * The status that follows an event, where the status is statically known: an illegal event does not compile.
 *
 * @since 0.1.0
 * @category transitions
 */
export function transition<S extends TaskStatus, E extends stateMachine.Legal<Transitions, S, Event>>(
  status: S,
  event: E
): stateMachine.Next<Transitions, S, E>
export function transition(status: TaskStatus, event: Event): TaskStatus {
  return step(status, event) ?? status
}

/**
 * The status that follows an event read from data, or `undefined` where the event is illegal.
 *
 * @since 0.1.0
 * @category transitions
 */
export const step = (status: TaskStatus, event: Event): TaskStatus | undefined =>
  stateMachine.step<TaskStatus, Event>(table, status, event)
