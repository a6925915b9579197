/** A definition held against what a task recorded of the one it last went on with. */
import * as Either from "effect/Either"
import type * as CheckMate from "../CheckMate.ts"
import { type AttributeError, DefinitionChangedError, WrongCheckMateError } from "../CheckMateError.ts"
import * as Task from "../Task.ts"
import { decodeState, type Values } from "./values.ts"

/** The stages' names, in order. */
export const names = (checkMate: CheckMate.Any): ReadonlyArray<string> => checkMate.stages.map((stage) => stage.name)

/** Refuses a task that is not this definition's, or whose stages are no longer a beginning of it. */
export const checkDefinition = (
  checkMate: CheckMate.Any,
  task: Task.Task
): Either.Either<void, WrongCheckMateError | DefinitionChangedError> => {
  if (task.checkMate !== checkMate.name) {
    return Either.left(new WrongCheckMateError({ taskId: task.id, expected: checkMate.name, actual: task.checkMate }))
  }
  const defined = names(checkMate)
  const changed = (problem: string) =>
    Either.left(
      new DefinitionChangedError({
        taskId: task.id,
        checkMate: checkMate.name,
        recorded: task.definition,
        defined,
        problem
      })
    )
  const index = task.definition.findIndex((name, position) => defined[position] !== name)
  const expected = task.definition[index]
  if (expected !== undefined) {
    const found = defined[index]
    return changed(
      !defined.includes(expected)
        ? `stage "${expected}" was removed or renamed. Put it back, or finish the task with the old definition`
        : `stage ${index + 1} was "${expected}" and is "${
          found ?? "nothing"
        }" now. Keep the order, and add stages at the end`
    )
  }
  return Either.void
}

/** The state a task that succeeded has left; its output would not be whole if stages were added since. */
export const outputOf = (
  checkMate: CheckMate.Any,
  task: Task.Task
): Either.Either<Values, AttributeError | DefinitionChangedError> => {
  const added = names(checkMate)[task.definition.length]
  return added === undefined ? decodeState(checkMate, task.id, Task.state(task)) : Either.left(
    new DefinitionChangedError({
      taskId: task.id,
      checkMate: checkMate.name,
      recorded: task.definition,
      defined: names(checkMate),
      problem: `it succeeded before stage "${added}" was added. Run the added stages with retryFrom("${added}")`
    })
  )
}
