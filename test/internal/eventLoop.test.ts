import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Stage } from "effect-checkmate"
import { breathing } from "../../src/internal/eventLoop.ts"
import { turnsOf } from "../support/turns.ts"

/** Keeps the process busy. */
const compute = (milliseconds: number) =>
  Effect.sync(() => {
    const end = performance.now() + milliseconds
    while (performance.now() < end) continue
  })

describe("Stage.yieldToEventLoop", () => {
  it.live("lets a signal through while several fibers compute", () =>
    Effect.gen(function*() {
      let heard = false
      const listen = () => {
        heard = true
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("SIGUSR2", listen)),
        () => Effect.sync(() => process.off("SIGUSR2", listen))
      )
      process.kill(process.pid, "SIGUSR2")
      let chunks = 0
      const chunk = Effect.tap(compute(2), () => {
        chunks += 1
      })
      const computing = Effect.repeat(Effect.zipRight(chunk, Stage.yieldToEventLoop), {
        until: () => heard || chunks >= 2_000
      })
      yield* Effect.all([computing, computing, computing, computing], { concurrency: "unbounded" })
      expect(heard).toBe(true)
      expect(chunks).toBeLessThan(100)
    }).pipe(Effect.scoped))
})

describe("questions that are answered at once", () => {
  it("are answered at once", () => {
    const breathe = breathing()
    expect(Effect.runSync(breathe(Effect.succeed(1)))).toBe(1)
    expect(Effect.runSync(breathe(Effect.fail("no").pipe(Effect.flip)))).toBe("no")
  })

  it.effect("are answered at once however long that takes, where a test has the clock in its hand", () =>
    Effect.gen(function*() {
      expect(yield* turnsOf(Effect.repeatN(breathing()(compute(1)), 30))).toBe(0)
    }))

  it.live("let the event loop turn, however many there are, and whoever asks", () =>
    Effect.gen(function*() {
      const breathe = breathing()
      let asked = 0
      let before = 0
      let longest = 0
      let turns = 0
      const count = () => {
        longest = Math.max(longest, asked - before)
        before = asked
        turns += 1
        next = setImmediate(count)
      }
      let next = setImmediate(count)
      const ask = breathe(Effect.tap(compute(1), () => {
        asked += 1
      }))
      yield* Effect.all(Array.from({ length: 20 }, () => Effect.repeatN(ask, 19)), { concurrency: "unbounded" })
      clearImmediate(next)
      expect(asked).toBe(400)
      expect(turns).toBeGreaterThan(10)
      // Ten milliseconds' worth in all, and one of each who has waited.
      expect(longest).toBeLessThan(60)
    }))
})
