/** What happens in a simulation, step by step, and how it is told. */

import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Failure from "../../Failure.ts"
import * as Task from "../../Task.ts"
import type * as TaskEvent from "../../TaskEvent.ts"
import type * as TaskStatus from "../../TaskStatus.ts"

interface About {
  /** The time since the task was started. */
  readonly at: Duration.Duration
}

export interface OfStage extends About {
  readonly stage: string
  readonly attempt: number
}

/**
 * What follows a failed attempt: another one after a while, another one at once, or none.
 *
 * @since 0.1.0
 * @category models
 */
export type Next =
  | { readonly _tag: "Retry"; readonly delay: Duration.Duration }
  | { readonly _tag: "Resume" }
  | { readonly _tag: "GiveUp" }

/**
 * Something that happens.
 *
 * @since 0.1.0
 * @category models
 */
export type Step = Exclude<
  Data.TaggedEnum<{
    TaskStarted: About
    TaskResumed: About
    TaskRollbackStarted: About
    TaskSettled: About & { readonly status: TaskStatus.TaskStatus }
    AttemptStarted: OfStage
    AttemptSucceeded: OfStage & { readonly output: Task.EncodedState }
    AttemptFailed: OfStage & { readonly failure: Failure.Failure; readonly next: Next }
    AttemptRolledBack: OfStage
    ProcessDied: OfStage
    StageRolledBack: OfStage
    RollbackFailed: OfStage & { readonly failure: Failure.Failure }
  }>,
  never
>

/**
 * Makes steps, and tells them apart: `Step.$match`, `Step.$is`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const Step = Data.taggedEnum<Step>()

/** The step an event stands for; none where another event tells the same. */
export const stepOf = (event: TaskEvent.TaskEvent, task: Task.Task): Step | undefined => {
  const at = Duration.millis(DateTime.toEpochMillis(event.at))
  const of = (stage: string): OfStage => ({ at, stage, attempt: Task.stage(task, stage).attempts })
  switch (event._tag) {
    case "StageStarted":
      return Step.AttemptStarted(of(event.stage))
    case "StageSucceeded":
      return Step.AttemptSucceeded({ ...of(event.stage), output: event.output })
    case "AttemptFailed": {
      const next: Next = event.next._tag === "Retry"
        ? { _tag: "Retry", delay: Duration.millis(DateTime.distance(event.at, event.next.dueAt)) }
        : event.next
      return Step.AttemptFailed({ ...of(event.stage), failure: event.failure, next })
    }
    case "AttemptUndone":
      return event.rolledBack === true ? Step.AttemptRolledBack(of(event.stage)) : undefined
    case "StageRolledBack":
      return Step.StageRolledBack(of(event.stage))
    case "TaskStarted":
    case "TaskResumed":
    case "TaskRollbackStarted":
      return Step[event._tag]({ at })
    case "AttributesOverridden":
    case "StageRollbackStarted":
    case "StageRollbackFailed":
    case "TaskRollbackResumed":
      return undefined
    default:
      return Step.TaskSettled({ at, status: task.status })
  }
}

const followedBy = (next: Next): string =>
  next._tag === "GiveUp"
    ? "it is given up"
    : `the next is due ${next._tag === "Retry" ? `in ${Duration.format(next.delay)}` : "at once"}`

/** A step as a line, without its time. */
export const tell = Step.$match({
  TaskStarted: () => "the task starts",
  TaskResumed: () => "the task goes on in another process",
  TaskRollbackStarted: () => "the task is being rolled back",
  TaskSettled: ({ status }) => `the task is ${status._tag}`,
  AttemptStarted: ({ attempt, stage }) => `${stage}: attempt ${attempt} starts`,
  AttemptSucceeded: ({ attempt, stage }) => `${stage}: attempt ${attempt} succeeds`,
  AttemptFailed: ({ attempt, failure, next, stage }) =>
    `${stage}: attempt ${attempt} fails with ${Failure.format(failure)}; ${followedBy(next)}`,
  AttemptRolledBack: ({ attempt, stage }) => `${stage}: attempt ${attempt} is rolled back`,
  ProcessDied: ({ attempt, stage }) => `${stage}: the process dies in attempt ${attempt}`,
  StageRolledBack: ({ stage }) => `${stage}: is rolled back`,
  RollbackFailed: ({ failure, stage }) => `${stage}: its rollback fails with ${Failure.format(failure)}`
})
