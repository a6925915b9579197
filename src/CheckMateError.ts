/**
 * Every error CheckMate itself can fail with. Each one says what happened, where, and what to do next, and
 * carries the fields a program needs to act on it. The errors of your own stages are yours and pass through.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

const quote = (name: string): string => `"${name}"`
const list = (names: ReadonlyArray<string>): string => names.length === 0 ? "none" : names.map(quote).join(", ")
const at = (path: ReadonlyArray<PropertyKey>): string => path.length === 0 ? "" : ` at ${path.map(String).join(".")}`

/**
 * A rule of the dataflow that a definition breaks, found at run time for callers the compiler could not check.
 *
 * @since 0.1.0
 * @category models
 */
export const DefinitionProblem = Schema.Struct({
  stage: Schema.optional(Schema.String),
  attribute: Schema.optional(Schema.String),
  problem: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type DefinitionProblem = typeof DefinitionProblem.Type

/**
 * A CheckMate that breaks the rules the compiler enforces for typed callers: a duplicate stage name, a
 * requirement nobody provides, a stage of another state model, an attribute that cannot be written to a journal.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidDefinitionError extends Schema.TaggedError<InvalidDefinitionError>()("InvalidDefinitionError", {
  checkMate: Schema.String,
  problems: Schema.NonEmptyArray(DefinitionProblem)
}) {
  override get message(): string {
    return `CheckMate ${quote(this.checkMate)} is not a valid definition:\n${
      this.problems.map((problem) => `  - ${problem.problem}`).join("\n")
    }`
  }
}

/**
 * A task id that is empty, too long, or has characters outside the safe set. Nothing was read or written.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidTaskIdError extends Schema.TaggedError<InvalidTaskIdError>()("InvalidTaskIdError", {
  taskId: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Task id ${JSON.stringify(this.taskId.slice(0, 80))} ${this.problem}. Use 1 to 200 of the characters `
      + "A-Z a-z 0-9 . _ - @ + =, starting with a letter or digit"
  }
}

/**
 * An attribute was given that the state model does not declare.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownAttributeError extends Schema.TaggedError<UnknownAttributeError>()("UnknownAttributeError", {
  taskId: Schema.String,
  checkMate: Schema.String,
  stage: Schema.optional(Schema.String),
  attributes: Schema.Array(Schema.String),
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const where = this.stage === undefined ? "The input" : `Stage ${quote(this.stage)}`
    return `${where} of task ${quote(this.taskId)} gives ${list(this.attributes)}, which the state model of `
      + `${quote(this.checkMate)} does not declare. It declares ${list(this.known)}`
  }
}

/**
 * A value does not fit its attribute's schema, or encodes to something JSON cannot hold. `path` leads to the
 * place inside the value.
 *
 * @since 0.1.0
 * @category errors
 */
export class AttributeError extends Schema.TaggedError<AttributeError>()("AttributeError", {
  taskId: Schema.String,
  stage: Schema.optional(Schema.String),
  attribute: Schema.String,
  direction: Schema.Literal("encode", "decode"),
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  problem: Schema.String
}) {
  override get message(): string {
    const where = this.stage === undefined ? "" : ` of stage ${quote(this.stage)}`
    return this.direction === "encode"
      ? `Attribute ${quote(this.attribute)}${where} in task ${quote(this.taskId)} cannot be checkpointed${
        at(this.path)
      }: ${this.problem}`
      : `Attribute ${quote(this.attribute)} persisted for task ${quote(this.taskId)} no longer fits its schema${
        at(this.path)
      }: ${this.problem}. Make the schema accept what was written, or give the attribute anew in the input`
  }
}

/**
 * A stage did not return exactly the attributes it declares in `provides`.
 *
 * @since 0.1.0
 * @category errors
 */
export class StageOutputError extends Schema.TaggedError<StageOutputError>()("StageOutputError", {
  taskId: Schema.String,
  stage: Schema.String,
  missing: Schema.Array(Schema.String),
  undeclared: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const parts = [
      ...(this.missing.length > 0 ? [`did not return ${list(this.missing)}, which it provides`] : []),
      ...(this.undeclared.length > 0 ? [`returned ${list(this.undeclared)}, which it does not provide`] : [])
    ]
    return `Stage ${quote(this.stage)} of task ${quote(this.taskId)} ${parts.join(" and ")}. `
      + "Make execute return exactly the attributes listed in provides"
  }
}

/**
 * Attributes a stage requires are absent. Nothing of the stage has run.
 *
 * @since 0.1.0
 * @category errors
 */
export class MissingStateError extends Schema.TaggedError<MissingStateError>()("MissingStateError", {
  taskId: Schema.String,
  stage: Schema.String,
  missing: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Stage ${quote(this.stage)} of task ${quote(this.taskId)} requires ${list(this.missing)}, which ${
      this.missing.length === 1 ? "is" : "are"
    } absent. Give ${this.missing.length === 1 ? "it" : "them"} in the input and run the task again`
  }
}

/**
 * An attempt took longer than its stage's `timeout`. The stage's retry Schedule sees this failure.
 *
 * @since 0.1.0
 * @category errors
 */
export class StageTimeoutError extends Schema.TaggedError<StageTimeoutError>()("StageTimeoutError", {
  taskId: Schema.String,
  stage: Schema.String,
  attempt: Schema.Number,
  timeout: Schema.DurationFromMillis
}) {
  override get message(): string {
    return `Attempt ${this.attempt} of stage ${quote(this.stage)} in task ${quote(this.taskId)} took longer than its `
      + `timeout of ${Duration.format(this.timeout)}`
  }
}

/**
 * What a retry Schedule sees for an attempt that died or interrupted itself, where its stage asked for that with
 * `retryDefects`.
 *
 * @since 0.1.0
 * @category errors
 */
export class StageDefectError extends Schema.TaggedError<StageDefectError>()("StageDefectError", {
  taskId: Schema.String,
  stage: Schema.String,
  attempt: Schema.Number,
  defect: Schema.Defect
}) {
  override get message(): string {
    return `Attempt ${this.attempt} of stage ${quote(this.stage)} in task ${quote(this.taskId)} died: ${
      this.defect instanceof Error ? this.defect.message : JSON.stringify(this.defect)
    }`
  }
}

/**
 * No task of this id is in the store.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskNotFoundError extends Schema.TaggedError<TaskNotFoundError>()("TaskNotFoundError", {
  taskId: Schema.String
}) {
  override get message(): string {
    return `There is no task ${quote(this.taskId)} in this store. Check the id and the layer's directory or prefix`
  }
}

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
    return `Task ${quote(this.taskId)} is bound to ${this.holder} since ${String(this.since.toJSON())}. `
      + `Wait for it with the option whenBound: "wait" of run and its kin, or cancel or pause it`
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
    return `The binding of task ${quote(this.taskId)} was lost: ${this.problem}. The task goes on under its new owner`
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
      + "Another engine owns the task now; read it again"
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
      + "changed. Restore it from a backup, or remove the task to run it anew"
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
    return `The lock could not ${this.operation} task ${quote(this.taskId)} at ${this.location}: ${this.problem}`
  }
}

/**
 * The definition's stages are not those the task was started with. Adding stages at the end is fine; renaming,
 * reordering or removing them is not, because checkpoints would be attributed to the wrong work.
 *
 * @since 0.1.0
 * @category errors
 */
export class DefinitionChangedError extends Schema.TaggedError<DefinitionChangedError>()("DefinitionChangedError", {
  taskId: Schema.String,
  checkMate: Schema.String,
  recorded: Schema.Array(Schema.String),
  defined: Schema.Array(Schema.String),
  problem: Schema.String
}) {
  override get message(): string {
    return `The definition of ${quote(this.checkMate)} changed under task ${quote(this.taskId)}: ${this.problem}`
  }
}

/**
 * A stage that is to commit together with its checkpoint runs on a store that cannot do that.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransactionUnsupportedError
  extends Schema.TaggedError<TransactionUnsupportedError>()("TransactionUnsupportedError", {
    taskId: Schema.String,
    stage: Schema.String
  })
{
  override get message(): string {
    return `Stage ${quote(this.stage)} of task ${quote(this.taskId)} is transactional, and the engine's store has no `
      + "transactions. Run it on an SQL store (effect-checkmate/sql), or make the stage without Stage.transactional"
  }
}

/**
 * The task under this id belongs to another CheckMate.
 *
 * @since 0.1.0
 * @category errors
 */
export class WrongCheckMateError extends Schema.TaggedError<WrongCheckMateError>()("WrongCheckMateError", {
  taskId: Schema.String,
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} is a task of CheckMate ${quote(this.actual)}, not of ${quote(this.expected)}. `
      + "Use another task id, or the CheckMate it was started with"
  }
}

/**
 * No stage of this name is in the CheckMate.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnknownStageError extends Schema.TaggedError<UnknownStageError>()("UnknownStageError", {
  taskId: Schema.String,
  checkMate: Schema.String,
  stage: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `CheckMate ${quote(this.checkMate)} has no stage ${quote(this.stage)}. It has ${list(this.known)}`
  }
}

/**
 * The task is in a status in which the operation has no meaning.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskStatusError extends Schema.TaggedError<TaskStatusError>()("TaskStatusError", {
  taskId: Schema.String,
  operation: Schema.String,
  status: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} is ${this.status} and cannot ${this.operation}: ${this.problem}`
  }
}

/**
 * The task was cancelled, before or while it ran.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskCancelledError extends Schema.TaggedError<TaskCancelledError>()("TaskCancelledError", {
  taskId: Schema.String,
  reason: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} was cancelled${this.reason === undefined ? "" : `: ${this.reason}`}. `
      + "Go on from a stage of your choice with retryFrom"
  }
}

/**
 * The task was paused at a stage boundary. `run` or `resume` goes on from there.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskPausedError extends Schema.TaggedError<TaskPausedError>()("TaskPausedError", {
  taskId: Schema.String
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} is paused. Go on with run or resume`
  }
}

/**
 * A stage's rollback failed for good, so the rollbacks before it have not run.
 *
 * @since 0.1.0
 * @category errors
 */
export class RollbackFailedError extends Schema.TaggedError<RollbackFailedError>()("RollbackFailedError", {
  taskId: Schema.String,
  stage: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The rollback of stage ${quote(this.stage)} in task ${quote(this.taskId)} failed: ${this.problem}. `
      + "Mend what it needs, then go on with rollback or resume"
  }
}

/**
 * The task has been rolled back. `run` or `resume` starts it over.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskRolledBackError extends Schema.TaggedError<TaskRolledBackError>()("TaskRolledBackError", {
  taskId: Schema.String,
  problem: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} was rolled back${
      this.problem === undefined ? "" : ` because of ${this.problem}`
    }. `
      + "Run it again to start it over"
  }
}

/**
 * The task crashed its process too often, each time before it got anywhere, and is not recovered any more.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskPoisonedError extends Schema.TaggedError<TaskPoisonedError>()("TaskPoisonedError", {
  taskId: Schema.String,
  stage: Schema.String,
  recoveries: Schema.Number
}) {
  override get message(): string {
    return `Task ${quote(this.taskId)} crashed its process in stage ${quote(this.stage)} and was recovered `
      + `${this.recoveries} times in vain. Mend the stage, then go on with retryFrom(${JSON.stringify(this.stage)})`
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
 * Everything the store can fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type StoreError = TaskIOError | StaleWriterError | JournalDamagedError | JournalVersionError

/**
 * Everything reading a task can fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type ReadError =
  | InvalidTaskIdError
  | TaskIOError
  | JournalDamagedError
  | JournalVersionError
  | InvalidTransitionError

/**
 * Every error of CheckMate, as one union with `_tag`s to match on.
 *
 * @since 0.1.0
 * @category models
 */
export type CheckMateError =
  | AttributeError
  | BindingLostError
  | BindLockError
  | CopyConflictError
  | DefinitionChangedError
  | EncryptionKeysError
  | InvalidDefinitionError
  | InvalidTaskIdError
  | InvalidTransitionError
  | JournalDamagedError
  | JournalVersionError
  | MissingStateError
  | RollbackFailedError
  | StageDefectError
  | StageOutputError
  | StageTimeoutError
  | StaleWriterError
  | TaskBoundError
  | TaskCancelledError
  | TaskIOError
  | TaskNotFoundError
  | TaskPausedError
  | TaskPoisonedError
  | TaskRolledBackError
  | TaskStatusError
  | TransactionUnsupportedError
  | UnfitStoreError
  | UnknownAttributeError
  | UnknownStageError
  | WrongCheckMateError
