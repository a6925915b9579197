/** Which task ids are safe in every store, and how one is made. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import { InvalidTaskIdError } from "../CheckMateError.ts"
import { showValue } from "./json.ts"

const safe = /^[A-Za-z0-9][A-Za-z0-9._@+=-]*$/

/**
 * Fails for an id that is empty, too long, or has characters that some store or shell would read as more than text, and
 * for what untyped callers give in its place.
 */
export const checkTaskId = (taskId: string): Effect.Effect<void, InvalidTaskIdError> => {
  if (!Predicate.isString(taskId)) {
    const shown = taskId === undefined ? "undefined" : showValue(taskId)
    return Effect.fail(new InvalidTaskIdError({ taskId: shown, problem: "is no string" }))
  }
  const problem = taskId.length === 0
    ? "is empty"
    : taskId.length > 200
    ? `has ${taskId.length} characters`
    : safe.test(taskId)
    ? undefined
    : "has characters outside the safe set"
  return problem === undefined ? Effect.void : Effect.fail(new InvalidTaskIdError({ taskId, problem }))
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

/** A UUID of version 7 (RFC 9562, section 5.7): ordered by time, so that lists by id are lists by age. */
export const makeTaskId: Effect.Effect<string> = Effect.gen(function*() {
  const time = hex(yield* Clock.currentTimeMillis, 12)
  const a = yield* Random.nextIntBetween(0, 0x1000)
  const b = yield* Random.nextIntBetween(0, 0x4000)
  const c = yield* Random.nextIntBetween(0, 0x1_0000)
  const d = yield* Random.nextIntBetween(0, 0x1_0000_0000)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(a, 3)}-${hex(0x8000 + b, 4)}-${hex(c, 4)}${hex(d, 8)}`
})
