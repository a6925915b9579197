/**
 * What is kept of a failure, for people and for machines: tag, message, fields, stack, and what lies beneath. It is
 * plain data, so it survives in a journal whatever the failure was; a `Redacted` in it stays redacted, and so do the
 * headers of a request that carry one.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { clip, isList, keysOf, likeness, readProperty, showsItself, showValue, wholeBudget } from "./internal/json.ts"

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
  /** What failed beside it: other branches, finalizers. Of typed failures, of defects and of what an error gathers 20 each. */
  readonly others?: ReadonlyArray<Failure>
}

/**
 * The schema of {@link Failure}. It has a name, since a JSON Schema and an OpenAPI tell of what holds itself by name.
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
}).annotations({ identifier: "CheckMateFailure" })

const hidden = new Set(["_tag", "message", "stack", "cause"])
const maximumStack = 4_000
const maximumMessage = 8_000
const maximumChain = 8
/** What fails in a thousand fibers at once is kept with every attempt. */
const maximumOthers = 20

/** A text property, where the error has one that can be read. */
const textOf = (error: object, key: string): string | undefined => {
  const text = readProperty(error, key)
  return typeof text === "string" && text !== "" ? text : undefined
}

const isError = (error: object): boolean => Either.getOrElse(Either.try(() => error instanceof Error), () => false)

const classOf = (error: object): string | undefined => {
  const constructor = readProperty(error, "constructor")
  return typeof constructor === "function" && constructor !== Object ? textOf(constructor, "name") : undefined
}

const tagOf = (error: unknown): string => {
  if (typeof error === "function") return "function"
  if (typeof error !== "object" || error === null) return error === null ? "null" : typeof error
  const tag = textOf(error, "_tag") ?? (isError(error) ? textOf(error, "name") : undefined) ?? classOf(error)
  return tag ?? "object"
}

const fieldsOf = (error: unknown): Record<string, unknown> | undefined => {
  if (typeof error !== "object" || error === null || isList(error)) return undefined
  // An error's name is its tag already, unless it means something else by it.
  const isTag = (key: string) => key === "name" && isError(error) && readProperty(error, key) === tagOf(error)
  const keys = keysOf(error).filter((key) => !hidden.has(key) && !isTag(key))
  const budget = wholeBudget()
  return keys.length === 0 || showsItself(error) && !isError(error)
    ? undefined
    : Object.fromEntries(keys.slice(0, 100).map((key) => [key, likeness(readProperty(error, key), budget)]))
}

/** What is wrong with a configuration, and where: its message alone does not say where. */
const configProblemOf = (error: object): string | undefined =>
  Either.getOrElse(
    Either.try(() => ConfigError.isConfigError(error) ? Cause.prettyErrors(Cause.fail(error))[0]?.message : undefined),
    () => undefined
  )

const messageOf = (error: unknown, tag: string, fields: Record<string, unknown> | undefined): string => {
  if (error === undefined) return tag
  if (typeof error !== "object" || error === null || isList(error)) return showValue(error)
  const message = configProblemOf(error) ?? textOf(error, "message")
  if (message !== undefined) return clip(message, maximumMessage)
  if (fields !== undefined) return `${tag} ${showValue(fields)}`
  return showsItself(error) && !isError(error) ? showValue(likeness(error)) : tag
}

const describe = (error: unknown, kind: Kind): Failure => {
  const tag = clip(tagOf(error), 200)
  const fields = fieldsOf(error)
  const stack = typeof error === "object" && error !== null && isError(error) ? textOf(error, "stack") : undefined
  return {
    kind,
    tag,
    message: messageOf(error, tag, fields),
    ...(fields === undefined ? {} : { fields }),
    ...(stack === undefined ? {} : { stack: stack.slice(0, maximumStack) })
  }
}

/** What an error gathers beside itself: the errors of an AggregateError, the items of a list of failures. */
const gatheredIn = (error: unknown): ReadonlyArray<unknown> => {
  const gathered = isList(error)
    ? error
    : typeof error === "object" && error !== null && isError(error)
    ? readProperty(error, "errors")
    : undefined
  return isList(gathered) ? Array.from(gathered.slice(0, maximumOthers)) : []
}

/**
 * Keeps one error, with the chain of its `cause`s and what it gathers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromUnknown = (error: unknown, kind: Kind): Failure => {
  const chain: Array<Failure> = []
  const seen = new Set<unknown>([error])
  let current = error
  while (chain.length < maximumChain && typeof current === "object" && current !== null) {
    current = readProperty(current, "cause")
    if (current === undefined || seen.has(current)) break
    seen.add(current)
    chain.push(describe(current, kind))
  }
  const others = gatheredIn(error).map((other) => describe(other, kind))
  return {
    ...describe(error, kind),
    ...(chain.length === 0 ? {} : { causes: chain }),
    ...(others.length === 0 ? {} : { others })
  }
}

/**
 * The failure of an attempt whose process ended without a word.
 *
 * @since 0.1.0
 * @category constructors
 */
export const crash: Failure = {
  kind: "Crash",
  tag: "Crash",
  message: "The process that ran this attempt ended, or lost the task, without recording an outcome"
}

/**
 * Keeps a Cause: its first typed failure, else its first defect, else the interruption leads; what failed beside it
 * stands in `others`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCause = (cause: Cause.Cause<unknown>): Failure => {
  const failures = [...Chunk.take(Cause.failures(cause), 1 + maximumOthers)].map((error) =>
    fromUnknown(error, tagOf(error) === "StageTimeoutError" ? "Timeout" : "Failure")
  )
  const defects = [...Chunk.take(Cause.defects(cause), maximumOthers)].map((defect) => fromUnknown(defect, "Defect"))
  const [first, ...others] = [...failures, ...defects]
  if (first === undefined) {
    return { kind: "Interruption", tag: "Interruption", message: "The attempt was interrupted" }
  }
  return others.length === 0 ? first : { ...first, others: [...first.others ?? [], ...others] }
}

/**
 * One line for people: `HttpError: 503 from the embedder`.
 *
 * @since 0.1.0
 * @category formatting
 */
export const format = (failure: Failure): string => {
  const message = failure.message.replace(/\s*\n\s*/g, " ")
  return message.startsWith(failure.tag) ? message : `${failure.tag}: ${message}`
}
