/** What every way of taking a task up has in common: the checks, going on, the values given anew, and being cancelled. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as CheckMate from "../CheckMate.ts"
import {
  type AttributeError,
  type DefinitionChangedError,
  InvalidOptionError,
  TaskCancelledError,
  TaskPausedError,
  TaskPoisonedError,
  TaskRolledBackError,
  TransactionUnsupportedError,
  type WrongCheckMateError
} from "../CheckMateError.ts"
import * as Task from "../Task.ts"
import { rollbackFailedError } from "./attempt.ts"
import { checkDefinition, names, outputOf } from "./definition.ts"
import { areTexts, sameJson, showValue } from "./json.ts"
import { logInfo, logWarning } from "./log.ts"
import * as metrics from "./metrics.ts"
import * as region from "./region.ts"
import * as rollback from "./rollback.ts"
import { type Cancelled, commit, isEnding, isMidway, record, type Session, type Untimed } from "./session.ts"
import { cancelledError, isTaken, type Parts, writeCancelled } from "./supervise.ts"
import { checkTaskId } from "./taskId.ts"
import { decodeState, type Values } from "./values.ts"
import { list } from "./words.ts"

export interface Request {
  readonly taskId: string
  readonly input: object
  readonly tags: ReadonlyArray<string>
  readonly memo: string | undefined
  readonly whenBound: "fail" | "wait"
  readonly maxRecoveries: number
}

/** The state a held task is in. */
export const stateOf = (checkMate: CheckMate.Any, session: Session): Either.Either<Values, AttributeError> =>
  decodeState(checkMate, session.taskId, session.task === undefined ? {} : Task.state(session.task))

/**
 * Refuses what untyped code gives in place of what an option is to be. Other than texts would be written, and the journal
 * could not be read again.
 */
export const checkOptions = Effect.fnUntraced(
  function*(taskId: string, { memo, reason, tags = [], whenBound = "fail" }: {
    readonly tags?: ReadonlyArray<string>
    readonly memo?: string | undefined
    readonly reason?: string | undefined
    readonly whenBound?: string | undefined
  }) {
    yield* checkTaskId(taskId)
    const refuse = (option: string, given: unknown, what: string) =>
      new InvalidOptionError({ taskId, option, problem: `is ${showValue(given)}; give ${what}` })
    if (!areTexts(tags)) return yield* refuse("tags", tags, "a list of strings")
    if (!["fail", "wait"].includes(whenBound)) return yield* refuse("whenBound", whenBound, `"fail" or "wait"`)
    for (const [option, text] of Object.entries({ memo, reason })) {
      if (text !== undefined && !Predicate.isString(text)) return yield* refuse(option, text, "a string")
    }
  }
)

/** Refuses an unsafe id, a definition with mistakes, and one of which a stage needs more of the store than it can do. */
export const checkFirst = Effect.fnUntraced(function*(parts: Parts, checkMate: CheckMate.Any, taskId: string) {
  yield* checkTaskId(taskId)
  yield* CheckMate.validate(checkMate)
  const stage = checkMate.stages.find(({ transactional }) => transactional)
  if (stage !== undefined && parts.taskIO.driver.transaction === undefined) {
    return yield* new TransactionUnsupportedError({ taskId, stage: stage.name })
  }
})

/** Folds in that the task goes on, unless it has crashed too often. */
export const goOn = Effect.fnUntraced(
  function*(checkMate: CheckMate.Any, session: Session, task: Task.Task, maxRecoveries: number) {
    const recovered = isMidway(task) && !task.left
    if (recovered && task.recoveries >= maxRecoveries) {
      const { recoveries } = task
      const stage = Option.getOrElse(task.current, () => "")
      yield* commit(session, [{ _tag: "TaskPoisoned", stage, recoveries }])
      return yield* new TaskPoisonedError({ taskId: task.id, stage, recoveries })
    }
    const back: ReadonlyArray<Untimed> = task.status._tag === "RollbackFailed" ? [{ _tag: "TaskRollbackResumed" }] : []
    yield* record(session, [...back, { _tag: "TaskResumed", stages: names(checkMate), recovered }])
    if (!recovered) return
    const stage = Option.match(task.current, { onNone: () => "", onSome: (name) => ` in stage ${name}` })
    yield* logInfo(`Task ${task.id} goes on after a crash${stage}`)
  }
)

/** Whether a stage whose success stands provides an attribute. */
const isProvided = (task: Task.Task, attribute: string): boolean =>
  Task.stages(task).some(({ output, status }) => status._tag === "Succeeded" && Object.hasOwn(output, attribute))

/**
 * Folds in the attributes that the caller gives anew. Giving again what was given before overrides nothing that a stage
 * has provided since: a program that is started anew after a crash makes the same call. Where no stage's success stands
 * behind an attribute, as after a rollback, it is as it is given.
 */
export const override = (session: Session, given: Values) =>
  Effect.suspend(() => {
    const overrides = session.task === undefined ? [] : overridesOf(session.task, given)
    return overrides.length === 0
      ? Effect.void
      : record(session, [{ _tag: "AttributesOverridden", attributes: Object.fromEntries(overrides) }])
  })

const overridesOf = (task: Task.Task, given: Values) => {
  const state = Task.state(task)
  const known = { ...state, ...task.given }
  return Object.entries(given).filter(([attribute, value]) =>
    !sameJson(value, known[attribute]) || (!sameJson(value, state[attribute]) && !isProvided(task, attribute))
  )
}

/** Refuses a state that does not fit its schemas, with what is given to it. */
export const checkState = (
  checkMate: CheckMate.Any,
  task: Task.Task,
  given: Values
): Either.Either<Values, AttributeError> =>
  decodeState(checkMate, task.id, { ...Task.state(task), ...Object.fromEntries(overridesOf(task, given)) })

/** What a task that has succeeded returned, and word of what is given to it now and makes no difference. */
export const outputAgain = (checkMate: CheckMate.Any, task: Task.Task, given: Values) =>
  Effect.suspend(() => {
    const ignored = overridesOf(task, given).map(([attribute]) => attribute)
    const warn = ignored.length === 0 ? Effect.void : logWarning(
      `Task ${task.id} has succeeded, so another value given for ${
        list(ignored)
      } changes nothing. Have it run again with `
        + "retryFrom, or give another task id"
    )
    return Effect.zipRight(warn, outputOf(checkMate, task))
  })

/**
 * Rolls a held task back because it was cancelled, or just writes that it was. A rollback under way is finished. Whoever holds
 * it may have been stopped before it found that this is not the task's definition, or that its values do not fit.
 */
const writeCancel = Effect.fnUntraced(
  function*<E, R>(checkMate: CheckMate.Any<E, R>, session: Session, task: Task.Task, stop: Cancelled) {
    yield* checkDefinition(checkMate, task)
    const purpose = { _tag: "Cancel", ...(stop.reason === undefined ? {} : { reason: stop.reason }) } as const
    if (stop.rollback) {
      yield* rollback.checkValues(checkMate, task, purpose)
      return yield* rollback.rollBackFor(checkMate, session, task, purpose)
    }
    if (task.status._tag === "RollingBack") {
      yield* rollback.rollBackTask(checkMate, session, task.status.purpose)
      // Any but one for a retry ends the task.
      if (session.task?.status._tag !== "Running") return
    }
    // An attempt that is not undone is left to whoever goes on: of a task that is cancelled nobody would.
    if (isEnding(session) && session.task !== undefined && isMidway(session.task)) return
    yield* writeCancelled(session, stop.reason)
  }
)

/** Ends a held task that was cancelled, unless it came to its end in the very append that the cancel came in on. */
export const cancelHeld = <A, E, E2, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  stop: Cancelled,
  whenSucceeded: (task: Task.Task, session: Session) => Effect.Effect<A, E2>
): Effect.Effect<
  A,
  E2 | rollback.RollbackError | TaskCancelledError | WrongCheckMateError | DefinitionChangedError,
  R
> => {
  const { task } = session
  const cancelled = Effect.fail(cancelledError(session.taskId, stop.reason))
  // There is nothing to cancel yet: it was removed since it was asked for, and is about to begin anew.
  if (task === undefined) return cancelled
  switch (task.status._tag) {
    case "Succeeded":
      return whenSucceeded(task, session)
    case "Cancelled":
    case "RolledBack":
      return cancelled
    case "RollbackFailed":
      // What it was interrupted in could not be undone, which needs attention first.
      return Effect.fail(rollbackFailedError(task.id, task.status))
    default:
      return Effect.zipRight(writeCancel(checkMate, session, task, stop), cancelled)
  }
}

/**
 * What became of a task that did not succeed. What tells of another task is what a stage of this one failed with, and an
 * interruption that nobody asked for is what a stage made of itself, as by waiting for a fiber that was interrupted.
 */
export const outcomeOf = (taskId: string, cause: Cause.Cause<unknown>, wasAsked: boolean): metrics.TaskOutcome => {
  if (Cause.isInterruptedOnly(cause)) return wasAsked ? "interrupted" : "failed"
  const error = Option.getOrUndefined(Cause.failureOption(cause))
  // Whoever has it now brings it to its end.
  if (isTaken(taskId, error)) return "interrupted"
  if (error instanceof TaskPausedError && error.taskId === taskId) return "paused"
  if (error instanceof TaskCancelledError && error.taskId === taskId) return "cancelled"
  return error instanceof TaskRolledBackError && error.taskId === taskId ? "rolledBack" : "failed"
}

/** Counts how a task ended, once it has `begun`: one that others hold, or have brought to its end, does not count. */
export const counted = <A, E, R>(
  checkMate: CheckMate.Any,
  taskId: string,
  held: (begun: (session: Session) => void) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let counted: Session | undefined
    const begun = (session: Session) => {
      counted = session
    }
    return region.onExit(held(begun), (exit) => {
      if (counted === undefined) return Effect.void
      const outcome = Exit.isSuccess(exit) ? "succeeded" : outcomeOf(taskId, exit.cause, isEnding(counted))
      return metrics.taskEnded(checkMate.name, outcome)
    })
  })
