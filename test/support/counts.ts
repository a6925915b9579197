/** What metrics say. */
import { Effect, Metric, MetricState } from "effect"

/** What is counted so far, by name and labels. */
const counts = Effect.map(Metric.snapshot, (pairs) => {
  const values = new Map<string, number>()
  for (const { metricKey, metricState } of pairs) {
    if (!metricKey.name.startsWith("checkmate_")) continue
    const labels = metricKey.tags.map(({ key, value }) => `${key}=${value}`).toSorted()
    const value = MetricState.isCounterState(metricState)
      ? Number(metricState.count)
      : MetricState.isHistogramState(metricState)
      ? metricState.count
      : 0
    values.set([metricKey.name, ...labels].join(" "), value)
  }
  return values
})

/** What has grown by how much while an effect ran, of what a pattern names. */
export const growthOf = <E, R>(pattern: RegExp, effect: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    const before = yield* counts
    yield* effect
    const grown: Record<string, number> = {}
    for (const [name, value] of yield* counts) {
      const growth = value - (before.get(name) ?? 0)
      if (growth > 0 && pattern.test(name)) grown[name] = growth
    }
    return grown
  })
