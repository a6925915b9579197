/**
 * What can be made to go wrong with a store or a lock, and when.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"
import type { BindLockError, TaskIOError } from "../../CheckMateError.ts"

// --- models ---------------------------------------------------------------------

/**
 * What a store is asked to do. Over the typed service `TaskIO`, `read` is also `get` and `look`, and `take` is `receive`, and
 * `acknowledge` where there is mail.
 *
 * @since 0.1.0
 * @category models
 */
export type StoreOperation =
  | "open"
  | "append"
  | "read"
  | "list"
  | "remove"
  | "send"
  | "receive"
  | "acknowledge"
  | "waiting"

/**
 * What a lock is asked to do.
 *
 * @since 0.1.0
 * @category models
 */
export type LockOperation = "acquire" | "holder"

/**
 * @since 0.1.0
 * @category models
 */
export type Operation = StoreOperation | LockOperation

/**
 * What an operation can be made to fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorOf<On extends Operation> = On extends StoreOperation ? TaskIOError : BindLockError

/**
 * Which occurrence of an operation a fault is about.
 *
 * @since 0.1.0
 * @category models
 */
export interface Occurrence {
  /**
   * Counted from 1, over all tasks, from when the plan was made.
   *
   * @default every one
   */
  readonly nth?: number | undefined
}

/**
 * One thing that goes wrong. Several that match the same call all take place, the first of the plan outermost.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | Occurrence & {
    readonly _tag: "Fail"
    readonly on: Operation
    readonly error: TaskIOError | BindLockError | undefined
  }
  | Occurrence & {
    readonly _tag: "DropAcknowledgement"
    readonly on: Operation
    readonly error: TaskIOError | BindLockError | undefined
  }
  | Occurrence & { readonly _tag: "Delay"; readonly on: Operation; readonly duration: Duration.DurationInput }
  | Occurrence & { readonly _tag: "Duplicate"; readonly on: Operation }
  | Occurrence & { readonly _tag: "LoseLock"; readonly on: "append" | "acquire"; readonly reason: string }
  | Occurrence & { readonly _tag: "Die"; readonly on: Operation; readonly when: "before" | "after" }

/**
 * @since 0.1.0
 * @category models
 */
export type Plan = ReadonlyArray<Fault>

// --- faults ---------------------------------------------------------------------

/**
 * The operation is not done, and fails, with an error that says so or one of your own.
 *
 * ```ts
 * Faults.fail("open")
 * Faults.fail("append", { nth: 2, error: new TaskIOError({ operation: "append", location: "disk", problem: "full" }) })
 * ```
 *
 * @since 0.1.0
 * @category faults
 */
export const fail = <On extends Operation>(
  on: On,
  options: Occurrence & { readonly error?: ErrorOf<On> | undefined } = {}
): Fault => ({ ...options, _tag: "Fail", on, error: options.error })

/**
 * The operation is done, and fails all the same: its answer was lost on the way.
 *
 * @since 0.1.0
 * @category faults
 */
export const dropAcknowledgement = <On extends Operation>(
  on: On,
  options: Occurrence & { readonly error?: ErrorOf<On> | undefined } = {}
): Fault => ({ ...options, _tag: "DropAcknowledgement", on, error: options.error })

/**
 * The operation is done after a while, by the Clock.
 *
 * @since 0.1.0
 * @category faults
 */
export const delay = (on: Operation, duration: Duration.DurationInput, occurrence: Occurrence = {}): Fault => ({
  ...occurrence,
  _tag: "Delay",
  on,
  duration
})

/**
 * The operation is done twice, as by a network that delivers a request again. The second outcome is returned.
 *
 * @since 0.1.0
 * @category faults
 */
export const duplicate = (on: Operation, occurrence: Occurrence = {}): Fault => ({
  ...occurrence,
  _tag: "Duplicate",
  on
})

/**
 * The task's binding is lost once it was acquired, or once the append is done: its `lost` completes with the reason, and
 * an engine notices it during an append at the latest. For that the store and the lock must be wrapped by the same plan.
 *
 * ```ts
 * Faults.loseLock("append", { nth: 2, reason: "another engine took it over" })
 * ```
 *
 * @since 0.1.0
 * @category faults
 */
export const loseLock = (
  on: "append" | "acquire",
  options: Occurrence & { readonly reason?: string | undefined } = {}
): Fault => ({ ...options, _tag: "LoseLock", on, reason: options.reason ?? "the test's plan took it away" })

/**
 * The process is dead from here, as far as its store and lock can tell: this call and all that come after it hang for
 * ever, and cannot be interrupted. Run it in a daemon fiber, and see the injector's `died`.
 *
 * @since 0.1.0
 * @category faults
 */
export const die = (
  on: Operation,
  options: Occurrence & {
    /**
     * @default "before"
     */
    readonly when?: "before" | "after" | undefined
  } = {}
): Fault => ({ ...options, _tag: "Die", on, when: options.when ?? "before" })
