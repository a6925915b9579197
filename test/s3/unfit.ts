/** Stores that answer like S3 and do not keep to its conditions are refused. These need no server: they are made up. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as S3 from "effect-checkmate/s3"

interface Habits {
  readonly ignores?: "if-none-match" | "if-match"
  readonly forgets?: boolean
}

/** A store in memory, right but for its habits. */
const storeWith = ({ forgets, ignores }: Habits) => {
  const objects = new Map<string, { readonly body: Uint8Array<ArrayBuffer>; readonly etag: string }>()
  let writes = 0
  return HttpClient.make((request, url) =>
    Effect.sync(() => {
      const answer = (status: number, body: Uint8Array<ArrayBuffer> | null, etag = "") =>
        HttpClientResponse.fromWeb(request, new Response(body, { status, headers: { etag: `"${etag}"` } }))
      const there = objects.get(url.pathname)
      if (request.method === "GET") return there ? answer(200, there.body, there.etag) : answer(404, null)
      if (request.method === "DELETE") return answer(204, null)
      const match = request.headers["if-match"]
      const stays = (request.headers["if-none-match"] === "*" && ignores !== "if-none-match" && there !== undefined)
        || (match !== undefined && ignores !== "if-match" && match !== `"${there?.etag}"`)
      if (stays) return answer(412, null)
      const etag = String(writes++)
      const body = request.body._tag === "Uint8Array" ? new Uint8Array(request.body.body) : new Uint8Array()
      if (forgets !== true) objects.set(url.pathname, { body, etag })
      return answer(200, null, etag)
    })
  )
}

const tried = (habits: Habits, unquotedETags = false, prefix = "checkmate/") =>
  S3.makeTaskIO({
    bucket: "b",
    prefix,
    endpoint: "http://store.example",
    unquotedETags,
    credentials: { accessKeyId: Redacted.make("id"), secretAccessKey: Redacted.make("secret") }
  }).pipe(Effect.provide(Layer.succeed(HttpClient.HttpClient, storeWith(habits))))

export const unfit = (): void => {
  describe("a store is tried out when the layer is built", () => {
    it.effect("one that keeps to conditions is taken", () => Effect.asVoid(tried({})))

    for (
      const [habits, problem] of [
        [{ ignores: "if-none-match" }, "it ignores If-None-Match: a second creation was not refused"],
        [{ ignores: "if-match" }, "it ignores If-Match: a write over another ETag was not refused"],
        [{ forgets: true }, "what was just written could not be read"]
      ] satisfies ReadonlyArray<readonly [Habits, string]>
    ) {
      it.effect(`${JSON.stringify(habits)} is refused: ${problem}`, () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(tried(habits))
          expect(error).toMatchObject({ _tag: "UnfitStoreError", problem })
          expect(error.message).toContain("http://store.example")
        }))
    }

    it.effect("a prefix that addresses do not keep is refused: what is written under it would not be found", () =>
      Effect.gen(function*() {
        for (const prefix of ["../tasks/", "a/./b/", ".."]) {
          const error = yield* Effect.flip(tried({}, false, prefix))
          expect(error).toMatchObject({ _tag: "UnfitStoreError", problem: expect.stringContaining(`"${prefix}"`) })
        }
        yield* tried({}, false, "a..b/.c/")
      }))

    it.effect("so is one that is cut in the middle of a character, which no address can hold", () =>
      Effect.gen(function*() {
        expect(yield* Effect.flip(tried({}, false, "\ud83d/"))).toMatchObject({
          _tag: "UnfitStoreError",
          problem: "its name or the prefix is no Unicode text"
        })
        yield* tried({}, false, "🙂/")
      }))

    it.effect("one that wants quotes is found out where none are set", () =>
      Effect.gen(function*() {
        expect(yield* Effect.flip(tried({}, true))).toMatchObject({
          _tag: "UnfitStoreError",
          advice: "Leave unquotedETags out, or set it to false"
        })
      }))
  })
}
