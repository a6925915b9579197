import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, TestClock } from "effect"
import * as deadline from "../../src/internal/deadline.ts"

const make = deadline.make(Duration.seconds(30), () => "too late")

describe("a deadline", () => {
  it.scoped("lets through what is done in time, and what fails", () =>
    Effect.gen(function*() {
      const inTime = yield* make
      expect(yield* inTime(Effect.succeed(1))).toBe(1)
      expect(yield* Effect.flip(inTime(Effect.fail("own")))).toBe("own")
      const slow = yield* Effect.fork(inTime(Effect.as(Effect.sleep("29 seconds"), "slow")))
      yield* TestClock.adjust("29 seconds")
      expect(yield* Fiber.join(slow)).toBe("slow")
    }))

  it.scoped("gives up what takes longer, also where it is not to be interrupted, and calls it off", () =>
    Effect.gen(function*() {
      const inTime = yield* make
      let calledOff = false
      const endless = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          calledOff = true
        }))
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(inTime(endless))))
      yield* TestClock.adjust("29 seconds")
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust("4 seconds")
      expect(yield* Fiber.join(fiber)).toBe("too late")
      yield* Effect.yieldNow()
      expect(calledOff).toBe(true)
    }))

  it.scoped("does not wait for what cannot be called off", () =>
    Effect.gen(function*() {
      const inTime = yield* make
      const stuck = Effect.uninterruptible(Effect.never)
      const fiber = yield* Effect.fork(Effect.flip(inTime(stuck)))
      yield* TestClock.adjust("33 seconds")
      expect(yield* Fiber.join(fiber)).toBe("too late")
    }))

  it.scoped("has nothing more to do with what has ended, or was given up", () =>
    Effect.gen(function*() {
      let given = 0
      const inTime = yield* deadline.make(Duration.seconds(30), () => {
        given += 1
        return "too late"
      })
      yield* inTime(Effect.void)
      yield* TestClock.adjust("60 seconds")
      expect(given).toBe(0)
      const stuck = yield* Effect.fork(Effect.flip(inTime(Effect.uninterruptible(Effect.never))))
      yield* TestClock.adjust("60 seconds")
      expect(yield* Fiber.join(stuck)).toBe("too late")
      yield* TestClock.adjust("60 seconds")
      expect(given).toBe(1)
      expect(Array.from(yield* TestClock.sleeps())).toEqual([])
    }))

  it.scoped("measures each from its own beginning", () =>
    Effect.gen(function*() {
      const inTime = yield* make
      const first = yield* Effect.fork(Effect.either(inTime(Effect.never)))
      yield* TestClock.adjust("20 seconds")
      const second = yield* Effect.fork(Effect.either(inTime(Effect.never)))
      yield* TestClock.adjust("15 seconds")
      expect(yield* Fiber.join(first)).toMatchObject({ left: "too late" })
      expect(second.unsafePoll()).toBeNull()
      yield* TestClock.adjust("20 seconds")
      expect(yield* Fiber.join(second)).toMatchObject({ left: "too late" })
    }))

  it.scoped("an interrupted caller calls it off, and does not wait for that", () =>
    Effect.gen(function*() {
      const inTime = yield* make
      let calledOff = false
      const begun = yield* Effect.makeLatch()
      const endless = Effect.zipRight(begun.open, Effect.never).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            calledOff = true
          })
        )
      )
      const fiber = yield* Effect.fork(inTime(endless))
      yield* begun.await
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      yield* Effect.yieldNow()
      expect(calledOff).toBe(true)
    }))

  it.scoped("calls off what was begun, at whatever step its caller is interrupted", () =>
    Effect.gen(function*() {
      const inTime = yield* make
      const seen = new Set<string>()
      for (let steps = 10; steps < 50; steps++) {
        let begun = false
        let calledOff = false
        const endless = Effect.sync(() => {
          begun = true
        }).pipe(
          Effect.zipRight(Effect.never),
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              calledOff = true
            })
          )
        )
        // A caller that lets others go first after so many of its steps.
        const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(inTime(endless), steps))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        for (let step = 0; step < 30; step++) yield* Effect.yieldNow()
        expect(calledOff, `after ${steps} steps`).toBe(begun)
        seen.add(begun ? "begun" : "not begun")
      }
      expect(seen).toEqual(new Set(["begun", "not begun"]))
    }))
})
