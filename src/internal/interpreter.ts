/**
 * Runs a task: the one place that interprets a CheckMate. What it keeps, by number:
 *
 *  1. A stage's output is durable before the next stage starts, and a stage's start before it runs: the end of one and
 *     the start of the next are one append (`record`, then `commit`).
 *  2. A stage that stands as succeeded is passed over.
 *  3. Every write goes through the session's journal, which refuses a stale writer; a refusal ends the work.
 *  4. An attempt found running was left by a crash: it is undone before its stage runs again, and a task that keeps
 *     crashing its process is stopped (`begin`).
 *  5. Rollbacks are finalizers, in reverse order, journaled one by one (rollback.ts, attempt.ts).
 *  6. A Schedule's position is in the journal (retry.ts); a restart waits only what is left.
 *  7. Interruption undoes the attempt it cut off, and nothing that succeeded.
 *  8. The journal is only ever appended to (TaskIO).
 *  9. Every write leaves a journal that resumes to the same result: nothing is decided that is not either in the
 *     journal or decided again the same way.
 * 10. Events are folded before they are written, so an illegal one is never written (`record`).
 * 11. A definition that changed under the task is refused before anything runs (`begin`).
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as CheckMate from "../CheckMate.ts"
import {
  type AttributeError,
  MissingStateError,
  type StageOutputError,
  TaskPausedError,
  TaskRolledBackError
} from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import type * as Stage from "../Stage.ts"
import * as attempt from "./attempt.ts"
import * as region from "./region.ts"
import * as retry from "./retry.ts"
import * as rollback from "./rollback.ts"
import { commit, record, type Session, stageOf, write } from "./session.ts"
import * as transactional from "./transactional.ts"
import type { Values } from "./values.ts"

/** What running stages can fail with, beside their own failures. */
export type RunStagesError =
  | rollback.RollbackError
  | AttributeError
  | MissingStateError
  | StageOutputError
  | TaskPausedError
  | TaskRolledBackError

/** Stops the task at a boundary, because it was asked to. */
const stopAtBoundary = (session: Session) =>
  Effect.zipRight(
    commit(session, [{ _tag: "TaskPaused" }]),
    Effect.fail(new TaskPausedError({ taskId: session.taskId }))
  )

/**
 * Waits for the next attempt's time, or until the task is asked to pause; never for longer than from the failure to that
 * time, though the clock it was written by may have been ahead of this one.
 */
const waitUntil = Effect.fnUntraced(
  function*(session: Session, dueAt: DateTime.Utc, failedAt: DateTime.Utc) {
    const from = DateTime.max(yield* DateTime.now, failedAt)
    const left = DateTime.toEpochMillis(dueAt) - DateTime.toEpochMillis(from)
    if (left <= 0) return
    yield* commit(session)
    yield* Effect.raceFirst(retry.sleep(left), session.pause.await)
  }
)

/** Ends the task after a stage failed for good, by the CheckMate's policy, with the cause the stage failed with. */
const giveUp = Effect.fnUntraced(
  function*<E, R, E2>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    stage: Stage.Any,
    failure: Failure.Failure,
    cause: Cause.Cause<E2>
  ): Effect.fn.Return<never, E2 | rollback.RollbackError, R> {
    if (checkMate.onFailure === "halt") {
      yield* commit(session, [{ _tag: "TaskFailed", stage: stage.name, failure }])
      return yield* Effect.failCause(cause)
    }
    const purpose = { _tag: "Failure", stage: stage.name, failure } as const
    yield* record(session, [{ _tag: "TaskRollbackStarted", purpose }])
    yield* rollback.rollBackTask(checkMate, session, purpose, cause).pipe(
      // A rollback that failed needs attention first; what it was about stands behind it.
      Effect.catchAllCause((own) => Effect.failCause(Cause.sequential(own, cause)))
    )
    return yield* Effect.failCause(cause)
  }
)

export const rolledBack = (session: Session, failure: Failure.Failure): TaskRolledBackError =>
  new TaskRolledBackError({ taskId: session.taskId, problem: Failure.format(failure) })

/** Undoes an attempt that an earlier process left behind, and gives up where that process was about to. */
const settleLeftover = Effect.fnUntraced(
  function*<E, R>(
    checkMate: CheckMate.Any<E, R>,
    session: Session,
    stage: Stage.Any<E, R>
  ): Effect.fn.Return<void, E | RunStagesError, R> {
    yield* rollback.undoLeftover(checkMate, session, stage)
    const { status } = stageOf(session, stage.name)
    if (status._tag === "Failed" && checkMate.onFailure === "rollback") {
      return yield* giveUp(checkMate, session, stage, status.failure, Cause.fail(rolledBack(session, status.failure)))
    }
  }
)

/** Runs one stage until it has succeeded or is given up, and returns what it adds to the state. */
const runStage = <E, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  stage: Stage.Any<E, R>,
  values: Values,
  restore: region.Restore
): Effect.Effect<Values, E | RunStagesError, R> => {
  type Run = Effect.Effect<Values, E | RunStagesError, R>
  const position: attempt.Position = { state: Option.none() }
  const runAttempt = stage.transactional ? transactional.runAttempt : attempt.runAttempt

  const tryOnce: Run = Effect.suspend((): Run => {
    // The fiber is being interrupted; whatever comes next does not run.
    if (session.stopping !== undefined) return Effect.interrupt
    if (session.pausing) return stopAtBoundary(session)
    const missing = stage.requires.filter((name) => values[name] === undefined)
    if (missing.length > 0) {
      const error = new MissingStateError({ taskId: session.taskId, stage: stage.name, missing })
      return giveUp(checkMate, session, stage, Failure.fromUnknown(error, "Failure"), Cause.fail(error))
    }
    const number = stageOf(session, stage.name).attempts + 1
    return write(session, (at) => [{ _tag: "StageStarted", at, stage: stage.name, attempt: number }]).pipe(
      Effect.zipRight(runAttempt(stage, session, values, position, restore)),
      Effect.flatMap((outcome) => Either.isRight(outcome) ? Effect.succeed(outcome.right.values) : goOn(outcome.left))
    )
  })
  const tryWhenDue: Run = Effect.suspend(() => {
    const { attempts, retries, status } = stageOf(session, stage.name)
    if (status._tag !== "Waiting") return tryOnce
    // What was cut off is made again at once, however long it took to be undone, and whatever the clock says since.
    const failed = Option.filter(Chunk.last(retries), ({ attempt }) => attempt === attempts)
    return Option.isNone(failed)
      ? tryOnce
      : Effect.zipRight(restore(waitUntil(session, status.dueAt, failed.value.at)), tryOnce)
  })
  const goOn = (cause: Cause.Cause<E | AttributeError | StageOutputError>): Run => {
    const { status } = stageOf(session, stage.name)
    return status._tag === "Failed" ? giveUp(checkMate, session, stage, status.failure, cause) : tryWhenDue
  }
  return rollback.isLeftover(stageOf(session, stage.name))
    ? Effect.zipRight(settleLeftover(checkMate, session, stage), tryWhenDue)
    : tryWhenDue
}

const inOrder = Effect.fnUntraced(function*<E, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  given: Values,
  restore: region.Restore
): Effect.fn.Return<Values, E | RunStagesError, R> {
  // One object for the whole run: a stage costs the same however large the state has grown.
  const values: Record<string, unknown> = { ...given }
  for (const stage of checkMate.stages) {
    if (stageOf(session, stage.name).status._tag === "Succeeded") continue
    Object.assign(values, yield* runStage(checkMate, session, stage, values, restore))
  }
  // Asked to stop while the last stage let go of its resources.
  if (session.stopping !== undefined) return yield* Effect.interrupt
  yield* write(session, (at) => [{ _tag: "TaskSucceeded", at }])
  return values
})

/** Runs all stages that do not stand as succeeded, in order, and returns the state they leave. */
export const runStages = <E, R>(
  checkMate: CheckMate.Any<E, R>,
  session: Session,
  given: Values
): Effect.Effect<Values, E | RunStagesError, R> =>
  // Interrupted only where it works for the user, or waits.
  region.uninterruptibleMask((restore) => inOrder(checkMate, session, given, restore))
