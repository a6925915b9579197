/**
 * Regions that can be interrupted or cannot, which keep nothing of what ran in them.
 *
 * V8 places a function that is assigned to a property among the long-lived objects from its beginning, and Effect's regions and
 * waits are such functions (`effect.effect_instruction_i1 = () => self`). What hangs on one stands until the next full
 * collection of garbage, long after it was left. So what a region goes on with is in a box that is emptied as it is entered.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/** Makes an effect as interruptible as its caller was. */
export type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** What is taken once, and held no longer by whoever still holds the box. */
export class Box<A> {
  private held: A | undefined

  constructor(held: A) {
    this.held = held
  }

  take(): A | undefined {
    const { held } = this
    this.held = undefined
    return held
  }
}

/** A defect of the engine's own. */
const again = Effect.dieMessage("What can be run once was run again")

/** At the top of the file, as `entered` is, so that the function holds its box and nothing else. */
const taken = <A, E, R>(box: Box<Effect.Effect<A, E, R>>) => () => box.take() ?? again

/** An effect that can be run once, and is let go of as it begins. */
const once = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => Effect.suspend(taken(new Box(self)))

type Use<A, E, R> = (restore: Restore) => Effect.Effect<A, E, R>

const entered = <A, E, R>(box: Box<Use<A, E, R>>): Use<A, E, R> => (restore) =>
  box.take()?.((self) => restore(once(self))) ?? again

/** `Effect.uninterruptibleMask`; what it restores can be run once. */
export const uninterruptibleMask = <A, E, R>(use: Use<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.uninterruptibleMask(entered(new Box(use))))

/** `Effect.uninterruptible`. */
export const uninterruptible = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.uninterruptible(once(self)))

/** `Effect.interruptible`. */
export const interruptible = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.interruptible(once(self)))

/** `Effect.onExit`, for what does not fail. */
export const onExit = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  ended: (exit: Exit.Exit<A, E>) => Effect.Effect<void, never, R2>
): Effect.Effect<A, E, R | R2> =>
  uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.exit(restore(self)), (exit) => Effect.zipRight(ended(exit), exit))
  )
