/** One attempt of a stage, and what undoes it when it fails. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import {
  type AttributeError,
  RollbackFailedError,
  StageDefectError,
  type StageOutputError,
  StageTimeoutError
} from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import type * as Stage from "../Stage.ts"
import type * as StageStatus from "../StageStatus.ts"
import { exitOf, provided } from "./inContext.ts"
import { inStage } from "./inStage.ts"
import { showValue } from "./json.ts"
import * as layers from "./layers.ts"
import { logWarning } from "./log.ts"
import * as metrics from "./metrics.ts"
import type { Restore } from "./region.ts"
import * as retry from "./retry.ts"
import { type AppendError, commit, foldIn, isEnding, isLost, record, type Session, stageOf } from "./session.ts"
import { encodeOutput, type Output, type Values } from "./values.ts"

/** An output the engine refuses: a failure of the attempt that no Schedule is asked about. */
class Refused extends Data.TaggedClass("checkmate/Refused")<{ readonly error: StageOutputError | AttributeError }> {}

/** Where a stage's Schedule stands; none until it is first asked in this process. */
export interface Position {
  state: Option.Option<unknown>
}

/** What a function of a stage returned, also where untyped code returned something else than an Effect. */
const effectOf = <A, E, R>(
  stage: Stage.Any,
  part: "execute" | "rollback",
  returned: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (Effect.isEffect(returned)) return returned
  const value: unknown = returned
  const shown = Predicate.isPromiseLike(value) ? "a Promise" : value === undefined ? "undefined" : showValue(value)
  return Effect.dieMessage(
    `The ${part} of stage "${stage.name}" returned ${shown}, which is not an Effect. Have it return one: `
      + "Effect.succeed(…), or Effect.promise(() => …) for a Promise"
  )
}

/** The stage's work within its time-out. */
export const limitedWorkOf = <E, R>(stage: Stage.Any<E, R>, session: Session, values: Values) => {
  const work = Effect.suspend(() => effectOf(stage, "execute", stage.execute(values)))
  const { timeout } = stage
  return timeout === undefined ? work : retry.timeoutFail(work, {
    duration: timeout,
    onTimeout: () => {
      const { attempts } = stageOf(session, stage.name)
      return new StageTimeoutError({ taskId: session.taskId, stage: stage.name, attempt: attempts, timeout })
    }
  })
}

/** The same, with what answers its failures. */
const workOf = <E, R>(stage: Stage.Any<E, R>, session: Session, values: Values) =>
  stage.fallbacks.reduce(
    (answered, fallback) =>
      Effect.catchIf(answered, (error) => fallback.matches(error), (error) => fallback.answer(error, values)),
    limitedWorkOf(stage, session, values)
  )

export const checkOutput = (stage: Stage.Any, session: Session) => (output: unknown): Exit.Exit<Output, unknown> => {
  // A getter of what was returned may throw.
  const tried = Either.try({ try: () => encodeOutput(stage, session.taskId, output), catch: identity })
  if (Either.isLeft(tried)) return Exit.die(tried.left)
  const encoded = tried.right
  return Either.isLeft(encoded) ? Exit.fail(new Refused({ error: encoded.left })) : Exit.succeed(encoded.right)
}

/** The last moment there is a date for. */
const latest = 8.64e15

/** The cause as users know it. */
const unwrapped = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> =>
  Cause.map(cause, (error) => error instanceof Refused ? error.error : layers.unwrapped(error))

/** Whether the work has been interrupted; a function, since that may be so now and not a moment ago. */
const isStopping = ({ stopping }: Session): boolean => stopping !== undefined

/** Whether there is to be another attempt, as the stage's Schedule sees the failure. */
const decide = Effect.fnUntraced(
  function*<E, R>(
    stage: Stage.Any<E, R>,
    session: Session,
    position: Position,
    cause: Cause.Cause<unknown>,
    at: DateTime.Utc
  ): Effect.fn.Return<StageStatus.Decision, never, R> {
    if (isStopping(session)) return { _tag: "Resume" }
    const record = stageOf(session, stage.name)
    const failure = Option.orElse(Cause.failureOption(cause), () =>
      stage.retryDefects
        ? Option.some(
          new StageDefectError({
            taskId: session.taskId,
            stage: stage.name,
            attempt: record.attempts,
            defect: Cause.squash(cause)
          })
        )
        : Option.none())
    const schedule = stage.retry
    if (schedule === undefined || Option.isNone(failure) || failure.value instanceof Refused) return { _tag: "GiveUp" }
    const value = layers.unwrapped(failure.value)
    const restored = Option.isSome(position.state)
      ? Effect.succeed(position.state.value)
      : retry.restore(schedule, session.taskId, record, value)
    // A Schedule may take its time, as one that asks a rate limiter: the task can be stopped meanwhile.
    const stepped = yield* Effect.exit(Effect.interruptible(
      Effect.flatMap(restored, (state) => retry.step(schedule, state, DateTime.toEpochMillis(at), value))
    ))
    if (Exit.isFailure(stepped)) {
      if (isStopping(session)) return { _tag: "Resume" }
      yield* logWarning(`The retry Schedule of stage ${stage.name} died; the stage is given up`, stepped.cause)
      return { _tag: "GiveUp" }
    }
    const next = stepped.value
    position.state = Option.some(next.state)
    if (Option.isNone(next.dueAt)) return { _tag: "GiveUp" }
    yield* metrics.retried(session, stage.name)
    // Whole milliseconds, and no earlier: one that repeats at fixed times would be asked for the same again.
    return { _tag: "Retry", dueAt: DateTime.unsafeMake(Math.min(Math.ceil(next.dueAt.value), latest)) }
  }
)

/** One try at something. */
type Try<R> = Effect.Effect<void, unknown, R>

/**
 * Runs an effect in a fiber that no interruption reaches, also where it lets itself be interrupted, as by a time-out of its
 * own. Not to be interrupted itself.
 */
const outOfReach = <A, E, R>(session: Session, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    session.fork(self),
    (fiber) => Effect.flatMap(exitOf(fiber), (exit) => Effect.zipRight(Fiber.inheritAll(fiber), exit))
  )

/** Runs a stage's rollback, by its own Schedule; `each` is what is done about every try. Not to be interrupted itself. */
export const runRollback = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  values: Values,
  cause: Cause.Cause<unknown>,
  each: (one: Try<R>) => Try<R> = identity
): Effect.Effect<Exit.Exit<void, unknown>, never, R> => {
  const { rollback } = stage
  if (rollback === undefined) return Effect.succeed(Exit.void)
  const once = outOfReach(
    session,
    each(Effect.flatMap(Scope.make(), (scope) => {
      const work = Effect.suspend(() => effectOf(stage, "rollback", rollback(values, cause)))
      return Effect.flatMap(
        inStage(work, session, stage, "checkmate.rollback", scope),
        ({ exit }) => {
          session.endReport()
          return Effect.zipRight(Scope.close(scope, exit), exit)
        }
      )
    }))
  )
  return Effect.exit(isEnding(session) ? once : retry.retry(once, stage.rollbackRetry, session)).pipe(
    Effect.tap((exit) => metrics.rollbackEnded(session, stage.name, Exit.isSuccess(exit) ? "succeeded" : "failed"))
  )
}

/** The process is about to end, or the task is no longer its own: a rollback that failed is left to the next. */
export const leftToWhoeverResumes = (stage: Stage.Any, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  logWarning(`The rollback of stage ${stage.name} failed while stopping; it is made again on resume`, cause)

/** What is told of a task that stands where a rollback has failed. */
export const rollbackFailedError = (
  taskId: string,
  { failure, stage }: { readonly stage: string; readonly failure: Failure.Failure }
): RollbackFailedError => new RollbackFailedError({ taskId, stage, problem: Failure.format(failure) })

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
    Effect.fail(rollbackFailedError(session.taskId, { stage: stage.name, failure }))
  )
}

/** What undoes a failed attempt. Of a transactional one there is nothing left. */
export const rollbackOf = <E, R>(stage: Stage.Any<E, R>): Stage.Any<E, R>["rollback"] =>
  stage.transactional ? undefined : stage.rollback

/** Rolls back a failed attempt, whose failure must be folded in, and journals it. Not to be interrupted itself. */
export const undo = Effect.fnUntraced(
  function*<E, R>(
    stage: Stage.Any<E, R>,
    session: Session,
    values: Values,
    cause: Cause.Cause<unknown>
  ): Effect.fn.Return<void, AppendError | RollbackFailedError, R> {
    const rollback = rollbackOf(stage)
    if (rollback !== undefined) {
      yield* commit(session)
      if (isLost(session)) return
      const exit = yield* runRollback(stage, session, values, cause)
      if (Exit.isFailure(exit)) {
        return yield* isEnding(session)
          ? leftToWhoeverResumes(stage, exit.cause)
          : rollbackFailed(session, stage, exit.cause)
      }
    }
    yield* record(session, [
      { _tag: "AttemptUndone", stage: stage.name, ...(rollback === undefined ? {} : { rolledBack: true }) }
    ])
  }
)

/** Journals that an attempt failed, with what follows, and undoes it. */
export const failed = Effect.fnUntraced(
  function*<E, R>(
    stage: Stage.Any<E, R>,
    session: Session,
    values: Values,
    position: Position,
    cause: Cause.Cause<unknown>,
    nanos: bigint | undefined
  ): Effect.fn.Return<void, AppendError | RollbackFailedError, R> {
    // The task is another engine's now, and so is undoing this attempt.
    if (isLost(session)) return
    // The one time that the Schedule is asked with, now and by whoever brings it back to its position.
    const at = yield* DateTime.now
    const next = yield* decide(stage, session, position, cause, at)
    const failure = Failure.fromCause(unwrapped(cause))
    yield* metrics.attemptEnded(session, stage.name, session.stopping === undefined ? "failed" : "interrupted", nanos)
    yield* record(session, [{ _tag: "AttemptFailed", stage: stage.name, failure, next }], at)
    // What is given up fails its caller; of a retry nobody would hear until it is over.
    if (next._tag === "Retry") {
      yield* logWarning(
        `${stage.name} failed and is tried again at ${DateTime.formatIso(next.dueAt)}: ${Failure.format(failure)}`
      )
    }
    yield* undo(stage, session, values, unwrapped(cause))
  }
)

/** The cause a stage gives up with, as its caller sees it. */
export const ownCause = <E, R>(
  stage: Stage.Any<E, R>,
  cause: Cause.Cause<unknown>
): Cause.Cause<E | StageOutputError | AttributeError> =>
  // A mapError that throws is a defect of the stage, and no reason to leave the task as it is.
  Either.getOrElse(
    Either.try({
      try: () => Cause.map(cause, (error) => error instanceof Refused ? error.error : stage.mapError(error)),
      catch: (defect) => defect
    }),
    Cause.die
  )

/** What an attempt came to: its output, or the cause its stage would give up with. */
export type Outcome<E> = Either.Either<Output, Cause.Cause<E | StageOutputError | AttributeError>>

/** Ends a failed attempt's Scope, of which its rollback is the finalizer. It is made where it is needed. */
const undoAtEnd = Effect.fnUntraced(
  function*<E, R>(cause: Cause.Cause<unknown>, undoing: Effect.Effect<void, E, R>): Effect.fn.Return<void, E, R> {
    let undone: Exit.Exit<void, E> = Exit.void
    const scope = yield* Scope.make()
    yield* Scope.addFinalizerExit(
      scope,
      () =>
        Effect.map(Effect.exit(provided(undoing)), (exit) => {
          undone = exit
        })
    )
    yield* Scope.close(scope, Exit.failCause(cause))
    yield* undone
  }
)

/**
 * Runs one attempt; not to be interrupted, but for the work that is restored. It must have been started in the journal. A
 * failed attempt is rolled back as the finalizer of its Scope, with the resources it acquired already released, and the
 * journal is told what follows.
 */
export const runAttempt = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  values: Values,
  position: Position,
  restore: Restore
): Effect.Effect<Outcome<E>, AppendError | RollbackFailedError, R> =>
  // Few steps, and no generator: this is the hot path.
  Effect.flatMap(Scope.make(), (scope) =>
    Effect.flatMap(
      inStage(restore(workOf(stage, session, values)), session, stage, "checkmate.stage", scope),
      ({ exit, nanos }) => {
        session.endReport()
        const checked = Exit.flatMap(exit, checkOutput(stage, session))
        const fail = (cause: Cause.Cause<unknown>) =>
          Effect.map(
            undoAtEnd(cause, failed(stage, session, values, position, cause, nanos)),
            () => Either.left(ownCause(stage, cause))
          )
        return Effect.matchCauseEffect(Scope.close(scope, checked), {
          // Resources that fail to be released fail an attempt that had come through.
          onFailure: (closing) => fail(Exit.isSuccess(checked) ? closing : Cause.sequential(checked.cause, closing)),
          onSuccess: () =>
            Exit.isSuccess(checked)
              ? succeeded(stage, session, checked.value, nanos)
              : fail(checked.cause)
        })
      }
    ))

const succeeded = <E>(
  stage: Stage.Any,
  session: Session,
  output: Output,
  nanos: bigint
): Effect.Effect<Outcome<E>, AppendError> =>
  Effect.withFiberRuntime((fiber) => {
    metrics.countAttempt(fiber, session, stage.name, "succeeded", nanos)
    const illegal = foldIn(fiber, session, (at) => [
      { _tag: "StageSucceeded", at, stage: stage.name, output: output.encoded }
    ])
    return illegal === undefined ? Effect.succeed(Either.right(output)) : Effect.fail(illegal)
  })
