/** Credentials that expire, change, or cannot be had, on a store that is made up. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Data, Effect, Exit, Redacted } from "effect"
import * as S3 from "effect-checkmate/s3"
import { summaryOf } from "../support/summary.ts"
import { recordSpans } from "../support/tracer.ts"
import { append, credentials, make, options, refusal } from "./madeUpStore.ts"

const summary = summaryOf("t")

const refused = (status: number, code: string) => {
  const { body } = refusal(status, code)
  return new Response(body, { status, headers: { date: new Date().toUTCString() } })
}

class Sealed extends Data.TaggedError("Sealed")<{ readonly vault: string; readonly token: Redacted.Redacted }> {}

describe("S3: credentials", () => {
  it.live("that expire while many requests are under way are asked for, and each request is done with those", () =>
    Effect.gen(function*() {
      let valid = "old"
      let asked = 0
      let turn = 0
      const store = make(({ headers }) =>
        Effect.suspend(() => {
          const fine = headers["authorization"]?.includes(`Credential=${valid}/`) === true
          // One after the other: the later ones are refused when the first has been given others already.
          return Effect.as(Effect.sleep(5 * (turn++ % 4)), fine ? undefined : refusal(400, "ExpiredToken"))
        })
      )
      const rotating = Effect.sync(() => {
        asked++
        return { ...credentials, accessKeyId: Redacted.make(valid) }
      })
      const driver = yield* Effect.provide(S3.makeTaskIO({ ...options, credentials: rotating }), store.layer)
      turn = 0
      valid = "new"
      const reads = yield* Effect.forEach([1, 2, 3, 4], (number) => Effect.exit(driver.read(`t-${number}`, 0)), {
        concurrency: "unbounded"
      })
      expect(reads).toEqual(reads.map(() => Exit.succeed([])))
      expect(asked).toBe(2)
    }))

  /** A store that takes requests of one access key only, and the credentials of that. */
  const rotating = () => {
    const state = { valid: "old", asked: 0, refusal: refusal(400, "ExpiredToken") }
    const store = make(({ headers }) =>
      Effect.sync(() =>
        headers["authorization"]?.includes(`Credential=${state.valid}/`) === true ? undefined : state.refusal
      )
    )
    const valid = Effect.sync(() => {
      state.asked++
      return { ...credentials, accessKeyId: Redacted.make(state.valid) }
    })
    return { state, store, valid }
  }

  it.live("that are slow to be had are asked for once, however many requests wait for them", () =>
    Effect.gen(function*() {
      const { state, store, valid } = rotating()
      const slow = Effect.delay(valid, "20 millis")
      const driver = yield* Effect.provide(S3.makeTaskIO({ ...options, credentials: slow }), store.layer)
      state.valid = "new"
      yield* Effect.forEach([1, 2, 3, 4], (number) => driver.read(`t-${number}`, 0), { concurrency: "unbounded" })
      expect(state.asked).toBe(2)
    }))

  it.live("that never come are not waited for longer than a request, also where that is not to be interrupted", () =>
    Effect.gen(function*() {
      const { state, store, valid } = rotating()
      let hangs = false
      const given = Effect.suspend(() => hangs ? Effect.never : valid)
      const patience = { requestTimeout: "50 millis", retryFor: "200 millis" } as const
      const driver = yield* Effect.provide(S3.makeTaskIO({ ...options, ...patience, credentials: given }), store.layer)
      const journal = yield* Effect.scoped(driver.open("t"))
      state.valid = "new"
      hangs = true
      const error = yield* Effect.flip(
        Effect.disconnect(journal.append(0, ["1"], summary)).pipe(
          Effect.timeout("5 seconds")
        )
      )
      expect(error).toMatchObject({ _tag: "TaskIOError", problem: expect.stringContaining("credentials") })
      hangs = false
      yield* append(driver, "t", "1")
      expect(yield* driver.read("t", 0)).toEqual(["1"])
    }))

  it.live("that cannot be had are told why, and what that was caused by", () =>
    Effect.gen(function*() {
      const { store } = rotating()
      const problem = (error: unknown) =>
        S3.makeTaskIO({ ...options, credentials: Effect.fail(error) }).pipe(
          Effect.provide(store.layer),
          Effect.flip,
          Effect.map((failed) => failed._tag === "TaskIOError" ? failed.problem : failed._tag)
        )
      expect(yield* problem({ code: 403 })).toBe(`there are no credentials for it: object {"code":403}`)
      expect(yield* problem(new Sealed({ vault: "one", token: Redacted.make("hidden") })))
        .toBe(`there are no credentials for it: Sealed {"vault":"one","token":"<redacted>"}`)
      expect(yield* problem(new Error("no answer", { cause: new Error("ECONNREFUSED") })))
        .toBe("there are no credentials for it: no answer: ECONNREFUSED")
    }))

  it.live("are asked for where the layer was built, also of another configuration than that of whoever asks", () =>
    Effect.gen(function*() {
      const { state, store } = rotating()
      const configured = new Map([["AWS_ACCESS_KEY_ID", "old"], ["AWS_SECRET_ACCESS_KEY", "secret"]])
      // As it is by the time it is asked.
      const provider: ConfigProvider.ConfigProvider = {
        ...ConfigProvider.fromMap(configured),
        load: (config) => Effect.suspend(() => ConfigProvider.fromMap(configured).load(config))
      }
      const { credentials: _, ...rest } = options
      const driver = yield* S3.makeTaskIO(rest).pipe(
        Effect.provide(store.layer),
        Effect.withConfigProvider(provider)
      )
      for (const id of ["new", "newer"]) {
        state.valid = id
        configured.set("AWS_ACCESS_KEY_ID", id)
        expect(yield* driver.read("t", 0)).toEqual([])
      }
    }))

  it.live("are asked for also where the clock was found wrong just before", () =>
    Effect.gen(function*() {
      const { state, store, valid } = rotating()
      let clock = 0
      const skewed = HttpClient.transform(store.client, (answer, request) =>
        clock-- > 0
          ? Effect.succeed(HttpClientResponse.fromWeb(request, refused(403, "RequestTimeTooSkewed")))
          : answer)
      const driver = yield* Effect.provideService(
        S3.makeTaskIO({ ...options, credentials: valid }),
        HttpClient.HttpClient,
        skewed
      )
      state.valid = "new"
      clock = 1
      expect(yield* driver.read("t", 0)).toEqual([])
    }))

  it.live("that fail to be had for a while, once they could be, are asked for again", () =>
    Effect.gen(function*() {
      const { state, store, valid } = rotating()
      let fails = 0
      const given = Effect.suspend(() => fails-- > 0 ? Effect.fail("away") : valid)
      const driver = yield* Effect.provide(S3.makeTaskIO({ ...options, credentials: given }), store.layer)
      state.valid = "new"
      fails = 2
      yield* append(driver, "t", "1")
      expect([fails, yield* driver.read("t", 0)]).toEqual([-1, ["1"]])
    }))

  it.live("whose session token has expired by MinIO's word are asked for again", () =>
    Effect.gen(function*() {
      const { state, store, valid } = rotating()
      const driver = yield* Effect.provide(S3.makeTaskIO({ ...options, credentials: valid }), store.layer)
      Object.assign(state, { valid: "new", refusal: refusal(403, "InvalidTokenId") })
      expect(yield* driver.read("t", 0)).toEqual([])
    }))

  it.live("are nowhere in what spans show, and neither is a session token", () =>
    Effect.gen(function*() {
      const store = make()
      const given = {
        ...credentials,
        secretAccessKey: Redacted.make("hidden-1"),
        sessionToken: Redacted.make("hidden-2")
      }
      const { shown, tracer } = recordSpans()
      yield* S3.makeTaskIO({ ...options, credentials: given }).pipe(
        Effect.flatMap((driver) => append(driver, "t", "1")),
        Effect.provide(store.layer),
        Effect.withTracer(tracer)
      )
      const texts = shown.map(String)
      expect(texts).toContain("PUT")
      expect(texts.filter((text) => /hidden|Signature/.test(text))).toEqual([])
    }))
})
