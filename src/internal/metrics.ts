/** What CheckMate counts and times, with Effect's own Metric. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
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

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

const labelsOf = (fiber: AnyFiber) => fiber.getFiberRef(FiberRef.currentMetricLabels)

const byOutcome = <Outcome extends string>(
  counter: Metric.Metric.Counter<number>,
  outcomes: ReadonlyArray<Outcome>
) => {
  const tagged = new Map(outcomes.map((outcome) => [outcome, Metric.tagged(counter, "outcome", outcome)]))
  return (outcome: Outcome) => tagged.get(outcome) ?? counter
}

const tasksBy = byOutcome(tasks, ["succeeded", "failed", "paused", "cancelled", "rolledBack", "interrupted"])
const stagesBy = byOutcome(stages, ["succeeded", "failed", "interrupted", "crashed"])
const rollbacksBy = byOutcome(rollbacks, ["succeeded", "failed"])

export const taskEnded = (outcome: Parameters<typeof tasksBy>[0]): Effect.Effect<void> =>
  Metric.increment(tasksBy(outcome))

/** Counts an attempt that ended, and how long it took where that is known; as part of a step, for the hot path. */
export const countAttempt = (fiber: AnyFiber, outcome: Parameters<typeof stagesBy>[0], nanos?: bigint): void => {
  const labels = labelsOf(fiber)
  stagesBy(outcome).unsafeUpdate(1, labels)
  if (nanos !== undefined) duration.unsafeUpdate(Number(nanos) / 1e9, labels)
}

export const attemptEnded = (outcome: Parameters<typeof stagesBy>[0], nanos?: bigint): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    countAttempt(fiber, outcome, nanos)
    return Effect.void
  })

export const rollbackEnded = (outcome: Parameters<typeof rollbacksBy>[0]): Effect.Effect<void> =>
  Metric.increment(rollbacksBy(outcome))

export const retried: Effect.Effect<void> = Metric.increment(retries)

/** Times an append that succeeds. */
export const appendLatency = <E, R>(append: () => Effect.Effect<void, E, R>): Effect.Effect<void, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
    const start = clock.unsafeCurrentTimeNanos()
    return Effect.map(append(), () => {
      latency.unsafeUpdate(Number(clock.unsafeCurrentTimeNanos() - start) / 1e9, labelsOf(fiber))
    })
  })
