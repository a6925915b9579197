/**
 * Where a stage of a task stands: a tagged union whose members carry only what is valid in them, the events that
 * move it, and the one table of legal transitions.
 *
 * ```text
 *            StageStarted           StageSucceeded              StageRollbackStarted
 *   Pending ─────────────► Running ────────────────► Succeeded ─────────────────────► RollingBack
 *                          ▲  ▲  ▲ │                                                   │  │    ▲
 *             StageStarted │  │  │ │ AttemptFailed                     StageRolledBack │  │    │
 *                          │  │  │ ▼                                                   ▼  │    │
 *                          │  │  │ Undoing ◄──────────────┐                   RolledBack  │    │
 *                          │  │  │ │   │                  │ StageRollback        │        │    │
 *              (retry due) │  │  │ │   │ StageRollback    │ Started              │        │    │
 *                   Waiting┘  │  │ │   ▼ Failed           │                      │        │    │
 *                      ▲      │  │ │  RollbackFailed ─────┴──────────────────────┼────────┼────┘
 *                      │      │  │ │   ▲                                         │        │
 *                      │      │  │ │   └─────────── StageRollbackFailed ─────────┼────────┘
 *          AttemptUndone      │  └─┼────────────────────── StageStarted ─────────┘
 *                      │      │    │
 *                      └──────┼────┤ AttemptUndone
 *                             │    ▼
 *                StageStarted └── Failed
 * ```
 *
 * Two moves are not the stage's own: when its task is cancelled, a stage that is Waiting is Failed, and when its task is
 * rolled back it is Pending.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import { Failure } from "./Failure.ts"
import * as stateMachine from "./internal/stateMachine.ts"

// --- events -----------------------------------------------------------------

const about = { at: Schema.DateTimeUtc, stage: Schema.String }

/**
 * What follows once a failed attempt is undone: another attempt when the Schedule says so, another attempt at once
 * because it was only interrupted or its process died, or nothing.
 *
 * @since 0.1.0
 * @category events
 */
export const Decision = Schema.Union(
  Schema.TaggedStruct("Retry", { dueAt: Schema.DateTimeUtc }),
  Schema.TaggedStruct("Resume", {}),
  Schema.TaggedStruct("GiveUp", {})
)

/**
 * @since 0.1.0
 * @category events
 */
export type Decision = Exclude<typeof Decision.Type, never>

/**
 * An attempt begins. Durable before the stage runs.
 *
 * @since 0.1.0
 * @category events
 */
export const StageStarted = Schema.TaggedStruct("StageStarted", { ...about, attempt: Schema.Int })

/**
 * The attempt returned; `output` holds the attributes it provides, encoded. This is the checkpoint.
 *
 * @since 0.1.0
 * @category events
 */
export const StageSucceeded = Schema.TaggedStruct("StageSucceeded", {
  ...about,
  output: Schema.Record({ key: Schema.String, value: Schema.Unknown })
})

/**
 * The attempt failed, was interrupted, or was found dead; its rollback is due.
 *
 * @since 0.1.0
 * @category events
 */
export const AttemptFailed = Schema.TaggedStruct("AttemptFailed", { ...about, failure: Failure, next: Decision })

/**
 * The failed attempt's rollback is done, or its stage has none; `rolledBack` marks that one has run.
 *
 * @since 0.1.0
 * @category events
 */
export const AttemptUndone = Schema.TaggedStruct("AttemptUndone", {
  ...about,
  rolledBack: Schema.optionalWith(Schema.Literal(true), { exact: true })
})

/**
 * The rollback of a stage that had succeeded begins, or a failed rollback is tried again.
 *
 * @since 0.1.0
 * @category events
 */
export const StageRollbackStarted = Schema.TaggedStruct("StageRollbackStarted", about)

/**
 * The stage is rolled back; the attributes it provided are as they were before it.
 *
 * @since 0.1.0
 * @category events
 */
export const StageRolledBack = Schema.TaggedStruct("StageRolledBack", about)

/**
 * A rollback failed for good.
 *
 * @since 0.1.0
 * @category events
 */
export const StageRollbackFailed = Schema.TaggedStruct("StageRollbackFailed", { ...about, failure: Failure })

/**
 * Everything that moves a stage.
 *
 * @since 0.1.0
 * @category events
 */
export const Event = Schema.Union(
  StageStarted,
  StageSucceeded,
  AttemptFailed,
  AttemptUndone,
  StageRollbackStarted,
  StageRolledBack,
  StageRollbackFailed
)

/**
 * @since 0.1.0
 * @category events
 */
export type Event = Exclude<typeof Event.Type, never>

// --- statuses ---------------------------------------------------------------

const attempt = { attempt: Schema.Int }

/**
 * Has not run yet, or, where its task was rolled back while it waited, begins anew.
 *
 * @since 0.1.0
 * @category models
 */
export const Pending = Schema.TaggedStruct("Pending", {})

/**
 * An attempt runs, or was running when its process ended.
 *
 * @since 0.1.0
 * @category models
 */
export const Running = Schema.TaggedStruct("Running", { ...attempt, startedAt: Schema.DateTimeUtc })

/**
 * The attempt failed and its rollback is not done yet.
 *
 * @since 0.1.0
 * @category models
 */
export const Undoing = Schema.TaggedStruct("Undoing", { ...attempt, failure: Failure, next: Decision })

/**
 * Undone, and waiting for its next attempt at `dueAt`.
 *
 * @since 0.1.0
 * @category models
 */
export const Waiting = Schema.TaggedStruct("Waiting", { ...attempt, failure: Failure, dueAt: Schema.DateTimeUtc })

/**
 * Undone, and given up.
 *
 * @since 0.1.0
 * @category models
 */
export const Failed = Schema.TaggedStruct("Failed", { ...attempt, failure: Failure })

/**
 * Checkpointed. Never runs again unless it is rolled back.
 *
 * @since 0.1.0
 * @category models
 */
export const Succeeded = Schema.TaggedStruct("Succeeded", { ...attempt, finishedAt: Schema.DateTimeUtc })

/**
 * Had succeeded, and its rollback runs.
 *
 * @since 0.1.0
 * @category models
 */
export const RollingBack = Schema.TaggedStruct("RollingBack", attempt)

/**
 * Had succeeded, and is rolled back.
 *
 * @since 0.1.0
 * @category models
 */
export const RolledBack = Schema.TaggedStruct("RolledBack", attempt)

/**
 * Its rollback failed for good; `interrupted` is what trying again goes back to.
 *
 * @since 0.1.0
 * @category models
 */
export const RollbackFailed = Schema.TaggedStruct("RollbackFailed", {
  ...attempt,
  failure: Failure,
  interrupted: Schema.Union(Undoing, RollingBack)
})

/**
 * The schema of a stage's status.
 *
 * @since 0.1.0
 * @category models
 */
export const StageStatus = Schema.Union(
  Pending,
  Running,
  Undoing,
  Waiting,
  Failed,
  Succeeded,
  RollingBack,
  RolledBack,
  RollbackFailed
)

/**
 * Where a stage stands.
 *
 * @since 0.1.0
 * @category models
 */
export type StageStatus = Exclude<typeof StageStatus.Type, never>

/**
 * Where every stage begins.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pending: typeof Pending.Type = { _tag: "Pending" }

// --- transitions ------------------------------------------------------------

/**
 * The legal transitions: by status and event, the status that follows.
 *
 * @since 0.1.0
 * @category transitions
 */
export interface Transitions {
  readonly Pending: { readonly StageStarted: typeof Running.Type }
  readonly Running: {
    readonly StageSucceeded: typeof Succeeded.Type
    readonly AttemptFailed: typeof Undoing.Type
  }
  readonly Undoing: {
    readonly AttemptUndone: typeof Waiting.Type | typeof Failed.Type
    readonly StageRollbackFailed: typeof RollbackFailed.Type
  }
  readonly Waiting: { readonly StageStarted: typeof Running.Type }
  readonly Failed: { readonly StageStarted: typeof Running.Type }
  readonly Succeeded: { readonly StageRollbackStarted: typeof RollingBack.Type }
  readonly RollingBack: {
    readonly StageRolledBack: typeof RolledBack.Type
    readonly StageRollbackFailed: typeof RollbackFailed.Type
  }
  readonly RolledBack: { readonly StageStarted: typeof Running.Type }
  readonly RollbackFailed: { readonly StageRollbackStarted: typeof Undoing.Type | typeof RollingBack.Type }
}

const start = (_: StageStatus, event: typeof StageStarted.Type): typeof Running.Type => ({
  _tag: "Running",
  attempt: event.attempt,
  startedAt: event.at
})

const rollbackFailed = (
  status: typeof Undoing.Type | typeof RollingBack.Type,
  { failure }: typeof StageRollbackFailed.Type
): typeof RollbackFailed.Type => ({ _tag: "RollbackFailed", attempt: status.attempt, failure, interrupted: status })

const table: stateMachine.Table<Transitions, StageStatus, Event> = {
  Pending: { StageStarted: start },
  Running: {
    StageSucceeded: ({ attempt }, { at }) => ({ _tag: "Succeeded", attempt, finishedAt: at }),
    AttemptFailed: ({ attempt }, { failure, next }) => ({ _tag: "Undoing", attempt, failure, next })
  },
  Undoing: {
    AttemptUndone: ({ attempt, failure, next }, { at }) => {
      switch (next._tag) {
        case "Retry":
          return { _tag: "Waiting", attempt, failure, dueAt: next.dueAt }
        case "Resume":
          return { _tag: "Waiting", attempt, failure, dueAt: at }
        case "GiveUp":
          return { _tag: "Failed", attempt, failure }
      }
    },
    StageRollbackFailed: rollbackFailed
  },
  Waiting: { StageStarted: start },
  Failed: { StageStarted: start },
  Succeeded: { StageRollbackStarted: ({ attempt }) => ({ _tag: "RollingBack", attempt }) },
  RollingBack: {
    StageRolledBack: ({ attempt }) => ({ _tag: "RolledBack", attempt }),
    StageRollbackFailed: rollbackFailed
  },
  RolledBack: { StageStarted: start },
  RollbackFailed: { StageRollbackStarted: ({ interrupted }) => interrupted }
}

/**
 * The status that follows an event, where the status is statically known: an illegal event does not compile.
 *
 * ```ts
 * StageStatus.transition(StageStatus.pending, started) // Running
 * StageStatus.transition(StageStatus.pending, succeeded) // does not compile
 * ```
 *
 * @since 0.1.0
 * @category transitions
 */
export function transition<S extends StageStatus, E extends stateMachine.Legal<Transitions, S, Event>>(
  status: S,
  event: E
): stateMachine.Next<Transitions, S, E>
export function transition(status: StageStatus, event: Event): StageStatus {
  return step(status, event) ?? status
}

/**
 * The status that follows an event read from data, or `undefined` where the event is illegal.
 *
 * @since 0.1.0
 * @category transitions
 */
export const step = (status: StageStatus, event: Event): StageStatus | undefined =>
  stateMachine.step<StageStatus, Event>(table, status, event)
