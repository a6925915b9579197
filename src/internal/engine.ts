/** Puts an engine together: the operations with their defaults, spans and the background work that steers them. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BindLock from "../BindLock.ts"
import * as CheckMate from "../CheckMate.ts"
import type {
  CancelOptions,
  CleanOptions,
  FindOptions,
  Handle,
  Of,
  Options,
  ResumeAllOptions,
  Resumed,
  ResumeOptions,
  RollbackOptions,
  RunOptions,
  Service
} from "../CheckMateEngine/Service.ts"
import { type RunError, TaskBoundError } from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import * as TaskIO from "../TaskIO.ts"
import * as goBack from "./goBack.ts"
import { inBackground, inSpan } from "./inContext.ts"
import { isList } from "./json.ts"
import * as observe from "./observe.ts"
import { checkQuery, count, duration, refuse } from "./options.ts"
import * as registry from "./registry.ts"
import * as retention from "./retention.ts"
import * as runTask from "./runTask.ts"
import * as steer from "./steer.ts"
import type { Parts } from "./supervise.ts"
import { checkOptions, type Request } from "./takeUp.ts"
import { checkTaskId, makeTaskId } from "./taskId.ts"
import type { Values } from "./values.ts"

/** What a task returns, by its definition's type: the state's schemas and the dataflow check vouch for it. */
function typed<Input, Output, E, R>(checkMate: Of<Input, Output, E, R>, values: Values): Output
function typed(_: CheckMate.Any, values: Values): unknown {
  return values
}

const requestOf = (
  maxRecoveries: number,
  taskId: string,
  options: ResumeOptions<object> & Pick<RunOptions<object>, "tags" | "memo"> = {}
): Request => ({
  taskId,
  input: options.input ?? {},
  tags: options.tags ?? [],
  memo: options.memo,
  whenBound: options.whenBound ?? "fail",
  maxRecoveries
})

const traced =
  (operation: string, taskId?: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    inSpan(self, `CheckMateEngine.${operation}`, taskId === undefined ? {} : { task: taskId })

/** Refuses what untyped code gives in place of a list of definitions: else it is told only where a task is found. */
const checkAll = (checkMates: ReadonlyArray<CheckMate.Any>): Effect.Effect<void> =>
  isList(checkMates)
    ? Effect.forEach(
      checkMates,
      (given) => CheckMate.isCheckMate(given) ? Effect.void : Effect.orDie(CheckMate.validate(given)),
      { discard: true }
    )
    : refuse("checkMates", checkMates, ": give resumeAll a list, as [cm_factory_ingest()]")

const over = ["Succeeded", "Cancelled", "RolledBack"] as const

/** Acts on messages from other processes: as they arrive where the store can tell, else by looking while tasks run. */
const actOnMail = (parts: Parts, interval: Duration.Duration) => {
  const read = Effect.catchAllCause(
    steer.readMail(parts),
    (cause) => Effect.logWarning("Messages for running tasks could not be read", cause)
  )
  const look = Effect.forever(
    Effect.zipRight(parts.registry.busy, Effect.zipRight(Effect.sleep(interval), read))
  )
  return Option.match(parts.taskIO.arrivals, {
    onNone: () => look,
    onSome: (arrivals) =>
      Stream.runForEach(arrivals, () => read).pipe(
        Effect.catchAllCause((cause) =>
          Effect.logWarning("Messages no longer arrive, and are looked for instead", cause)
        ),
        Effect.zipRight(look)
      )
  })
}

/** Whether another run has the task: what is seen of that one is not this one's. */
const isBound = (taskId: string, cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Cause.failureOption(cause), (error) => error instanceof TaskBoundError && error.taskId === taskId)

/**
 * Nobody may be waiting for a task in the background: what becomes of it is told, unless somebody asked for that once it
 * had begun.
 */
const reportFailure = (taskId: string, cause: Cause.Cause<unknown>, hasBegun: boolean) =>
  Cause.isInterruptedOnly(cause)
    || (hasBegun && ["TaskPausedError", "TaskCancelledError"].includes(Failure.fromCause(cause).tag))
    ? Effect.void
    : Effect.annotateLogs(
      Effect.logWarning(
        `Task ${taskId}, in the background, ${
          hasBegun && !isBound(taskId, cause) ? "ended with a failure" : "was not begun"
        }`,
        cause
      ),
      "task",
      taskId
    )

/** An engine of these parts. What it does in the background ends with the Scope; what its callers do they end themselves. */
export const makeOver = Effect.fnUntraced(
  function*(parts: Parts, options: Options = {}): Effect.fn.Return<Service, never, Scope.Scope> {
    const { taskIO } = parts
    const interval = Duration.max(yield* duration("pollInterval", options.pollInterval, "500 millis"), "10 millis")
    // NaN, as of a setting that is missing, must not let a task crash its process for ever.
    const maxRecoveries = yield* count("maxRecoveries", options.maxRecoveries, 5)
    const scope = yield* Effect.scope
    let made: Scope.CloseableScope | undefined
    // What is started is ended all at once. Made for the first that is: to close it takes as long as a short task.
    const starts = Effect.suspend(() =>
      made === undefined
        ? Effect.map(Scope.fork(scope, ExecutionStrategy.parallel), (scope) => made ??= scope)
        : Effect.succeed(made)
    )

    // A store that nobody else reaches says that no mail arrives.
    if (!Option.contains(taskIO.arrivals, Stream.empty)) yield* inBackground(actOnMail(parts, interval))
    if (options.retention !== undefined) yield* inBackground(yield* retention.keep(parts, options.retention))

    const run = <Input extends object, Output, E, R>(
      checkMate: Of<Input, Output, E, R>,
      taskId: string,
      options: Partial<RunOptions<Input>>
    ): Effect.Effect<Output, E | RunError, R> =>
      runTask.run(parts, checkMate, requestOf(maxRecoveries, taskId, options)).pipe(
        Effect.map((values) => typed(checkMate, values)),
        traced("run", taskId)
      )

    const service: Service = {
      // Untyped code may leave the options out.
      run: <Input extends object, Output, E, R>(
        checkMate: Of<Input, Output, E, R>,
        options: Partial<RunOptions<Input>> | undefined
      ) =>
        options?.taskId === undefined
          ? Effect.flatMap(makeTaskId, (taskId) => run(checkMate, taskId, options ?? {}))
          : run(checkMate, options.taskId, options),

      start: <Input extends object, Output, E, R>(
        checkMate: Of<Input, Output, E, R>,
        given: Partial<RunOptions<Input>> | undefined
      ) => {
        const options = given ?? {}
        return Effect.gen(function*() {
          const taskId = options.taskId ?? (yield* makeTaskId)
          yield* checkTaskId(taskId)
          // Asked for before it is forked, so that its first write is not missed.
          const next = parts.registry.nextOf(taskId)
          const fiber = yield* run(checkMate, taskId, options).pipe(
            Effect.interruptible,
            // Also of what is interrupted: there may be something that could not be written.
            Effect.onError((cause) => reportFailure(taskId, cause, next.hasHappened())),
            (started) => Effect.flatMap(starts, (scope) => Effect.forkIn(started, scope))
          )
          // An observer also hears of a fiber that was interrupted before it began: in an engine that is closed.
          fiber.addObserver(next.forget)
          // There is something to be seen once this returns, or the task has failed before that.
          if (options.whenBound !== "wait") yield* next.happened
          const handle: Handle<Output, E> = {
            taskId,
            // Not joined: whoever waits keeps the services it has, and gets none of those where the task was started.
            await: Effect.flatten(Fiber.await(fiber)),
            interrupt: Effect.asVoid(Fiber.interrupt(fiber)),
            status: service.get(taskId)
          }
          return handle
        }).pipe(traced("start", options.taskId))
      },

      resume: <Input extends object, Output, E, R>(
        checkMate: Of<Input, Output, E, R>,
        taskId: string,
        options: ResumeOptions<Input> = {}
      ) =>
        runTask.resume(parts, checkMate, requestOf(maxRecoveries, taskId, options)).pipe(
          Effect.map((values) => typed(checkMate, values)),
          traced("resume", taskId)
        ),

      resumeAll: <E, R>(checkMates: ReadonlyArray<CheckMate.Any<E, R>>, options: ResumeAllOptions = {}) =>
        Effect.zipRight(
          checkAll(checkMates),
          Stream.runCollect(parts.taskIO.list({ status: options.status ?? ["Running", "RollingBack"] }))
        ).pipe(
          Effect.flatMap(Effect.forEach((summary) => {
            const request = requestOf(maxRecoveries, summary.taskId, { whenBound: options.whenBound ?? "fail" })
            const resumed = runTask.resumeByName(parts, checkMates, summary.checkMate, request)
            return Effect.map(Effect.exit(resumed), (exit): Resumed => ({
              taskId: summary.taskId,
              checkMate: summary.checkMate,
              failure: Exit.isSuccess(exit) ? Option.none() : Option.some(Failure.fromCause(exit.cause))
            }))
          }, { concurrency: options.concurrency ?? 4 })),
          traced("resumeAll")
        ),

      retryFrom: <Input extends object, Output, E, R>(
        checkMate: Of<Input, Output, E, R>,
        taskId: string,
        stage: string,
        options: ResumeOptions<Input> = {}
      ) =>
        goBack.retryFrom(parts, checkMate, stage, requestOf(maxRecoveries, taskId, options)).pipe(
          Effect.map((values) => typed(checkMate, values)),
          traced("retryFrom", taskId)
        ),

      rollback: <E, R>(checkMate: CheckMate.Any<E, R>, taskId: string, options: RollbackOptions = {}) =>
        checkOptions(taskId, options).pipe(
          Effect.zipRight(goBack.rollBack(parts, checkMate, taskId, {
            whenBound: options.whenBound ?? "fail",
            purpose: { _tag: "Request", ...(options.reason === undefined ? {} : { reason: options.reason }) },
            isDone: (task) => Effect.succeed(task.status._tag === "RolledBack")
          })),
          traced("rollback", taskId)
        ),

      cancel: <E, R>(taskId: string, options: CancelOptions<E, R> = {}) => {
        const { reason, rollback } = options
        const purpose = { _tag: "Cancel", ...(reason === undefined ? {} : { reason }) } as const
        const cancelled = steer.cancel(
          parts,
          interval,
          taskId,
          reason,
          rollback === undefined
            ? Option.none()
            : Option.some((isDone) => goBack.rollBack(parts, rollback, taskId, { whenBound: "fail", purpose, isDone }))
        )
        return Effect.zipRight(checkOptions(taskId, { reason }), cancelled).pipe(traced("cancel", taskId))
      },

      remove: (taskId) => steer.remove(parts, taskId).pipe(traced("remove", taskId)),
      pause: (taskId) => steer.pause(parts, interval, taskId).pipe(traced("pause", taskId)),
      get: (taskId) => observe.get(parts, taskId).pipe(traced("get", taskId)),
      find: (options: FindOptions = {}) => observe.find(parts, options).pipe(traced("find")),
      watch: (taskId) =>
        Stream.withSpan(observe.watch(parts, interval, taskId), "CheckMateEngine.watch", {
          attributes: { task: taskId },
          captureStackTrace: false
        }),
      watchAll: (query = {}) =>
        Stream.withSpan(observe.watchAll(parts, interval, query), "CheckMateEngine.watchAll", {
          captureStackTrace: false
        }),
      clean: (options: CleanOptions = {}) =>
        checkQuery({ status: options.status, checkMate: options.checkMate }).pipe(
          Effect.zipRight(duration("olderThan", options.olderThan, Duration.zero)),
          Effect.flatMap((olderThan) =>
            steer.clean(parts, {
              status: options.status ?? over,
              checkMate: options.checkMate,
              olderThan,
              dryRun: options.dryRun ?? false
            })
          ),
          traced("clean")
        )
    }
    return service
  }
)

/** An engine over a store and a lock, for the length of the Scope, at whose end the tasks that run are interrupted. */
export const make = Effect.fnUntraced(function*(options?: Options) {
  const parts: Parts = {
    taskIO: yield* TaskIO.TaskIO,
    bindLock: yield* BindLock.BindLock,
    registry: yield* registry.make,
    fork: Effect.forkDaemon
  }
  yield* Effect.addFinalizer(() => parts.registry.close)
  return yield* makeOver(parts, options)
})
