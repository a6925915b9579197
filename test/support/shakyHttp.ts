/** An HttpClient between us and a real server, which does to chosen requests what networks and stores do. */
import {
  FetchHttpClient,
  HttpClient,
  HttpClientError,
  type HttpClientRequest,
  HttpClientResponse
} from "@effect/platform"
import { Effect, Layer } from "effect"

/** What is done to one request. */
export type Fault =
  /** Not done: the connection is refused. */
  | "unreachable"
  /** Done, and the connection breaks before the answer. */
  | "lost"
  /** Not done, and no answer ever. */
  | "silent"
  /** Done, and no answer ever. */
  | "stuck"
  /** Done, and only half of the answer's body comes. */
  | "truncated"
  /** Done twice, as by a proxy that tries again; the answer is that to the second. */
  | "twice"
  /** Done, and answered with 500. */
  | "done-500"
  | "500"
  | "503"
  /** Done, and answered with 200 and an error in the body. */
  | "done-200-error"
  | "expired"

export const passing: ReadonlyArray<Fault> = [
  "unreachable",
  "lost",
  "silent",
  "stuck",
  "truncated",
  "twice",
  "done-500",
  "500",
  "503",
  "done-200-error"
]

export interface Seen {
  readonly method: string
  /** Of the bucket's, with the prefix. */
  readonly path: string
  readonly bytes: number
}

/** Which fault befalls the nth request, counted from 1. */
export type Plan = (nth: number, request: Seen) => Fault | undefined

const errorBody = (code: string) =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>injected</Message></Error>`

/** Wraps fetch; what was asked is put in `seen`. */
export const shaky = (plan: Plan, seen: Array<Seen> = []): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (real) =>
      HttpClient.make((request, url) => {
        const asked: Seen = {
          method: request.method,
          path: decodeURIComponent(url.pathname) + url.search,
          bytes: request.body._tag === "Uint8Array" ? request.body.body.length : 0
        }
        seen.push(asked)
        return disturbed(real.execute(request), request, plan(seen.length, asked))
      }))
  ).pipe(Layer.provide(FetchHttpClient.layer))

const disturbed = (
  done: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>,
  request: HttpClientRequest.HttpClientRequest,
  fault: Fault | undefined
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> => {
  const broken = new HttpClientError.RequestError({ request, reason: "Transport", cause: new Error("ECONNRESET") })
  const answer = (status: number, body: string) =>
    HttpClientResponse.fromWeb(request, new Response(body, { status, headers: { date: new Date().toUTCString() } }))
  switch (fault) {
    case undefined:
      return done
    case "unreachable":
      return Effect.fail(broken)
    case "lost":
      return Effect.zipRight(done, Effect.fail(broken))
    case "silent":
      return Effect.never
    case "stuck":
      return Effect.zipRight(done, Effect.never)
    case "truncated":
      return Effect.flatMap(done, (response) =>
        Effect.map(response.text, (text) =>
          HttpClientResponse.fromWeb(
            request,
            new Response(text === "" ? null : text.slice(0, text.length / 2), {
              status: response.status,
              headers: response.headers
            })
          )))
    case "twice":
      return Effect.zipRight(done, done)
    case "500":
      return Effect.succeed(answer(500, errorBody("InternalError")))
    case "503":
      return Effect.succeed(answer(503, errorBody("SlowDown")))
    case "done-500":
      return Effect.as(done, answer(500, ""))
    case "done-200-error":
      return Effect.as(done, answer(200, errorBody("InternalError")))
    case "expired":
      return Effect.succeed(answer(400, errorBody("ExpiredToken")))
  }
}
