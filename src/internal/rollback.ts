/**
 * Rolls stages back, last one first, as finalizers of the task's Scope. Which stages those are the journal says; the
 * Scope gives the order, the Exit they see, and that nothing cuts them off. Each is journaled as it is done, in the same
 * append as the beginning of the next, so a crash goes on with the first that is not done.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as CheckMate from "../CheckMate.ts"
import { AttributeError, type InvalidTransitionError, type RollbackFailedError } from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import type * as Stage from "../Stage.ts"
import * as Task from "../Task.ts"
import type * as TaskEvent from "../TaskEvent.ts"
import type * as TaskStatus from "../TaskStatus.ts"
import * as attempt from "./attempt.ts"
import { sameJson } from "./json.ts"
import * as metrics from "./metrics.ts"
import { type AppendError, commit, isEnding, isLost, record, type Session, stageOf } from "./session.ts"
import * as transactional from "./transactional.ts"
import { decodeState } from "./values.ts"

export type RollbackError = AppendError | RollbackFailedError | AttributeError

/** What a rollback sees of a failure whose process is gone: the record that was kept of it. */
const recorded = (failure: Failure.Failure): Cause.Cause<unknown> => Cause.fail(failure)

const causeOf = (purpose: TaskStatus.Purpose): Cause.Cause<unknown> =>
  purpose._tag === "Failure" ? recorded(purpose.failure) : Cause.empty

/** Whether an earlier process left an attempt behind: one that crashed, or whose own rollback is not done. */
export const isLeftover = ({ status }: Task.StageRecord): boolean =>
  status._tag === "Running" || status._tag === "Undoing"
  || (status._tag === "RollbackFailed" && status.interrupted._tag === "Undoing")

/** Undoes the attempt an earlier process left behind. */
export const undoLeftover = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    stage: Stage.Any<E, R>
  ): Effect.fn.Return<void, RollbackError, R> {
    const { before, status } = stageOf(session, stage.name)
    if (status._tag === "Running") {
      yield* record(session, [
        { _tag: "AttemptFailed", stage: stage.name, failure: Failure.crash, next: { _tag: "Resume" } }
      ])
      yield* metrics.attemptEnded(session, stage.name, "crashed")
    } else if (status._tag === "RollbackFailed") {
      yield* record(session, [{ _tag: "StageRollbackStarted", stage: stage.name }])
    }
    const undoing = stageOf(session, stage.name).status
    const failure = undoing._tag === "Undoing" ? undoing.failure : Failure.crash
    // Only a rollback looks at them: where there is none, what no longer fits its schema is in nobody's way.
    const values = attempt.rollbackOf(stage) === undefined
      ? {}
      : yield* decodeState(checkMate, session.taskId, Task.toRecord(before))
    yield* attempt.undo(stage, session, values, recorded(failure))
  }
)

/** Whether a stage's success still stands, or is half rolled back. */
const isToRollBack = ({ status }: Task.StageRecord): boolean =>
  status._tag === "Succeeded" || status._tag === "RollingBack"
  || (status._tag === "RollbackFailed" && status.interrupted._tag === "RollingBack")

/** Whether there is anything that a rollback of the whole task would undo. */
export const hasLeftovers = (task: Task.Task): boolean =>
  HashMap.some(task.stages, (stage) => isLeftover(stage) || isToRollBack(stage))

/** Where in the order of the stages a rollback ends. */
const firstOf = (checkMate: CheckMate.Any, purpose: TaskStatus.Purpose): number =>
  purpose._tag === "Retry" ? Math.max(checkMate.stages.findIndex((stage) => stage.name === purpose.from), 0) : 0

/** The purpose of the rollback that a task is in the middle of, or has failed in. */
const underWay = ({ status }: Task.Task): TaskStatus.Purpose | undefined => {
  const interrupted = status._tag === "RollbackFailed" ? status.interrupted : status
  return interrupted._tag === "RollingBack" ? interrupted.purpose : undefined
}

/** Where in the order of the stages a rollback ends, or one that is to be finished before it. */
const firstOfBoth = (checkMate: CheckMate.Any, task: Task.Task, wanted: TaskStatus.Purpose): number =>
  Math.min(firstOf(checkMate, underWay(task) ?? wanted), firstOf(checkMate, wanted))

/**
 * Refuses what a rollback would be given and no longer fits its schema, before the task is touched: with its rollback
 * begun there would be no other way for it any more.
 */
export const checkValues = (
  checkMate: CheckMate.Any,
  task: Task.Task,
  wanted: TaskStatus.Purpose
): Either.Either<void, AttributeError> => {
  const first = firstOfBoth(checkMate, task, wanted)
  for (const [index, stage] of checkMate.stages.entries()) {
    const record = Task.stage(task, stage.name)
    const isAsked = isLeftover(record)
      ? attempt.rollbackOf(stage) !== undefined
      : index >= first && isToRollBack(record) && stage.rollback !== undefined
    if (!isAsked) continue
    const values = decodeState(checkMate, task.id, { ...Task.toRecord(record.before), ...record.output })
    if (Either.isRight(values)) continue
    const { attribute, direction, path, problem, taskId } = values.left
    return Either.left(new AttributeError({ taskId, rollback: stage.name, attribute, direction, path, problem }))
  }
  return Either.void
}

/** The task as a rollback would leave it, on paper. */
export const rolledBack = (
  checkMate: CheckMate.Any,
  task: Task.Task,
  wanted: TaskStatus.Purpose
): Either.Either<Task.Task, InvalidTransitionError> => {
  const at = task.updatedAt
  const first = firstOfBoth(checkMate, task, wanted)
  const records = checkMate.stages.slice(first).map(({ name }) => Task.stage(task, name)).filter(isToRollBack)
  const stages = records.toReversed().flatMap(({ name, status }): ReadonlyArray<TaskEvent.TaskEvent> => [
    ...(status._tag === "RollingBack" ? [] : [{ _tag: "StageRollbackStarted" as const, at, stage: name }]),
    { _tag: "StageRolledBack", at, stage: name }
  ])
  const events: ReadonlyArray<TaskEvent.TaskEvent> = [
    ...(task.status._tag === "RollbackFailed" ? [{ _tag: "TaskRollbackResumed" as const, at }] : []),
    ...(underWay(task) === undefined ? [{ _tag: "TaskRollbackStarted" as const, at, purpose: wanted }] : []),
    ...stages,
    { _tag: "TaskRolledBack", at }
  ]
  return Either.map(Task.fold(task.id, events, Option.some(task)), Option.getOrElse(() => task))
}

const rollBackStage = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    stage: Stage.Any<E, R>,
    cause: Cause.Cause<unknown>
  ): Effect.fn.Return<void, RollbackError, R> {
    const { before, output, status } = stageOf(session, stage.name)
    if (status._tag !== "RollingBack") {
      yield* record(session, [{ _tag: "StageRollbackStarted", stage: stage.name }])
    }
    if (stage.rollback !== undefined) {
      yield* commit(session)
      if (isLost(session)) return
      const values = decodeState(checkMate, session.taskId, { ...Task.toRecord(before), ...output })
      const exit = Either.isLeft(values)
        ? Exit.fail(values.left)
        : stage.transactional
        ? yield* transactional.rollBack(stage, session, values.right, cause)
        : yield* attempt.runRollback(stage, session, values.right, cause)
      if (Exit.isFailure(exit)) {
        return yield* isEnding(session)
          ? attempt.leftToWhoeverResumes(stage, exit.cause)
          : attempt.rollbackFailed(session, stage, exit.cause)
      }
      if (stage.transactional) return
    }
    yield* record(session, [{ _tag: "StageRolledBack", stage: stage.name }])
  }
)

/** Carries out the rollback the task's status asks for, and leaves the task in the status that follows. */
export const rollBackTask = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    purpose: TaskStatus.Purpose,
    cause: Cause.Cause<unknown> = causeOf(purpose)
  ): Effect.fn.Return<void, RollbackError, R> {
    const context = yield* Effect.context<R>()
    for (const stage of checkMate.stages) {
      if (isLeftover(stageOf(session, stage.name))) yield* undoLeftover(checkMate, session, stage)
    }
    const scope = yield* Scope.make()
    let done: Exit.Exit<void, RollbackError> = Exit.void
    for (const stage of checkMate.stages.slice(firstOf(checkMate, purpose))) {
      if (!isToRollBack(stageOf(session, stage.name))) continue
      const finalizer = Effect.suspend(() =>
        Exit.isFailure(done) || session.stopping !== undefined
          ? Effect.void
          : Effect.map(Effect.exit(rollBackStage(checkMate, session, stage, cause)), (exit) => {
            done = exit
          })
      )
      yield* Scope.addFinalizer(scope, Effect.provide(finalizer, context))
    }
    yield* Scope.close(scope, Exit.failCause(cause))
    yield* done
    yield* commit(session, session.stopping === undefined ? [{ _tag: "TaskRolledBack" }] : [])
  },
  Effect.uninterruptible
)

/**
 * Carries a rollback out. One that failed or was cut off before is finished first; that is all, unless it was for a
 * retry, which leaves the task running and what is wanted now to be done.
 */
export const rollBackFor = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    task: Task.Task,
    wanted: TaskStatus.Purpose
  ): Effect.fn.Return<void, RollbackError, R> {
    const first = underWay(task)
    if (task.status._tag === "RollbackFailed") yield* record(session, [{ _tag: "TaskRollbackResumed" }])
    if (first !== undefined) {
      yield* rollBackTask(checkMate, session, first)
      if (session.task?.status._tag !== "Running" || sameJson(first, wanted)) return
    }
    yield* record(session, [{ _tag: "TaskRollbackStarted", purpose: wanted }])
    yield* rollBackTask(checkMate, session, wanted)
  }
)
