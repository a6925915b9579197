/**
 * The service that runs, resumes, steers and shows tasks. Every operation is a function of this module:
 *
 * ```ts
 * import { CheckMateEngine } from "effect-checkmate"
 * import { NodeContext, NodeRuntime } from "@effect/platform-node"
 *
 * const program = CheckMateEngine.run(cm_factory_ingest(), {
 *   taskId: "docs-november",
 *   input: { folder: "./docs" }
 * })
 *
 * program.pipe(
 *   Effect.provide(Layer.provideMerge(CheckMateEngine.layerFileSystem(".checkmate"), NodeContext.layer)),
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as BindLock from "./BindLock.ts"
import type * as CheckMate from "./CheckMate.ts"
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
  Service,
  View
} from "./CheckMateEngine/Service.ts"
import type {
  BindLockError,
  HoldError,
  InvalidTaskIdError,
  ReadError,
  RunError,
  TaskBoundError,
  TaskCancelledError,
  TaskIOError,
  TaskNotFoundError,
  TaskStatusError,
  UnknownStageError
} from "./CheckMateError.ts"
import * as engine from "./internal/engine.ts"
import type * as Task from "./Task.ts"
import * as TaskIO from "./TaskIO.ts"

export type {
  CancelOptions,
  CleanOptions,
  FindOptions,
  Handle,
  Of,
  Options,
  ResumableTag,
  ResumeAllOptions,
  Resumed,
  ResumeOptions,
  Retention,
  RollbackOptions,
  RunOptions,
  Service,
  SettledTag,
  View,
  WhenBound
} from "./CheckMateEngine/Service.ts"
export type { HoldError, RunError } from "./CheckMateError.ts"

/**
 * The service that runs, resumes, steers and shows tasks.
 *
 * @since 0.1.0
 * @category services
 */
export class CheckMateEngine extends Context.Tag("checkmate/CheckMateEngine")<CheckMateEngine, Service>() {}

// --- layers -------------------------------------------------------------------

/**
 * An engine over whatever TaskIO and BindLock are provided. Any lock works with any store.
 *
 * ```ts
 * const engine = CheckMateEngine.layerWith({ pollInterval: "1 second" }).pipe(
 *   Layer.provide(Layer.merge(TaskIO.layerFileSystem(".checkmate"), BindLock.layerFileSystem(".checkmate")))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (options?: Options): Layer.Layer<CheckMateEngine, never, TaskIO.TaskIO | BindLock.BindLock> =>
  Layer.scoped(CheckMateEngine, engine.make(options))

/**
 * An engine with the default options, over whatever TaskIO and BindLock are provided. As every layer that is one value, a
 * program that is built of it twice builds it once, over the first store: with several, make each engine by {@link layerWith}.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<CheckMateEngine, never, TaskIO.TaskIO | BindLock.BindLock> = layerWith()

/**
 * An engine in memory: for tests, and for work that need not survive the process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<CheckMateEngine> = Layer.provide(
  layer,
  Layer.merge(TaskIO.layerMemory, BindLock.layerMemory)
)

/**
 * An engine that keeps journals and locks as files in a directory, which is created where it does not exist.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFileSystem = (
  directory: string,
  options?: Options & BindLock.FileSystemOptions
): Layer.Layer<CheckMateEngine, TaskIOError | BindLockError, FileSystem.FileSystem | Path.Path> =>
  Layer.provide(
    layerWith(options),
    Layer.merge(TaskIO.layerFileSystem(directory), BindLock.layerFileSystem(directory, options))
  )

// --- operations -----------------------------------------------------------------

/**
 * Runs a task to its end and returns its output. A task of this id that exists is resumed: attributes that are given
 * another value than before override persisted ones, absent ones are restored, stages that succeeded do not run again.
 * One that has succeeded returns its output without running anything. So a stage that has used the value an attribute had
 * before keeps its result: to run it with the new one, use {@link retryFrom}. To see it work, use {@link watch}.
 *
 * Fails with what the stage fails with that gives up, and with whatever {@link RunError} lists.
 *
 * ```ts
 * const { indexed } = yield* CheckMateEngine.run(cm_factory_ingest(), {
 *   taskId: "docs-november",
 *   input: { folder: "./docs" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const run = <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
  checkMate: Of<Input, Output, E, R>,
  options: RunOptions<NoInfer<Input>>
): Effect.Effect<Output, E | RunError, R | CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.run(checkMate, options))

/**
 * Runs a task in the background and returns a handle to it, once the task can be seen or has failed. It outlives the
 * caller, and is interrupted, resumably, when the engine's layer is released.
 *
 * Fails only for an id that is none; all else is told by the handle, and logged where it happens before the task began.
 *
 * ```ts
 * const handle = yield* CheckMateEngine.start(cm_factory_ingest(), { input: { folder: "./docs" } })
 * yield* Effect.log(`started ${handle.taskId}`)
 * const { indexed } = yield* handle.await
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const start = <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
  checkMate: Of<Input, Output, E, R>,
  options: RunOptions<NoInfer<Input>>
): Effect.Effect<Handle<Output, E>, InvalidTaskIdError, R | CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.start(checkMate, options))

/**
 * Goes on with a task that exists, and fails with `TaskNotFoundError` where it does not; else as {@link run}.
 *
 * ```ts
 * yield* CheckMateEngine.resume(cm_factory_ingest(), "docs-november", { input: { folder: "./moved" } })
 * ```
 *
 * It takes as long as the task. In a backend that answers at once, fork it: like all that runs in an engine it is interrupted,
 * resumably, when the engine's layer is released.
 *
 * ```ts
 * yield* CheckMateEngine.resume(cm_factory_ingest(), "docs-november").pipe(
 *   Effect.tapErrorCause((cause) => Effect.logError("not resumed to its end", cause)),
 *   Effect.forkDaemon
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const resume = <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
  checkMate: Of<Input, Output, E, R>,
  taskId: string,
  options?: ResumeOptions<Input>
): Effect.Effect<Output, E | RunError | TaskNotFoundError, R | CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.resume(checkMate, taskId, options))

/**
 * Goes on with every task that was running or being rolled back when its engine ended, and reports what became of each,
 * once all have ended: in a backend, fork it at the start. Tasks that another engine holds are left to it, or waited for
 * with `whenBound: "wait"`, which also takes up those of an engine that died where its lock cannot tell. Those that are left
 * are reported with `TaskBoundError`, also where it is this engine that holds them. Of several CheckMates of one name a task
 * is gone on with by the first that fits it, so that the tasks of an earlier version can be finished with that one. A task of
 * a CheckMate that is not among these is reported with `WrongCheckMateError`, one that none of them fits with
 * `DefinitionChangedError`, and one whose journal is damaged with
 * `JournalDamagedError`, unless it is so at the very end, where lists look: then it is logged as a warning, and left out.
 *
 * Fails with `TaskIOError` where the tasks cannot be listed; why a task did not succeed stands in the report.
 *
 * ```ts
 * const checkMates = [cm_factory_ingest(), cm_factory_report()]
 * yield* Effect.forkScoped(CheckMateEngine.resumeAll(checkMates, { concurrency: 8, whenBound: "wait" }))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const resumeAll = <C extends CheckMate.Any>(
  checkMates: ReadonlyArray<C>,
  options?: ResumeAllOptions
): Effect.Effect<ReadonlyArray<Resumed>, TaskIOError, CheckMate.Services<C> | CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.resumeAll(checkMates, options))

/**
 * Rolls back a stage and all that ran after it, and runs on from there. The way back for a task that was cancelled,
 * poisoned, or succeeded with the wrong result.
 * What these stages had provided is as it was before them, also where another value was given for it since, unless it is
 * given again with `input`.
 *
 * Fails as {@link run}, with `TaskNotFoundError`, with `UnknownStageError` for a stage that the definition does not have,
 * and with `TaskStatusError` where a stage before it has not succeeded.
 *
 * ```ts
 * yield* CheckMateEngine.retryFrom(cm_factory_ingest(), "docs-november", "chunk")
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const retryFrom = <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
  checkMate: Of<Input, Output, E, R>,
  taskId: string,
  stage: string,
  options?: ResumeOptions<Input>
): Effect.Effect<
  Output,
  E | RunError | TaskNotFoundError | TaskStatusError | UnknownStageError,
  R | CheckMateEngine
> => Effect.flatMap(CheckMateEngine, (engine) => engine.retryFrom(checkMate, taskId, stage, options))

/**
 * Rolls back every stage that succeeded, last one first, or goes on with a rollback that failed or was cut off. The
 * task must not be running; to stop and roll back one that is, use {@link cancel}.
 *
 * Fails with `TaskNotFoundError`, with `RollbackFailedError` where a stage's rollback fails for good (call it again to go
 * on from there), and as {@link RunError} says.
 *
 * ```ts
 * yield* CheckMateEngine.rollback(cm_factory_order(), "order-17", { reason: "the customer withdrew" })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const rollback = <E, R>(
  checkMate: CheckMate.Any<E, R>,
  taskId: string,
  options?: RollbackOptions
): Effect.Effect<void, RunError | TaskNotFoundError, R | CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.rollback(checkMate, taskId, options))

/**
 * Cancels a task, wherever it runs: a running stage is interrupted at once and its attempt rolled back. With
 * `rollback`, the stages that succeeded are rolled back too, also those of a task that was cancelled without it. Returns
 * once that is done. Where it is interrupted before, it may still be done, by whoever has the task or takes it up where it
 * stands. Where a part of that very task asks for it that is not to be interrupted, as a rollback or a finalizer, it returns
 * once that is asked, and the task is cancelled once that part is over.
 *
 * Fails with `TaskNotFoundError`, with `TaskStatusError` for a task that has succeeded, if only just then, or that is
 * being rolled back, and as {@link RunError} says.
 *
 * ```ts
 * yield* CheckMateEngine.cancel("order-17", { reason: "out of stock", rollback: cm_factory_order() })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const cancel = <E = never, R = never>(
  taskId: string,
  options?: CancelOptions<E, R>
): Effect.Effect<void, RunError | TaskNotFoundError | TaskStatusError, R | CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.cancel(taskId, options))

/**
 * Asks a task to stop at its next stage boundary, wherever it runs; one that waits for a retry stops at once. `run`
 * and `resume` go on. For a task that runs in this engine it returns as soon as that is asked.
 *
 * Fails with `TaskNotFoundError`, with `TaskStatusError` for a task that is not running, with `TaskCancelledError` where a
 * cancel overtakes it, and as {@link HoldError} says.
 *
 * ```ts
 * yield* CheckMateEngine.pause("docs-november")
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const pause = (
  taskId: string
): Effect.Effect<
  void,
  HoldError | TaskCancelledError | TaskNotFoundError | TaskStatusError,
  CheckMateEngine
> => Effect.flatMap(CheckMateEngine, (engine) => engine.pause(taskId))

/**
 * One task: status, state, stages, attempts, history, and who holds it. Needs no lock.
 *
 * Fails with `TaskNotFoundError`, with `BindLockError` where the lock cannot be asked, and as `ReadError` says for a
 * journal that cannot be read.
 *
 * ```ts
 * const { history, holder, stages, task } = yield* CheckMateEngine.get("docs-november")
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const get = (
  taskId: string
): Effect.Effect<View, ReadError | BindLockError | TaskNotFoundError, CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.get(taskId))

/**
 * Lists tasks by their summaries, without folding their journals, but where `failure` is asked for. Fails with
 * `TaskIOError` where the store cannot be read, and with `BindLockError` where the lock is asked and cannot be.
 *
 * ```ts
 * const failed = yield* CheckMateEngine.find({ status: ["Failed"], checkMate: "ingest", limit: 20 })
 * const secondPage = yield* CheckMateEngine.find({ order: "ascending", offset: 100, limit: 100 })
 * const abandoned = yield* CheckMateEngine.find({ status: ["Running", "RollingBack"], held: false })
 * const forApproval = yield* CheckMateEngine.find({ failure: ["NotApproved"] })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const find = (
  options?: FindOptions
): Effect.Effect<ReadonlyArray<Task.Summary>, TaskIOError | BindLockError, CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.find(options))

/**
 * One task as it changes, beginning with how it is now and ending when it has settled and its engine has let go of it: so
 * the last two views may differ in their `holder` alone. It ends where this engine is closed, too, whatever the task's status.
 * A look that takes long, as at thousands of stages, is not followed by the next at once, so that most time is left to the
 * task. Fails as {@link get}, also where there is no such task yet; one that {@link start} has returned is there.
 *
 * ```ts
 * yield* Stream.runForEach(CheckMateEngine.watch(taskId), ({ task }) => Effect.log(task.status._tag))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const watch = (
  taskId: string
): Stream.Stream<View, ReadError | BindLockError | TaskNotFoundError, CheckMateEngine> =>
  Stream.unwrap(Effect.map(CheckMateEngine, (engine) => engine.watch(taskId)))

/**
 * All tasks as they change: each summary once to begin with, and again whenever it is another. Ends where this
 * engine is closed. Fails as {@link find}.
 *
 * ```ts
 * yield* Stream.runForEach(CheckMateEngine.watchAll({ tags: ["nightly"] }), ({ status, taskId }) =>
 *   Effect.log(`${taskId}: ${status}`))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const watchAll = (query?: TaskIO.Query): Stream.Stream<Task.Summary, TaskIOError, CheckMateEngine> =>
  Stream.unwrap(Effect.map(CheckMateEngine, (engine) => engine.watchAll(query)))

/**
 * Removes tasks that are over, and reports which. With `dryRun` it only reports which it would remove. Tasks that are
 * held are left alone, and so are those whose journal cannot be read, with a warning; to remove one of them, use
 * {@link remove}.
 *
 * Fails with `BindLockError` and `TaskIOError` where the lock or the store cannot be reached; what was removed by then is
 * gone.
 *
 * ```ts
 * yield* CheckMateEngine.clean({ olderThan: "30 days", dryRun: true })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const clean = (
  options?: CleanOptions
): Effect.Effect<ReadonlyArray<Task.Summary>, TaskIOError | BindLockError, CheckMateEngine> =>
  Effect.flatMap(CheckMateEngine, (engine) => engine.clean(options))

/**
 * Removes one task that is over, also one whose journal is damaged or cannot be decrypted, so that its id can be used
 * anew. What its stages did is not undone.
 *
 * Fails with `TaskNotFoundError`, with `TaskStatusError` for a task that is running or being rolled back, if only because
 * its process died (cancel it first), with `TaskBoundError` for one that is held, and where the lock or the store cannot
 * be reached.
 *
 * ```ts
 * yield* CheckMateEngine.remove("docs-november")
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const remove = (
  taskId: string
): Effect.Effect<
  void,
  InvalidTaskIdError | TaskIOError | BindLockError | TaskBoundError | TaskNotFoundError | TaskStatusError,
  CheckMateEngine
> => Effect.flatMap(CheckMateEngine, (engine) => engine.remove(taskId))
