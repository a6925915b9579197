/** Removes tasks in the background, once they have been kept for as long as they are to be. */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type { Retention } from "../CheckMateEngine/Service.ts"
import * as TaskStatus from "../TaskStatus.ts"
import { filterAfterTurns } from "./eventLoop.ts"
import { logInfo, logWarning } from "./log.ts"
import { duration, refuse } from "./options.ts"
import * as retry from "./retry.ts"
import { removable, removeIf } from "./steer.ts"
import type { Parts } from "./supervise.ts"
import { numberOf } from "./words.ts"

/** How long tasks are kept, by status. */
type Kept = ReadonlyMap<TaskStatus.Tag, Duration.Duration>

/** Looks once for tasks that are due, and removes them. What fails for one keeps no other. */
const round = Effect.fnUntraced(function*(parts: Parts, kept: Kept) {
  const now = yield* DateTime.now
  const isDue = (task: { readonly status: TaskStatus.Tag; readonly updatedAt: DateTime.Utc }) => {
    const age = kept.get(task.status)
    return age !== undefined
      && DateTime.lessThanOrEqualTo(task.updatedAt, DateTime.subtractDuration(now, age))
  }
  const due = yield* parts.taskIO.list({ status: [...kept.keys()] }).pipe(Stream.filter(isDue), Stream.runCollect)
  const removed = yield* filterAfterTurns(
    due,
    ({ taskId }) =>
      Effect.catchAllCause(removeIf(parts, taskId, isDue), (cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.interrupt
          : Effect.as(logWarning(`Task ${taskId} is due to be removed, and could not be`, cause), false))
  )
  if (removed.length > 0) {
    yield* logInfo(`Removed ${numberOf(removed.length, "task")} kept long enough`)
  }
})

/** What removes what is due, now and at intervals, without end. One round at a time. */
export const keep = Effect.fnUntraced(
  function*(parts: Parts, retention: Retention): Effect.fn.Return<Effect.Effect<void>> {
    if (!Predicate.isRecord(retention.keep)) {
      return yield* refuse(
        "retention.keep",
        retention.keep,
        ": give how long, by status, as { Succeeded: \"30 days\" }"
      )
    }
    const given: Partial<Record<TaskStatus.Tag, Duration.DurationInput | undefined>> = retention.keep
    const kept = new Map<TaskStatus.Tag, Duration.Duration>()
    for (const tag of removable(TaskStatus.Tag.literals)) {
      const age = given[tag]
      if (age !== undefined) kept.set(tag, yield* duration(`retention.keep.${tag}`, age, "0 millis"))
    }
    const every = Duration.toMillis(
      Duration.max(yield* duration("retention.every", retention.every, "1 hour"), "1 second")
    )
    // Engines that were started together do not go on looking together.
    const pause = Effect.flatMap(Random.nextRange(0.8, 1.2), (part) => retry.sleep(part * every))
    return round(parts, kept).pipe(
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.interrupt
          : logWarning("Tasks that are due to be removed could not be listed", cause)
      ),
      Effect.zipRight(pause),
      Effect.forever
    )
  }
)
