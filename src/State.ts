/**
 * The state model that all stages of a CheckMate share: every attribute declared once, with its schema, and every
 * attribute absent until the input or a stage provides it.
 *
 * @since 0.1.0
 */

import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import { RefusedValueError } from "./CheckMateError.ts"
import * as Failure from "./Failure.ts"
import { findNonJson, showValue } from "./internal/json.ts"
import { reasonOf } from "./internal/reason.ts"
import { attributeProblems, mayWait } from "./internal/schemaProblems.ts"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: unique symbol = Symbol.for("checkmate/State")

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * A state model: the attributes by name. Make one with {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface State<F extends Fields> extends Any, Pipeable {
  readonly fields: F
}

/**
 * The schemas of a state model by attribute name.
 *
 * @since 0.1.0
 * @category models
 */
export type Fields = Readonly<Record<string, Schema.Schema.AnyNoContext>>

/**
 * Any state model, whatever its attributes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any {
  readonly [TypeId]: TypeId
  readonly fields: Fields
  /** Why attributes, or all of it, cannot be checkpointed, one sentence each; empty for a sound model. */
  readonly problems: ReadonlyArray<{ readonly attribute?: string | undefined; readonly problem: string }>
  /** @internal */
  readonly codecs: ReadonlyMap<string, Codec>
}

/**
 * All attributes of a model, present.
 *
 * @since 0.1.0
 * @category models
 */
export type Attributes<F extends Fields> = { readonly [K in keyof F]: Schema.Schema.Type<F[K]> }

/**
 * What a stage sees: its required attributes present, all others optional.
 *
 * @since 0.1.0
 * @category models
 */
export type View<F extends Fields, Required extends keyof F> = Types.Simplify<
  & { readonly [K in Required]: Schema.Schema.Type<F[K]> }
  & { readonly [K in Exclude<keyof F, Required>]?: Schema.Schema.Type<F[K]> }
>

/**
 * Where inside a value a schema refused it, and why.
 *
 * @since 0.1.0
 * @category models
 */
export interface Refusal {
  readonly attribute: string
  readonly direction: "encode" | "decode"
  readonly path: ReadonlyArray<string | number>
  readonly problem: string
}

/**
 * The compiled codec of one attribute.
 *
 * @internal
 */
export interface Codec {
  readonly encode: (value: unknown) => Either.Either<unknown, Refusal>
  readonly decode: (value: unknown) => Either.Either<unknown, Refusal>
}

const waits =
  "its schema waits for something, and a journal is written and read without waiting; do that in a stage, and keep what comes of it"

/** Whether that is what a schema fails with which was to answer at once. */
const isWaiting = ({ _tag, message }: ParseResult.ArrayFormatterIssue): boolean =>
  _tag === "Forbidden" && message.includes("resolved synchronously")

const refusal = (
  attribute: string,
  direction: Refusal["direction"],
  issue: ParseResult.ParseIssue
): Refusal => {
  const issues = ParseResult.ArrayFormatter.formatIssueSync(issue)
  const late = issues.find(isWaiting)
  const first = late ?? issues[0]
  return {
    attribute,
    direction,
    path: (first?.path ?? []).map((step) => typeof step === "symbol" ? String(step) : step),
    problem: late === undefined ? reasonOf(issues) : waits
  }
}

const thrown = (error: unknown): string => Failure.format(Failure.fromUnknown(error, "Defect"))

/** A schema's own functions, and a value's getters, may throw: then the value is refused like any other. */
const guarded = (
  attribute: string,
  direction: Refusal["direction"],
  convert: () => Either.Either<unknown, Refusal>
): Either.Either<unknown, Refusal> =>
  Either.flatMap(
    Either.try({
      try: convert,
      catch: (error): Refusal => ({ attribute, direction, path: [], problem: `converting it threw: ${thrown(error)}` })
    }),
    (converted) => converted
  )

const makeCodec = (attribute: string, schema: Schema.Schema.AnyNoContext): Codec => {
  const encodeValue = ParseResult.encodeUnknownEither(schema)
  const decodeValue = ParseResult.decodeUnknownEither(schema)
  const decode = (value: unknown) =>
    guarded(
      attribute,
      "decode",
      () => Either.mapLeft(decodeValue(value), (issue) => refusal(attribute, "decode", issue))
    )
  const isRead = mayWait(schema.ast)
  /** A value is read before it is written for nobody to read: only so is it told that its schema waits then, or refuses it. */
  const readable = (encoded: unknown): Either.Either<unknown, Refusal> => {
    const read = isRead ? decode(encoded) : Either.right(encoded)
    if (Either.isRight(read)) return Either.right(encoded)
    const { path, problem } = read.left
    const told = problem === waits ? waits : `its schema could not read what it writes: ${problem}`
    return Either.left({ attribute, direction: "encode", path, problem: told })
  }
  return {
    encode: (value) =>
      guarded(attribute, "encode", () => {
        const encoded = encodeValue(value)
        if (Either.isLeft(encoded)) return Either.left(refusal(attribute, "encode", encoded.left))
        const found = findNonJson(encoded.right)
        return found === undefined
          ? readable(encoded.right)
          : Either.left({ attribute, direction: "encode", ...found })
      }),
    decode
  }
}

/** What untyped code gives in place of attributes. */
const problemOf = (given: unknown): string | undefined =>
  Schema.isSchema(given)
    ? "the state model is one schema; give those of its attributes, as its fields are"
    : Predicate.isRecord(given)
    ? undefined
    : `the state model is ${
      given === undefined ? "undefined" : showValue(given)
    }; give its attributes, as { name: Schema.String }`

const problemWith = (attribute: string, problem: string) => ({
  attribute,
  problem: `attribute "${attribute}" ${problem}`
})

type IsOptional<Name extends string> =
  `attribute "${Name}" is optional, which every attribute is until it is provided; give its schema alone, or Schema.NullOr of it`

/** What every object has. */
type Inherited = typeof Object.prototype

/** Attributes by names that are texts, and that not every object has. */
type Nameable = { readonly [K in keyof Inherited]?: Inherited[K] & { readonly ast?: never } } & {
  readonly [K: symbol]: never
}

/** A sentence in the place of what cannot be an attribute's schema. */
type Checked<Given> = Given extends Schema.Schema.All
  ? "this is one schema; give those of the attributes, as its fields are"
  : {
    readonly [K in keyof Given]: K extends symbol ? "this attribute is named by a symbol; name it by a text"
      : K extends keyof Inherited ? `attribute "${K}" is named as what every object has; give it another name`
      : Given[K] extends Schema.Schema.AnyNoContext ? Given[K]
      : Given[K] extends Schema.PropertySignature.All ? IsOptional<K & string>
      : Given[K] extends Schema.Schema.All
        ? [Schema.Schema.Context<Given[K]>] extends [never] ? `attribute "${K & string}" has a schema of no values`
        : `attribute "${K & string}" has a schema that needs services, and a journal is read without any`
      : `attribute "${K & string}" is no schema; give one, such as Schema.String`
  }

/**
 * Declares a state model. Attributes are written to the journal through their schemas, so each must encode to JSON;
 * secrets (`Schema.Redacted`) are refused, because a journal would hold them in clear, and so is what can be undefined
 * (`Schema.UndefinedOr`), because that is what an attribute is until it is provided. So none is declared with
 * `Schema.optional`, either; a value that may be none is a `Schema.Option` or a `Schema.NullOr`. A schema that needs
 * services does not compile, because a journal is read without any, nor without waiting: a value is refused whose schema
 * waits for something, as one with `Schema.filterEffect` may, or could not read again what it writes. To tell that, a
 * value whose schema transforms is read back before it is written. Names are texts, and none is one that every object has,
 * such as `constructor`.
 *
 * ```ts
 * import { State } from "effect-checkmate"
 * import { Schema } from "effect"
 *
 * const Ingest = State.make({
 *   folder: Schema.String,
 *   files: Schema.Array(Schema.String)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function make<const F extends Fields & Nameable>(fields: F): State<F>
/**
 * For what is no schema of the kind: it does not compile, and this says in a sentence why.
 *
 * @since 0.1.0
 * @category constructors
 */
export function make<const Given extends object>(
  fields: Given & Checked<Given>
): State<{ readonly [K in keyof Given]: Extract<Given[K], Schema.Schema.AnyNoContext> }>
export function make(given: Fields): State<Fields> {
  const problem = problemOf(given)
  const fields = problem === undefined ? given : {}
  const entries = Object.entries(fields)
  return {
    [TypeId]: TypeId,
    fields,
    problems: problem !== undefined ? [{ problem }] : [
      ...Object.getOwnPropertySymbols(fields).map((name) =>
        problemWith(String(name), "is named by a symbol; name it by a text")
      ),
      ...entries.flatMap(([attribute, schema]) =>
        [
          // Where it is absent, a state would show what it inherits.
          ...(attribute in Object.prototype ? ["is named as what every object has; give it another name"] : []),
          ...(Schema.isSchema(schema) ? attributeProblems(schema.ast) : ["is not a Schema, such as Schema.String"])
        ].map((problem) => problemWith(attribute, problem))
      )
    ],
    codecs: new Map(
      entries.map(([attribute, schema]) => [
        attribute,
        makeCodec(attribute, Schema.isSchema(schema) ? schema : Schema.Unknown)
      ])
    ),
    pipe() {
      return pipeArguments(this, arguments)
    }
  }
}

/**
 * Whether a value is a state model.
 *
 * @since 0.1.0
 * @category guards
 */
export const isState = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

const convert = (
  state: Any,
  direction: Refusal["direction"],
  values: Readonly<Record<string, unknown>>
): Either.Either<Record<string, unknown>, RefusedValueError> => {
  const converted: Record<string, unknown> = {}
  for (const [attribute, value] of Object.entries(values)) {
    if (value === undefined) continue
    const codec = state.codecs.get(attribute)
    if (codec === undefined) {
      const problem = "the state model does not declare it"
      return Either.left(new RefusedValueError({ attribute, direction, path: [], problem }))
    }
    const result = codec[direction](value)
    if (Either.isLeft(result)) return Either.left(new RefusedValueError(result.left))
    converted[attribute] = result.right
  }
  return Either.right(converted)
}

/**
 * Encodes attributes to the JSON a journal holds. Absent (`undefined`) attributes are left out. Fails as {@link decode}, and
 * where a value encodes to what JSON cannot hold, or to more than 500 levels of it.
 *
 * @since 0.1.0
 * @category codecs
 */
export const encode = (
  state: Any,
  values: Readonly<Record<string, unknown>>
): Either.Either<Record<string, unknown>, RefusedValueError> => convert(state, "encode", values)

/**
 * Decodes attributes as a journal holds them, such as the `state` that `get` shows of a task. Fails with a
 * `RefusedValueError` of the first attribute that its schema refuses, or that the model does not declare.
 *
 * ```ts
 * const { state } = yield* CheckMateEngine.get("docs-november")
 * const { files = [] } = yield* State.decode(Ingest, state)
 * ```
 *
 * @since 0.1.0
 * @category codecs
 */
export function decode<F extends Fields>(
  state: State<F>,
  values: Readonly<Record<string, unknown>>
): Either.Either<Partial<Attributes<F>>, RefusedValueError>
export function decode(
  state: Any,
  values: Readonly<Record<string, unknown>>
): Either.Either<Record<string, unknown>, RefusedValueError>
export function decode(
  state: Any,
  values: Readonly<Record<string, unknown>>
): Either.Either<Record<string, unknown>, RefusedValueError> {
  return convert(state, "decode", values)
}
