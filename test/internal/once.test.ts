import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { Once } from "../../src/internal/once.ts"

describe("a value that comes once", () => {
  it.effect("is told to all who wait, and to all who ask later", () =>
    Effect.gen(function*() {
      const once = new Once<number>()
      const waiting = yield* Effect.forEach([1, 2], () => Effect.fork(once.await))
      yield* Effect.yieldNow()
      once.settle(7)
      expect(yield* Fiber.join(Fiber.all(waiting))).toEqual([7, 7])
      expect(yield* once.await).toBe(7)
    }))

  it.effect("stays what it was at first", () =>
    Effect.gen(function*() {
      const once = new Once<number>()
      once.settle(7)
      once.settle(8)
      expect(yield* once.await).toBe(7)
    }))

  it.effect("keeps nobody who no longer waits, and none from being told", () =>
    Effect.gen(function*() {
      const once = new Once<number>()
      const [one, other] = yield* Effect.all([Effect.fork(once.await), Effect.fork(once.await)])
      yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(one))).toBe(true)
      once.settle(7)
      expect(yield* Fiber.join(other)).toBe(7)
    }))
})
