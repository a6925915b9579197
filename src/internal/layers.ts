/** Layers that a stage is provided with, built for one attempt. */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

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
              Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
            )
      )
    )
  )
