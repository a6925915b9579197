import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import * as v8 from "node:v8"
import { runInNewContext } from "node:vm"
import { interruptible, onExit, uninterruptible, uninterruptibleMask } from "../../src/internal/region.ts"

const canBeInterrupted = Effect.checkInterruptible(Effect.succeed)

describe("A region", () => {
  it.effect("can be interrupted, or cannot, as Effect's own, as often as it is run", () =>
    Effect.gen(function*() {
      const restored = uninterruptibleMask((restore) => Effect.all([canBeInterrupted, restore(canBeInterrupted)]))
      for (const _ of [1, 2]) {
        expect(yield* uninterruptible(canBeInterrupted)).toBe(false)
        expect(yield* Effect.uninterruptible(interruptible(canBeInterrupted))).toBe(true)
        expect(yield* restored).toEqual([false, true])
        expect(yield* Effect.uninterruptible(restored)).toEqual([false, false])
      }
    }))

  it.effect("dies where what it restores is run again", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(uninterruptibleMask((restore) => {
        const once = restore(Effect.succeed("answer"))
        return Effect.zip(once, once)
      }))
      const [defect] = Exit.isFailure(exit) ? Cause.defects(exit.cause) : []
      expect(String(defect)).toContain("was run again")
    }))

  it.effect("tells how it ended, also where that is an interruption", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const tell = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.sync(() => {
          told.push(Exit.isInterrupted(exit) ? "interrupted" : exit._tag)
        })
      expect(yield* onExit(Effect.succeed(1), tell)).toBe(1)
      expect(yield* Effect.flip(onExit(Effect.fail("refused"), tell))).toBe("refused")
      const fiber = yield* Effect.fork(onExit(Effect.never, tell))
      yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      expect(told).toEqual(["Success", "Failure", "interrupted"])
    }))

  it.effect("keeps nothing of what ran in it", () =>
    Effect.gen(function*() {
      v8.setFlagsFromString("--expose-gc")
      const collect: (options?: { readonly type: "minor" }) => void = runInNewContext("gc")
      const kilobytes = 100
      const runs = 100
      /** How much is kept of each run, until the next full collection. */
      const keptOf = (run: () => Effect.Effect<unknown>) =>
        Effect.gen(function*() {
          collect()
          const before = process.memoryUsage().heapUsed
          for (let index = 0; index < runs; index++) {
            yield* run()
            collect({ type: "minor" })
          }
          collect({ type: "minor" })
          return (process.memoryUsage().heapUsed - before) / 1024 / runs
        })
      /** An effect that holds what the heap is to be rid of. */
      const large = () => {
        const held = Array.from({ length: kilobytes * 128 }, () => 0)
        return Effect.sync(() => held.length)
      }
      for (
        const run of [
          () => interruptible(large()),
          () => uninterruptible(large()),
          () => uninterruptibleMask((restore) => restore(large())),
          () => onExit(large(), () => Effect.void)
        ]
      ) {
        expect(yield* keptOf(run)).toBeLessThan(kilobytes / 2)
      }
    }))
})
