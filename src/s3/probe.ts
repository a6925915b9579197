/**
 * Whether a store does what all here rests on: refuses a write whose condition does not hold, and takes one whose does.
 * There are stores that ignore conditions and answer 200.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type TaskIOError, UnfitStoreError } from "../CheckMateError.ts"
import { nonce } from "../internal/nonce.ts"
import type { Client } from "./client.ts"
import { type S3Failure, toTaskIOError } from "./failure.ts"

const otherwise = "Use one that keeps to If-None-Match and If-Match on PUT"

export const probe = Effect.fnUntraced(
  function*(client: Client, unquotedETags: boolean): Effect.fn.Return<void, TaskIOError | UnfitStoreError> {
    const key = `${client.prefix}probe/${yield* nonce}`
    const location = client.location("")
    const unfit = (problem: string, advice: string) => new UnfitStoreError({ location, problem, advice })
    const ifMatch = (etag: string, quoted: boolean) => ({ "if-match": quoted ? `"${etag}"` : etag })
    const tag = Effect.map(client.get(key), Option.map(({ etag }) => etag))

    const check: Effect.Effect<void, S3Failure | UnfitStoreError> = Effect.gen(function*() {
      const created = yield* client.tryPut(key, "first", { "if-none-match": "*" })
      const first = yield* Effect.catchIf(tag, ({ kind }) => kind === "damaged", () =>
        unfit(
          "what was just written reads back as something else",
          "Check the endpoint: it may be that of another server, as of the store's own web page"
        ))
      if (Option.isNone(first)) {
        return yield* unfit(
          created.status === 200
            ? "what was just written could not be read"
            : `it answered ${created.status} to a PUT with If-None-Match: *, where there was nothing`,
          otherwise
        )
      }
      const second = yield* client.tryPut(key, "second", { "if-none-match": "*" })
      if (second.status === 200) {
        return yield* unfit("it ignores If-None-Match: a second creation was not refused", otherwise)
      }
      const wrong = yield* client.tryPut(key, "third", ifMatch("0123456789abcdef0123456789abcdef", !unquotedETags))
      if (wrong.status === 200) {
        return yield* unfit("it ignores If-Match: a write over another ETag was not refused", otherwise)
      }
      yield* client.tryPut(key, "fourth", ifMatch(first.value, !unquotedETags))
      // Not by its answer: that may have been lost, and the second try refused.
      if (!Option.contains(yield* tag, first.value)) return
      yield* client.tryPut(key, "fifth", ifMatch(first.value, unquotedETags))
      const [bare, advice] = unquotedETags
        ? ["with their quotes", "Leave unquotedETags out, or set it to false"]
        : ["without their quotes", "Set unquotedETags to true"]
      return yield* Option.contains(yield* tag, first.value)
        ? unfit("it refuses a write over the right ETag", otherwise)
        : unfit(`it compares ETags ${bare} only`, advice)
    })

    yield* check.pipe(
      Effect.ensuring(Effect.ignore(client.remove(key))),
      Effect.catchTag("S3Failure", (failure) => Effect.fail(toTaskIOError("be tried")(failure)))
    )
  }
)
