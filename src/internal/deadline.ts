/** Gives up on what is not done in time, at little cost for all that is. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { inBackground } from "./inContext.ts"

interface Running {
  readonly since: number
  readonly giveUp: () => void
}

/** Bounds an effect's time, also where its caller is not to be interrupted. */
export type InTime<E> = <A, E2, R>(self: Effect.Effect<A, E2, R>) => Effect.Effect<A, E | E2, R>

/**
 * A function that fails with `late` where an effect takes longer than a time, give or take a tenth of it, and does not
 * wait until that is called off. One fiber watches over all, where `Effect.timeoutFail` has two for each.
 */
export const make = Effect.fnUntraced(
  function*<E>(limit: Duration.Duration, late: () => E): Effect.fn.Return<InTime<E>, never, Scope.Scope> {
    // One clock for both ends, whatever clock a caller keeps to.
    const clock = yield* Effect.clock
    const running = new Set<Running>()
    const some = yield* Effect.makeLatch()
    const look = Effect.sync(() => {
      const now = clock.unsafeCurrentTimeMillis()
      for (const one of running) if (now - one.since >= Duration.toMillis(limit)) one.giveUp()
      if (running.size === 0) some.unsafeClose()
    })
    yield* inBackground(
      Effect.forever(Effect.zipRight(some.await, Effect.delay(look, Duration.times(limit, 0.1))))
    )

    return <A, E2, R>(self: Effect.Effect<A, E2, R>) =>
      // What is begun is called off, whenever its caller is interrupted.
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Effect.forkDaemon(Effect.interruptible(self)), (fiber) => {
          const callOff = () => fiber.unsafeInterruptAsFork(FiberId.none)
          const answer = Effect.async<A, E | E2>((resume) => {
            const one: Running = {
              since: clock.unsafeCurrentTimeMillis(),
              giveUp: () => {
                running.delete(one)
                callOff()
                resume(Effect.fail(late()))
              }
            }
            running.add(one)
            some.unsafeOpen()
            fiber.addObserver((exit) => {
              running.delete(one)
              resume(exit)
            })
          })
          return Effect.onInterrupt(restore(answer), () => Effect.sync(callOff))
        })
      )
  }
)
