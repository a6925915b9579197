import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Option } from "effect"
import * as Lease from "../../src/internal/lease.ts"

/** A clock of which the two times are set by hand. */
const clocks = () => {
  const time = { millis: 1_000_000, nanos: 5_000_000n }
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => time.millis,
    unsafeCurrentTimeNanos: () => time.nanos,
    currentTimeMillis: Effect.sync(() => time.millis),
    currentTimeNanos: Effect.sync(() => time.nanos),
    sleep: () => Effect.void
  }
  return {
    clock,
    /** What passes by the wall clock, and what by the one that never goes back. */
    pass: (wall: number, steady: number) => {
      time.millis += wall * 1000
      time.nanos += BigInt(steady) * 1_000_000_000n
    }
  }
}

/** Whether a task that is held by a lease of ten seconds is given up, out of reach, once so much has passed. */
const isLostAfter = (wall: number, steady: number) => {
  const { clock, pass } = clocks()
  return Effect.gen(function*() {
    const leased = yield* Lease.make<void>("10 seconds", "10 seconds", "1 second")
    yield* leased.sign(Effect.void)
    const { lost } = yield* leased.hold("t", Effect.succeed(Option.some(undefined)), (pause) => pause)
    const told = yield* Effect.fork(lost.await)
    pass(wall, steady)
    yield* leased.outOfReach("the cable is out")
    yield* Effect.yieldNow()
    const found = yield* Fiber.poll(told)
    yield* Fiber.interrupt(told)
    return Option.isSome(found)
  }).pipe(Effect.withClock(clock))
}

describe("a lease", () => {
  it.effect("is given up once its engine has been out of reach for as long, and not before", () =>
    Effect.gen(function*() {
      expect(yield* isLostAfter(9, 9)).toBe(false)
      expect(yield* isLostAfter(11, 11)).toBe(true)
    }))

  it.effect("is given up in time whatever becomes of the wall clock, and after a machine was suspended", () =>
    Effect.gen(function*() {
      expect(yield* isLostAfter(-3600, 11)).toBe(true)
      expect(yield* isLostAfter(11, 1)).toBe(true)
      expect(yield* isLostAfter(-3600, 9)).toBe(false)
    }))

  it.effect("has a beat's time left for a sign at least, also where none was given yet, or it is long over", () =>
    Effect.gen(function*() {
      const { clock, pass } = clocks()
      yield* Effect.gen(function*() {
        const leased = yield* Lease.make<void>("10 seconds", "10 seconds", "1 second")
        const left = Effect.map(leased.left, Duration.toMillis)
        expect(yield* left).toBe(2_000)
        yield* leased.sign(Effect.void)
        pass(3, 3)
        expect(yield* left).toBe(7_001)
        pass(60, 60)
        expect(yield* left).toBe(2_000)
      }).pipe(Effect.withClock(clock))
    }))

  it.effect("is over for who holds a task and was not told, once it is held anew; a wait for that can be interrupted", () =>
    Effect.gen(function*() {
      const leased = yield* Lease.make<void>("10 seconds", "10 seconds", "1 second")
      let tries = 0
      let pauses = 0
      const tryToHold = Effect.sync(() => ++tries % 3 === 0 ? Option.some(undefined) : Option.none())
      const hold = leased.hold("t", tryToHold, (pause) => {
        pauses += 1
        return pause
      })
      const first = yield* hold
      const told = yield* Effect.fork(first.lost.await)
      const second = yield* hold
      expect([tries, pauses]).toEqual([6, 4])
      expect(yield* Fiber.join(told)).toContain("another engine took it over")
      expect(second.lost.isSettled).toBe(false)
    }).pipe(Effect.withClock(clocks().clock)))

  it.effect("is another engine's whose sign changes, who is watched once for as long as it does not", () =>
    Effect.gen(function*() {
      const { seenAlive, staysSilent } = yield* Lease.make<void>("10 seconds", "10 seconds", "1 second")
      const found = (sign: string) => Effect.succeedSome(sign)
      expect(yield* staysSilent("other", "1", found("2"))).toBe(false)
      expect(yield* staysSilent("other", "1", found("1"))).toBe(true)
      expect(yield* staysSilent("other", "1", Effect.die("it is looked for again"))).toBe(true)
      seenAlive("other")
      expect(yield* staysSilent("other", "1", found("2"))).toBe(false)
      expect(yield* staysSilent("other", "2", Effect.succeedNone)).toBe(true)
    }).pipe(Effect.withClock(clocks().clock)))

  it.effect("counts from before its last sign was given, and a sign that was slow does not make it older", () =>
    Effect.gen(function*() {
      const { clock, pass } = clocks()
      yield* Effect.gen(function*() {
        const leased = yield* Lease.make<void>("10 seconds", "10 seconds", "1 second")
        expect(leased.wasEverAlive()).toBe(false)
        expect(yield* leased.isSeenAlive).toBe(false)
        yield* leased.sign(Effect.sync(() => pass(3, 3)))
        expect(leased.wasEverAlive()).toBe(true)
        expect(yield* leased.isSeenAlive).toBe(true)
        pass(2, 2)
        expect(yield* leased.isSeenAlive).toBe(false)
        yield* leased.sign(leased.sign(Effect.sync(() => pass(1, 1))))
        expect(yield* leased.isSeenAlive).toBe(true)
        const late = leased.sign(Effect.suspend(() => {
          pass(3, 3)
          return leased.sign(Effect.void)
        }))
        yield* late
        pass(3, 3)
        expect(yield* leased.isSeenAlive).toBe(true)
      }).pipe(Effect.withClock(clock))
    }))
})
