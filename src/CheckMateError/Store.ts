/**
 * What stores and locks fail with. All of it is in `CheckMateError`.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import { quote } from "../internal/words.ts"

/**
 * The task is bound to another engine. `holder` says to which, and `since` from when on.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskBoundError extends Schema.TaggedError<TaskBoundError>()("TaskBoundError", {
  taskId: Schema.String,
  holder: Schema.String,
  since: Schema.DateTimeUtc
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} has been bound to ${this.holder} since ${String(this.since.toJSON())}. `
      + `Wait until it is let go of, as run, resume, retryFrom, rollback and resumeAll do with the option `
      + `whenBound: "wait"; where it is at work, cancel or pause has it stop`
  }
}

/**
 * This engine no longer holds the task: its binding was taken over. Its work was interrupted, and nothing was
 * rolled back.
 *
 * @since 0.1.0
 * @category errors
 */
export class BindingLostError extends Schema.TaggedError<BindingLostError>()("BindingLostError", {
  taskId: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The binding of task ${quote(this.taskId)} was lost: ${this.problem}. `
      + "Call run with whenBound: \"wait\": for what it comes to under its new owner, or to go on with it where there is none"
  }
}

/**
 * The journal refused a write because a newer writer has claimed it, or the position was not its end. Nothing
 * was changed.
 *
 * @since 0.1.0
 * @category errors
 */
export class StaleWriterError extends Schema.TaggedError<StaleWriterError>()("StaleWriterError", {
  taskId: Schema.String,
  epoch: Schema.Number,
  problem: Schema.String
}) {
  override get message(): string {
    return `The journal of task ${quote(this.taskId)} refused a write of epoch ${this.epoch}: ${this.problem}. `
      + "Where another engine owns the task now, watch it, or call run with whenBound: \"wait\" for what it comes to"
  }
}

/**
 * The journal is damaged in a way a crash cannot explain. `location` names the file and the place in it. Nothing
 * is overwritten.
 *
 * @since 0.1.0
 * @category errors
 */
export class JournalDamagedError extends Schema.TaggedError<JournalDamagedError>()("JournalDamagedError", {
  taskId: Schema.String,
  location: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The journal of task ${quote(this.taskId)} is damaged at ${this.location}: ${this.problem}. Nothing was `
      + "changed. Restore it from a backup, or remove the task (CheckMateEngine.remove) to run it anew"
  }
}

/**
 * The journal was written in a newer format than this version reads.
 *
 * @since 0.1.0
 * @category errors
 */
export class JournalVersionError extends Schema.TaggedError<JournalVersionError>()("JournalVersionError", {
  taskId: Schema.String,
  version: Schema.Number,
  supported: Schema.Number
}) {
  override get message(): string {
    return `The journal of task ${quote(this.taskId)} is of format ${this.version}; this version of effect-checkmate `
      + `reads up to format ${this.supported}. Upgrade effect-checkmate to read it`
  }
}

/**
 * A task's journal, memo or message cannot be decrypted: its key is not among those given, it is not what that key wrote,
 * or it is not encrypted at all. Nothing is overwritten.
 *
 * @since 0.1.0
 * @category errors
 */
export class DecryptionError extends Schema.TaggedError<DecryptionError>()("DecryptionError", {
  taskId: Schema.String,
  location: Schema.String,
  key: Schema.optional(Schema.String),
  problem: Schema.String
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} cannot be decrypted at ${this.location}: ${this.problem}. Nothing was changed`
  }
}

/**
 * The store failed: unreadable, read-only, full, gone. `location` says where.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskIOError extends Schema.TaggedError<TaskIOError>()("TaskIOError", {
  operation: Schema.String,
  taskId: Schema.optional(Schema.String),
  location: Schema.String,
  problem: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    const task = this.taskId === undefined ? "" : ` for task ${quote(this.taskId)}`
    return `The store could not ${this.operation}${task} at ${this.location}: ${this.problem}. What was acknowledged `
      + "before is safe; mend the store and run the task again"
  }
}

/**
 * A copy found another task of the same id in its target: the two journals differ from `position` on.
 *
 * @since 0.1.0
 * @category errors
 */
export class CopyConflictError extends Schema.TaggedError<CopyConflictError>()("CopyConflictError", {
  taskId: Schema.String,
  position: Schema.Number
}) {
  override get message(): string {
    return `The target store holds another task ${quote(this.taskId)}: the two differ from record ${this.position} on. `
      + "Nothing was overwritten. Remove the one you do not need, or keep both in stores of their own"
  }
}

/**
 * The keys a store is to be encrypted with cannot be used. It never shows what a key is made of.
 *
 * @since 0.1.0
 * @category errors
 */
export class EncryptionKeysError extends Schema.TaggedError<EncryptionKeysError>()("EncryptionKeysError", {
  keyId: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The encryption key ${quote(this.keyId)} ${this.problem}. Give each key as 32 random bytes or the base64 of `
      + "them (openssl rand -base64 32), under an id of A-Z a-z 0-9 . _ -, and name one of them current"
  }
}

/**
 * The store does not do what tasks are kept safe by, as a try at the layer's start has shown. Nothing was written but
 * what was tried, and that has been removed.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnfitStoreError extends Schema.TaggedError<UnfitStoreError>()("UnfitStoreError", {
  location: Schema.String,
  problem: Schema.String,
  advice: Schema.String
}) {
  override get message(): string {
    return `The store at ${this.location} cannot keep tasks: ${this.problem}. ${this.advice}`
  }
}

/**
 * The lock's own storage failed. `location` says where.
 *
 * @since 0.1.0
 * @category errors
 */
export class BindLockError extends Schema.TaggedError<BindLockError>()("BindLockError", {
  operation: Schema.String,
  taskId: Schema.String,
  location: Schema.String,
  problem: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    const task = this.taskId === "*" ? "tasks" : `task ${quote(this.taskId)}`
    return `The lock could not ${this.operation} ${task} at ${this.location}: ${this.problem}. Mend what it needs, then try again`
  }
}

/**
 * A journal holds an event that its status does not allow: it was written by something else than this library, or by a
 * version with other rules.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidTransitionError extends Schema.TaggedError<InvalidTransitionError>()("InvalidTransitionError", {
  taskId: Schema.String,
  subject: Schema.String,
  status: Schema.String,
  event: Schema.String,
  position: Schema.Number
}) {
  override get message(): string {
    return `Event ${this.event} at position ${this.position} of task ${quote(this.taskId)} is illegal: `
      + `${this.subject} is ${this.status}. Use the version of the library that wrote the journal, or restore it from `
      + "a backup"
  }
}

/**
 * What makes a journal unreadable.
 *
 * @since 0.1.0
 * @category models
 */
export type UnreadableError = JournalDamagedError | JournalVersionError | DecryptionError

/**
 * Everything the store can fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type StoreError = TaskIOError | StaleWriterError | UnreadableError
