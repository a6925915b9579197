/**
 * A named unit of work: what it requires of the state, what it provides, how it runs, and how it is undone.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import type * as ScheduleDecision from "effect/ScheduleDecision"
import type * as Types from "effect/Types"
import type { StageDefectError, StageTimeoutError } from "./CheckMateError.ts"
import type { AnyOutput, CheckOutput, CheckRetry, CheckReturned } from "./Stage/checks.ts"
import type { Provided } from "./Stage/context.ts"
import type * as State from "./State.ts"

/**
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: unique symbol = Symbol.for("checkmate/Stage")

/**
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * A Schedule with its input erased. Its steps are driven by the engine, which journals its position.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetrySchedule<out R> {
  readonly initial: unknown
  // A method: what it is stepped with are the failures of the very stage it was given for.
  step(
    now: number,
    failure: unknown,
    state: unknown
  ): Effect.Effect<readonly [unknown, unknown, ScheduleDecision.ScheduleDecision], never, R>
}

/**
 * A stage as the engine sees it: dataflow by name, values untyped.
 *
 * @since 0.1.0
 * @category models
 */
export interface Any<out E = unknown, out R = unknown> {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly state: State.Any
  readonly requires: ReadonlyArray<string>
  readonly provides: ReadonlyArray<string>
  readonly description: string | undefined
  readonly tags: ReadonlyArray<string>
  readonly retry: RetrySchedule<R> | undefined
  readonly retryDefects: boolean
  readonly rollbackRetry: RetrySchedule<R> | undefined
  readonly timeout: Duration.Duration | undefined
  /** Whether what the stage writes to the engine's database commits together with its checkpoint. */
  readonly transactional: boolean
  /** Turns the failure the stage gives up with into the one its caller sees. */
  readonly mapError: Erased<E, R>["mapError"]
  readonly execute: Erased<E, R>["execute"]
  readonly fallbacks: ReadonlyArray<Fallback<R | Provided>>
  readonly rollback: Erased<E, R>["rollback"] | undefined
  /** What combinators were given that does not fit, one sentence without its subject each. See `CheckMate.validate`. */
  readonly problems: ReadonlyArray<string>
}

/** The functions of a stage. Methods, because the engine hands them just the values their own types ask for. */
interface Erased<out E, out R> {
  mapError(error: unknown): E
  execute(state: Attributes): Effect.Effect<unknown, unknown, R | Provided>
  rollback(state: Attributes, cause: Cause.Cause<unknown>): Effect.Effect<void, unknown, R | Provided>
}

/**
 * What answers an attempt's failure in its place; asked behind the time-out, so that it can answer that too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fallback<out R> {
  matches(error: unknown): boolean
  answer(error: unknown, state: Attributes): Effect.Effect<unknown, never, R>
}

/**
 * Attributes by name, values untyped.
 *
 * @since 0.1.0
 * @category models
 */
export type Attributes = Readonly<Record<string, unknown>>

/**
 * A unit of work over the state model `F`: it needs the attributes `Requires`, returns the attributes `Provides`,
 * fails with `E` and uses the services `R`. Make one with {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stage<
  out Name extends string,
  F extends State.Fields,
  out Requires extends keyof F,
  out Provides extends keyof F,
  out E,
  out R
> extends Any<E, R>, Pipeable {
  readonly name: Name
  readonly state: State.State<F>
  readonly requires: ReadonlyArray<Extract<Requires, string>>
  readonly provides: ReadonlyArray<Extract<Provides, string>>
}

/**
 * What a stage's `execute` returns: the attributes it provides.
 *
 * @since 0.1.0
 * @category models
 */
export type Output<F extends State.Fields, Provides extends keyof F> = Types.Simplify<
  { readonly [K in Provides]: State.Attributes<F>[K] }
>

/**
 * What a stage is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<
  F extends State.Fields,
  Requires extends keyof F,
  Provides extends keyof F,
  Out,
  E,
  R,
  E2,
  R2,
  R3,
  R4,
  Timeout extends Duration.DurationInput,
  Defects extends boolean
> {
  /** For people: shown by whatever lists or draws the stage. */
  readonly description?: string | undefined
  /** For people and tools. */
  readonly tags?: ReadonlyArray<string> | undefined
  /**
   * Attributes that must be present before the stage runs.
   *
   * @default []
   */
  readonly requires?: ReadonlyArray<Requires>
  /**
   * Attributes the stage returns, all of them and no others. One that is there already is replaced.
   *
   * @default []
   */
  readonly provides?: ReadonlyArray<Provides>
  /** The work. Resources it acquires are released at the attempt's end. */
  readonly execute: (state: State.View<F, Requires>) => Effect.Effect<Out, E, R>
  /**
   * Undoes the work, after a failed attempt or when the task is rolled back. It sees the state as it was when the
   * stage ran, with the stage's output if it had succeeded, and the cause. It may be asked to undo work that was
   * only begun, so it must be safe to run when there is nothing to undo.
   */
  readonly rollback?:
    | ((state: State.View<F, Requires>, cause: Cause.Cause<unknown>) => Effect.Effect<void, E2, R2>)
    | undefined
  /**
   * When to try again after a typed failure. Its position survives restarts.
   *
   * @default no retries
   */
  readonly retry?:
    | Schedule.Schedule<
      unknown,
      | NoInfer<E>
      | ([Timeout] extends [never] ? never : StageTimeoutError)
      | ([Defects] extends [true] ? StageDefectError : never),
      R3
    >
    | undefined
  /**
   * Whether `retry` also answers defects and self-inflicted interruptions, given to it as `StageDefectError`.
   *
   * @default false
   */
  readonly retryDefects?: Defects | undefined
  /**
   * When to try a failed rollback again, within this process.
   *
   * @default no retries
   */
  readonly rollbackRetry?: Schedule.Schedule<unknown, NoInfer<E2>, R4> | undefined
  /**
   * How long an attempt may take before it is interrupted and fails with `StageTimeoutError`. More than zero.
   *
   * @default no limit
   */
  readonly timeout?: Timeout | undefined
}

function pipe(this: unknown) {
  return pipeArguments(this, arguments)
}

/** The options with their types erased: what {@link make} works on. */
interface ErasedOptions extends Annotations {
  readonly requires?: ReadonlyArray<string>
  readonly provides?: ReadonlyArray<string>
  readonly execute: Erased<unknown, unknown>["execute"]
  readonly rollback?: Erased<unknown, unknown>["rollback"] | undefined
  readonly retry?: RetrySchedule<unknown> | undefined
  readonly retryDefects?: boolean | undefined
  readonly rollbackRetry?: RetrySchedule<unknown> | undefined
  readonly timeout?: Duration.DurationInput | undefined
}

/** The options, also where untyped code leaves them out: that there is no execute is a problem of the definition. */
function orNone(options: ErasedOptions): ErasedOptions
function orNone(options: unknown): unknown {
  return options ?? {}
}

/**
 * Makes a stage of a state model. In `execute` the required attributes are present and all others optional; it must
 * return exactly what the stage provides.
 *
 * ```ts
 * import { Stage } from "effect-checkmate"
 * import { Schedule } from "effect"
 *
 * const index = Stage.make(Ingest, "index", {
 *   requires: ["chunks"],
 *   provides: ["indexed"],
 *   retry: Schedule.exponential("200 millis").pipe(Schedule.intersect(Schedule.recurs(5))),
 *   timeout: "10 minutes",
 *   execute: ({ chunks }) => Effect.map(SearchIndex.add(chunks), (indexed) => ({ indexed })),
 *   rollback: ({ chunks }) => SearchIndex.remove(chunks)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function make<
  F extends State.Fields,
  const Name extends string,
  Out extends AnyOutput<F> = AnyOutput<F>,
  E = never,
  R = never,
  const Requires extends keyof F = never,
  const Provides extends keyof F = never,
  E2 = never,
  R2 = never,
  R3 = never,
  R4 = never,
  const Timeout extends Duration.DurationInput = never,
  const Defects extends boolean = false,
  // What provides names, also where that is no attribute.
  const Named extends string = never,
  // What retry takes, also where that is too little.
  Retried = unknown,
  // What execute returns, also where that is no Effect.
  Returned = Effect.Effect<Out, E, R>
>(
  state: State.State<F>,
  name: CheckOutput<CheckReturned<CheckRetry<Name, Retried, Timeout, Defects>, Returned>, F, Provides, Named, Out>,
  options: Options<F, Requires, Provides, Out, E, R, E2, R2, R3, R4, Timeout, Defects> & {
    // With what an editor can offer.
    readonly provides?: ReadonlyArray<keyof F> | ReadonlyArray<Named>
    readonly retry?: Schedule.Schedule<unknown, Retried, unknown> | undefined
    readonly execute: (state: State.View<F, Requires>) => Returned
  }
): Stage<
  Name,
  F,
  NoInfer<Requires>,
  NoInfer<Provides>,
  E | ([Timeout] extends [never] ? never : StageTimeoutError),
  Exclude<R | R2, Provided> | R3 | R4
>
export function make(state: State.Any, name: string, given: ErasedOptions): Any & Pipeable {
  const options = orNone(given)
  return {
    [TypeId]: TypeId,
    pipe,
    name,
    state,
    requires: options.requires ?? [],
    provides: options.provides ?? [],
    description: options.description,
    tags: options.tags ?? [],
    retry: options.retry,
    retryDefects: options.retryDefects ?? false,
    rollbackRetry: options.rollbackRetry,
    // What is no Duration becomes zero, which CheckMate.make reports as a problem.
    timeout: options.timeout === undefined
      ? undefined
      : Option.getOrElse(Duration.decodeUnknown(options.timeout), () => Duration.zero),
    transactional: false,
    mapError: identity,
    execute: options.execute,
    fallbacks: [],
    rollback: options.rollback,
    problems: []
  }
}

/**
 * Whether a value is a stage.
 *
 * @since 0.1.0
 * @category guards
 */
export const isStage = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

/**
 * What people and tools are told about a stage or a CheckMate.
 *
 * @since 0.1.0
 * @category models
 */
export interface Annotations {
  readonly description?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
}

export * from "./Stage/combinators.ts"
export * from "./Stage/context.ts"
