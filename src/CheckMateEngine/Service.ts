/**
 * What an engine offers: its operations, their options, and what they return.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type * as BindLock from "../BindLock.ts"
import type * as CheckMate from "../CheckMate.ts"
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
} from "../CheckMateError.ts"
import type * as Failure from "../Failure.ts"
import type * as Stage from "../Stage.ts"
import type * as Task from "../Task.ts"
import type * as TaskEvent from "../TaskEvent.ts"
import type * as TaskIO from "../TaskIO.ts"
import type * as TaskStatus from "../TaskStatus.ts"

// --- options ------------------------------------------------------------------

/**
 * How an engine works.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * How often the engine looks for messages from other processes while tasks run, and for changes that other
   * processes make to a watched task. At least 10 milliseconds.
   *
   * @default "500 millis"
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /**
   * How often a task is taken up again that crashed its process without getting anywhere, before it is Poisoned. Each
   * time counts that it is taken up where its process died in the middle of a stage or a rollback; one that ended in
   * order (SIGTERM, Ctrl-C) left it, and does not. It is counted anew once a stage has succeeded or is rolled back, a
   * rollback is begun or tried again, or the task goes on from where it had stopped, as after a failure or a pause. An
   * attempt that fails is no progress, so that a stage which fails and crashes in turns is stopped, too. Nor is what
   * tasks achieve that a stage runs: give more where one is to outlive many crashes. NaN is the default.
   *
   * @default 5
   */
  readonly maxRecoveries?: number | undefined
  /**
   * How long tasks are kept once they are over. The engine then removes them in the background, as `clean` does: those
   * that an engine holds are left to it. What cannot be removed is logged, and tried again.
   *
   * @default for ever
   */
  readonly retention?: Retention | undefined
}

/**
 * How long tasks are kept, by status, since they were last touched; those of a status that is not named, for ever.
 *
 * ```ts
 * CheckMateEngine.layerFileSystem(".checkmate", {
 *   retention: { keep: { Succeeded: "30 days", Failed: "90 days" }, every: "1 hour" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category options
 */
export interface Retention {
  readonly keep: { readonly [Status in SettledTag]?: Duration.DurationInput | undefined }
  /**
   * How often the engine looks for tasks to remove, give or take a fifth, and first when it begins. At least 1 second.
   *
   * @default "1 hour"
   */
  readonly every?: Duration.DurationInput | undefined
}

/**
 * The statuses in which no engine has anything to do for a task without being asked.
 *
 * @since 0.1.0
 * @category models
 */
export type SettledTag = Exclude<TaskStatus.Tag, "Running" | "RollingBack">

/**
 * The statuses from which `resumeAll` goes on. One task that was rolled back `run` and `resume` begin anew.
 *
 * @since 0.1.0
 * @category models
 */
export type ResumableTag = Exclude<TaskStatus.Tag, "Succeeded" | "Cancelled" | "Poisoned" | "RolledBack">

/**
 * What to do about a task that another engine holds: fail with `TaskBoundError`, or wait until it is free. The same where
 * another engine takes it over midway, as after this one was frozen: fail with `BindingLostError` or `StaleWriterError`, or
 * wait, and go on from what the other made of it. Only `retryFrom` fails then all the same, as it would go back once more.
 * A rollback, and whatever else is not to be interrupted, fails where it would wait for its own task.
 *
 * @since 0.1.0
 * @category options
 */
export interface WhenBound {
  /**
   * @default "fail"
   */
  readonly whenBound?: "fail" | "wait" | undefined
}

/**
 * What a task is run with.
 *
 * @since 0.1.0
 * @category options
 */
export interface RunOptions<Input> extends WhenBound {
  /**
   * Names the task: 1 to 200 of `A-Z a-z 0-9 . _ - @ + =`, beginning with a letter or digit. A task of this id that
   * exists is resumed.
   *
   * @default a new UUID, ordered by time
   */
  readonly taskId?: string | undefined
  /**
   * The input attributes. For a task that exists, those that are given anew, with another value than was given before,
   * override persisted ones; those absent are restored. One that has succeeded returns what it returned, with a warning.
   */
  readonly input: Input
  /** For finding the task; kept from its start. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** A note for people; kept from its start. */
  readonly memo?: string | undefined
}

/**
 * What a task that exists is gone on with.
 *
 * @since 0.1.0
 * @category options
 */
export interface ResumeOptions<Input> extends WhenBound {
  /** Attributes to override; all others are restored. */
  readonly input?: Partial<Input> | undefined
}

/**
 * Why a task is cancelled, and what is undone.
 *
 * @since 0.1.0
 * @category options
 */
export interface CancelOptions<E, R> {
  /** For people. */
  readonly reason?: string | undefined
  /** Rolls back every stage that succeeded, with this definition. */
  readonly rollback?: CheckMate.Any<E, R> | undefined
}

/**
 * Why a task is rolled back.
 *
 * @since 0.1.0
 * @category options
 */
export interface RollbackOptions extends WhenBound {
  /** For people. */
  readonly reason?: string | undefined
}

/**
 * Which tasks are gone on with, and how many at a time.
 *
 * @since 0.1.0
 * @category options
 */
export interface ResumeAllOptions extends WhenBound {
  /**
   * How many tasks run at a time, those included that wait to be free.
   *
   * @default 4
   */
  readonly concurrency?: number | "unbounded" | undefined
  /**
   * Tasks in these statuses. With `Failed` those are tried again that gave up, and with `Paused` those go on that were
   * paused.
   *
   * @default ["Running", "RollingBack"]
   */
  readonly status?: ReadonlyArray<ResumableTag> | undefined
}

/**
 * Which tasks to find, and in what order.
 *
 * @since 0.1.0
 * @category options
 */
export interface FindOptions extends TaskIO.Query {
  /**
   * Tasks that an engine holds now, or, with `false`, those that nobody does: of the statuses Running and RollingBack what
   * crashed, or was interrupted, and waits to be taken up again. Asks the lock about each task.
   *
   * @default both
   */
  readonly held?: boolean | undefined
  /**
   * Tasks that failed with an error of one of these tags, such as `["NotApproved"]`: Failed, RolledBack and RollbackFailed
   * ones. It is the stage's own error that counts, as `status.failure` keeps it, not what `Stage.mapError` makes of it. A
   * list does not tell that, so the journal of each such task that fits the rest is read, until there are as many as
   * `limit`. Those that cannot be read are left out, with a warning.
   *
   * @default whatever they ended with
   */
  readonly failure?: ReadonlyArray<string> | undefined
  /**
   * @default "createdAt"
   */
  readonly sort?: "createdAt" | "updatedAt" | undefined
  /**
   * @default "descending"
   */
  readonly order?: "ascending" | "descending" | undefined
  /**
   * How many of the first ones are left out: the pages before. `createdAt`, `ascending`, is an order in which what is on
   * a page stays there while no task is removed.
   *
   * @default 0
   */
  readonly offset?: number | undefined
  /**
   * How many at most, the first ones after `offset`. No more are kept than these and those left out, but where `held` or
   * `failure` is asked for; all that fit are read, but in SQL, which tells the first 1,000 by itself.
   *
   * @default all
   */
  readonly limit?: number | undefined
}

/**
 * Which tasks that are over are removed.
 *
 * @since 0.1.0
 * @category options
 */
export interface CleanOptions {
  /**
   * Tasks in these statuses. Active tasks are never removed.
   *
   * @default ["Succeeded", "Cancelled", "RolledBack"]
   */
  readonly status?: ReadonlyArray<SettledTag> | undefined
  /** Tasks of this CheckMate only. */
  readonly checkMate?: string | undefined
  /**
   * Tasks that were last touched this long ago, or longer.
   *
   * @default "0 millis"
   */
  readonly olderThan?: Duration.DurationInput | undefined
  /**
   * Only report what would be removed.
   *
   * @default false
   */
  readonly dryRun?: boolean | undefined
}

// --- what comes back ------------------------------------------------------------

/**
 * Everything there is to see of a task: its fold, its stages in order, its history, who holds it now, and the
 * progress its running stage reports, where it runs in this engine.
 *
 * @since 0.1.0
 * @category models
 */
export interface View {
  readonly task: Task.Task
  /** The attributes as they stand, encoded; `State.decode` decodes them. */
  readonly state: Task.EncodedState
  readonly stages: ReadonlyArray<Task.StageRecord>
  readonly history: ReadonlyArray<TaskEvent.TaskEvent>
  readonly holder: Option.Option<BindLock.Holder>
  readonly progress: Option.Option<Stage.Progress>
}

/**
 * A task that runs in the background, until its engine's layer is released.
 *
 * @since 0.1.0
 * @category models
 */
export interface Handle<out Output, out E> {
  readonly taskId: string
  /** The task's output, or its failure. */
  readonly await: Effect.Effect<Output, E | RunError>
  /** Interrupts the task, which stays resumable, and returns once it has stopped. */
  readonly interrupt: Effect.Effect<void>
  /** The task as it is now. */
  readonly status: Effect.Effect<View, ReadError | BindLockError | TaskNotFoundError>
}

/**
 * What became of a task that `resumeAll` found unfinished.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resumed {
  readonly taskId: string
  readonly checkMate: string
  /** Why the task did not succeed; none where it did. */
  readonly failure: Option.Option<Failure.Failure>
}

/**
 * A CheckMate by what its tasks take, return, fail with and use.
 *
 * Operations on one take `never` for `Input` where nothing else is to be inferred, as of a factory that is not called: all
 * CheckMates fit that, so that the compiler asks "Did you mean to call this expression?". So `Of<never, unknown, unknown, R>`
 * is the type of those that are kept by their names, for tasks of several kinds to be resumed, retried or cancelled with.
 *
 * @since 0.1.0
 * @category models
 */
export type Of<Input, Output, E, R> = CheckMate.CheckMate<string, Input, Output, E, R>

/**
 * The operations of an engine. Each is documented where it is exported, in `effect-checkmate/CheckMateEngine`.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  readonly run: <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
    checkMate: Of<Input, Output, E, R>,
    options: RunOptions<NoInfer<Input>>
  ) => Effect.Effect<Output, E | RunError, R>
  readonly start: <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
    checkMate: Of<Input, Output, E, R>,
    options: RunOptions<NoInfer<Input>>
  ) => Effect.Effect<Handle<Output, E>, InvalidTaskIdError, R>
  readonly resume: <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
    checkMate: Of<Input, Output, E, R>,
    taskId: string,
    options?: ResumeOptions<Input>
  ) => Effect.Effect<Output, E | RunError | TaskNotFoundError, R>
  readonly resumeAll: <C extends CheckMate.Any>(
    checkMates: ReadonlyArray<C>,
    options?: ResumeAllOptions
  ) => Effect.Effect<ReadonlyArray<Resumed>, TaskIOError, CheckMate.Services<C>>
  readonly retryFrom: <Input extends object = never, Output = unknown, E = unknown, R = unknown>(
    checkMate: Of<Input, Output, E, R>,
    taskId: string,
    stage: string,
    options?: ResumeOptions<Input>
  ) => Effect.Effect<Output, E | RunError | TaskNotFoundError | TaskStatusError | UnknownStageError, R>
  readonly rollback: <E, R>(
    checkMate: CheckMate.Any<E, R>,
    taskId: string,
    options?: RollbackOptions
  ) => Effect.Effect<void, RunError | TaskNotFoundError, R>
  readonly cancel: <E = never, R = never>(
    taskId: string,
    options?: CancelOptions<E, R>
  ) => Effect.Effect<void, RunError | TaskNotFoundError | TaskStatusError, R>
  readonly pause: (
    taskId: string
  ) => Effect.Effect<void, HoldError | TaskCancelledError | TaskNotFoundError | TaskStatusError>
  readonly get: (taskId: string) => Effect.Effect<View, ReadError | BindLockError | TaskNotFoundError>
  readonly find: (options?: FindOptions) => Effect.Effect<ReadonlyArray<Task.Summary>, TaskIOError | BindLockError>
  readonly watch: (taskId: string) => Stream.Stream<View, ReadError | BindLockError | TaskNotFoundError>
  readonly watchAll: (query?: TaskIO.Query) => Stream.Stream<Task.Summary, TaskIOError>
  readonly clean: (options?: CleanOptions) => Effect.Effect<ReadonlyArray<Task.Summary>, TaskIOError | BindLockError>
  readonly remove: (
    taskId: string
  ) => Effect.Effect<
    void,
    InvalidTaskIdError | TaskIOError | BindLockError | TaskBoundError | TaskNotFoundError | TaskStatusError
  >
}
