/**
 * Drives a retry Schedule whose position survives restarts. The journal keeps, for each failure the Schedule has
 * answered, when it was and what it was like; a fresh process steps the Schedule over them, with their own times, and
 * is where the dead one was. Only the state that comes of it counts: the decisions are history.
 */
import * as BigInt from "effect/BigInt"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Decision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import { StageDefectError } from "../CheckMateError.ts"
import type { Failure } from "../Failure.ts"
import type * as Stage from "../Stage.ts"
import type * as Task from "../Task.ts"
import { logWarning } from "./log.ts"
import type { Session } from "./session.ts"

/** Steps the Schedule over a failure: its next state, and when the next attempt is due, if there is to be one. */
export const step = <R>(
  schedule: Stage.RetrySchedule<R>,
  state: unknown,
  now: number,
  failure: unknown
): Effect.Effect<{ readonly state: unknown; readonly dueAt: Option.Option<number> }, never, R> =>
  Effect.map(Effect.suspend(() => schedule.step(now, failure, state)), ([next, _, decision]) => {
    if (Decision.isDone(decision)) return { state: next, dueAt: Option.none() }
    const start = Intervals.start(decision.intervals)
    // What is no time, as that of a header which does not read, is now, as to Effect's own retry.
    return { state: next, dueAt: Option.some(start > now ? start : now) }
  })

/** A likeness of what a stage failed with, made of what was kept of it; an Error where it was one. */
const likenessOf = ({ causes = [], fields, message, stack, tag }: Failure): unknown => {
  switch (tag) {
    case "string":
      return message
    case "number":
      return Number(unquoted(message))
    case "bigint":
      return Option.getOrElse(BigInt.fromString(unquoted(message)), () => message)
    case "boolean":
      return message === "true"
    case "null":
      return null
    case "undefined":
      return undefined
    default: {
      const [cause, ...beneath] = causes
      const beneathIt = cause === undefined ? {} : { cause: likenessOf({ ...cause, causes: beneath }) }
      const kept = { name: tag, ...fields, _tag: tag, message, ...beneathIt }
      return stack === undefined ? kept : Object.assign(new Error(message), kept, { stack })
    }
  }
}

/** Numbers that JSON has no word for are kept in quotes. */
const unquoted = (message: string): string => message.replaceAll("\"", "")

/** What a Schedule that looks at its input is shown of a failure whose process is gone. */
const standIn = (taskId: string, stage: string, { attempt, failure }: Task.Retry): unknown => {
  switch (failure.kind) {
    case "Defect":
      return new StageDefectError({ taskId, stage, attempt, defect: likenessOf(failure) })
    case "Interruption":
      return new StageDefectError({ taskId, stage, attempt, defect: new Cause.InterruptedException(failure.message) })
    default:
      return likenessOf(failure)
  }
}

/**
 * The Schedule's state after the failures the journal tells of. Where it dies over the likeness of one, it is stepped
 * with the failure at hand in its place, whose shape it knows: it must not begin to count anew.
 */
export const restore = <R>(
  schedule: Stage.RetrySchedule<R>,
  taskId: string,
  { name, retries }: Task.StageRecord,
  atHand: unknown
): Effect.Effect<unknown, never, R> =>
  Effect.reduce(retries, schedule.initial, (state, earlier) => {
    const over = (failure: unknown) => step(schedule, state, DateTime.toEpochMillis(earlier.at), failure)
    return Effect.suspend(() => over(standIn(taskId, name, earlier))).pipe(
      Effect.catchAllDefect(() => over(atHand)),
      Effect.map((next) => next.state)
    )
  })

/** Timers take 31 bits of milliseconds, and what is longer never fires: it is waited for day by day. */
const day = 86_400_000

/** Sleeps for any number of milliseconds. */
export const sleep = (milliseconds: number): Effect.Effect<void> =>
  milliseconds <= day
    ? Effect.sleep(milliseconds)
    : Effect.zipRight(Effect.sleep(day), Effect.suspend(() => sleep(milliseconds - day)))

/** What `Effect.timeoutFail` does, for any number of milliseconds. */
export const timeoutFail = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  options: { readonly duration: Duration.Duration; readonly onTimeout: () => E2 }
): Effect.Effect<A, E | E2, R> => {
  const milliseconds = Duration.toMillis(options.duration)
  return milliseconds <= day
    ? Effect.timeoutFail(self, options)
    : Effect.raceFirst(self, Effect.zipRight(sleep(milliseconds), Effect.failSync(options.onTimeout)))
}

/** Retries an effect within this process, by a Schedule, until the session is ending: then its failure stands. */
export const retry = <A, E, R, R2>(
  self: Effect.Effect<A, E, R>,
  schedule: Stage.RetrySchedule<R2> | undefined,
  session: Session
): Effect.Effect<A, E, R | R2> => {
  if (schedule === undefined) return self
  const loop = (state: unknown): Effect.Effect<A, E, R | R2> =>
    Effect.catchAllCause(self, (cause) =>
      Effect.gen(function*() {
        const failure = Cause.failureOption(cause)
        // What has a defect beside it is not answered, as by Effect's own retry.
        if (Option.isNone(failure) || !Chunk.isEmpty(Cause.defects(cause))) return yield* Effect.failCause(cause)
        const now = DateTime.toEpochMillis(yield* DateTime.now)
        const stepped = Effect.flatMap(step(schedule, state, now, failure.value), (next) =>
          Option.isNone(next.dueAt)
            ? Effect.succeedNone
            : Effect.as(sleep(next.dueAt.value - now), Option.some(next.state))).pipe(
            Effect.catchAllDefect((defect) =>
              Effect.as(
                logWarning("The rollbackRetry Schedule died; the rollback is given up", Cause.die(defect)),
                Option.none()
              )
            )
          )
        // In a fiber of its own, where it can be cut short though its caller is not to be interrupted.
        const waited = yield* session.fork(
          Effect.interruptible(Effect.raceFirst(stepped, Effect.as(session.ending.await, Option.none())))
        )
        const next = yield* Fiber.join(waited)
        return yield* Option.isSome(next) ? loop(next.value) : Effect.failCause(cause)
      }))
  return Effect.suspend(() => loop(schedule.initial))
}
