/**
 * What a lock is: the interface that BindLock's layers implement.
 *
 * @since 0.1.0
 */

import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { BindLockError, TaskBoundError } from "../CheckMateError.ts"

/**
 * Who holds a task, and since when.
 *
 * @since 0.1.0
 * @category models
 */
export interface Holder {
  /** For people: host and process, where the lock knows them. */
  readonly name: string
  /** Since when it holds the task; where the lock does not keep that, since when it is there to hold any. */
  readonly since: DateTime.Utc
}

/**
 * A task bound to this engine, for the length of a Scope.
 *
 * @since 0.1.0
 * @category models
 */
export interface Binding {
  readonly holder: Holder
  /**
   * Completes, with the reason, once the binding is lost to another engine. Never completes otherwise, and is
   * `Effect.never` itself where a binding cannot be lost.
   */
  readonly lost: Effect.Effect<string>
}

/**
 * What a lock does.
 *
 * @since 0.1.0
 * @category models
 */
export interface Driver {
  /**
   * Binds a task for the length of the Scope. A task that is held elsewhere is a `TaskBoundError`; a holder that is
   * dead, as far as the lock can tell, is taken over.
   */
  readonly acquire: (taskId: string) => Effect.Effect<Binding, TaskBoundError | BindLockError, Scope.Scope>
  /** Who holds a task, if anyone living does. */
  readonly holder: (taskId: string) => Effect.Effect<Option.Option<Holder>, BindLockError>
}

/**
 * How a lock in files decides that a holder is gone.
 *
 * @since 0.1.0
 * @category options
 */
export interface FileSystemOptions {
  /**
   * How long a holder that cannot be proven dead may be silent before it is taken over. It gives a sign of life five
   * times in that span. At least 1 second.
   *
   * @default "10 seconds"
   */
  readonly lease?: Duration.DurationInput | undefined
}
