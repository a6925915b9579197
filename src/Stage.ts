/**
 * A named unit of work: what it requires of the state, what it provides, how it runs, and how it is undone.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Ctx from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import type * as ScheduleDecision from "effect/ScheduleDecision"
import type * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import type { StageDefectError, StageTimeoutError } from "./CheckMateError.ts"
import * as eventLoop from "./internal/eventLoop.ts"
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
 * How far a running attempt has come, as its stage reports it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** Units done so far, in the stage's own unit. */
  readonly done: number
  /** Units there are, where the stage knows it. */
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/**
 * What a stage can know about the attempt it runs in. Available in `execute` and `rollback`:
 *
 * ```ts
 * execute: ({ order }) =>
 *   Effect.gen(function*() {
 *     const { idempotencyKey } = yield* Stage.Context
 *     return { receipt: yield* Payments.charge(order, { idempotencyKey }) }
 *   })
 * ```
 *
 * @since 0.1.0
 * @category context
 */
export class Context extends Ctx.Tag("checkmate/Stage/Context")<Context, {
  readonly taskId: string
  readonly stage: string
  /** Counts from 1 over the whole life of the task. */
  readonly attempt: number
  /**
   * Stable over attempts; new only once a rollback has run, because what was done under the old one is undone then, and
   * an outside system that remembers it would answer as if it were not. It is `task id/stage`, with `/n` behind it after the
   * nth rollback; a `/` or `%` in the stage's name is encoded as in a URL.
   */
  readonly idempotencyKey: string
  /** Grows with every engine that takes the task up, so that an outside system can refuse a stale one. */
  readonly fencingToken: number
  /**
   * Shows progress to whoever watches the task through this engine. Costs no write. Like all that runs beside the stage it
   * gets through where the stage lets it: between chunks of computing, see {@link yieldToEventLoop}.
   */
  readonly progress: (progress: Progress) => Effect.Effect<void>
}>() {}

/**
 * Lets the event loop turn once. For a stage that computes, between two chunks of work, which is when signals, sockets,
 * timers, progress and its engine's signs of life get through. `Effect.yieldNow()` lets none of these through, and
 * `Effect.sleep(0)` keeps signals and sockets waiting while several fibers compute.
 *
 * ```ts
 * Effect.forEach(chunks, (chunk) => Effect.zipLeft(Effect.sync(() => embed(chunk)), Stage.yieldToEventLoop))
 * ```
 *
 * @since 0.1.0
 * @category context
 */
export const yieldToEventLoop: Effect.Effect<void> = Effect.suspend(eventLoop.turn)

/**
 * Says that the store is one for {@link transactional} stages. Layers of stores that commit a stage's own writes together
 * with its checkpoint provide it, so that a program with any other store does not compile.
 *
 * @since 0.1.0
 * @category context
 */
export class Transactions extends Ctx.Tag("checkmate/Stage/Transactions")<Transactions, true>() {}

/**
 * What the engine provides to every stage.
 *
 * @since 0.1.0
 * @category context
 */
export type Provided = Context | Scope.Scope

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

// With object: what shares no attribute with the model would be refused before its sentence is told.
type AnyOutput<F extends State.Fields> = (Partial<State.Attributes<F>> & object) | void
type KeysOf<Out> = Out extends unknown ? keyof Out : never
type MissingFrom<Out, Provides> = Out extends unknown ? Exclude<Provides, keyof Out> : never

/** The stage's name where the output is right, a sentence where it is not. */
type CheckOutput<Name extends string, F extends State.Fields, Provides extends keyof F, Named, Out> =
  // What the compiler tries with before it has looked at execute.
  [AnyOutput<F>] extends [Out] ? Name
    // A model made at run time is checked there.
    : string extends keyof F ? Name
    // A name that is none makes the compiler take Provides for every attribute.
    : [Exclude<Named, keyof F>] extends [never] ? CheckDeclared<Name, F, Provides, Out>
    : string extends Named
      ? `stage "${Name}" gives provides a list whose names the compiler does not know; write them in place, or end the list with as const`
    : `stage "${Name}" provides "${Exclude<Named, keyof F> & string}", which the state model does not declare`

type CheckDeclared<Name extends string, F extends State.Fields, Provides extends keyof F, Out> =
  [MissingFrom<Out, Provides>] extends [never]
    ? [Exclude<KeysOf<Out>, Provides>] extends [never]
      ? [Out] extends [[Provides] extends [never] ? void | object : Output<F, Provides>] ? Name
      : `stage "${Name}" returns an attribute it provides as another type, or perhaps not at all`
    : [Provides] extends [never]
      ? `stage "${Name}" provides nothing, so its execute must return nothing; end it with Effect.asVoid, or list what it returns in provides, an array`
    : `stage "${Name}" returns "${Exclude<KeysOf<Out>, Provides> & string}", which it does not list in provides`
    : `stage "${Name}" provides "${MissingFrom<Out, Provides> & string}", which its execute does not return`

/** The same for an execute that returns no Effect, or one of a value without names. */
type CheckReturned<Name extends string, Returned> = [Returned] extends [Effect.Effect<object | void, unknown, unknown>]
  ? Name
  : [Returned] extends [Effect.Effect<unknown, unknown, unknown>]
    ? `stage "${Name}" has an execute that comes to a value without a name; end it with Effect.asVoid, or return an object of what it provides`
  : [Returned] extends [PromiseLike<unknown>]
    ? `stage "${Name}" has an execute that returns a Promise and not an Effect; wrap that in Effect.tryPromise`
  : [Returned] extends [Iterator<unknown, unknown, never>]
    ? `stage "${Name}" has an execute that is a generator function; wrap its generator in Effect.gen`
  : `stage "${Name}" has an execute that returns a value that is no Effect; wrap it in Effect.succeed`

/** The same for what its retry is shown beside what execute fails with. */
type CheckRetry<Name extends string, Retried, Timeout, Defects> = unknown extends Retried ? Name
  : [Timeout] extends [never] ? CheckRetriedDefects<Name, Retried, Defects>
  : [StageTimeoutError] extends [Retried] ? CheckRetriedDefects<Name, Retried, Defects>
  : `stage "${Name}" has a timeout, so its retry is shown StageTimeoutError, too; let its Schedule take that beside what execute fails with`

type CheckRetriedDefects<Name extends string, Retried, Defects> = [Defects] extends [true]
  ? [StageDefectError] extends [Retried] ? Name
  : `stage "${Name}" has retryDefects, so its retry is shown StageDefectError, too; let its Schedule take that beside what execute fails with`
  : Name

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
    rollback: options.rollback
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
