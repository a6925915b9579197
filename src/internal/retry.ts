/**
 * Drives a retry Schedule whose position survives restarts. The journal keeps, for each failure the Schedule has
 * answered, when it was and what it was like; a fresh process steps the Schedule over them, with their own times, and
 * is where the dead one was. Only the state that comes of it counts: the decisions are history.
 */
import type * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Decision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import type { Failure } from "../Failure.ts"
import type * as Stage from "../Stage.ts"
import type * as Task from "../Task.ts"
import type { Session } from "./session.ts"

/** Steps the Schedule over a failure: its next state, and when the next attempt is due, if there is to be one. */
export const step = <R>(
  schedule: Stage.RetrySchedule<R>,
  state: unknown,
  now: number,
  failure: unknown
): Effect.Effect<{ readonly state: unknown; readonly dueAt: Option.Option<number> }, never, R> =>
  Effect.map(Effect.suspend(() => schedule.step(now, failure, state)), ([next, _, decision]) => ({
    state: next,
    dueAt: Decision.isDone(decision) ? Option.none() : Option.some(Math.max(now, Intervals.start(decision.intervals)))
  }))

/** What a Schedule that looks at its input is shown of a failure whose process is gone. */
const standIn = (failure: Failure): unknown => {
  switch (failure.tag) {
    case "string":
      return failure.message
    case "number":
      return Number(failure.message)
    default:
      return { ...failure.fields, _tag: failure.tag, message: failure.message }
  }
}

/** The Schedule's state after the failures the journal tells of. */
export const restore = <R>(
  schedule: Stage.RetrySchedule<R>,
  retries: Chunk.Chunk<Task.Retry>
): Effect.Effect<unknown, never, R> =>
  Effect.reduce(
    retries,
    schedule.initial,
    (state, { at, failure }) =>
      step(schedule, state, DateTime.toEpochMillis(at), standIn(failure)).pipe(
        Effect.map((next) => next.state),
        Effect.catchAllDefect((defect) =>
          Effect.as(
            Effect.logWarning("A retry Schedule could not be stepped over a failure of an earlier process", defect),
            state
          )
        )
      )
  )

/** Timers take 31 bits of milliseconds, and what is longer never fires: it is waited for day by day. */
const day = 86_400_000

/** Sleeps for any number of milliseconds. */
export const sleep = (milliseconds: number): Effect.Effect<void> =>
  milliseconds <= day
    ? Effect.sleep(milliseconds)
    : Effect.zipRight(Effect.sleep(day), Effect.suspend(() => sleep(milliseconds - day)))

/** Retries an effect within this process, by a Schedule, until the session is ending: then its failure stands. */
export const retry = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  schedule: Stage.RetrySchedule<R2> | undefined,
  session: Session
): Effect.Effect<A, E, R | R2> => {
  if (schedule === undefined) return self
  const loop = (state: unknown): Effect.Effect<A, E, R | R2> =>
    Effect.catchAll(self, (error) =>
      Effect.gen(function*() {
        const now = DateTime.toEpochMillis(yield* DateTime.now)
        const next = yield* step(schedule, state, now, error)
        if (Option.isNone(next.dueAt)) return yield* Effect.fail(error)
        // In a fiber of its own, where it can be cut short though its caller is not to be interrupted.
        const waited = yield* session.fork(Effect.interruptible(Effect.raceFirst(
          Effect.as(sleep(next.dueAt.value - now), true),
          Effect.as(session.ending.await, false)
        )))
        return yield* (yield* Fiber.join(waited)) ? loop(next.state) : Effect.fail(error)
      }))
  return Effect.suspend(() => loop(schedule.initial))
}
