/** Locks in a bucket, of which an engine learns late, or not surely, what became. These need no server. */
import { expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import * as S3 from "effect-checkmate/s3"
import { seal } from "../../src/s3/envelope.ts"
import { rest } from "../support/pipelines.ts"
import { make, options, refusal } from "./madeUpStore.ts"

const seconds = (count: number) => Effect.repeatN(Effect.zipRight(TestClock.adjust("1 second"), rest), count - 1)

it.scoped("S3: a lock that is let go of and bound again while all are listed is not lost by that", () =>
  Effect.gen(function*() {
    const listing = yield* Effect.makeLatch(true)
    let lists = 0
    const store = make(({ key, method }) =>
      Effect.suspend(() => {
        if (method !== "GET" || key !== "") return Effect.void
        lists++
        return listing.await
      })
    )
    const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
    const first = yield* Scope.make()
    yield* Scope.extend(lock.acquire("t"), first)
    const before = lists
    yield* listing.close
    yield* Effect.repeat(seconds(1), { until: () => lists > before })
    yield* Scope.close(first, Exit.void)
    const lost = yield* Effect.fork(Effect.flatMap(lock.acquire("t"), ({ lost }) => lost))
    yield* Effect.repeat(rest, { until: () => store.objects.has("p/lock/t") })
    yield* listing.open
    yield* Effect.repeatN(rest, 3)
    expect(yield* Fiber.poll(lost)).toEqual(Option.none())
    expect(store.objects.has("p/lock/t")).toBe(true)
  }))

it.scoped("S3: a lock that another took over late from an engine that was silent, and is not any more, is left to it", () =>
  Effect.gen(function*() {
    let isSilent = false
    let signs = 0
    const store = make(({ key }) =>
      Effect.sync(() => {
        if (!key.startsWith("p/engine/")) return undefined
        signs++
        return isSilent ? refusal(403, "AccessDenied") : undefined
      })
    )
    const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
    const scope = yield* Scope.make()
    yield* Scope.extend(lock.acquire("t"), scope)
    isSilent = true
    yield* seconds(12)
    isSilent = false
    const before = signs
    yield* Effect.repeat(seconds(1), { until: () => signs > before + 1 })
    const { bytes } = yield* seal(JSON.stringify({ engine: "other", name: "other", since: new Date(0), process: null }))
    store.put("p/lock/t", new TextDecoder().decode(bytes))
    yield* Scope.close(scope, Exit.void)
    expect(store.objects.has("p/lock/t")).toBe(true)
  }))

it.scoped("S3: a lock that an engine has, and was told that it has not, is let go of with its next sign of life", () =>
  Effect.gen(function*() {
    let fails = false
    const store = make(({ key, method }) =>
      Effect.sync(() => {
        if (!fails || method !== "PUT" || key !== "p/lock/t") return undefined
        fails = false
        // As it was written, by this engine.
        const written = store.objects.get("p/lock/s")
        if (written !== undefined) store.objects.set(key, written)
        return refusal(403, "AccessDenied")
      })
    )
    const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
    yield* lock.acquire("s")
    fails = true
    expect(yield* Effect.flip(Effect.scoped(lock.acquire("t")))).toMatchObject({ _tag: "BindLockError" })
    expect(store.objects.has("p/lock/t")).toBe(true)
    yield* Effect.repeat(seconds(1), { until: () => !store.objects.has("p/lock/t") })
    expect(store.objects.has("p/lock/s")).toBe(true)
  }))

it.scoped("S3: an engine that cannot let go of a lock gives signs of life, and lets go of it once it can", () =>
  Effect.gen(function*() {
    let fails = false
    let signs = 0
    const store = make(({ key, method }) =>
      Effect.sync(() => {
        if (key.startsWith("p/engine/")) signs++
        return fails && method === "DELETE" ? refusal(403, "AccessDenied") : undefined
      })
    )
    const lock = yield* Effect.provide(S3.makeBindLock(options), store.layer)
    fails = true
    yield* Effect.scoped(lock.acquire("t"))
    const before = signs
    yield* Effect.repeat(seconds(1), { until: () => signs > before })
    expect(store.objects.has("p/lock/t")).toBe(true)
    fails = false
    yield* Effect.repeat(seconds(1), { until: () => !store.objects.has("p/lock/t") })
  }))
