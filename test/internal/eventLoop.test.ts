import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Stage } from "effect-checkmate"

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
      const compute = Effect.sync(() => {
        chunks += 1
        const end = performance.now() + 2
        while (performance.now() < end) continue
      })
      const computing = Effect.repeat(Effect.zipRight(compute, Stage.yieldToEventLoop), {
        until: () => heard || chunks >= 2_000
      })
      yield* Effect.all([computing, computing, computing, computing], { concurrency: "unbounded" })
      expect(heard).toBe(true)
      expect(chunks).toBeLessThan(100)
    }).pipe(Effect.scoped))
})
