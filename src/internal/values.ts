/** Attributes between a stage's values and the journal's JSON, with the errors that say which one does not fit. */
import * as Either from "effect/Either"
import type * as CheckMate from "../CheckMate.ts"
import { AttributeError, StageOutputError, UnknownAttributeError } from "../CheckMateError.ts"
import type * as Stage from "../Stage.ts"
import * as State from "../State.ts"

/** Attributes by name: decoded, as stages see them. */
export type Values = Readonly<Record<string, unknown>>

const attributeError = (
  taskId: string,
  { attribute, direction, path, problem }: State.Refusal,
  stage?: string
): AttributeError =>
  new AttributeError({ taskId, ...(stage === undefined ? {} : { stage }), attribute, direction, path, problem })

/** Encodes what a caller gives a task. */
export const encodeInput = (
  checkMate: CheckMate.Any,
  taskId: string,
  input: object
): Either.Either<Record<string, unknown>, UnknownAttributeError | AttributeError> => {
  const unknown = Object.keys(input).filter((attribute) => !checkMate.state.codecs.has(attribute))
  return unknown.length > 0
    ? Either.left(
      new UnknownAttributeError({
        taskId,
        checkMate: checkMate.name,
        attributes: unknown,
        known: [...checkMate.state.codecs.keys()]
      })
    )
    : Either.mapLeft(State.encode(checkMate.state, { ...input }), (refusal) => attributeError(taskId, refusal))
}

/** Decodes persisted attributes; those the model no longer declares are left out. */
export const decodeState = (
  checkMate: CheckMate.Any,
  taskId: string,
  encoded: Values
): Either.Either<Values, AttributeError> =>
  Either.mapLeft(
    State.decode(
      checkMate.state,
      Object.fromEntries(Object.entries(encoded).filter(([attribute]) => checkMate.state.codecs.has(attribute)))
    ),
    (refusal) => {
      const by = checkMate.stages.findIndex((stage) => stage.provides.includes(refusal.attribute))
      // A rollback would be given it before its stage ran again.
      const canRunAgain = checkMate.stages.slice(by).every((stage) => stage.rollback === undefined)
      return attributeError(taskId, refusal, canRunAgain ? checkMate.stages[by]?.name : undefined)
    }
  )

/** A stage's output: the values it adds to the state, and their JSON. */
export interface Output {
  readonly values: Values
  readonly encoded: Values
}

const nothing: Output = { values: {}, encoded: {} }

/** Checks that a stage returned exactly what it provides, and encodes it. */
export const encodeOutput = (
  stage: Stage.Any,
  taskId: string,
  output: unknown
): Either.Either<Output, StageOutputError | AttributeError> => {
  const values: Values = typeof output === "object" && output !== null ? { ...output } : {}
  const present = Object.keys(values).filter((attribute) => values[attribute] !== undefined)
  if (present.length === 0 && stage.provides.length === 0) return Either.right(nothing)
  const missing = stage.provides.filter((attribute) => !present.includes(attribute))
  const undeclared = present.filter((attribute) => !stage.provides.includes(attribute))
  if (missing.length > 0 || undeclared.length > 0) {
    return Either.left(new StageOutputError({ taskId, stage: stage.name, missing, undeclared }))
  }
  return Either.mapBoth(State.encode(stage.state, values), {
    onLeft: (refusal) => attributeError(taskId, refusal, stage.name),
    onRight: (encoded) => ({ values, encoded })
  })
}
