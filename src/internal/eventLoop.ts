/** The event loop's turns, in each of which signals, sockets and files are seen to. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { oneAtATime } from "./inTurn.ts"
import { Once } from "./once.ts"

/** By the machine's clock, whatever clock the caller keeps to. */
const timer = Clock.make().sleep(Duration.zero)

/** What is settled by the event loop's next turn; nothing where there is no `setImmediate`. */
const nextTurn = (): Once<void> | undefined => {
  const setImmediate: unknown = Reflect.get(globalThis, "setImmediate")
  if (!Predicate.isFunction(setImmediate)) return undefined
  const turned = new Once<void>()
  setImmediate(() => turned.settle())
  return turned
}

/**
 * Asks for a turn of the event loop, for which the effect waits. Timers are no such thing: Node goes on with those that have
 * become due meanwhile before it looks at anything else. Where there is no `setImmediate`, there is nothing better.
 */
export const turn = (): Effect.Effect<void> => nextTurn()?.await ?? timer

/** In nanoseconds. */
const breath = 10_000_000n

/**
 * Makes what is put around each question to something that answers at once. Such questions, one after another, would keep
 * everything else waiting for as long as there are more of them: who asks ten milliseconds after the first one that the event
 * loop has not turned since waits for its turn, together with whoever else asks by then. By the clock of who asks, so that
 * nobody waits where a test moves it.
 */
export const breathing = () => {
  let first = 0n
  let turned: Once<void> | undefined
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime((fiber) => {
      const now = Context.get(fiber.currentDefaultServices, Clock.Clock).unsafeCurrentTimeNanos()
      if (turned === undefined || turned.isSettled) {
        first = now
        turned = nextTurn()
      }
      return turned === undefined || now - first < breath ? self : Effect.zipRight(turned.await, self)
    })
}

/**
 * What is done to one of many tasks, before which everything else has its turn: a store that answers at once, as SQLite does,
 * lets nothing else in, no signal and no lock's sign of life, however many they are.
 */
export const afterTurn = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.zipRight(Effect.suspend(turn), self)

/**
 * The same for all of many tasks, and which of them it says yes to. Some at once, since stores do together what they are asked
 * for at the same time; but each has a turn before it that is no other's.
 */
export const filterAfterTurns = <A, E, R>(
  all: Iterable<A>,
  each: (one: A) => Effect.Effect<boolean, E, R>
): Effect.Effect<Array<A>, E, R> =>
  Effect.suspend(() => {
    const itsTurn = oneAtATime()(Effect.suspend(turn))
    return Effect.filter(all, (item) => Effect.zipRight(itsTurn, each(item)), { concurrency: 16 })
  })
