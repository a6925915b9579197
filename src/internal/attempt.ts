/** One attempt of a stage, and what undoes it when it fails. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import {
  type AttributeError,
  RollbackFailedError,
  StageDefectError,
  type StageOutputError,
  StageTimeoutError
} from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import * as Stage from "../Stage.ts"
import type * as StageStatus from "../StageStatus.ts"
import * as metrics from "./metrics.ts"
import * as retry from "./retry.ts"
import { type AppendError, commit, record, type Session, stageOf } from "./session.ts"
import { encodeOutput, type Output, type Values } from "./values.ts"

/** An output the engine refuses: a failure of the attempt that no Schedule is asked about. */
class Refused extends Data.TaggedClass("checkmate/Refused")<{ readonly error: StageOutputError | AttributeError }> {}

/** Where a stage's Schedule stands; none until it is first asked in this process. */
export interface Position {
  state: Option.Option<unknown>
}

const contextOf = (session: Session, stage: Stage.Any): Stage.Context["Type"] => {
  const { attempts, round } = stageOf(session, stage.name)
  return {
    taskId: session.taskId,
    stage: stage.name,
    attempt: attempts,
    idempotencyKey: round === 0 ? `${session.taskId}/${stage.name}` : `${session.taskId}/${stage.name}/${round}`,
    fencingToken: session.journal.epoch,
    progress: (progress) =>
      Effect.suspend(() => {
        session.progress = progress
        return session.changed
      })
  }
}

/** Provides what every stage may use, and marks its logs and its span. */
const inStage = <A, E, R>(
  self: Effect.Effect<A, E, R | Stage.Context | Scope.Scope>,
  session: Session,
  stage: Stage.Any,
  span: string
): Effect.Effect<A, E, Exclude<Exclude<R, Scope.Scope>, Stage.Context>> => {
  const context = contextOf(session, stage)
  const marks = { task: session.taskId, stage: stage.name, attempt: context.attempt }
  return Effect.scoped(self).pipe(
    Effect.provideService(Stage.Context, context),
    Effect.annotateLogs(marks),
    Effect.withSpan(span, { attributes: marks, captureStackTrace: false })
  )
}

const execute = <E, R>(stage: Stage.Any<E, R>, session: Session, values: Values): Effect.Effect<Output, unknown, R> => {
  const work = Effect.suspend(() => stage.execute(values))
  const { timeout } = stage
  const limited = timeout === undefined ? work : Effect.timeoutFail(work, {
    duration: timeout,
    onTimeout: () => {
      const { attempts } = stageOf(session, stage.name)
      return new StageTimeoutError({ taskId: session.taskId, stage: stage.name, attempt: attempts, timeout })
    }
  })
  return Effect.flatMap(metrics.stageDuration(inStage(limited, session, stage, "checkmate.stage")), (output) => {
    const encoded = encodeOutput(stage, session.taskId, output)
    return Either.isLeft(encoded) ? Effect.fail(new Refused({ error: encoded.left })) : Effect.succeed(encoded.right)
  })
}

/** Whether there is to be another attempt, as the stage's Schedule sees the failure. */
const decide = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  position: Position,
  cause: Cause.Cause<unknown>
): Effect.Effect<StageStatus.Decision, never, R> =>
  Effect.gen(function*() {
    if (session.stopping !== undefined) return { _tag: "Resume" }
    const { attempts, retries } = stageOf(session, stage.name)
    const failure = Option.orElse(Cause.failureOption(cause), () =>
      stage.retryDefects
        ? Option.some(
          new StageDefectError({
            taskId: session.taskId,
            stage: stage.name,
            attempt: attempts,
            defect: Cause.squash(cause)
          })
        )
        : Option.none())
    const schedule = stage.retry
    if (schedule === undefined || Option.isNone(failure) || failure.value instanceof Refused) return { _tag: "GiveUp" }
    const state = Option.isSome(position.state) ? position.state.value : yield* retry.restore(schedule, retries)
    const now = yield* DateTime.now
    const next = yield* retry.step(schedule, state, DateTime.toEpochMillis(now), failure.value)
    position.state = Option.some(next.state)
    if (Option.isNone(next.dueAt)) return { _tag: "GiveUp" }
    yield* metrics.retried
    return { _tag: "Retry", dueAt: DateTime.unsafeMake(next.dueAt.value) }
  })

/** Runs a stage's rollback, by its own Schedule. */
export const runRollback = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  values: Values,
  cause: Cause.Cause<unknown>
): Effect.Effect<Exit.Exit<void, unknown>, never, R> => {
  const { rollback } = stage
  if (rollback === undefined) return Effect.succeed(Exit.void)
  const once = inStage(Effect.suspend(() => rollback(values, cause)), session, stage, "checkmate.rollback")
  return Effect.exit(session.stopping === undefined ? retry.retry(once, stage.rollbackRetry) : once).pipe(
    Effect.tap((exit) => metrics.rollbackEnded(Exit.isSuccess(exit) ? "succeeded" : "failed"))
  )
}

/** Journals that a rollback failed for good, and fails with it. */
export const rollbackFailed = (
  session: Session,
  stage: Stage.Any,
  cause: Cause.Cause<unknown>
): Effect.Effect<never, AppendError | RollbackFailedError> => {
  const failure = Failure.fromCause(cause)
  return Effect.zipRight(
    commit(session, [
      { _tag: "StageRollbackFailed", stage: stage.name, failure },
      { _tag: "TaskRollbackFailed", stage: stage.name, failure }
    ]),
    Effect.fail(
      new RollbackFailedError({ taskId: session.taskId, stage: stage.name, problem: Failure.format(failure) })
    )
  )
}

/** Rolls back a failed attempt and journals it; the attempt's failure must be folded in already. */
export const undo = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  values: Values,
  cause: Cause.Cause<unknown>
): Effect.Effect<void, AppendError | RollbackFailedError, R> =>
  Effect.uninterruptible(Effect.gen(function*() {
    if (stage.rollback !== undefined) {
      yield* commit(session)
      const exit = yield* runRollback(stage, session, values, cause)
      if (Exit.isFailure(exit)) {
        if (session.stopping === undefined) return yield* rollbackFailed(session, stage, exit.cause)
        // The process is about to end; whoever resumes the task tries again.
        return yield* Effect.logWarning(`The rollback of stage ${stage.name} failed while stopping`, exit.cause)
      }
    }
    yield* record(session, [{ _tag: "AttemptUndone", stage: stage.name }])
  }))

/** What an attempt came to: its output, or the cause its stage would give up with. */
export type Outcome<E> = Either.Either<Output, Cause.Cause<E | StageOutputError | AttributeError>>

/**
 * Runs one attempt. It must have been started in the journal. A failed attempt is rolled back as the finalizer of its
 * Scope, with the resources it acquired already released, and the journal is told what follows.
 */
export const runAttempt = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  values: Values,
  position: Position
): Effect.Effect<Outcome<E>, AppendError | RollbackFailedError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      let undone: Exit.Exit<void, AppendError | RollbackFailedError> = Exit.void
      const rollBack = (cause: Cause.Cause<unknown>) =>
        Effect.gen(function*() {
          // The task is another engine's now, and so is undoing this attempt.
          if (session.stopping?._tag === "Lost") return
          const next = yield* decide(stage, session, position, cause)
          const failure = Failure.fromCause(Cause.map(cause, (error) => error instanceof Refused ? error.error : error))
          yield* metrics.attemptEnded(session.stopping === undefined ? "failed" : "interrupted")
          yield* record(session, [{ _tag: "AttemptFailed", stage: stage.name, failure, next }])
          yield* undo(stage, session, values, cause)
        })
      yield* Effect.addFinalizer((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.map(Effect.exit(rollBack(exit.cause)), (result) => {
          undone = result
        })
      ).pipe(Scope.extend(scope))
      const exit = yield* Effect.exit(restore(execute(stage, session, values)))
      session.progress = undefined
      yield* Scope.close(scope, exit)
      yield* undone
      if (Exit.isSuccess(exit)) {
        yield* metrics.attemptEnded("succeeded")
        yield* record(session, [{ _tag: "StageSucceeded", stage: stage.name, output: exit.value.encoded }])
        return Either.right(exit.value)
      }
      return Either.left(Cause.map(exit.cause, (error) => error instanceof Refused ? error.error : stage.mapError(error)))
    })
  )
