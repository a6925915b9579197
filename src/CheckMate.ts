/**
 * A definition: a name, a state model, the input attributes and the ordered stages. A pure value; the engine runs it.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Types from "effect/Types"
import { type DefinitionProblem, InvalidDefinitionError } from "./CheckMateError.ts"
import { asText, findProblems, tagProblems } from "./internal/definitionProblems.ts"
import type * as Stage from "./Stage.ts"
import * as State from "./State.ts"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: unique symbol = Symbol.for("checkmate/CheckMate")

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * What becomes of earlier stages when one fails for good: `halt` leaves their checkpoints, so that `run` or `resume`
 * goes on from the failed stage; `rollback` rolls back every stage that ran, in reverse order.
 *
 * @since 0.1.0
 * @category models
 */
export type OnFailure = "halt" | "rollback"

/**
 * A definition as the engine sees it: stages by name, values untyped.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any<out E = unknown, out R = unknown> {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly state: State.Any
  readonly input: ReadonlyArray<string>
  readonly stages: ReadonlyArray<Stage.Any<E, R>>
  readonly onFailure: OnFailure
  readonly description: string | undefined
  readonly tags: ReadonlyArray<string>
  /** The rules the definition breaks, found for callers the compiler could not check. See {@link validate}. */
  readonly problems: ReadonlyArray<DefinitionProblem>
}

/**
 * A definition whose tasks take `Input`, return `Output`, fail with `E` and use the services `R`. Make one with
 * {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface CheckMate<out Name extends string, in Input, out Output, out E, out R> extends Any<E, R>, Pipeable {
  readonly name: Name
  readonly _Input?: Types.Contravariant<Input>
  readonly _Output?: Types.Covariant<Output>
}

/**
 * What a CheckMate's tasks take: its input attributes, and any other attribute of its state model.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Input<C> = C extends CheckMate<string, infer In, infer _Out, infer _E, infer _R> ? In : never

/**
 * What a CheckMate's tasks return: every attribute of the input or of a stage present, all others optional.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Output<C> = C extends CheckMate<string, infer _In, infer Out, infer _E, infer _R> ? Out : never

/**
 * What a CheckMate's stages fail with.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Error<C> = C extends Any<infer E, infer _R> ? E : never

/**
 * The services a CheckMate's stages use.
 *
 * @since 0.1.0
 * @category type-level
 */
export type Services<C> = C extends Any<infer _E, infer R> ? R : never

// --- the dataflow, checked by the compiler ------------------------------------

/** A name the compiler knows; never for one that is made at run time, or is one of several. */
type OneName<Name extends string> = {} extends Record<Name, 1> ? never
  : [Name] extends [Types.UnionToIntersection<Name>] ? Name
  : never

/** Whether a stage is one of several, chosen when the program runs. */
type IsOneOf<S, All = S> = S extends unknown ? [All] extends [S] ? false : true : never

/** `Stages` where the dataflow is right; where it is not, a sentence in the place of the stage that is wrong. */
type Checked<
  F extends State.Fields,
  Stages extends ReadonlyArray<unknown>,
  Have,
  Names = never,
  Done extends ReadonlyArray<unknown> = []
> = number extends Stages["length"] ? Stages // a list made at run time, checked there
  : Stages extends readonly [infer Head, ...infer Tail]
    ? IsOneOf<Head> extends true
      ? Checked<F, Tail, Have, Names, [...Done, "this is one of several stages; spread a list of one or none instead"]>
    : Head extends Stage.Stage<infer Name, infer G, infer Requires, infer Provides, infer _E, infer _R> ? Checked<
        F,
        Tail,
        Have | Provides,
        Names | OneName<Name>,
        [
          ...Done,
          [Name] extends [Names] ? `stage "${Name}" is defined twice`
            : Types.Equals<F, G> extends false ? `stage "${Name}" is a stage of another state model`
            : [Exclude<Requires, Have>] extends [never] ? Head
            : `stage "${Name}" requires "${
              & Exclude<Requires, Have>
              & string}", which neither the input nor an earlier stage provides`
        ]
      >
    : Checked<
      F,
      Tail,
      Have,
      Names,
      [
        ...Done,
        Head extends (...args: never) => unknown ? "this is a function and not a stage; call it"
          : "this is not a stage; make stages with Stage.make"
      ]
    >
  : Done extends readonly [] ? "a CheckMate has at least one stage"
  : Done

/** The same for a list that is readonly, as one that ends with `as const`. */
type CheckedList<F extends State.Fields, S extends ReadonlyArray<unknown>, Have> = S extends Array<unknown>
  ? Checked<F, S, Have>
  : Readonly<Checked<F, S, Have>>

type ProvidedBy<S> = S extends Stage.Stage<infer _N, infer _F, infer _Req, infer Provides, infer _E, infer _R> ?
  Provides
  : never
type ErrorOf<S> = S extends Stage.Any<infer E, infer _R> ? E : never
type ServicesOf<S> = S extends Stage.Any<infer _E, infer R> ? R : never

// --- making one ---------------------------------------------------------------

/** The options with their types erased. Untyped code may leave them out. */
interface ErasedOptions extends Stage.Annotations {
  readonly state: State.Any
  readonly input: ReadonlyArray<string>
  readonly stages: ReadonlyArray<Stage.Any>
  readonly onFailure?: OnFailure | undefined
}

/**
 * Makes a definition. The dataflow is checked by the compiler: every attribute a stage requires must be in `input` or
 * provided by an earlier stage, stage names must be unique, and all stages must be of `state`. A mistake does not
 * compile, and says in a sentence which stage is wrong and why. Definitions that the compiler cannot see through are
 * checked at run time, and are refused with `InvalidDefinitionError` before anything is read or written.
 *
 * By convention a file `ingest_cm.ts` exports `cm_factory_ingest`:
 *
 * ```ts
 * export const cm_factory_ingest = () =>
 *   CheckMate.make("ingest", { state: Ingest, input: ["folder"], stages: [scan, chunk, index] })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function make<
  const Name extends string,
  F extends State.Fields,
  const In extends keyof F,
  const S extends ReadonlyArray<unknown>
>(
  name: Name,
  options: {
    /** The state model, which every stage must be made of. */
    readonly state: State.State<F>
    /** The attributes a task begins with. */
    readonly input: ReadonlyArray<In>
    /**
     * The stages, in the order they run. The compiler knows the order of a list that is written here, or elsewhere `as const`;
     * any other one is checked at run time.
     */
    readonly stages: S & CheckedList<F, S, In>
    /**
     * @default "halt"
     */
    readonly onFailure?: OnFailure | undefined
    /** For people: shown by whatever lists or draws the CheckMate. */
    readonly description?: string | undefined
    /** For people and tools. */
    readonly tags?: ReadonlyArray<string> | undefined
  }
): CheckMate<
  Name,
  State.View<F, In>,
  State.View<F, In | ProvidedBy<S[number]>>,
  ErrorOf<S[number]>,
  ServicesOf<S[number]>
>
export function make(name: string, given: ErasedOptions | undefined): Any & Pipeable {
  const options: ErasedOptions = given ?? { state: State.make({}), input: [], stages: [] }
  return {
    [TypeId]: TypeId,
    name,
    state: options.state,
    input: options.input,
    stages: options.stages,
    onFailure: options.onFailure ?? "halt",
    description: options.description,
    tags: options.tags ?? [],
    problems: findProblems(name, given),
    pipe() {
      return pipeArguments(this, arguments)
    }
  }
}

/**
 * Whether a value is a CheckMate.
 *
 * @since 0.1.0
 * @category guards
 */
export const isCheckMate = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

/**
 * The definition, or every rule it breaks: for tests of definitions that the compiler cannot see through. What runs one
 * does the same first.
 *
 * ```ts
 * expect(Either.isRight(CheckMate.validate(cm_factory_ingest()))).toBe(true)
 * ```
 *
 * @since 0.1.0
 * @category validation
 */
export const validate = <C extends Any>(checkMate: C): Either.Either<C, InvalidDefinitionError> => {
  const problems = isCheckMate(checkMate) ? checkMate.problems : [notOne(checkMate)]
  return Arr.isNonEmptyReadonlyArray(problems)
    ? Either.left(new InvalidDefinitionError({ checkMate: nameOf(checkMate), problems }))
    : Either.right(checkMate)
}

const notOne = (given: unknown): DefinitionProblem => ({
  problem: typeof given === "function"
    ? "this is a function and not a CheckMate; call it"
    : "this is not a CheckMate; make it with CheckMate.make"
})

const nameOf = (given: unknown): string => asText(Predicate.hasProperty(given, "name") ? given.name : given)

/**
 * Adds a description or tags, for whatever lists or draws the CheckMate. Its tasks carry the tags in front of their own.
 *
 * ```ts
 * const nightly = cm_factory_ingest().pipe(CheckMate.annotate({ tags: ["nightly"] }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const annotate: {
  (annotations: Stage.Annotations): <C extends Any>(self: C) => C
  <C extends Any>(self: C, annotations: Stage.Annotations): C
} = dual(2, <C extends Any>(self: C, annotations: Stage.Annotations | undefined): C => {
  const tags = annotations?.tags ?? []
  const problems = [...self.problems, ...tagProblems(tags)]
  return {
    ...self,
    description: annotations?.description ?? self.description,
    // Of a definition that is refused they may be anything.
    tags: problems.length === 0 ? [...self.tags, ...tags] : self.tags,
    problems
  }
})
