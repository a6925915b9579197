/**
 * What is wrong with a definition, an id or a value. All of it is in `CheckMateError`.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import { at, list, quote } from "../internal/words.ts"

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
 * An option for one task is not what its type says, in a program that the compiler could not check. Nothing was written.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidOptionError extends Schema.TaggedError<InvalidOptionError>()("InvalidOptionError", {
  taskId: Schema.String,
  option: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The option ${quote(this.option)} for task ${quote(this.taskId)} ${this.problem}, or leave it out`
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
 * place inside the value, `stage` is the one that provides it.
 *
 * @since 0.1.0
 * @category errors
 */
export class AttributeError extends Schema.TaggedError<AttributeError>()("AttributeError", {
  taskId: Schema.String,
  stage: Schema.optional(Schema.String),
  /** The stage whose rollback needs it as it was: there is nothing to give in its place. */
  rollback: Schema.optional(Schema.String),
  attribute: Schema.String,
  direction: Schema.Literal("encode", "decode"),
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  problem: Schema.String
}) {
  override get message(): string {
    const where = this.stage === undefined ? " of the input" : ` of stage ${quote(this.stage)}`
    return this.direction === "encode"
      ? `Attribute ${quote(this.attribute)}${where} in task ${quote(this.taskId)} cannot be checkpointed${
        at(this.path)
      }: ${this.problem}. ${
        this.stage === undefined ? "Give" : "Have execute return"
      } a value that its schema turns into JSON`
      : `Attribute ${quote(this.attribute)} persisted for task ${quote(this.taskId)} no longer fits its schema${
        at(this.path)
      }: ${this.problem}. Make the schema accept what was written${this.otherwise}`
  }

  /** What else can be done about a persisted value. */
  private get otherwise(): string {
    if (this.rollback !== undefined) return `, since the rollback of stage ${quote(this.rollback)} needs it`
    return this.stage === undefined
      ? ", or give the attribute anew in the input"
      : `, give the attribute anew in the input, or have its stage run again with retryFrom(${quote(this.stage)})`
  }
}

/**
 * `State.encode` or `State.decode` was given a value that its attribute's schema refuses, or one of an attribute that the
 * model does not declare. `path` leads to the place inside the value.
 *
 * @since 0.1.0
 * @category errors
 */
export class RefusedValueError extends Schema.TaggedError<RefusedValueError>()("RefusedValueError", {
  attribute: Schema.String,
  direction: Schema.Literal("encode", "decode"),
  path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
  problem: Schema.String
}) {
  override get message(): string {
    return `Attribute ${quote(this.attribute)} cannot be ${this.direction}d${at(this.path)}: ${this.problem}. `
      + `Give it as the state model ${this.direction === "encode" ? "has" : "writes"} it, or change the model`
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
    return `Stage ${quote(this.stage)} of task ${quote(this.taskId)} ${parts.join(", and ")}. `
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
      + "Use the CheckMate it was started with, or another task id"
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
