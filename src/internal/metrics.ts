/** What CheckMate counts and times, with Effect's own Metric. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

/** Tasks that left the engine, by outcome. */
const tasks = Metric.counter("checkmate_tasks", {
  description: "Tasks that ended in this process, by outcome",
  incremental: true
})

/** Attempts that ended, by outcome. */
const stages = Metric.counter("checkmate_stage_attempts", {
  description: "Stage attempts that ended in this process, by outcome",
  incremental: true
})

const retries = Metric.counter("checkmate_retries", {
  description: "Attempts that were scheduled again",
  incremental: true
})

const rollbacks = Metric.counter("checkmate_rollbacks", {
  description: "Rollbacks that ended in this process, by outcome",
  incremental: true
})

const seconds = MetricBoundaries.exponential({ start: 0.001, factor: 4, count: 10 })

const duration = Metric.histogram("checkmate_stage_duration_seconds", seconds, "Duration of stage attempts, in seconds")

const latency = Metric.histogram(
  "checkmate_append_duration_seconds",
  MetricBoundaries.exponential({ start: 0.00005, factor: 4, count: 10 }),
  "Duration of journal appends, in seconds"
)

const byOutcome = <Outcome extends string>(
  counter: Metric.Metric.Counter<number>,
  outcomes: ReadonlyArray<Outcome>
) => {
  const tagged = new Map(outcomes.map((outcome) => [outcome, Metric.tagged(counter, "outcome", outcome)]))
  return (outcome: Outcome): Effect.Effect<void> => Metric.increment(tagged.get(outcome) ?? counter)
}

export const taskEnded = byOutcome(tasks, ["succeeded", "failed", "paused", "cancelled", "rolledBack", "interrupted"])

export const attemptEnded = byOutcome(stages, ["succeeded", "failed", "interrupted", "crashed"])

export const rollbackEnded = byOutcome(rollbacks, ["succeeded", "failed"])

export const retried: Effect.Effect<void> = Metric.increment(retries)

const observe = (histogram: Metric.Metric.Histogram<number>) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.clockWith((clock) => {
    const start = clock.unsafeCurrentTimeNanos()
    return Effect.tap(self, () => Metric.update(histogram, Number(clock.unsafeCurrentTimeNanos() - start) / 1e9))
  })

/** Times an append that succeeds. */
export const appendLatency = observe(latency)

/** Times an attempt that succeeds. */
export const stageDuration = observe(duration)
