/**
 * What is kept of a failure, for people and for machines: tag, message, fields, stack, and what lies beneath. It is
 * plain data, so it survives in a journal whatever the failure was; a `Redacted` in it stays redacted.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { likeness, showValue } from "./internal/json.ts"

/**
 * How a stage came to fail: a typed failure, its time-out, a defect, an interruption, or the death of its process.
 *
 * @since 0.1.0
 * @category models
 */
export const Kind = Schema.Literal("Failure", "Timeout", "Defect", "Interruption", "Crash")

/**
 * @since 0.1.0
 * @category models
 */
export type Kind = typeof Kind.Type

/**
 * A failure as kept in the journal.
 *
 * @since 0.1.0
 * @category models
 */
export interface Failure {
  readonly kind: Kind
  /** The error's `_tag`, or its class name. */
  readonly tag: string
  readonly message: string
  /** The error's own fields, as JSON. */
  readonly fields?: { readonly [key: string]: unknown }
  readonly stack?: string
  /** The chain of `error.cause`, outermost first. */
  readonly causes?: ReadonlyArray<Failure>
  /** What failed beside it: other branches, finalizers. */
  readonly others?: ReadonlyArray<Failure>
}

/**
 * The schema of {@link Failure}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Failure: Schema.Schema<Failure> = Schema.Struct({
  kind: Kind,
  tag: Schema.String,
  message: Schema.String,
  fields: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.Unknown }), { exact: true }),
  stack: Schema.optionalWith(Schema.String, { exact: true }),
  causes: Schema.optionalWith(Schema.Array(Schema.suspend(() => Failure)), { exact: true }),
  others: Schema.optionalWith(Schema.Array(Schema.suspend(() => Failure)), { exact: true })
})

const maximumStack = 4_000
const maximumChain = 8
const hidden = new Set(["_tag", "message", "stack", "cause", "name"])

const tagOf = (error: unknown): string => {
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  if (error instanceof Error) return error.name
  return error === null ? "null" : typeof error
}

const fieldsOf = (error: unknown): Record<string, unknown> | undefined => {
  if (typeof error !== "object" || error === null || Array.isArray(error)) return undefined
  const entries = Object.entries(error).filter(([key]) => !hidden.has(key))
  return entries.length === 0 ? undefined : Object.fromEntries(entries.map(([key, value]) => [key, likeness(value)]))
}

const messageOf = (error: unknown, tag: string, fields: Record<string, unknown> | undefined): string => {
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== "") {
    return error.message
  }
  if (typeof error !== "object" || error === null || Array.isArray(error)) return showValue(error)
  return fields === undefined ? tag : `${tag} ${showValue(fields)}`
}

/**
 * Keeps one error, with the chain of its `cause`s.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromUnknown = (error: unknown, kind: Kind): Failure => {
  const describe = (value: unknown): Failure => {
    const tag = tagOf(value)
    const fields = fieldsOf(value)
    return {
      kind,
      tag,
      message: messageOf(value, tag, fields),
      ...(fields === undefined ? {} : { fields }),
      ...(value instanceof Error && value.stack !== undefined ? { stack: value.stack.slice(0, maximumStack) } : {})
    }
  }
  const chain: Array<Failure> = []
  const seen = new Set<unknown>([error])
  let current = error
  while (
    chain.length < maximumChain && Predicate.hasProperty(current, "cause") && current.cause !== undefined
    && !seen.has(current.cause)
  ) {
    current = current.cause
    seen.add(current)
    chain.push(describe(current))
  }
  return { ...describe(error), ...(chain.length === 0 ? {} : { causes: chain }) }
}

/** The failure of an attempt whose process ended without a word. */
export const crash: Failure = {
  kind: "Crash",
  tag: "Crash",
  message: "The process that ran this attempt ended, or lost the task, without recording an outcome"
}

/**
 * Keeps a whole Cause: its first typed failure, else its first defect, else the interruption leads; the rest stands
 * in `others`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCause = (cause: Cause.Cause<unknown>): Failure => {
  const failures = Chunk.toReadonlyArray(Cause.failures(cause)).map((error) =>
    fromUnknown(error, Predicate.isTagged(error, "StageTimeoutError") ? "Timeout" : "Failure")
  )
  const defects = Chunk.toReadonlyArray(Cause.defects(cause)).map((defect) => fromUnknown(defect, "Defect"))
  const [first, ...others] = [...failures, ...defects]
  if (first === undefined) {
    return { kind: "Interruption", tag: "Interruption", message: "The attempt was interrupted" }
  }
  return others.length === 0 ? first : { ...first, others }
}

/**
 * One line for people: `HttpError: 503 from the embedder`.
 *
 * @since 0.1.0
 * @category formatting
 */
export const format = (failure: Failure): string =>
  failure.message.startsWith(failure.tag) ? failure.message : `${failure.tag}: ${failure.message}`
