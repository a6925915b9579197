import { expect, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { nonce } from "../../src/internal/nonce.ts"

it.effect("a nonce is another in each process, also in those that seed their random numbers alike", () =>
  Effect.gen(function*() {
    const inAProcess = Effect.withRandom(nonce, Random.make("seed"))
    const nonces = yield* Effect.replicateEffect(inAProcess, 100)
    expect(new Set(nonces).size).toBe(100)
    for (const one of nonces) expect(one).toMatch(/^[0-9a-f]{16}$/)
  }))
