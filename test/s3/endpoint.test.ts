/** Where a store is, and what is said of one that is elsewhere. None of these is asked anything. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import * as S3 from "effect-checkmate/s3"
import { make, options, refusal } from "./madeUpStore.ts"

/** What is said of a store that gives such an answer to all. */
const said = (status: number, body: string, headers: Readonly<Record<string, string>> = {}) => {
  const client = HttpClient.make((request) =>
    Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body, { status, headers })))
  )
  return Effect.map(
    Effect.flip(Effect.provideService(S3.makeTaskIO(options), HttpClient.HttpClient, client)),
    (error) => error.message
  )
}

describe("S3: an endpoint", () => {
  it.effect("and a region that are set to nothing in the environment are not set", () =>
    Effect.gen(function*() {
      const variables = [
        ["CHECKMATE_S3_BUCKET", "b"],
        ["AWS_ENDPOINT_URL_S3", ""],
        ["AWS_ENDPOINT_URL", "http://store.example"],
        ["AWS_REGION", ""]
      ] as const
      const found = yield* Effect.withConfigProvider(S3.fromEnvironment, ConfigProvider.fromMap(new Map(variables)))
      expect(found).toEqual({
        bucket: "b",
        credentials: S3.credentialsFromEnvironment,
        endpoint: "http://store.example"
      })
    }))

  it.effect("that is no http or https URL is told at once, and how to give it", () =>
    Effect.gen(function*() {
      for (const endpoint of ["localhost:9000", "ftp://localhost", "127.0.0.1:9000", ""]) {
        const error = yield* Effect.flip(Effect.provide(S3.makeTaskIO({ ...options, endpoint }), make().layer))
        expect([endpoint, error]).toMatchObject([endpoint, {
          _tag: "TaskIOError",
          problem: "its endpoint is no http or https URL. Give it as https://host:port"
        }])
      }
    }))

  it.effect("shows no password in what is said of it", () =>
    Effect.gen(function*() {
      const endpoint = "http://me:hidden@store.example:9000/s3/?key=hidden"
      const store = make(() => Effect.succeed(refusal(403, "AccessDenied")))
      const error = yield* Effect.flip(Effect.provide(S3.makeTaskIO({ ...options, endpoint }), store.layer))
      expect(error.message).toContain("of http://store.example:9000/s3: it answered 403")
    }))

  it.effect("without the name of a bucket is told before anything is asked of it", () =>
    Effect.gen(function*() {
      const store = make(() => Effect.dieMessage("it is asked"))
      for (const pathStyle of [true, false, undefined]) {
        const nameless = S3.makeTaskIO({ ...options, bucket: "", pathStyle })
        expect((yield* Effect.flip(Effect.provide(nameless, store.layer))).message).toContain(
          "it has no name. Give it as `bucket`."
        )
      }
    }))

  it.effect("that no bucket's name can stand in front of is told, before anything is asked of another host", () =>
    Effect.gen(function*() {
      const store = make(() => Effect.dieMessage("it is asked"))
      for (
        const [endpoint, bucket] of [["http://127.0.0.1:9000", "b"], ["http://a.example", "b c"], ["http://a", "b/c"], [
          "http://a",
          "b#c"
        ]] as const
      ) {
        const reached = { ...options, endpoint, bucket, pathStyle: false }
        const error = yield* Effect.flip(Effect.provide(S3.makeTaskIO(reached), store.layer))
        expect([endpoint, bucket, error]).toMatchObject([endpoint, bucket, {
          _tag: "TaskIOError",
          problem: expect.stringContaining("cannot stand in front of the host")
        }])
      }
    }))
})

describe("S3: a store that is elsewhere", () => {
  it.live("tells where the bucket is, or to where it sends on, and what to do about it", () =>
    Effect.gen(function*() {
      const region = { "x-amz-bucket-region": "eu-central-1" }
      const here = "The bucket is in eu-central-1: set that as `region`."
      expect(yield* said(301, refusal(301, "PermanentRedirect").body, region)).toContain(here)
      expect(yield* said(307, refusal(307, "TemporaryRedirect").body, { ...region, location: "http://c" })).toContain(
        here
      )
      const malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"
      expect(yield* said(400, malformed)).toContain(here)
      expect(yield* said(301, refusal(301, "PermanentRedirect").body)).toContain("Set the bucket's region as `region`.")
      expect(yield* said(302, "", { location: "https://store.example/" }))
        .toContain("It sends on to https://store.example/, and requests are signed for one place")
    }))

  it.live("and answers with pages is told from one that does not keep to conditions", () =>
    Effect.gen(function*() {
      expect(yield* said(200, "<html><body>Welcome</body></html>", { etag: "\"1\"" }))
        .toContain("what was just written reads back as something else. Check the endpoint")
    }))
})
