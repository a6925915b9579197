/** What errors say where the same words do not fit every case. */
import { expect, it } from "@effect/vitest"
import { CheckMateError } from "effect-checkmate"

it("what a stage did not return and what it returned too much are told apart", () => {
  const error = new CheckMateError.StageOutputError({ taskId: "t", stage: "s", missing: ["a"], undeclared: ["b"] })
  expect(error.message).toContain(`did not return "a", which it provides, and returned "b", which it does not provide.`)
})

it("a task that was recovered once was recovered 1 time", () => {
  const recovered = (recoveries: number) =>
    new CheckMateError.TaskPoisonedError({ taskId: "t", stage: "s", recoveries }).message
  expect(recovered(1)).toContain("recovered 1 time in vain")
  expect(recovered(2)).toContain("recovered 2 times in vain")
})

it("of a task that was removed nobody is said to own it", () => {
  const error = new CheckMateError.StaleWriterError({ taskId: "t", epoch: 1, problem: "the task was removed" })
  expect(error.message).toContain("the task was removed. Where another engine owns the task now,")
})
