/** A definition held against what a task recorded of the one it last went on with. */
import * as Arr from "effect/Array"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import type * as CheckMate from "../CheckMate.ts"
import { type AttributeError, DefinitionChangedError, WrongCheckMateError } from "../CheckMateError.ts"
import type * as Stage from "../Stage.ts"
import * as Task from "../Task.ts"
import { decodeState, type Values } from "./values.ts"
import { list, quote } from "./words.ts"

/** The stages' names, in order. */
export const names = (checkMate: CheckMate.Any): ReadonlyArray<string> => checkMate.stages.map((stage) => stage.name)

const changed = (checkMate: CheckMate.Any, task: Task.Task, problem: string) =>
  Either.left(
    new DefinitionChangedError({
      taskId: task.id,
      checkMate: checkMate.name,
      recorded: task.definition,
      defined: names(checkMate),
      problem
    })
  )

/** Refuses a task that is not this definition's, or whose stages are no longer a beginning of it. */
export const checkDefinition = (
  checkMate: CheckMate.Any,
  task: Task.Task
): Either.Either<void, WrongCheckMateError | DefinitionChangedError> => {
  if (task.checkMate !== checkMate.name) {
    return Either.left(new WrongCheckMateError({ taskId: task.id, expected: checkMate.name, actual: task.checkMate }))
  }
  const defined = names(checkMate)
  const index = task.definition.findIndex((name, position) => defined[position] !== name)
  const expected = task.definition[index]
  if (expected !== undefined) {
    const found = defined[index]
    return changed(
      checkMate,
      task,
      !defined.includes(expected)
        ? `stage "${expected}" was removed or renamed. Put it back, or finish the task with the old definition`
        : `stage ${index + 1} was "${expected}" and is "${
          found ?? "nothing"
        }" now. Keep the order, and add stages at the end`
    )
  }
  return Either.void
}

/** The stages before one, in order. */
export const stagesBefore = (checkMate: CheckMate.Any, stage: string): ReadonlyArray<Stage.Any> =>
  Arr.takeWhile(checkMate.stages, ({ name }) => name !== stage)

/** The stages that a rollback under way leaves as they are. */
const lasting = (checkMate: CheckMate.Any, { status }: Task.Task): ReadonlyArray<Stage.Any> => {
  const doing = status._tag === "RollbackFailed" ? status.interrupted : status
  if (doing._tag !== "RollingBack") return checkMate.stages
  return doing.purpose._tag === "Retry" ? stagesBefore(checkMate, doing.purpose.from) : []
}

/**
 * Refuses a task of which a stage succeeded before it provided all that it does now, for what comes after it, and whoever
 * is given the output, counts on that. Just those `stages` are looked at that are not about to run again. What is `given`
 * counts, too, where there is anything to give it to.
 */
export const checkProvided = (
  checkMate: CheckMate.Any,
  task: Task.Task,
  given: Values | undefined,
  stages = lasting(checkMate, task)
): Either.Either<void, DefinitionChangedError> => {
  const isGiven = (attribute: string) => Object.hasOwn(given ?? {}, attribute)
  for (const { name, provides } of stages) {
    if (Task.stage(task, name).status._tag !== "Succeeded") continue
    const missing = provides.filter((attribute) => !HashMap.has(task.attributes, attribute) && !isGiven(attribute))
    if (missing.length === 0) continue
    const one = missing.length === 1
    const problem = `stage ${quote(name)} succeeded before it provided ${list(missing)}. Have it run again with `
      + `retryFrom("${name}")${given === undefined ? "" : `, or give the attribute${one ? "" : "s"} in the input`}`
    return changed(checkMate, task, problem)
  }
  return Either.void
}

/** The state a task that succeeded has left; its output would not be whole if stages, or what they provide, were added since. */
export const outputOf = (
  checkMate: CheckMate.Any,
  task: Task.Task
): Either.Either<Values, AttributeError | DefinitionChangedError> => {
  const added = names(checkMate)[task.definition.length]
  if (added !== undefined) {
    const problem = `it succeeded before stage "${added}" was added. Run the added stages with retryFrom("${added}")`
    return changed(checkMate, task, problem)
  }
  return Either.flatMap(
    checkProvided(checkMate, task, undefined),
    () => decodeState(checkMate, task.id, Task.state(task))
  )
}
