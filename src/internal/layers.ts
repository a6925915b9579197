/** Layers that a stage is provided with, built for one attempt. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

/**
 * What a layer failed with, and which `Stage.provide` gave the layer. What was done to the stage before that one must not
 * be told of it; the engine unwraps it for everybody else.
 */
class LayerFailure extends Data.TaggedClass("checkmate/LayerFailure")<{
  readonly error: unknown
  readonly provide: symbol
}> {}

/** Whether an attempt failed with what the layer of this `Stage.provide` failed with. */
export const isOf = (error: unknown, provide: symbol): error is LayerFailure =>
  error instanceof LayerFailure && error.provide === provide

/** What users know an attempt's failure as. */
export const unwrapped = (error: unknown): unknown => error instanceof LayerFailure ? error.error : error

/** The layer, with its failures told from all others. */
export const marked = <ROut, E, RIn>(
  layer: Layer.Layer<ROut, E, RIn>,
  provide: symbol
): Layer.Layer<ROut, LayerFailure, RIn> =>
  Layer.catchAllCause(
    layer,
    (cause) => Layer.failCause(Cause.map(cause, (error) => new LayerFailure({ error, provide })))
  )

/**
 * Runs work with a layer in a Scope of their own within the attempt's, so that what the work acquires is released before
 * the layer. Work that fails is over: what answers it, or a Scope that ends well, must not find its session open.
 */
export const within = <A, E, R, ROut, E2, RIn>(
  work: Effect.Effect<A, E, R>,
  layer: Layer.Layer<ROut, E2, RIn>
): Effect.Effect<A, E | E2, Exclude<R, ROut> | RIn | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.scopeWith((outer) =>
      Effect.flatMap(
        Scope.fork(outer, ExecutionStrategy.sequential),
        (scope) =>
          restore(Effect.flatMap(Layer.buildWithScope(layer, scope), (services) => Effect.provide(work, services)))
            .pipe(
              // The layer's resources may ask for a Scope, too.
              Effect.provideService(Scope.Scope, scope),
              Effect.onError((cause) => Scope.close(scope, Exit.failCause(Cause.map(cause, unwrapped))))
            )
      )
    )
  )
