/** Stages whose own writes and whose checkpoint are one transaction of the engine's store. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { type RollbackFailedError, TransactionUnsupportedError } from "../CheckMateError.ts"
import type * as Stage from "../Stage.ts"
import * as attempt from "./attempt.ts"
import { inStage } from "./inStage.ts"
import * as metrics from "./metrics.ts"
import type { Restore } from "./region.ts"
import { type AppendError, commit, type Session, type Untimed } from "./session.ts"
import type { Output, Values } from "./values.ts"

/** Makes the store undo what was done, for a reason that is kept elsewhere. */
class Undo extends Data.TaggedClass("checkmate/Undo") {}

/**
 * Runs work and appends the events that follow from it in one transaction. What the work itself failed with is returned,
 * and then nothing of it is left; what is failed with is the store's, and whether it is done the journal tells.
 */
const together = <A, E, R>(
  session: Session,
  stage: Stage.Any,
  work: Effect.Effect<A, E, R>,
  eventsOf: (done: A) => ReadonlyArray<Untimed>
): Effect.Effect<Exit.Exit<A, E>, AppendError, R> =>
  Effect.suspend(() => {
    const { taskId, transaction } = session
    // Looked at before the task was taken up.
    if (transaction === undefined) return Effect.die(new TransactionUnsupportedError({ taskId, stage: stage.name }))
    let done: Exit.Exit<A, E> | undefined
    const inside = Effect.flatMap(Effect.exit(work), (exit): Effect.Effect<Exit.Exit<A, E>, AppendError | Undo> => {
      done = exit
      return Exit.isSuccess(exit) ? Effect.as(commit(session, eventsOf(exit.value)), exit) : Effect.fail(new Undo())
    })
    const undone = (cause: Cause.Cause<AppendError | Undo>): Effect.Effect<Exit.Exit<A, E>, AppendError> => {
      // As it was to be: the work itself has failed.
      if (done !== undefined && Exit.isFailure(done)) return Effect.succeed(done)
      const own = Cause.flatMap(cause, (error) => error instanceof Undo ? Cause.empty : Cause.fail(error))
      if (done !== undefined) {
        // Not so: what the work came to is folded already.
        session.isInDoubt = true
        return Effect.failCause(own)
      }
      // Interrupted before it had begun, or not begun by the store.
      return Cause.isInterruptedOnly(own)
        ? Effect.succeed(Exit.failCause(Cause.flatMap(own, () => Cause.empty)))
        : Effect.failCause(own)
    }
    return Effect.catchAllCause(transaction(Effect.uninterruptible(inside)), undone)
  })

/** What an attempt is made of: its work, or what answers a failure, and what may answer what that fails with. */
interface Part<R> {
  readonly work: Effect.Effect<unknown, unknown, R>
  readonly fallbacks: ReadonlyArray<Stage.Fallback<R>>
}

/** What answers a failure in its place, if anything does. */
const answerTo = <R>(
  exit: Exit.Exit<unknown, unknown>,
  { fallbacks }: Part<R>,
  values: Values
): Option.Option<Part<R>> =>
  Option.flatMap(Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none(), (error) => {
    const index = fallbacks.findIndex((fallback) => fallback.matches(error))
    return Option.map(Option.fromNullable(fallbacks[index]), (fallback) => ({
      work: Effect.suspend(() => fallback.answer(error, values)),
      fallbacks: fallbacks.slice(index + 1)
    }))
  })

/** What is known of an attempt, also where the database has undone it. */
interface Ran<R> {
  /** How long its parts took; none where none began. */
  nanos: bigint | undefined
  /** What answers the failure of the last one, and is to run in its place. */
  answer: Option.Option<Part<R>>
}

/** Runs one part in a Scope of its own, which ends within the transaction, and checks its output. */
const runPart = Effect.fnUntraced(
  function*<R>(
    stage: Stage.Any,
    session: Session,
    values: Values,
    part: Part<R | Stage.Provided>,
    ran: Ran<R | Stage.Provided>,
    restore: Restore
  ): Effect.fn.Return<Output, unknown, R> {
    const scope = yield* Scope.make()
    const ended = yield* inStage(restore(part.work), session, stage, "checkmate.stage", scope)
    ran.nanos = (ran.nanos ?? 0n) + ended.nanos
    session.endReport()
    const checked = Exit.flatMap(ended.exit, attempt.checkOutput(stage, session))
    const closed = yield* Effect.exit(Scope.close(scope, checked))
    // Asked for last: what a stage says of its failures may throw.
    const answer = answerTo(ended.exit, part, values)
    if (Option.isNone(answer)) return yield* Exit.zipLeft(checked, closed)
    // What has an answer is not what the attempt fails with, but what could not be released.
    if (Exit.isSuccess(closed)) ran.answer = answer
    return yield* Exit.zipRight(closed, checked)
  }
)

/**
 * Runs one attempt of a transactional stage, and writes its success; not to be interrupted, but for what is restored. It
 * must have been started in the journal. A fallback has a transaction of its own, once that of what failed is undone: in the
 * same one it would commit what had been written by then, and Postgres would let it write nothing.
 */
export const runAttempt = Effect.fnUntraced(
  function*<E, R>(
    stage: Stage.Any<E, R>,
    session: Session,
    values: Values,
    position: attempt.Position,
    restore: Restore
  ): Effect.fn.Return<attempt.Outcome<E>, AppendError | RollbackFailedError, R> {
    const ran: Ran<R | Stage.Provided> = { nanos: undefined, answer: Option.none() }
    const run = (part: Part<R | Stage.Provided>) =>
      restore(together<Output, unknown, R>(
        session,
        stage,
        runPart(stage, session, values, part, ran, restore),
        (output) => [{ _tag: "StageSucceeded", stage: stage.name, output: output.encoded }]
      ))

    let exit = yield* run({ work: attempt.limitedWorkOf(stage, session, values), fallbacks: stage.fallbacks })
    while (Option.isSome(ran.answer) && session.stopping === undefined) {
      const part = ran.answer.value
      ran.answer = Option.none()
      exit = yield* run(part)
    }
    if (Exit.isSuccess(exit)) {
      yield* metrics.attemptEnded(session, stage.name, "succeeded", ran.nanos)
      return Either.right(exit.value)
    }
    yield* attempt.failed(stage, session, values, position, exit.cause, ran.nanos)
    return Either.left(attempt.ownCause(stage, exit.cause))
  }
)

/** What was rolled back, or not, and could not be written. */
class Unwritten extends Data.TaggedClass("checkmate/Unwritten")<{ readonly cause: Cause.Cause<AppendError> }> {}

/** Rolls back a transactional stage that had succeeded, and writes that it is. */
export const rollBack = <E, R>(
  stage: Stage.Any<E, R>,
  session: Session,
  values: Values,
  cause: Cause.Cause<unknown>
): Effect.Effect<Exit.Exit<void, unknown>, AppendError, R> =>
  Effect.flatMap(
    attempt.runRollback(stage, session, values, cause, (one) =>
      // A defect, which no Schedule is asked about: what could not be written may be done all the same.
      Effect.catchAllCause(
        together(session, stage, one, () => [{ _tag: "StageRolledBack", stage: stage.name }]),
        (unwritten) => Effect.die(new Unwritten({ cause: unwritten }))
      ).pipe(Effect.flatten)),
    (exit) => {
      const defect = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.dieOption(exit.cause)) : undefined
      return defect instanceof Unwritten ? Effect.failCause(defect.cause) : Effect.succeed(exit)
    }
  )
