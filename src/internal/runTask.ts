/** Takes a task up: from nothing, or from where it stands. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as CheckMate from "../CheckMate.ts"
import {
  DefinitionChangedError,
  type RunError,
  type TaskCancelledError,
  TaskNotFoundError,
  TaskPoisonedError,
  TaskRolledBackError,
  WrongCheckMateError
} from "../CheckMateError.ts"
import type * as Task from "../Task.ts"
import { checkDefinition, checkProvided, names, outputOf } from "./definition.ts"
import * as interpreter from "./interpreter.ts"
import * as rollback from "./rollback.ts"
import { record, type Session } from "./session.ts"
import { cancelledError, hold, type Parts, whileTaken } from "./supervise.ts"
import {
  cancelHeld,
  checkFirst,
  checkOptions,
  counted,
  goOn,
  outputAgain,
  override,
  type Request,
  stateOf
} from "./takeUp.ts"
import { encodeInput, type Values } from "./values.ts"

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

/** What a task that has succeeded answers; nothing where there is something left to do. Fails where that must not be done. */
const answered = Effect.fnUntraced(function*(checkMate: CheckMate.Any, task: Task.Task, given: Values) {
  yield* checkDefinition(checkMate, task)
  if (task.status._tag === "Succeeded") return yield* outputAgain(checkMate, task, given)
  yield* refuseEnded(task)
  yield* checkProvided(checkMate, task, given)
  return undefined
})

/** Finishes a rollback that the task is in the middle of; only one for a retry leaves something to run. */
const finishRollback = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session
  ): Effect.fn.Return<void, rollback.RollbackError | TaskRolledBackError | TaskCancelledError, R> {
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
  }
)

const runHeld = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    request: Request,
    given: Values,
    begun: (session: Session) => void
  ): Effect.fn.Return<Values, E | RunError, R> {
    const { task } = session
    if (task === undefined) {
      begun(session)
      yield* record(session, [{
        _tag: "TaskStarted",
        checkMate: checkMate.name,
        stages: names(checkMate),
        input: given,
        tags: [...checkMate.tags, ...request.tags],
        ...(request.memo === undefined ? {} : { memo: request.memo })
      }])
    } else {
      // Another engine may have finished it between the look and the binding.
      const output = yield* answered(checkMate, task, given)
      if (output !== undefined) return output
      begun(session)
      yield* goOn(checkMate, session, task, request.maxRecoveries)
      yield* finishRollback(checkMate, session)
      // After the rollback, which puts attributes back.
      yield* override(session, given)
    }
    const values = yield* stateOf(checkMate, session)
    return yield* interpreter.runStages(checkMate, session, values)
  }
)

const runOr = Effect.fnUntraced(
  function*<E, R, E2>(
    parts: Parts,
    checkMate: CheckMate.Any<E, R>,
    request: Request,
    whenMissing: Effect.Effect<void, E2>
  ): Effect.fn.Return<Values, E | E2 | RunError, R> {
    const { taskId } = request
    yield* checkFirst(parts, checkMate, taskId)
    yield* checkOptions(taskId, request)
    const given = yield* encodeInput(checkMate, taskId, request.input)
    // Looked at before it is bound, so that a task that is over is answered without a lock or a claim.
    const found = yield* parts.taskIO.look(taskId)
    if (Option.isSome(found.task)) {
      const output = yield* answered(checkMate, found.task.value, given)
      if (output !== undefined) return output
    } else {
      yield* whenMissing
    }
    return yield* counted(checkMate, taskId, (begun) =>
      hold(parts, taskId, {
        whenBound: request.whenBound,
        work: (session) => {
          const work = runHeld(checkMate, session, request, given, begun)
          // It may have been removed since.
          return session.task === undefined ? Effect.zipRight(whenMissing, work) : work
        },
        cancelled: (session, stop) => cancelHeld(checkMate, session, stop, (task) => outputOf(checkMate, task)),
        found,
        over: (task) => answered(checkMate, task, given)
      }))
  }
)

/** Runs a task: starts it where there is none of this id, else goes on with it. */
export const run = <E, R>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  request: Request
): Effect.Effect<Values, E | RunError, R> =>
  whileTaken(
    parts,
    request,
    runOr(parts, checkMate, request, Effect.void),
    // What has been removed since is not begun anew: it may have been cancelled before.
    (taken) => runOr(parts, checkMate, request, Effect.fail(taken))
  )

/** Goes on with a task, which must exist. */
export const resume = <E, R>(
  parts: Parts,
  checkMate: CheckMate.Any<E, R>,
  request: Request
): Effect.Effect<Values, E | RunError | TaskNotFoundError, R> => {
  const { taskId } = request
  const resumed = runOr(parts, checkMate, request, Effect.suspend(() => new TaskNotFoundError({ taskId })))
  return whileTaken(parts, request, resumed, () => resumed)
}

/**
 * Goes on with a task of a CheckMate of this name, by the first of the definitions that has it and that the task fits. One
 * that it does not fit is refused before anything is done.
 */
export const resumeByName = <E, R>(
  parts: Parts,
  checkMates: ReadonlyArray<CheckMate.Any<E, R>>,
  name: string,
  request: Request
): Effect.Effect<Values, E | RunError | TaskNotFoundError, R> => {
  const { taskId } = request
  const [first, ...others] = checkMates.filter((checkMate) => checkMate.name === name)
  if (first === undefined) {
    const expected = [...new Set(checkMates.map((checkMate) => checkMate.name))].join(" or ")
    return Effect.fail(new WrongCheckMateError({ taskId, expected, actual: name }))
  }
  // Of another task it would be what a stage of this one failed with.
  const isChanged = (error: unknown) => error instanceof DefinitionChangedError && error.taskId === taskId
  return others.reduce(
    (tried, other) => Effect.catchIf(tried, isChanged, () => resume(parts, other, request)),
    resume(parts, first, request)
  )
}
