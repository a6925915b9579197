/**
 * How stages and tasks end other than well, and what they refuse. All of it is in `CheckMateError`.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { showValue } from "../internal/json.ts"
import { numberOf, quote } from "../internal/words.ts"

/**
 * An attempt took longer than its stage's `timeout`. The stage's retry Schedule sees this failure.
 *
 * @since 0.1.0
 * @category errors
 */
export class StageTimeoutError extends Schema.TaggedError<StageTimeoutError>()("StageTimeoutError", {
  taskId: Schema.String,
  stage: Schema.String,
  attempt: Schema.Number,
  timeout: Schema.DurationFromMillis
}) {
  override get message(): string {
    return `Attempt ${this.attempt} of stage ${quote(this.stage)} in task ${quote(this.taskId)} took longer than its `
      + `timeout of ${Duration.format(this.timeout)}`
  }
}

/**
 * What a retry Schedule sees for an attempt that died or interrupted itself, where its stage asked for that with
 * `retryDefects`.
 *
 * @since 0.1.0
 * @category errors
 */
export class StageDefectError extends Schema.TaggedError<StageDefectError>()("StageDefectError", {
  taskId: Schema.String,
  stage: Schema.String,
  attempt: Schema.Number,
  defect: Schema.Defect
}) {
  override get message(): string {
    return `Attempt ${this.attempt} of stage ${quote(this.stage)} in task ${quote(this.taskId)} died: ${
      this.defect instanceof Error ? this.defect.message : showValue(this.defect)
    }`
  }
}

/**
 * No task of this id is in the store.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskNotFoundError extends Schema.TaggedError<TaskNotFoundError>()("TaskNotFoundError", {
  taskId: Schema.String
}) {
  override get message(): string {
    return `There is no task ${quote(this.taskId)} in this store. Check the id and the layer's directory or prefix`
  }
}

/**
 * The task is in a status in which the operation has no meaning.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskStatusError extends Schema.TaggedError<TaskStatusError>()("TaskStatusError", {
  taskId: Schema.String,
  operation: Schema.String,
  status: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} is ${this.status} and cannot ${this.operation}: ${this.problem}`
  }
}

/**
 * The task was cancelled, before or while it ran.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskCancelledError extends Schema.TaggedError<TaskCancelledError>()("TaskCancelledError", {
  taskId: Schema.String,
  reason: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} was cancelled${this.reason === undefined ? "" : `: ${this.reason}`}. `
      + "Go on from a stage of your choice with retryFrom"
  }
}

/**
 * The task was paused at a stage boundary. `run` or `resume` goes on from there.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskPausedError extends Schema.TaggedError<TaskPausedError>()("TaskPausedError", {
  taskId: Schema.String
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} is paused. Go on with run or resume`
  }
}

/**
 * A stage's rollback failed for good, so the rollbacks before it have not run.
 *
 * @since 0.1.0
 * @category errors
 */
export class RollbackFailedError extends Schema.TaggedError<RollbackFailedError>()("RollbackFailedError", {
  taskId: Schema.String,
  stage: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The rollback of stage ${quote(this.stage)} in task ${quote(this.taskId)} failed: ${this.problem}. `
      + "Mend what it needs, then go on with rollback or resume"
  }
}

/**
 * The task has been rolled back. `run` or `resume` starts it over.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskRolledBackError extends Schema.TaggedError<TaskRolledBackError>()("TaskRolledBackError", {
  taskId: Schema.String,
  problem: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} was rolled back${
      this.problem === undefined ? "" : ` because of ${this.problem}`
    }. `
      + "Run it again to start it over"
  }
}

/**
 * The task crashed its process too often, and is not recovered any more: more often than the engine's `maxRecoveries`
 * since a stage of it last succeeded or was rolled back, or somebody went on with it. Attempts that failed in between, and
 * what tasks achieved that the stage ran, do not count as progress.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskPoisonedError extends Schema.TaggedError<TaskPoisonedError>()("TaskPoisonedError", {
  taskId: Schema.String,
  stage: Schema.String,
  recoveries: Schema.Number
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} crashed its process in stage ${quote(this.stage)} and was recovered `
      + `${numberOf(this.recoveries, "time")} in vain. Mend the stage, then go on with retryFrom(${
        JSON.stringify(this.stage)
      })`
  }
}
