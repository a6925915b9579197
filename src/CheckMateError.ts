/**
 * Every error CheckMate itself can fail with. Each one says what happened, where, and what to do next, and
 * carries the fields a program needs to act on it. The errors of your own stages are yours and pass through.
 *
 * @since 0.1.0
 */

import type * as Definition from "./CheckMateError/Definition.ts"
import type * as Store from "./CheckMateError/Store.ts"
import type * as Task from "./CheckMateError/Task.ts"

export * from "./CheckMateError/Definition.ts"
export * from "./CheckMateError/Store.ts"
export * from "./CheckMateError/Task.ts"

/**
 * Everything reading a task can fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type ReadError =
  | Definition.InvalidTaskIdError
  | Store.TaskIOError
  | Store.UnreadableError
  | Store.InvalidTransitionError

/**
 * What holding a task can fail with: the lock (`BindLockError`, `TaskBoundError`, `BindingLostError`) and the store
 * (`InvalidTaskIdError`, `TaskIOError`, `StaleWriterError`, `JournalDamagedError`, `JournalVersionError`,
 * `DecryptionError`, `InvalidTransitionError`).
 *
 * @since 0.1.0
 * @category models
 */
export type HoldError =
  | ReadError
  | Store.BindingLostError
  | Store.BindLockError
  | Store.StaleWriterError
  | Store.TaskBoundError

/**
 * What running a task can fail with, beside the failures of its stages:
 *
 * - what it was given: `InvalidTaskIdError`, `InvalidDefinitionError`, `InvalidOptionError`, `UnknownAttributeError`,
 *   `AttributeError` (a value that its schema refuses), `TransactionUnsupportedError` (a stage that the store is not fit for)
 * - what stands in its journal: `WrongCheckMateError`, `DefinitionChangedError`, `TaskCancelledError`,
 *   `TaskPoisonedError` (it has crashed its process too often), `TaskRolledBackError`
 * - who else runs it: `TaskBoundError`, `BindingLostError`, `StaleWriterError`
 * - what became of it: `MissingStateError`, `StageOutputError`, `RollbackFailedError`, `TaskPausedError`
 * - the store and the lock: `TaskIOError`, `BindLockError`, `JournalDamagedError`, `JournalVersionError`,
 *   `DecryptionError`, `InvalidTransitionError` (a journal that tells an impossible story)
 *
 * @since 0.1.0
 * @category models
 */
export type RunError =
  | HoldError
  | Definition.AttributeError
  | Definition.DefinitionChangedError
  | Definition.InvalidDefinitionError
  | Definition.InvalidOptionError
  | Definition.MissingStateError
  | Definition.StageOutputError
  | Definition.TransactionUnsupportedError
  | Definition.UnknownAttributeError
  | Definition.WrongCheckMateError
  | Task.RollbackFailedError
  | Task.TaskCancelledError
  | Task.TaskPausedError
  | Task.TaskPoisonedError
  | Task.TaskRolledBackError

/**
 * Every error of CheckMate, as one union with `_tag`s to match on.
 *
 * @since 0.1.0
 * @category models
 */
export type CheckMateError =
  | Definition.AttributeError
  | Store.BindingLostError
  | Store.BindLockError
  | Store.CopyConflictError
  | Store.DecryptionError
  | Definition.DefinitionChangedError
  | Store.EncryptionKeysError
  | Definition.InvalidDefinitionError
  | Definition.InvalidOptionError
  | Definition.InvalidTaskIdError
  | Store.InvalidTransitionError
  | Store.JournalDamagedError
  | Store.JournalVersionError
  | Definition.MissingStateError
  | Definition.RefusedValueError
  | Task.RollbackFailedError
  | Task.StageDefectError
  | Definition.StageOutputError
  | Task.StageTimeoutError
  | Store.StaleWriterError
  | Store.TaskBoundError
  | Task.TaskCancelledError
  | Store.TaskIOError
  | Task.TaskNotFoundError
  | Task.TaskPausedError
  | Task.TaskPoisonedError
  | Task.TaskRolledBackError
  | Task.TaskStatusError
  | Definition.TransactionUnsupportedError
  | Store.UnfitStoreError
  | Definition.UnknownAttributeError
  | Definition.UnknownStageError
  | Definition.WrongCheckMateError
