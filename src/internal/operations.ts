/** The operations of an engine: their options with the defaults, checks of what untyped code gives, and their spans. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CheckMate from "../CheckMate.ts"
import type {
  CancelOptions,
  CleanOptions,
  FindOptions,
  Handle,
  Of,
  ResumeAllOptions,
  Resumed,
  ResumeOptions,
  RollbackOptions,
  RunOptions
} from "../CheckMateEngine/Service.ts"
import { type InvalidTaskIdError, type RunError, TaskBoundError, type TaskIOError } from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import type * as Task from "../Task.ts"
import type * as TaskIO from "../TaskIO.ts"
import * as goBack from "./goBack.ts"
import { inSpan } from "./inContext.ts"
import { isList } from "./json.ts"
import { logWarning } from "./log.ts"
import * as observe from "./observe.ts"
import { checkQuery, duration, refuse } from "./options.ts"
import * as runTask from "./runTask.ts"
import * as steer from "./steer.ts"
import { loggedAs, type Parts } from "./supervise.ts"
import { checkOptions, outcomeOf, type Request } from "./takeUp.ts"
import { checkTaskId, makeTaskId } from "./taskId.ts"
import type { Values } from "./values.ts"

/** What operations work with. */
export interface Engine {
  readonly parts: Parts
  /** How often it looks for what it is not told of. */
  readonly interval: Duration.Duration
  readonly maxRecoveries: number
  /** What is started in the background ends with it. */
  readonly starts: Effect.Effect<Scope.Scope>
}

const traced =
  (operation: string, taskId?: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    inSpan(self, `CheckMateEngine.${operation}`, taskId === undefined ? {} : { task: taskId })

const requestOf = (
  { maxRecoveries }: Engine,
  taskId: string,
  options: ResumeOptions<object> & Pick<RunOptions<object>, "tags" | "memo">
): Request => ({
  taskId,
  input: options.input ?? {},
  tags: options.tags ?? [],
  memo: options.memo,
  whenBound: options.whenBound ?? "fail",
  maxRecoveries
})

/** What a task returns, by its definition's type: the state's schemas and the dataflow check vouch for it. */
function typed<Input, Output, E, R>(checkMate: Of<Input, Output, E, R>, values: Values): Output
function typed(_: CheckMate.Any, values: Values): unknown {
  return values
}

// --- running ------------------------------------------------------------------

const runAs = <Input extends object, Output, E, R>(
  engine: Engine,
  checkMate: Of<Input, Output, E, R>,
  taskId: string,
  options: Partial<RunOptions<Input>>
): Effect.Effect<Output, E | RunError, R> =>
  runTask.run(engine.parts, checkMate, requestOf(engine, taskId, options)).pipe(
    Effect.map((values) => typed(checkMate, values)),
    traced("run", taskId)
  )

export const run = <Input extends object, Output, E, R>(
  engine: Engine,
  checkMate: Of<Input, Output, E, R>,
  given: Partial<RunOptions<Input>> | undefined
): Effect.Effect<Output, E | RunError, R> => {
  // Untyped code may leave the options out.
  const options = given ?? {}
  return options.taskId === undefined
    ? Effect.flatMap(makeTaskId, (taskId) => runAs(engine, checkMate, taskId, options))
    : runAs(engine, checkMate, options.taskId, options)
}

/** Whether another run has the task: what is seen of that one is not this one's. */
const isBound = (taskId: string, cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Cause.failureOption(cause), (error) => error instanceof TaskBoundError && error.taskId === taskId)

/**
 * Nobody may be waiting for a task in the background: what becomes of it is told, unless somebody asked for that once it
 * had begun.
 */
const reportFailure = (
  { parts }: Engine,
  taskId: string,
  cause: Cause.Cause<unknown>,
  hasBegun: boolean
): Effect.Effect<void> =>
  Effect.flatMap(FiberRef.get(FiberRef.interruptedCause), (interrupted) => {
    const wasAsked = parts.registry.closing.isSettled || !Cause.isEmpty(interrupted)
    const outcome = outcomeOf(taskId, cause, wasAsked)
    if (
      (wasAsked && Cause.isInterruptedOnly(cause)) || (hasBegun && (outcome === "paused" || outcome === "cancelled"))
    ) {
      return Effect.void
    }
    const became = hasBegun && !isBound(taskId, cause) ? "ended with a failure" : "was not begun"
    return logWarning(`Task ${taskId}, in the background, ${became}`, cause).pipe(loggedAs(taskId))
  })

const begin = Effect.fnUntraced(
  function*<Input extends object, Output, E, R>(
    engine: Engine,
    checkMate: Of<Input, Output, E, R>,
    options: Partial<RunOptions<Input>>
  ): Effect.fn.Return<Handle<Output, E>, InvalidTaskIdError, R> {
    const taskId = options.taskId ?? (yield* makeTaskId)
    yield* checkTaskId(taskId)
    const starts = yield* engine.starts
    // Asked for before it is forked, so that its first write is not missed.
    const next = engine.parts.registry.nextOf(taskId)
    const fiber = yield* runAs(engine, checkMate, taskId, options).pipe(
      Effect.interruptible,
      // Also of what is interrupted: there may be something that could not be written.
      Effect.onError((cause) => reportFailure(engine, taskId, cause, next.hasHappened())),
      Effect.forkIn(starts)
    )
    // An observer also hears of a fiber that was interrupted before it began: in an engine that is closed.
    fiber.addObserver(next.forget)
    // There is something to be seen once this returns, or the task has failed before that.
    if (options.whenBound !== "wait") yield* next.happened
    return {
      taskId,
      // Not joined: whoever waits keeps the services it has, and gets none of those where the task was started.
      await: Effect.flatten(Fiber.await(fiber)),
      interrupt: Effect.asVoid(Fiber.interrupt(fiber)),
      status: get(engine, taskId)
    }
  }
)

export const start = <Input extends object, Output, E, R>(
  engine: Engine,
  checkMate: Of<Input, Output, E, R>,
  given: Partial<RunOptions<Input>> | undefined
): Effect.Effect<Handle<Output, E>, InvalidTaskIdError, R> => {
  const options = given ?? {}
  return begin(engine, checkMate, options).pipe(traced("start", options.taskId))
}

export const resume = <Input extends object, Output, E, R>(
  engine: Engine,
  checkMate: Of<Input, Output, E, R>,
  taskId: string,
  options: ResumeOptions<Input> = {}
) =>
  runTask.resume(engine.parts, checkMate, requestOf(engine, taskId, options)).pipe(
    Effect.map((values) => typed(checkMate, values)),
    traced("resume", taskId)
  )

/** Refuses what untyped code gives in place of a list of definitions: else it is told only where a task is found. */
const checkAll = (checkMates: ReadonlyArray<CheckMate.Any>): Effect.Effect<void> =>
  isList(checkMates)
    ? Effect.forEach(
      checkMates,
      (given) => CheckMate.isCheckMate(given) ? Effect.void : Effect.orDie(CheckMate.validate(given)),
      { discard: true }
    )
    : refuse("checkMates", checkMates, ": give resumeAll a list, as [cm_factory_ingest()]")

/** Goes on with a task of a list, and tells what became of it. */
const resumeListed = <E, R>(
  engine: Engine,
  checkMates: ReadonlyArray<CheckMate.Any<E, R>>,
  { checkMate, taskId }: Task.Summary,
  { whenBound }: ResumeAllOptions
): Effect.Effect<Resumed, never, R> => {
  const resumed = runTask.resumeByName(engine.parts, checkMates, checkMate, requestOf(engine, taskId, { whenBound }))
  return Effect.map(Effect.exit(resumed), (exit) => ({
    taskId,
    checkMate,
    failure: Exit.isSuccess(exit) ? Option.none() : Option.some(Failure.fromCause(exit.cause))
  }))
}

/** Of definitions that differ the compiler infers one type, but not one `R` that is what each of them uses. */
export function resumeAll<C extends CheckMate.Any>(
  engine: Engine,
  checkMates: ReadonlyArray<C>,
  options?: ResumeAllOptions
): Effect.Effect<ReadonlyArray<Resumed>, TaskIOError, CheckMate.Services<C>>
export function resumeAll<E, R>(
  engine: Engine,
  checkMates: ReadonlyArray<CheckMate.Any<E, R>>,
  options: ResumeAllOptions = {}
): Effect.Effect<ReadonlyArray<Resumed>, TaskIOError, R> {
  return checkAll(checkMates).pipe(
    Effect.zipRight(
      Stream.runCollect(engine.parts.taskIO.list({ status: options.status ?? ["Running", "RollingBack"] }))
    ),
    Effect.flatMap(Effect.forEach(
      (summary) => resumeListed(engine, checkMates, summary, options),
      { concurrency: options.concurrency ?? 4 }
    )),
    traced("resumeAll")
  )
}

// --- going back -----------------------------------------------------------------

export const retryFrom = <Input extends object, Output, E, R>(
  engine: Engine,
  checkMate: Of<Input, Output, E, R>,
  taskId: string,
  stage: string,
  options: ResumeOptions<Input> = {}
) =>
  goBack.retryFrom(engine.parts, checkMate, stage, requestOf(engine, taskId, options)).pipe(
    Effect.map((values) => typed(checkMate, values)),
    traced("retryFrom", taskId)
  )

/** What a task is rolled back for. */
const purposeOf = <Tag extends "Request" | "Cancel">(tag: Tag, reason: string | undefined) => ({
  _tag: tag,
  ...(reason === undefined ? {} : { reason })
})

export const rollback = <E, R>(
  { parts }: Engine,
  checkMate: CheckMate.Any<E, R>,
  taskId: string,
  options: RollbackOptions = {}
) => {
  const rolledBack = goBack.rollBack(parts, checkMate, taskId, {
    whenBound: options.whenBound ?? "fail",
    purpose: purposeOf("Request", options.reason),
    isDone: (task) => Effect.succeed(task.status._tag === "RolledBack")
  })
  return Effect.zipRight(checkOptions(taskId, options), rolledBack).pipe(traced("rollback", taskId))
}

export const cancel = <E, R>(
  { interval, parts }: Engine,
  taskId: string,
  options: CancelOptions<E, R> = {}
) => {
  const { reason, rollback } = options
  const rollBackBy = (checkMate: CheckMate.Any<E, R>) => (isDone: steer.IsDone) =>
    goBack.rollBack(parts, checkMate, taskId, { whenBound: "fail", purpose: purposeOf("Cancel", reason), isDone })
  const cancelled = steer.cancel(
    parts,
    interval,
    taskId,
    reason,
    rollback === undefined ? Option.none() : Option.some(rollBackBy(rollback))
  )
  return Effect.zipRight(checkOptions(taskId, { reason }), cancelled).pipe(traced("cancel", taskId))
}

// --- steering and showing ---------------------------------------------------------

export const pause = ({ interval, parts }: Engine, taskId: string) =>
  steer.pause(parts, interval, taskId).pipe(traced("pause", taskId))

export const remove = ({ parts }: Engine, taskId: string) => steer.remove(parts, taskId).pipe(traced("remove", taskId))

const over = ["Succeeded", "Cancelled", "RolledBack"] as const

export const clean = ({ parts }: Engine, options: CleanOptions = {}) => {
  const { checkMate, dryRun = false, status } = options
  return checkQuery({ status, checkMate }).pipe(
    Effect.zipRight(duration("olderThan", options.olderThan, Duration.zero)),
    Effect.flatMap((olderThan) => steer.clean(parts, { status: status ?? over, checkMate, olderThan, dryRun })),
    traced("clean")
  )
}

export const get = ({ parts }: Engine, taskId: string) => observe.get(parts, taskId).pipe(traced("get", taskId))

export const find = ({ parts }: Engine, options: FindOptions = {}) => observe.find(parts, options).pipe(traced("find"))

export const watch = ({ interval, parts }: Engine, taskId: string) =>
  Stream.withSpan(observe.watch(parts, interval, taskId), "CheckMateEngine.watch", {
    attributes: { task: taskId },
    captureStackTrace: false
  })

export const watchAll = ({ interval, parts }: Engine, query: TaskIO.Query = {}) =>
  Stream.withSpan(observe.watchAll(parts, interval, query), "CheckMateEngine.watchAll", {
    captureStackTrace: false
  })
