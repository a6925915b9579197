/**
 * Objects in an S3 bucket: read, written under a condition, listed, removed; tried again within a bound.
 *
 * What became of a conditional write is often not told: the answer is lost, or is a 5xx, or a 412 to a request that was
 * sent twice. So whatever is not a plain "written" is looked up: the object's nonce says whether it is this write's.
 */

import type * as HttpClient from "@effect/platform/HttpClient"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { duration } from "../internal/options.ts"
import { type Answer, etagOf, textOf, timeOf } from "./answer.ts"
import { seal, type Sealed, unseal } from "./envelope.ts"
import { S3Failure } from "./failure.ts"
import * as http from "./http.ts"
import { type Page, pageOf } from "./listing.ts"
import type { S3Options } from "./Options.ts"
import { bodyOf, leftOf, mostAtOnce } from "./removing.ts"

/** An object as it was found. */
export interface Found {
  readonly content: string
  readonly nonce: string
  readonly etag: string
  /** How long ago it was written, in milliseconds, by the store's own clock. */
  readonly age: Option.Option<number>
}

/** What became of a conditional write. */
export type Outcome =
  | { readonly _tag: "Written"; readonly etag: string }
  /** The condition does not hold: what is there instead. */
  | { readonly _tag: "Refused"; readonly found: Option.Option<Found> }

/** `any`: whatever is there; `absent`: only where nothing is; else only over the object of this ETag. */
export type Condition = "any" | "absent" | { readonly etag: string }

interface ListOptions {
  /** Names up to the next "/" only. */
  readonly folders?: boolean
  /** At most so many. */
  readonly limit?: number
}

export interface Client {
  readonly prefix: string
  readonly location: (key: string) => string
  readonly get: (key: string) => Effect.Effect<Option.Option<Found>, S3Failure>
  readonly put: (key: string, content: string, condition: Condition) => Effect.Effect<Outcome, S3Failure>
  /** Removes an object; with an ETag, only that one, where the store can do that. */
  readonly remove: (key: string, etag?: string) => Effect.Effect<void, S3Failure>
  /** Removes objects, whatever they are by then. */
  readonly removeAll: (keys: ReadonlyArray<string>) => Effect.Effect<void, S3Failure>
  /** One page of what is under a prefix; `after` is the `next` of the one before. */
  readonly page: (prefix: string, options?: ListOptions, after?: string) => Effect.Effect<Page, S3Failure>
  /** All pages. */
  readonly list: (prefix: string, options?: ListOptions) => Effect.Effect<Page, S3Failure>
  /** A write with these headers, as the store answers it, tried again only where it gives no answer. For the probe. */
  readonly tryPut: (
    key: string,
    content: string,
    headers: Readonly<Record<string, string>>
  ) => Effect.Effect<Answer, S3Failure>
}

/** How many requests are under way at once for one operation. */
export const atOnce = 16

const ageOf = (answer: Answer): Option.Option<number> =>
  Option.zipWith(timeOf(answer, "date"), timeOf(answer, "last-modified"), (now, then) => now - then)

export const make = Effect.fnUntraced(
  function*(options: S3Options): Effect.fn.Return<Client, S3Failure, HttpClient.HttpClient> {
    const { location, request } = yield* http.make(
      options,
      yield* duration("requestTimeout", options.requestTimeout, "15 seconds")
    )
    const patience = yield* duration("retryFor", options.retryFor, "30 seconds")
    // What waits for the store waits by the time outside, whatever clock a task keeps to.
    const clock = yield* Effect.clock

    const again = Schedule.exponential("100 millis").pipe(
      Schedule.union(Schedule.spaced("2 seconds")),
      Schedule.jittered,
      Schedule.upTo(patience)
    )
    const retry = <A>(self: Effect.Effect<A, S3Failure>): Effect.Effect<A, S3Failure> =>
      self.pipe(
        Effect.retry({
          schedule: again,
          while: ({ kind }) => kind === "passing" || kind === "conflict"
        }),
        Effect.withClock(clock)
      )

    const quoted = (etag: string): string => options.unquotedETags === true ? etag : `"${etag}"`
    const headersFor = (condition: Condition): Readonly<Record<string, string>> =>
      condition === "any" ? {} : condition === "absent" ? { "if-none-match": "*" } : {
        "if-match": quoted(condition.etag)
      }

    // --- reading ---------------------------------------------------------------

    const read = (key: string) =>
      Effect.flatMap(
        request({ method: "GET", key, fine: [200, 404] }),
        (answer): Effect.Effect<Option.Option<Found>, S3Failure> => {
          if (answer.status === 404) return Effect.succeedNone
          const found = Option.zipWith(unseal(answer.body), etagOf(answer), (content, etag): Found => ({
            ...content,
            etag,
            age: ageOf(answer)
          }))
          return Option.isSome(found) ? Effect.succeed(found) : Effect.fail(
            new S3Failure({
              location: location(key),
              problem: "the object is not whole: its checksum, its length or its first line is wrong",
              kind: "damaged"
            })
          )
        }
      )

    /** An answer that is not whole may be whole the next time; what is never whole is damaged. */
    const readWhole = (key: string) =>
      Effect.retry(read(key), {
        while: ({ kind }) => kind === "damaged",
        times: 4,
        schedule: Schedule.exponential("50 millis")
      })

    // --- writing ---------------------------------------------------------------

    const send = (key: string, { bytes }: Sealed, condition: Condition) =>
      request({ method: "PUT", key, body: bytes, headers: headersFor(condition), fine: [200, 404, 412] })

    /** Whether a write of ours is there, or can never be; none where it may yet be tried. */
    const lookUp = (key: string, sealed: Sealed, condition: Condition) =>
      Effect.map(readWhole(key), (found): Option.Option<Outcome> => {
        if (Option.isSome(found) && found.value.nonce === sealed.nonce) {
          return Option.some({ _tag: "Written", etag: found.value.etag })
        }
        const holds = condition === "any"
          || (condition === "absent"
            ? Option.isNone(found)
            : Option.isSome(found) && found.value.etag === condition.etag)
        return holds ? Option.none() : Option.some({ _tag: "Refused", found })
      })

    const put = (key: string, content: string, condition: Condition): Effect.Effect<Outcome, S3Failure> =>
      Effect.flatMap(seal(content), (sealed) => {
        let sent = false
        return Effect.gen(function*() {
          if (sent) {
            const before = yield* lookUp(key, sealed, condition)
            if (Option.isSome(before)) return before.value
          }
          sent = true
          const answer = yield* send(key, sealed, condition)
          const etag = answer.status === 200 ? etagOf(answer) : Option.none()
          if (Option.isSome(etag)) return { _tag: "Written", etag: etag.value } satisfies Outcome
          const after = yield* lookUp(key, sealed, condition)
          return Option.isSome(after) ? after.value : yield* new S3Failure({
            location: location(key),
            problem: `it refused a write (${answer.status}) whose condition holds`,
            kind: "conflict"
          })
        }).pipe(retry)
      })

    const unreadable = (what: string, key: string) =>
      new S3Failure({ location: location(key), problem: `its answer to ${what} could not be read`, kind: "passing" })

    // --- listing ---------------------------------------------------------------

    const page = (prefix: string, { folders, limit }: ListOptions = {}, after?: string) =>
      retry(Effect.flatMap(
        request({
          method: "GET",
          query: {
            "list-type": "2",
            prefix,
            ...(folders === true ? { delimiter: "/" } : {}),
            ...(limit === undefined ? {} : { "max-keys": String(limit) }),
            ...(after === undefined ? {} : { "continuation-token": after })
          },
          fine: [200]
        }),
        (answer) => Effect.mapError(pageOf(textOf(answer)), () => unreadable("a listing", prefix))
      ))

    const list = Effect.fnUntraced(
      function*(prefix: string, options: ListOptions = {}): Effect.fn.Return<Page, S3Failure> {
        let last = yield* page(prefix, options)
        const entries = [...last.entries]
        const folders = [...last.folders]
        while (Option.isSome(last.next)) {
          last = yield* page(prefix, options, last.next.value)
          for (const entry of last.entries) entries.push(entry)
          for (const folder of last.folders) folders.push(folder)
        }
        return { entries, folders, next: Option.none() }
      }
    )

    const removeOnce = (key: string, etag: string | undefined): Effect.Effect<void, S3Failure> =>
      Effect.flatMap(
        request({
          method: "DELETE",
          key,
          headers: etag === undefined ? {} : { "if-match": quoted(etag) },
          fine: etag === undefined ? [200, 204, 404] : [200, 204, 404, 412, 501]
        }),
        // There are stores that do not ignore a condition they cannot keep to, but refuse it.
        ({ status }) => status === 501 ? removeOnce(key, undefined) : Effect.void
      )

    /** The object may be gone by the second try, and another one in its place, which the store may not tell from it. */
    const remove = (key: string, etag?: string): Effect.Effect<void, S3Failure> =>
      Effect.suspend(() => {
        let sent = false
        return Effect.suspend(() => {
          const isThere = sent && etag !== undefined
            ? Effect.map(readWhole(key), Option.exists((found) => found.etag === etag))
            : Effect.succeed(true)
          sent = true
          return Effect.flatMap(isThere, (there) => there ? removeOnce(key, etag) : Effect.void)
        }).pipe(retry)
      })

    /** Whether the store is still to be asked to remove many at once, which not every one can. */
    let asksForMany = true

    /** Removes many, and says which are left. */
    const removeMany = (keys: ReadonlyArray<string>) =>
      retry(Effect.flatMap(
        request({ method: "POST", query: { delete: "" }, body: bodyOf(keys), fine: [200] }),
        (answer) => Effect.mapError(leftOf(textOf(answer)), () => unreadable("a removal", keys[0] ?? ""))
      ))

    const removeAll = Effect.fnUntraced(function*(keys: ReadonlyArray<string>): Effect.fn.Return<void, S3Failure> {
      for (const some of Arr.chunksOf(keys, mostAtOnce)) {
        const left = asksForMany && some.length > 1
          ? yield* Effect.asSome(removeMany(some)).pipe(
            Effect.catchIf(({ kind }) => kind !== "passing", () => Effect.succeedNone)
          )
          : Option.some(some)
        yield* Effect.forEach(Option.getOrElse(left, () => some), (key) => remove(key), {
          concurrency: atOnce,
          discard: true
        })
        // It can remove them, and not so many.
        if (Option.isNone(left)) asksForMany = false
      }
    })

    const given = options.prefix ?? "checkmate/"
    return {
      prefix: given === "" || given.endsWith("/") ? given : `${given}/`,
      location,
      get: (key) => retry(readWhole(key)),
      put,
      remove,
      removeAll,
      page,
      list,
      tryPut: (key, content, headers) =>
        Effect.flatMap(
          seal(content),
          ({ bytes }) => retry(request({ method: "PUT", key, body: bytes, headers, fine: [200, 404, 409, 412, 501] }))
        )
    }
  }
)
