/** A clock that a test moves by hand. It waits for nobody, which the TestClock does, for some 20 milliseconds. */
import { Clock, Duration, Effect } from "effect"

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

export type HandClock = Effect.Effect.Success<typeof make>

export const make = Effect.sync(() => {
  let now = 0
  const sleepers = new Set<Sleeper>()
  const clock: Clock.Clock = {
    ...Clock.make(),
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const sleeper: Sleeper = {
          until: now + Math.ceil(Duration.toMillis(duration)),
          wake: () => {
            sleepers.delete(sleeper)
            resume(Effect.void)
          }
        }
        sleepers.add(sleeper)
        return Effect.sync(() => sleepers.delete(sleeper))
      })
  }
  const pass = (duration: Duration.DurationInput) =>
    Effect.sync(() => {
      now += Duration.toMillis(duration)
      for (const { until, wake } of sleepers) if (until <= now) wake()
    })
  /** Until the next one who sleeps is to be woken, if anybody sleeps. */
  const passToNext = Effect.suspend(() => {
    const next = Math.min(...[...sleepers].map(({ until }) => until))
    return Number.isFinite(next) ? pass(Math.max(next - now, 0)) : Effect.void
  })
  return { clock, pass, passToNext }
})
