/** The tasks that run in this engine, and word of every change to them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type { Session, Stop } from "./session.ts"

export interface Running {
  readonly session: Session
  /** Interrupts the task's work, and returns once that is over. */
  readonly stop: (reason: Stop) => Effect.Effect<void>
  /** Completes once the task has left this engine. */
  readonly left: Effect.Effect<void>
}

export interface Registry {
  readonly running: Map<string, Running>
  readonly changes: PubSub.PubSub<string>
}

/** Slow watchers miss changes rather than hold up the work; they look at the journal anyway. */
const backlog = 256

export const make: Effect.Effect<Registry> = Effect.map(PubSub.sliding<string>(backlog), (changes) => ({
  running: new Map(),
  changes
}))

/** Asks a running task to stop at its next boundary. */
export const pause = (running: Running): Effect.Effect<void> =>
  Effect.suspend(() => {
    running.session.pausing = true
    return Effect.asVoid(Deferred.succeed(running.session.pause, undefined))
  })
