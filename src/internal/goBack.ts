/** Takes a task back: all of it, or to a stage of the caller's choice and on from there. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as CheckMate from "../CheckMate.ts"
import { TaskNotFoundError, TaskRolledBackError, TaskStatusError, UnknownStageError } from "../CheckMateError.ts"
import type * as Task from "../Task.ts"
import type * as TaskStatus from "../TaskStatus.ts"
import { checkDefinition, checkProvided, names, outputOf, stagesBefore } from "./definition.ts"
import { asText } from "./definitionProblems.ts"
import * as interpreter from "./interpreter.ts"
import * as rollback from "./rollback.ts"
import { type Session, stageOf } from "./session.ts"
import { cancelledError, hold, type Parts, whileTaken } from "./supervise.ts"
import {
  cancelHeld,
  checkFirst,
  checkOptions,
  checkState,
  counted,
  goOn,
  override,
  type Request,
  stateOf
} from "./takeUp.ts"
import { encodeInput } from "./values.ts"

/** Holds a task that must exist and be of this definition. */
const holdExisting = Effect.fnUntraced(
  function*<A, E, E2, E3, R>(
    parts: Parts,
    checkMate: CheckMate.Any<E, R>,
    taskId: string,
    whenBound: "fail" | "wait",
    work: (session: Session, task: Task.Task) => Effect.Effect<A, E2, R>,
    whenSucceeded: (task: Task.Task, session: Session) => Effect.Effect<A, E3>
  ) {
    yield* checkFirst(parts, checkMate, taskId)
    const found = yield* parts.taskIO.look(taskId)
    if (Option.isNone(found.task)) return yield* new TaskNotFoundError({ taskId })
    return yield* hold(parts, taskId, {
      whenBound,
      work: (session) =>
        Effect.suspend((): Effect.Effect<A, E2 | TaskNotFoundError, R> =>
          session.task === undefined ? Effect.fail(new TaskNotFoundError({ taskId })) : work(session, session.task)
        ),
      cancelled: (session, stop) => cancelHeld(checkMate, session, stop, whenSucceeded),
      found
    })
  }
)

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
) => {
  const { whenBound } = options
  const rolledBack = holdExisting(parts, checkMate, taskId, whenBound, (session, task) =>
    Effect.gen(function*() {
      if (yield* options.isDone(task)) return
      yield* checkDefinition(checkMate, task)
      yield* rollback.checkValues(checkMate, task, options.purpose)
      yield* rollback.rollBackFor(checkMate, session, task, options.purpose)
    }), () => Effect.fail(cancelledError(taskId, undefined)))
  return whileTaken(parts, { taskId, whenBound }, rolledBack, () => rolledBack)
}

/** Rolls back a stage and all after it, then runs on from there. */
export const retryFrom = Effect.fnUntraced(
  function*<E, R>(parts: Parts, checkMate: CheckMate.Any<E, R>, stage: string, request: Request) {
    const { taskId } = request
    // Of what is no definition there is nothing to read.
    yield* checkFirst(parts, checkMate, taskId)
    yield* checkOptions(taskId, request)
    const known = names(checkMate)
    if (!known.includes(stage)) {
      return yield* new UnknownStageError({ taskId, checkMate: checkMate.name, stage: asText(stage), known })
    }
    const given = yield* encodeInput(checkMate, taskId, request.input)
    return yield* counted(
      checkMate,
      taskId,
      (begun) =>
        holdExisting(parts, checkMate, taskId, request.whenBound, (session, task) =>
          Effect.gen(function*() {
            yield* checkDefinition(checkMate, task)
            const kept = stagesBefore(checkMate, stage)
            const before = kept.find(({ name }) => stageOf(session, name).status._tag !== "Succeeded")
            if (before !== undefined && task.status._tag !== "RolledBack") {
              return yield* new TaskStatusError({
                taskId,
                operation: `go on from stage "${stage}"`,
                status: task.status._tag,
                problem: `stage "${before.name}" before it has not succeeded. Go on from there instead`
              })
            }
            yield* checkProvided(checkMate, task, given, kept)
            const purpose = { _tag: "Retry", from: stage } as const
            yield* rollback.checkValues(checkMate, task, purpose)
            const after = yield* rollback.rolledBack(checkMate, task, purpose)
            // What would not run is not taken back either.
            if (after.status._tag === "Running") yield* checkState(checkMate, after, given)
            begun(session)
            yield* rollback.rollBackFor(checkMate, session, task, purpose)
            const rolledBack = session.task ?? task
            // It was in the middle of another rollback, which is done now and leaves nothing to go on with.
            if (rolledBack.status._tag !== "Running") return yield* new TaskRolledBackError({ taskId })
            yield* goOn(checkMate, session, rolledBack, request.maxRecoveries)
            yield* override(session, given)
            const values = yield* stateOf(checkMate, session)
            return yield* interpreter.runStages(checkMate, session, values)
          }), (task, { heldFrom }) =>
          // Where it has succeeded before, it was stopped before it began.
          Effect.if(task.position > heldFrom, {
            onTrue: () => outputOf(checkMate, task),
            onFalse: () => Effect.fail(cancelledError(taskId, undefined))
          }))
    )
  }
)
