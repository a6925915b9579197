/**
 * One signed request, tried once, but for two answers that are dealt with here: a store that finds our clock wrong has
 * its time adopted, and one that finds the credentials expired is asked again with fresh ones.
 */

import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Failure from "../Failure.ts"
import { oneAtATime } from "../internal/inTurn.ts"
import { type Answer, failureOf, timeOf } from "./answer.ts"
import { S3Failure } from "./failure.ts"
import { type Credentials, credentialsFromEnvironment, type S3Options } from "./Options.ts"
import { makeSigner, type Unsigned } from "./sign.ts"

/** What is asked of the store. */
interface Request {
  readonly method: Unsigned["method"]
  /** A key, or nothing for the bucket itself. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** The statuses that are answers, not failures. */
  readonly fine: ReadonlyArray<number>
}

export interface Http {
  /** For people: where a key is. */
  readonly location: (key: string) => string
  readonly request: (request: Request) => Effect.Effect<Answer, S3Failure>
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

const urlOf = (endpoint: string): Option.Option<URL> => {
  if (!URL.canParse(endpoint)) return Option.none()
  const url = new URL(endpoint)
  // `localhost:9000` is a URL too, whose scheme is `localhost:`.
  return url.protocol === "http:" || url.protocol === "https:" ? Option.some(url) : Option.none()
}

/** Without what a request is made without: a password in it is not to be shown, either. */
const shown = (url: URL): string => `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, "")}`

/** Where a bucket is; a sentence where it cannot be there. */
const baseOf = (url: URL, { bucket, endpoint, pathStyle }: S3Options): Either.Either<string, string> => {
  if (bucket === "") return Either.left("it has no name. Give it as `bucket`")
  if (pathStyle ?? endpoint !== undefined) return Either.right(`${shown(url)}/${encode(bucket)}`)
  const base = shown(url).replace("//", `//${bucket}.`)
  return URL.canParse(base) && new URL(base).host === `${bucket}.${url.host}`.toLowerCase()
    ? Either.right(base)
    : Either.left(`its name cannot stand in front of the host ${url.host}. Check it, or set pathStyle to true`)
}

const same = (left: Credentials, right: Credentials): boolean =>
  Equal.equals(left.accessKeyId, right.accessKeyId)
  && Equal.equals(left.secretAccessKey, right.secretAccessKey)
  && Equal.equals(left.sessionToken, right.sessionToken)

/** What an error says, and what it says it was caused by. */
const describe = (error: unknown): string => {
  const { causes = [], message } = Failure.fromUnknown(error, "Failure")
  return [message, ...causes.map((cause) => cause.message)].join(": ")
}

/**
 * In a fiber of its own, in which a time-out can end what it waits for, also where the caller is not to be interrupted;
 * where it is, so is this.
 */
const apart = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.forkDaemon(Effect.interruptible(self)),
      (fiber) => Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
    )
  )

export const make = Effect.fnUntraced(
  function*(options: S3Options, timeout: Duration.Duration): Effect.fn.Return<Http, S3Failure, HttpClient.HttpClient> {
    const region = options.region ?? "us-east-1"
    const url = urlOf(options.endpoint ?? `https://s3.${region}.amazonaws.com`)
    const server = options.endpoint === undefined ? `AWS in ${region}` : Option.match(url, {
      onNone: () => options.endpoint,
      onSome: shown
    })
    const where = `bucket "${options.bucket}" of ${server}`
    const location = (key: string): string => key === "" ? where : `"${key}" in ${where}`
    const base = yield* url.pipe(
      Either.fromOption(() => "its endpoint is no http or https URL. Give it as https://host:port"),
      Either.flatMap((found) => baseOf(found, options)),
      Effect.mapError((problem) => new S3Failure({ location: where, problem, kind: "lasting" }))
    )
    // What a store is asked is no part of the caller's trace on the other side, and its spans show no secret.
    const client = HttpClient.withTracerPropagation(yield* HttpClient.HttpClient, false).pipe(
      HttpClient.transformResponse(
        Effect.locallyWith(Headers.currentRedactedNames, (names) => [...names, "x-amz-security-token"])
      )
    )
    const sign = makeSigner(region)
    const given = options.credentials ?? credentialsFromEnvironment
    // Whoever asks later may have another configuration.
    const configured = yield* Effect.configProviderWith(Effect.succeed)

    /** Bounds what has nobody else to end it. */
    const inTime = (here: string, problem: string) => <A>(self: Effect.Effect<A, S3Failure>) =>
      self.pipe(
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => new S3Failure({ location: here, problem, kind: "passing" })
        }),
        apart
      )

    const ask = (kind: S3Failure["kind"]): Effect.Effect<Credentials, S3Failure> =>
      Effect.isEffect(given)
        ? Effect.mapError(Effect.withConfigProvider(given, configured), (cause) =>
          new S3Failure({
            location: where,
            problem: `there are no credentials for it: ${describe(cause)}`,
            kind,
            cause
          }))
        : Effect.succeed(given)
    const state = { credentials: yield* ask("lasting"), offset: 0 }
    const asking = oneAtATime()

    /** Credentials that are not those that were refused: of many that were at once, one asks for them. */
    const renewed = (refused: S3Failure, used: Credentials): Effect.Effect<Credentials, S3Failure> =>
      Effect.suspend(() =>
        same(used, state.credentials)
          // They could be had before.
          ? Effect.map(ask("passing"), (fresh) => {
            state.credentials = fresh
          })
          : Effect.void
      ).pipe(
        (asked) => Effect.uninterruptibleMask((restore) => asking(restore(asked), restore)),
        inTime(where, "there are no credentials for it: they did not come in time"),
        Effect.flatMap(() =>
          same(used, state.credentials)
            ? Effect.fail(
              new S3Failure({
                location: refused.location,
                problem: `${refused.problem}. There were no other credentials to be had; renew them`,
                kind: "credentials"
              })
            )
            : Effect.succeed(state.credentials)
        )
      )

    const send = Effect.fnUntraced(function*(request: Request, credentials: Credentials) {
      const here = location(request.key ?? "")
      const query = Object.entries(request.query ?? {}).map(([name, value]) => `${encode(name)}=${encode(value)}`)
      const path = request.key === undefined ? "" : request.key.split("/").map(encode).join("/")
      const unsigned: Unsigned = {
        method: request.method,
        url: `${base}/${path}${query.length === 0 ? "" : `?${query.join("&")}`}`,
        headers: request.headers ?? {},
        body: request.body ?? new Uint8Array()
      }
      const now = yield* Clock.currentTimeMillis
      const headers = yield* Effect.mapError(
        sign(unsigned, credentials, now + state.offset),
        (cause) =>
          new S3Failure({
            location: here,
            problem: `the request could not be signed: ${describe(cause)}`,
            kind: "lasting",
            cause
          })
      )
      const signed = HttpClientRequest.make(request.method)(unsigned.url).pipe(
        request.body === undefined
          ? (self) => self
          : HttpClientRequest.bodyUint8Array(request.body, "application/octet-stream"),
        HttpClientRequest.setHeaders(headers)
      )
      const answer: Answer = yield* client.execute(signed).pipe(
        Effect.flatMap((response) =>
          Effect.map(response.arrayBuffer, (body): Answer => ({
            status: response.status,
            headers: response.headers,
            body: new Uint8Array(body)
          }))
        ),
        Effect.mapError((error) =>
          new S3Failure({
            location: here,
            problem: `it cannot be reached: ${describe(error.cause ?? error)}`,
            kind: "passing",
            cause: error.cause
          })
        ),
        inTime(here, "it did not answer in time")
      )
      const failure = failureOf(here, answer, request.fine)
      if (Option.isNone(failure)) {
        return answer
      }
      if (failure.value.kind === "clock") {
        const date = timeOf(answer, "date")
        if (Option.isSome(date)) state.offset = date.value - (yield* Clock.currentTimeMillis)
      }
      return yield* failure.value
    })

    const sendByItsClock = (request: Request, credentials: Credentials) =>
      Effect.catchIf(
        send(request, credentials),
        ({ kind }) => kind === "clock",
        () =>
          Effect.mapError(send(request, credentials), (again) =>
            again.kind !== "clock" ? again : new S3Failure({
              location: again.location,
              problem: `${again.problem}. Its own time was tried, too; set the clocks`,
              kind: "clock"
            }))
      )

    return {
      location,
      request: (request) =>
        Effect.suspend(() => {
          const used = state.credentials
          return Effect.catchIf(sendByItsClock(request, used), ({ kind }) =>
            kind === "credentials", (refused) =>
            Effect.flatMap(renewed(refused, used), (fresh) => sendByItsClock(request, fresh)))
        })
    }
  }
)
