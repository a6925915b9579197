/**
 * What CheckMate counts and times, with Effect's own Metric: by the names of CheckMates and stages, which are few, and never
 * by task.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

const labelsOf = (fiber: AnyFiber) => fiber.getFiberRef(FiberRef.currentMetricLabels)

// --- what there is -----------------------------------------------------------------

type Labels = Readonly<Record<string, string>>

const labelled = (labels: Labels) => Object.entries(labels).map(([key, value]) => MetricLabel.make(key, value))

const counter = (name: string, description: string) => (labels: Labels) =>
  Metric.fromMetricKey(
    MetricKey.taggedWithLabels(MetricKey.counter(name, { description, incremental: true }), labelled(labels))
  )

/** Upper bounds in seconds, each four times the one before. */
const seconds = (start: number) => MetricBoundaries.exponential({ start, factor: 4, count: 10 })

const histogram = (name: string, start: number, description: string) => (labels: Labels) =>
  Metric.fromMetricKey(
    MetricKey.taggedWithLabels(MetricKey.histogram(name, seconds(start), description), labelled(labels))
  )

const tasks = counter("checkmate_tasks", "Tasks that ended in this process, by outcome")
const attempts = counter("checkmate_stage_attempts", "Stage attempts that ended in this process, by outcome")
const retries = counter("checkmate_retries", "Attempts that were scheduled again")
const rollbacks = counter("checkmate_rollbacks", "Rollbacks that ended in this process, by outcome")
const durations = histogram("checkmate_stage_duration_seconds", 0.001, "Duration of stage attempts, in seconds")
const latency = histogram("checkmate_append_duration_seconds", 0.00005, "Duration of journal appends, in seconds")({})

/** Makes what belongs to a name once. */
const byName = <A>(make: (name: string) => A) => {
  const made = new Map<string, A>()
  return (name: string): A => {
    const known = made.get(name)
    if (known !== undefined) return known
    const metric = make(name)
    made.set(name, metric)
    return metric
  }
}

type AttemptOutcome = "succeeded" | "failed" | "interrupted" | "crashed"
type RollbackOutcome = "succeeded" | "failed"
export type TaskOutcome = "succeeded" | "failed" | "paused" | "cancelled" | "rolledBack" | "interrupted"

const metricsOf = byName((checkMate) => ({
  tasks: byName((outcome) => tasks({ check_mate: checkMate, outcome })),
  stages: byName((stage) => {
    const labels = { check_mate: checkMate, stage }
    return {
      attempts: byName((outcome) => attempts({ ...labels, outcome })),
      duration: durations(labels),
      retries: retries(labels),
      rollbacks: byName((outcome) => rollbacks({ ...labels, outcome }))
    }
  })
}))

/** Whose task it is, as a session knows it. */
interface Of {
  readonly task: { readonly checkMate: string } | undefined
}

const stageMetrics = ({ task }: Of, stage: string) => metricsOf(task?.checkMate ?? "").stages(stage)

// --- what happens ------------------------------------------------------------------

/** `Metric.increment` in fewer steps. */
const increment = (metric: () => Metric.Metric.Counter<number>): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    metric().unsafeUpdate(1, labelsOf(fiber))
    return Effect.void
  })

export const taskEnded = (checkMate: string, outcome: TaskOutcome): Effect.Effect<void> =>
  increment(() => metricsOf(checkMate).tasks(outcome))

/** Counts an attempt that ended, and how long it took where that is known; as part of a step, for the hot path. */
export const countAttempt = (fiber: AnyFiber, of: Of, stage: string, outcome: AttemptOutcome, nanos?: bigint): void => {
  const labels = labelsOf(fiber)
  const { attempts, duration } = stageMetrics(of, stage)
  attempts(outcome).unsafeUpdate(1, labels)
  if (nanos !== undefined) duration.unsafeUpdate(Number(nanos) / 1e9, labels)
}

export const attemptEnded = (of: Of, stage: string, outcome: AttemptOutcome, nanos?: bigint): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    countAttempt(fiber, of, stage, outcome, nanos)
    return Effect.void
  })

export const rollbackEnded = (of: Of, stage: string, outcome: RollbackOutcome): Effect.Effect<void> =>
  increment(() => stageMetrics(of, stage).rollbacks(outcome))

export const retried = (of: Of, stage: string): Effect.Effect<void> => increment(() => stageMetrics(of, stage).retries)

/** Times an append that succeeds. */
export const appendLatency = <E, R>(append: () => Effect.Effect<void, E, R>): Effect.Effect<void, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
    const start = clock.unsafeCurrentTimeNanos()
    return Effect.map(append(), () => {
      latency.unsafeUpdate(Number(clock.unsafeCurrentTimeNanos() - start) / 1e9, labelsOf(fiber))
    })
  })
