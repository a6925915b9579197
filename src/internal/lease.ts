/**
 * What locks with a lease have in common: an engine's signs of life, what it holds by them, and that it gives up what
 * another engine may have taken from it.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { Binding } from "../BindLock/Driver.ts"
import { inBackground } from "./inContext.ts"
import { Once } from "./once.ts"
import { duration } from "./options.ts"

/** A task that is held. `mark` is what the lock has to know of it. */
export interface Held<Mark> {
  readonly mark: Mark
  readonly lost: Once<string>
}

/** A hold as whoever works on the task sees it. It is let go of with the Scope. */
export const bind = Effect.fnUntraced(
  function*(
    name: string,
    { lost }: Held<unknown>,
    letGo: Effect.Effect<void>
  ): Effect.fn.Return<Binding, never, Scope.Scope> {
    yield* Scope.addFinalizer(yield* Effect.scope, letGo)
    return { holder: { name, since: yield* DateTime.now }, lost: lost.await }
  }
)

const signsPerLease = 5

/**
 * By both clocks, of which the one that has moved further counts: the wall clock may be set back, and the other one stands
 * still while a machine is suspended.
 */
interface Moment {
  readonly wall: number
  readonly nanos: bigint
}

const now: Effect.Effect<Moment> = Effect.map(Effect.clock, (clock) => ({
  wall: clock.unsafeCurrentTimeMillis(),
  nanos: clock.unsafeCurrentTimeNanos()
}))

const over = <Mark>(lease: Duration.Duration) => {
  const beat = Duration.times(lease, 1 / signsPerLease)
  const held = new Map<string, Held<Mark>>()
  /** Engines that were watched, each with the sign it had given. One that gives another is none of them any more. */
  const watched = new Map<string, string>()
  let alive: Moment | undefined

  /** For how many milliseconds no sign of life has been given. */
  const silence = Effect.map(now, ({ nanos, wall }) =>
    alive === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(wall - alive.wall, Number(nanos - alive.nanos) / 1e6))
  const lose = (taskId: string, reason: string): Effect.Effect<void> =>
    Effect.sync(() => held.get(taskId)?.lost.settle(reason))
  const takenOver = (taskId: string): Effect.Effect<void> =>
    lose(taskId, "another engine took it over, because this one gave no sign of life in time")

  /** What is left of the lease; the time between two signs at least. */
  const left = Effect.map(
    silence,
    (millis) => Duration.max(Duration.millis(Duration.toMillis(lease) - millis + 1), beat)
  )
  /** Gives everything up that has been out of reach for the lease, since another engine may have taken it by now. */
  const outOfReach = (problem: string): Effect.Effect<void> =>
    Effect.flatMap(silence, (millis) =>
      millis <= Duration.toMillis(lease)
        ? Effect.void
        : Effect.forEach(held.keys(), (taskId) => lose(taskId, `its lock cannot be reached: ${problem}`), {
          discard: true
        }))

  return {
    lease,
    /** From one sign of life to the next. */
    beat,
    held,
    /** Gives a sign of life. It counts from before it was given: whoever sees it sees no younger one. */
    sign: <A, E, R>(give: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.flatMap(now, (moment) =>
        Effect.tap(give, () =>
          Effect.sync(() => {
            if (alive === undefined || moment.nanos > alive.nanos) alive = moment
          }))),
    wasEverAlive: (): boolean => alive !== undefined,
    /** Whether the last sign is recent. An engine that was frozen has to give one before it holds anything new. */
    isSeenAlive: Effect.map(silence, (millis) => millis <= Duration.toMillis(beat) * 2),
    left,
    /** Tells whoever works on a task that it is another engine's. */
    takenOver,
    outOfReach,
    /**
     * Gives everything up also where there is no answer at all, for as long as that is waited for. A beat later: where this
     * engine was frozen, the answer may be there, and not seen yet.
     */
    unanswered: <A, E, R>(sign: Effect.Effect<A, E, R>, problem: string): Effect.Effect<A, E, R> => {
      const wait = Effect.zipRight(Effect.flatMap(left, Effect.sleep), Effect.delay(outOfReach(problem), beat))
      return Effect.scoped(Effect.zipRight(inBackground(Effect.forever(wait)), sign))
    },
    /** Gives signs of life at every beat, as long as the Scope. */
    keepAlive: (sign: Effect.Effect<void>): Effect.Effect<void, never, Scope.Scope> =>
      Effect.asVoid(inBackground(Effect.repeat(Effect.delay(sign, beat), Schedule.forever))),
    /**
     * Whether an engine that was silent is so still, two signs' time later: gone, or found with the sign it had given. One
     * that holds many tasks is watched once for all of them.
     */
    staysSilent: <E, R>(engine: string, sign: string, look: Effect.Effect<Option.Option<string>, E, R>) =>
      Effect.suspend(() =>
        watched.get(engine) === sign
          ? Effect.succeed(true)
          : Effect.map(Effect.delay(look, Duration.times(beat, 2)), (found) => {
            if (Option.isNone(found)) return true
            if (found.value !== sign) return false
            watched.set(engine, sign)
            return true
          })
      ),
    /** An engine is seen alive: what it gave may be gone again, as it was when it was watched. */
    seenAlive: (engine: string): void => {
      watched.delete(engine)
    },
    /** Lets a hold go, unless it was lost and the task is held anew by this very engine. */
    release: (taskId: string, mine: Held<Mark>, letGo: Effect.Effect<unknown>): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (held.get(taskId) !== mine) return Effect.void
        held.delete(taskId)
        return Effect.asVoid(letGo)
      }),
    /**
     * Tries until a task is held, and notes it. A try without an answer was in the way of another's, who has either bound
     * the task by then, or let it go.
     */
    hold: Effect.fnUntraced(
      function*<E>(
        taskId: string,
        tryToHold: Effect.Effect<Option.Option<Mark>, E>,
        restore: (pause: Effect.Effect<void>) => Effect.Effect<void>
      ): Effect.fn.Return<Held<Mark>, E> {
        let mark = yield* tryToHold
        while (Option.isNone(mark)) {
          yield* restore(Effect.sleep(Duration.millis(yield* Random.nextIntBetween(5, 50))))
          mark = yield* tryToHold
        }
        // Of somebody who holds it still, and was not told yet, it was taken since.
        yield* takenOver(taskId)
        const found: Held<Mark> = { mark: mark.value, lost: new Once<string>() }
        held.set(taskId, found)
        return found
      }
    )
  }
}

/** `given` is the option of a lock, `otherwise` its default, `atLeast` its lower bound. */
export const make = <Mark>(
  given: Duration.DurationInput | undefined,
  otherwise: Duration.DurationInput,
  atLeast: Duration.DurationInput
) => Effect.map(duration("lease", given, otherwise), (lease) => over<Mark>(Duration.max(lease, atLeast)))
