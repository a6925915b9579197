/** Both contracts over a real S3 server, every rule under a prefix of its own. */
import { FetchHttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Clock, Effect, Layer } from "effect"
import type { BindLock } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { BindLockContract, TaskIOContract, TenantContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { freshPrefix, optionsFor, type Server } from "../support/s3.ts"
import { keysUnder } from "../support/s3keys.ts"

export const platform = Layer.merge(NodeContext.layer, FetchHttpClient.layer)

/** The time outside, which the server keeps to as well. */
const live = Clock.make()

/** A lock whose waits and leases are of the time outside, whatever clock the rule keeps to. */
const onLiveClock = (lock: BindLock.Driver): BindLock.Driver => ({
  acquire: (taskId) => Effect.withClock(lock.acquire(taskId), live),
  holder: (taskId) => Effect.withClock(lock.holder(taskId), live)
})

export const contracts = (server: Server): void => {
  describeContract(
    "TaskIO contract: S3",
    TaskIOContract.rules,
    (use) =>
      S3.makeTaskIO(optionsFor(server, freshPrefix())).pipe(
        Effect.withClock(live),
        Effect.flatMap(use),
        Effect.scoped,
        Effect.provide(platform)
      ),
    { lacks: ["arrivals"] }
  )

  describeContract(
    "Tenants in S3, by prefix",
    TenantContract.rules,
    (use) =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const one = yield* S3.makeTaskIO(optionsFor(server, `${prefix}a/`))
        // Within the other's, where a store lists what begins with its prefix.
        const two = yield* S3.makeTaskIO(optionsFor(server, `${prefix}a/b/`))
        return yield* use({ one, two })
      }).pipe(Effect.withClock(live), Effect.scoped, Effect.provide(platform)),
    { lacks: ["arrivals"] }
  )

  describeContract("BindLock contract: S3", BindLockContract.rules, (use) =>
    Effect.gen(function*() {
      const options = optionsFor(server, freshPrefix())
      const make = Effect.withClock(Effect.map(S3.makeBindLock(options), onLiveClock), live)
      const [one, other] = yield* Effect.all([make, make])
      const leftovers = Effect.promise(() => keysUnder(server, `${options.prefix}lock/`))
      return yield* use({ one, other, leftovers })
    }).pipe(Effect.scoped, Effect.provide(platform)))
}
