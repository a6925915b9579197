/** Takes a task up: from nothing, from where it stands, or from a stage of the caller's choice. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as CheckMate from "../CheckMate.ts"
import {
  type AttributeError,
  type DefinitionChangedError,
  type InvalidDefinitionError,
  type TaskCancelledError,
  TaskNotFoundError,
  TaskPoisonedError,
  TaskRolledBackError,
  TaskStatusError,
  TransactionUnsupportedError,
  type UnknownAttributeError,
  UnknownStageError,
  type WrongCheckMateError
} from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import * as Task from "../Task.ts"
import * as TaskStatus from "../TaskStatus.ts"
import { rollbackFailedError } from "./attempt.ts"
import { checkDefinition, names, outputOf } from "./definition.ts"
import * as interpreter from "./interpreter.ts"
import { sameJson } from "./json.ts"
import * as metrics from "./metrics.ts"
import * as rollback from "./rollback.ts"
import { type Cancelled, commit, record, type Session, stageOf, type Untimed } from "./session.ts"
import { cancelledError, hold, type HoldError, type Parts, writeCancelled } from "./supervise.ts"
import { checkTaskId } from "./taskId.ts"
import { decodeState, encodeInput, type Values } from "./values.ts"
import { list } from "./words.ts"

export interface Request {
  readonly taskId: string
  readonly input: object
  readonly tags: ReadonlyArray<string>
  readonly memo: string | undefined
  readonly whenBound: "fail" | "wait"
  readonly maxRecoveries: number
}

type TakeUpError =
  | AttributeError
  | DefinitionChangedError
  | HoldError
  | InvalidDefinitionError
  | TaskCancelledError
  | TaskPoisonedError
  | TaskRolledBackError
  | TransactionUnsupportedError
  | UnknownAttributeError
  | WrongCheckMateError

export type RunError = TakeUpError | interpreter.RunStagesError

/** The state a held task is in. */
const stateOf = (checkMate: CheckMate.Any, session: Session): Either.Either<Values, AttributeError> =>
  decodeState(checkMate, session.taskId, session.task === undefined ? {} : Task.state(session.task))

/** Refuses a definition of which a stage needs more of the store than it can do. */
const checkStore = (
  parts: Parts,
  checkMate: CheckMate.Any,
  taskId: string
): Effect.Effect<void, TransactionUnsupportedError> => {
  const stage = checkMate.stages.find(({ transactional }) => transactional)
  return stage === undefined || parts.taskIO.driver.transaction !== undefined
    ? Effect.void
    : Effect.fail(new TransactionUnsupportedError({ taskId, stage: stage.name }))
}

/** Whether the last engine died in the middle of a stage's work or of a rollback. */
const wasCutOff = (task: Task.Task): boolean => {
  if (task.status._tag === "RollingBack") return true
  const current = Option.map(task.current, (name) => Task.stage(task, name).status._tag)
  return Option.exists(current, (tag) => tag === "Running" || tag === "Undoing")
}

/** Fails for a task that only its user's explicit word revives. */
const refuseEnded = (task: Task.Task): Effect.Effect<void, TaskCancelledError | TaskPoisonedError> => {
  switch (task.status._tag) {
    case "Cancelled":
      return Effect.fail(cancelledError(task.id, task.status.reason))
    case "Poisoned":
      return Effect.fail(
        new TaskPoisonedError({ taskId: task.id, stage: task.status.stage, recoveries: task.status.recoveries })
      )
    default:
      return Effect.void
  }
}

/** Folds in that the task goes on, unless it has crashed too often. */
const goOn = (
  checkMate: CheckMate.Any,
  session: Session,
  task: Task.Task,
  maxRecoveries: number
) =>
  Effect.gen(function*() {
    const recovered = TaskStatus.isActive(task.status) && wasCutOff(task)
    if (recovered && task.recoveries >= maxRecoveries) {
      const { recoveries } = task
      const stage = Option.getOrElse(task.current, () => "")
      yield* commit(session, [{ _tag: "TaskPoisoned", stage, recoveries }])
      return yield* new TaskPoisonedError({ taskId: task.id, stage, recoveries })
    }
    const back: ReadonlyArray<Untimed> = task.status._tag === "RollbackFailed" ? [{ _tag: "TaskRollbackResumed" }] : []
    yield* record(session, [...back, { _tag: "TaskResumed", stages: names(checkMate), recovered }])
    if (!recovered) return
    yield* metrics.attemptEnded("crashed")
    const stage = Option.match(task.current, { onNone: () => "", onSome: (name) => ` in stage ${name}` })
    yield* Effect.logInfo(`Task ${task.id} goes on after a crash${stage}`)
  })

/** Whether a stage whose success stands provides an attribute. */
const isProvided = (task: Task.Task, attribute: string): boolean =>
  Task.stages(task).some(({ output, status }) => status._tag === "Succeeded" && Object.hasOwn(output, attribute))

/**
 * Folds in the attributes that the caller gives anew. Giving again what was given before overrides nothing that a stage
 * has provided since: a program that is started anew after a crash makes the same call. Where no stage's success stands
 * behind an attribute, as after a rollback, it is as it is given.
 */
const override = (session: Session, given: Values) =>
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

/** What a task that has succeeded returned, and word of what is given to it now and makes no difference. */
const outputAgain = (checkMate: CheckMate.Any, task: Task.Task, given: Values) =>
  Effect.suspend(() => {
    const ignored = overridesOf(task, given).map(([attribute]) => attribute)
    const warn = ignored.length === 0 ? Effect.void : Effect.logWarning(
      `Task ${task.id} has succeeded, so another value given for ${
        list(ignored)
      } changes nothing. Have it run again with `
        + "retryFrom, or give another task id"
    )
    return Effect.zipRight(warn, outputOf(checkMate, task))
  })

/** Finishes a rollback that the task is in the middle of; only one for a retry leaves something to run. */
const finishRollback = <E, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session
): Effect.Effect<void, rollback.RollbackError | TaskRolledBackError | TaskCancelledError, R> =>
  Effect.gen(function*() {
    const status = session.task?.status
    if (status?._tag !== "RollingBack") return
    yield* rollback.rollBackTask(checkMate, session, status.purpose)
    switch (status.purpose._tag) {
      case "Retry":
        return
      case "Failure":
        return yield* interpreter.rolledBack(session, status.purpose.failure)
      case "Request":
        return yield* new TaskRolledBackError({ taskId: session.taskId })
      case "Cancel":
        return yield* cancelledError(session.taskId, status.purpose.reason)
    }
  })

const runHeld = <E, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  request: Request,
  given: Values
): Effect.Effect<Values, E | RunError, R> =>
  Effect.gen(function*() {
    const { task } = session
    if (task === undefined) {
      yield* record(session, [{
        _tag: "TaskStarted",
        checkMate: checkMate.name,
        stages: names(checkMate),
        input: given,
        tags: [...checkMate.tags, ...request.tags],
        ...(request.memo === undefined ? {} : { memo: request.memo })
      }])
    } else {
      yield* checkDefinition(checkMate, task)
      // Another engine may have finished it between the look and the binding.
      if (task.status._tag === "Succeeded") {
        return yield* outputAgain(checkMate, task, given)
      }
      yield* refuseEnded(task)
      yield* goOn(checkMate, session, task, request.maxRecoveries)
      yield* finishRollback(checkMate, session)
      // After the rollback, which puts attributes back.
      yield* override(session, given)
    }
    const values = yield* stateOf(checkMate, session)
    return yield* interpreter.runStages(checkMate, session, values)
  })

/** Rolls a held task back because it was cancelled, or just writes that it was. A rollback under way is finished. */
const writeCancel = <E, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  task: Task.Task | undefined,
  stop: Cancelled
): Effect.Effect<unknown, rollback.RollbackError, R> => {
  const purpose = { _tag: "Cancel", ...(stop.reason === undefined ? {} : { reason: stop.reason }) } as const
  if (task !== undefined && stop.rollback) return rollback.rollBackFor(checkMate, session, task, purpose)
  return Effect.gen(function*() {
    if (task?.status._tag === "RollingBack") {
      yield* rollback.rollBackTask(checkMate, session, task.status.purpose)
      // Any but one for a retry ends the task.
      if (session.task?.status._tag !== "Running") return
    }
    yield* writeCancelled(session, stop.reason)
  })
}

/** Ends a held task that was cancelled, unless it came to its end in the very append that the cancel came in on. */
const cancelHeld = <A, E, E2, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  stop: Cancelled,
  whenSucceeded: (task: Task.Task) => Effect.Effect<A, E2>
): Effect.Effect<A, E2 | rollback.RollbackError | TaskCancelledError, R> => {
  const { task } = session
  const cancelled = Effect.fail(cancelledError(session.taskId, stop.reason))
  switch (task?.status._tag) {
    case "Succeeded":
      return whenSucceeded(task)
    case "RolledBack":
      return cancelled
    case "RollbackFailed":
      // What it was interrupted in could not be undone, which needs attention first.
      return Effect.fail(rollbackFailedError(task.id, task.status))
    default:
      return Effect.zipRight(writeCancel(checkMate, session, task, stop), cancelled)
  }
}

const outcomeOf = (cause: Cause.Cause<unknown>): Parameters<typeof metrics.taskEnded>[0] => {
  if (Cause.isInterruptedOnly(cause)) return "interrupted"
  switch (Failure.fromCause(cause).tag) {
    case "TaskPausedError":
      return "paused"
    case "TaskCancelledError":
      return "cancelled"
    case "TaskRolledBackError":
      return "rolledBack"
    default:
      return "failed"
  }
}

/** Counts how a task ended, once it has `begun`: one that others hold does not count. */
const counted = <A, E, R>(held: (begun: Effect.Effect<void>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let counts = false
    const begun = Effect.sync(() => {
      counts = true
    })
    return Effect.onExit(
      held(begun),
      (exit) => counts ? metrics.taskEnded(Exit.isSuccess(exit) ? "succeeded" : outcomeOf(exit.cause)) : Effect.void
    )
  })

const runOr = <E, R, E2>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  request: Request,
  whenMissing: Effect.Effect<void, E2>
): Effect.Effect<Values, E | E2 | RunError, R> =>
  Effect.gen(function*() {
    const { taskId } = request
    yield* checkTaskId(taskId)
    yield* CheckMate.validate(checkMate)
    yield* checkStore(parts, checkMate, taskId)
    const given = yield* encodeInput(checkMate, taskId, request.input)
    // Looked at before it is bound, so that a task that is over is answered without a lock or a claim.
    const found = yield* parts.taskIO.look(taskId)
    if (Option.isSome(found.task)) {
      const task = found.task.value
      yield* checkDefinition(checkMate, task)
      if (task.status._tag === "Succeeded") {
        return yield* outputAgain(checkMate, task, given)
      }
      yield* refuseEnded(task)
    } else {
      yield* whenMissing
    }
    return yield* counted((begun) =>
      hold(
        parts,
        taskId,
        request.whenBound,
        (session) => {
          const work = Effect.zipRight(begun, runHeld(checkMate, session, request, given))
          // It may have been removed since.
          return session.task === undefined ? Effect.zipRight(whenMissing, work) : work
        },
        (session, stop) => cancelHeld(checkMate, session, stop, (task) => outputOf(checkMate, task)),
        found
      )
    )
  })

/** Runs a task: starts it where there is none of this id, else goes on with it. */
export const run = <E, R>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  request: Request
): Effect.Effect<Values, E | RunError, R> => runOr(parts, checkMate, request, Effect.void)

/** Goes on with a task, which must exist. */
export const resume = <E, R>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  request: Request
): Effect.Effect<Values, E | RunError | TaskNotFoundError, R> =>
  runOr(parts, checkMate, request, Effect.fail(new TaskNotFoundError({ taskId: request.taskId })))

/** Holds a task that must exist and be of this definition. */
const holdExisting = <A, E, E2, E3, R>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  taskId: string,
  whenBound: "fail" | "wait",
  work: (session: Session, task: Task.Task) => Effect.Effect<A, E2, R>,
  whenSucceeded: (task: Task.Task) => Effect.Effect<A, E3>
) =>
  Effect.gen(function*() {
    yield* checkTaskId(taskId)
    yield* CheckMate.validate(checkMate)
    yield* checkStore(parts, checkMate, taskId)
    const found = yield* parts.taskIO.look(taskId)
    if (Option.isNone(found.task)) return yield* new TaskNotFoundError({ taskId })
    return yield* hold(
      parts,
      taskId,
      whenBound,
      (session) =>
        Effect.suspend((): Effect.Effect<A, E2 | TaskNotFoundError, R> =>
          session.task === undefined ? Effect.fail(new TaskNotFoundError({ taskId })) : work(session, session.task)
        ),
      (session, stop) => cancelHeld(checkMate, session, stop, whenSucceeded),
      found
    )
  })

/** Rolls a whole task back, or goes on with a rollback that is not done; `isDone` says what is left alone. */
export const rollBack = <E, R, E2 = never>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  taskId: string,
  options: {
    readonly whenBound: "fail" | "wait"
    readonly purpose: Extract<TaskStatus.Purpose, { readonly _tag: "Request" | "Cancel" }>
    readonly isDone: (task: Task.Task) => Effect.Effect<boolean, E2>
  }
) =>
  holdExisting(parts, checkMate, taskId, options.whenBound, (session, task) =>
    Effect.gen(function*() {
      if (yield* options.isDone(task)) return
      yield* checkDefinition(checkMate, task)
      yield* rollback.rollBackFor(checkMate, session, task, options.purpose)
    }), () => Effect.fail(cancelledError(taskId, undefined)))

/** Rolls back a stage and all after it, then runs on from there. */
export const retryFrom = <E, R>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  stage: string,
  request: Request
) =>
  Effect.gen(function*() {
    const { taskId } = request
    const known = names(checkMate)
    if (!known.includes(stage)) {
      return yield* new UnknownStageError({ taskId, checkMate: checkMate.name, stage, known })
    }
    const given = yield* encodeInput(checkMate, taskId, request.input)
    return yield* counted((begun) =>
      holdExisting(parts, checkMate, taskId, request.whenBound, (session, task) =>
        Effect.gen(function*() {
          yield* begun
          yield* checkDefinition(checkMate, task)
          const index = known.indexOf(stage)
          const before = known.slice(0, index).find((name) => stageOf(session, name).status._tag !== "Succeeded")
          if (before !== undefined && task.status._tag !== "RolledBack") {
            return yield* new TaskStatusError({
              taskId,
              operation: `go on from stage "${stage}"`,
              status: task.status._tag,
              problem: `stage "${before}" before it has not succeeded. Go on from there instead`
            })
          }
          yield* rollback.rollBackFor(checkMate, session, task, { _tag: "Retry", from: stage })
          const rolledBack = session.task ?? task
          // It was in the middle of another rollback, which is done now and leaves nothing to go on with.
          if (rolledBack.status._tag !== "Running") return yield* new TaskRolledBackError({ taskId })
          yield* goOn(checkMate, session, rolledBack, request.maxRecoveries)
          yield* override(session, given)
          const values = yield* stateOf(checkMate, session)
          return yield* interpreter.runStages(checkMate, session, values)
        }), (task) => outputOf(checkMate, task))
    )
  })
