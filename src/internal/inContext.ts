/** Effects in another context, where it is the hot path. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import { identity } from "effect/Function"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { Box, uninterruptibleMask } from "./region.ts"

/** Says that the services an effect needs are in its fiber's context. */
export function provided<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E>
export function provided(self: unknown): unknown {
  return self
}

/**
 * Runs an effect in what a function makes of its context, and puts that back. It must not be interrupted, but for what it
 * restores: `Effect.provide` and its kin put the context back by a finalizer, which costs three times the steps. `answer` is
 * what is done about a failure.
 */
export const inContext = <A, E, R, E2 = E>(
  self: Effect.Effect<A, E, R>,
  change: (outer: Context.Context<never>) => Context.Context<never>,
  answer: (cause: Cause.Cause<E>) => Effect.Effect<A, E | E2> = Effect.failCause
): Effect.Effect<A, E | E2> =>
  Effect.withFiberRuntime((fiber) => {
    const outer = fiber.currentContext
    const back = FiberRef.set(FiberRef.currentContext, outer)
    return Effect.zipRight(
      FiberRef.set(FiberRef.currentContext, change(outer)),
      Effect.matchCauseEffect(provided(self), {
        onFailure: (cause) => Effect.zipRight(back, answer(cause)),
        onSuccess: (value) => Effect.as(back, value)
      })
    )
  })

/** `Effect.scoped` in fewer steps; not to be interrupted, but for what it restores. */
export const inScope = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.flatMap(Scope.make(), (scope) => {
    const end = (exit: Exit.Exit<A, E>) => Effect.zipRight(Scope.close(scope, exit), exit)
    return Effect.matchCauseEffect(inContext(self, Context.add(Scope.Scope, scope)), {
      onFailure: (cause) => end(Exit.failCause(cause)),
      onSuccess: (value) => end(Exit.succeed(value))
    })
  })

/** Runs an effect as long as the Scope, also where that is made in what is not to be interrupted, as finalizers are. */
export const inBackground = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R | Scope.Scope> => Effect.forkScoped(Effect.interruptible(self))

/** `Fiber.await` in fewer steps: a wait that is interrupted is not called off, and its answer is not heard. */
export const exitOf = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.suspend(() => Effect.async(observing(new Box(fiber))))

const observing =
  <A, E>(box: Box<Fiber.RuntimeFiber<A, E>>) => (resume: (exit: Effect.Effect<Exit.Exit<A, E>>) => void): void =>
    box.take()?.addObserver((exit) => resume(Effect.succeed(exit)))

/** How an effect ended, and after how many nanoseconds. */
export interface Ended<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly nanos: bigint
}

/**
 * Runs an effect in a span of its own, in what a function makes of its context with that; not to be interrupted, but for
 * what it restores. The span is told of a failure what `told` makes of it. What a tracer throws is what the effect ended with,
 * as with Effect's own spans.
 */
export const spanned = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  name: string,
  attributes: Record<string, unknown>,
  change: (outer: Context.Context<never>, span: Tracer.Span) => Context.Context<never>,
  told: (cause: Cause.Cause<E>) => Cause.Cause<unknown> = identity
): Effect.Effect<Ended<A, E>> =>
  Effect.matchCauseEffect(Effect.makeSpan(name, { attributes, captureStackTrace: false }), {
    onFailure: (thrown) => Effect.succeed({ exit: Exit.failCause(thrown), nanos: 0n }),
    onSuccess: (span) =>
      Effect.withFiberRuntime<Ended<A, E>>((fiber) => {
        const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
        const timed = fiber.getFiberRef(FiberRef.currentTracerTimingEnabled)
        const start = clock.unsafeCurrentTimeNanos()
        let nanos = 0n
        let own: Cause.Cause<E> | undefined
        const end = (exit: Exit.Exit<A, E>, shown: Exit.Exit<A, unknown>): Ended<A, E> => {
          const now = clock.unsafeCurrentTimeNanos()
          nanos = now - start
          span.end(timed ? now : 0n, shown)
          return { exit, nanos }
        }
        const ended = Effect.matchCause(self, {
          onFailure: (cause) => {
            own = cause
            return end(Exit.failCause(cause), Exit.failCause(told(cause)))
          },
          onSuccess: (value) => {
            const exit = Exit.succeed(value)
            return end(exit, exit)
          }
        })
        return inContext(
          ended,
          (outer) => change(outer, span),
          (thrown) =>
            Effect.succeed({ exit: Exit.failCause(own === undefined ? thrown : Cause.sequential(own, thrown)), nanos })
        )
      })
  })

/** `Effect.withSpan` in fewer steps. */
export const inSpan = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  name: string,
  attributes: Record<string, unknown>
): Effect.Effect<A, E, R> =>
  uninterruptibleMask((restore) =>
    Effect.flatMap(
      spanned(restore(self), name, attributes, (outer, span) => Context.add(outer, Tracer.ParentSpan, span)),
      ({ exit }) => exit
    )
  )
