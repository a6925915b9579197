/**
 * What is done to a stage once it is made. All of it is in `Stage`.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { isList } from "../internal/json.ts"
import { isOf, marked, within } from "../internal/layers.ts"
import type { Annotations, Any, Attributes, Fallback, Output, Provided, Stage, Transactions } from "../Stage.ts"
import type * as State from "../State.ts"

/** The problems of a stage, with one more where a combinator is given what does not fit, as untyped code may. */
const noting = ({ problems }: Any, fits: boolean, problem: string): ReadonlyArray<string> =>
  fits ? problems : [...problems, problem]

/**
 * Builds a layer afresh for every attempt, and for every rollback: a fresh session, connection or transaction each
 * time, released at the attempt's end, after what the stage itself acquired. A fallback from before it has one of its
 * own, built once what failed is released. The layer's own failures count as the attempt's, so the stage's `retry` sees
 * them too; a `mapError` or `catchTag` from before it does not. Where the stage has a rollback, that needs the layer, too,
 * so a layer that may fail for a while wants a `rollbackRetry` beside the `retry`. These are asked between attempts, without
 * the layer, though the types tell them from nothing else in the stage: where a Schedule uses a service of it, give it that
 * by `Schedule.provideService`, or it dies, and the stage is given up.
 *
 * ```ts
 * const loadAfresh = load.pipe(Stage.provide(Session.layer))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const provide: {
  <ROut, E2, RIn>(layer: Layer.Layer<ROut, E2, RIn>): <
    Name extends string,
    F extends State.Fields,
    Requires extends keyof F,
    Provides extends keyof F,
    E,
    R
  >(
    self: Stage<Name, F, Requires, Provides, E, R>
  ) => Stage<Name, F, Requires, Provides, E | E2, Exclude<R, ROut> | Exclude<RIn, Provided>>
  <
    Name extends string,
    F extends State.Fields,
    Requires extends keyof F,
    Provides extends keyof F,
    E,
    R,
    ROut,
    E2,
    RIn
  >(
    self: Stage<Name, F, Requires, Provides, E, R>,
    layer: Layer.Layer<ROut, E2, RIn>
  ): Stage<Name, F, Requires, Provides, E | E2, Exclude<R, ROut> | Exclude<RIn, Provided>>
} = dual(2, <E, R, ROut, E2, RIn>(self: Any<E, R>, layer: Layer.Layer<ROut, E2, RIn>) => {
  const { rollback } = self
  const own = Symbol("provide")
  const known = marked(layer, own)
  return {
    ...self,
    // What was done before this combinator is not told of the layer's failures: its types do not know them.
    mapError: (error: unknown) => isOf(error, own) ? error.error : self.mapError(error),
    execute: (state: Attributes) => within(self.execute(state), known),
    fallbacks: self.fallbacks.map((fallback) => ({
      matches: (error: unknown) => !isOf(error, own) && fallback.matches(error),
      answer: (error: unknown, state: Attributes) => within(fallback.answer(error, state), known)
    })),
    rollback: rollback === undefined
      ? undefined
      : (state: Attributes, cause: Cause.Cause<unknown>) => within(rollback(state, cause), layer),
    problems: noting(self, Layer.isLayer(layer), "is provided with what is not a Layer")
  }
})

/**
 * Turns the failure the stage gives up with into another. The stage's `retry` and the journal still see the original.
 *
 * ```ts
 * const chargeOrder = charge.pipe(Stage.mapError((error) => new OrderError({ because: error._tag })))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const mapError: {
  <E, E2>(f: (error: E) => E2): <
    Name extends string,
    F extends State.Fields,
    Requires extends keyof F,
    Provides extends keyof F,
    R
  >(
    self: Stage<Name, F, Requires, Provides, E, R>
  ) => Stage<Name, F, Requires, Provides, E2, R>
  <Name extends string, F extends State.Fields, Requires extends keyof F, Provides extends keyof F, E, R, E2>(
    self: Stage<Name, F, Requires, Provides, E, R>,
    f: (error: E) => E2
  ): Stage<Name, F, Requires, Provides, E2, R>
} = dual(2, <E, R, E2>(self: Any<E, R>, f: (error: E) => E2) => ({
  ...self,
  mapError: (error: unknown) => f(self.mapError(error)),
  problems: noting(self, typeof f === "function", "has a mapError that is not given a function")
}))

/** What a fallback comes to: what execute does, which may be nothing where the stage provides nothing. */
type Answer<F extends State.Fields, Provides extends keyof F> =
  | Output<F, Provides>
  | ([Provides] extends [never] ? void : never)

/**
 * Answers failures of one tag with a fallback output, within the attempt: the stage's `retry` does not see them. A
 * fallback that can fail itself belongs in `execute`.
 *
 * ```ts
 * const summarizeOrCut = summarize.pipe(
 *   Stage.catchTag("ModelOverloaded", (_, { text }) => Effect.succeed({ summary: text.slice(0, 200) }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const catchTag: {
  <
    F extends State.Fields,
    Requires extends keyof F,
    Provides extends keyof F,
    E,
    const Tag extends E extends { readonly _tag: string } ? E["_tag"] : never,
    R2
  >(
    tag: Tag,
    fallback: (
      error: Extract<E, { readonly _tag: Tag }>,
      state: State.View<F, Requires>
    ) => Effect.Effect<NoInfer<Answer<F, Provides>>, never, R2>
  ): <Name extends string, R>(
    self: Stage<Name, F, Requires, Provides, E, R>
  ) => Stage<Name, F, Requires, Provides, Exclude<E, { readonly _tag: Tag }>, R | Exclude<R2, Provided>>
  <
    Name extends string,
    F extends State.Fields,
    Requires extends keyof F,
    Provides extends keyof F,
    E,
    R,
    const Tag extends E extends { readonly _tag: string } ? E["_tag"] : never,
    R2
  >(
    self: Stage<Name, F, Requires, Provides, E, R>,
    tag: Tag,
    fallback: (
      error: Extract<E, { readonly _tag: Tag }>,
      state: State.View<F, Requires>
    ) => Effect.Effect<NoInfer<Answer<F, Provides>>, never, R2>
  ): Stage<Name, F, Requires, Provides, Exclude<E, { readonly _tag: Tag }>, R | Exclude<R2, Provided>>
} = dual(3, <E, R, R2>(self: Any<E, R>, tag: string, fallback: Fallback<R2>["answer"]) => ({
  ...self,
  fallbacks: [...self.fallbacks, {
    matches: (error: unknown) => Predicate.isTagged(self.mapError(error), tag),
    answer: (error: unknown, state: Attributes) => fallback(self.mapError(error), state)
  }],
  problems: noting(self, typeof fallback === "function", "has a catchTag that is not given a function")
}))

/**
 * Runs the stage in a transaction of the engine's own database: what it writes through `SqlClient` and its checkpoint
 * commit together or not at all, so that the stage's writes happen exactly once, whenever the process dies. The same
 * holds for its rollback. A failed attempt is undone by the database; `rollback` is asked only once the stage has
 * succeeded. What answers a failure by `catchTag` has a transaction of its own, which holds nothing of what failed. The
 * transaction lasts as long as the attempt, so keep it short, and keep what is no SQL out of it. While it lasts every
 * SqlClient works on it, also one that was made for another database: so does `withTransaction` of @effect/sql.
 *
 * ```ts
 * const transfer = Stage.make(Transfer, "transfer", {
 *   requires: ["from", "to", "cents"],
 *   execute: ({ cents, from, to }) =>
 *     Effect.gen(function*() {
 *       const sql = yield* SqlClient.SqlClient
 *       yield* sql`update accounts set cents = cents - ${cents} where id = ${from}`
 *       yield* sql`update accounts set cents = cents + ${cents} where id = ${to}`
 *     })
 * }).pipe(Stage.transactional)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const transactional = <
  Name extends string,
  F extends State.Fields,
  Requires extends keyof F,
  Provides extends keyof F,
  E,
  R
>(
  self: Stage<Name, F, Requires, Provides, E, R>
): Stage<Name, F, Requires, Provides, E, R | Transactions> => ({ ...self, transactional: true })

/**
 * Adds a description or tags, for whatever lists or draws the stage.
 *
 * ```ts
 * const shown = embed.pipe(Stage.annotate({ description: "Asks the model", tags: ["gpu"] }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const annotate: {
  (annotations: Annotations): <S extends Any>(self: S) => S
  <S extends Any>(self: S, annotations: Annotations): S
} = dual(2, <S extends Any>(self: S, annotations: Annotations | undefined): S => ({
  ...self,
  description: annotations?.description ?? self.description,
  tags: withTags(self.tags, annotations?.tags ?? [])
}))

/** Both, or the one that is no list, as untyped code may give it: `CheckMate.make` reports that as a problem. */
const withTags = (tags: ReadonlyArray<string>, more: ReadonlyArray<string>): ReadonlyArray<string> =>
  isList(tags) && isList(more) ? [...tags, ...more] : isList(tags) ? more : tags
