/** An S3 store in memory, as far as tasks need one: for what a real server does not do when it is asked to. */
import { HttpClient, type HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Chunk, Clock, Effect, Layer, Redacted, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"
import type * as S3 from "effect-checkmate/s3"
import { summaryOf } from "../support/summary.ts"

/** A request before it is answered. */
export interface Asked {
  readonly method: string
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
  /** How long its body is. */
  readonly bytes: number
}

export const credentials: S3.Credentials = {
  accessKeyId: Redacted.make("id"),
  secretAccessKey: Redacted.make("secret")
}

export const options = {
  bucket: "b",
  prefix: "p/",
  endpoint: "http://store.example",
  credentials,
  retryFor: "1 second"
} satisfies S3.S3Options

export const refusal = (status: number, code: string) => ({
  status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>as the test says</Message></Error>`
})

/** Claims a task's journal and appends a record behind those that are there. */
export const append = (
  driver: TaskIO.Encoded,
  taskId: string,
  record: string,
  changes: Partial<TaskIO.EncodedSummary> = {}
) =>
  Effect.scoped(
    Effect.flatMap(
      driver.open(taskId),
      ({ append, records }) => append(records.length, [record], summaryOf(taskId, changes))
    )
  )

/** The tasks that a list shows, and their status. */
export const listed = (driver: TaskIO.Encoded) =>
  Effect.map(
    Stream.runCollect(driver.list({})),
    (found) => Chunk.toReadonlyArray(found).map(({ status, taskId }) => `${taskId} ${status}`).toSorted()
  )

/** What a request is called in a test that fails. */
export const asked = ({ headers, method, url }: HttpClientRequest.HttpClientRequest) => {
  const { pathname, searchParams } = new URL(url)
  const condition = headers["if-none-match"] ?? headers["if-match"]
  const what = searchParams.get("prefix") ?? pathname.slice("/b/".length)
  return `${method} ${what}${condition === undefined ? "" : ` if ${condition}`}`
}

interface Stored {
  readonly body: Uint8Array<ArrayBuffer>
  readonly etag: string
  readonly modified: number
}

/**
 * `answers` comes before the store's own: what it answers is not done. `conditionalDelete`: whether an object is removed
 * only where it has the ETag that was named. `ahead`: how many milliseconds its clock is ahead of everybody's. `most`: how
 * many it lists at once.
 */
export const make = (
  answers: (asked: Asked) => Effect.Effect<ReturnType<typeof refusal> | void> = () => Effect.void,
  conditionalDelete = false,
  ahead = 0,
  most = 1_000
) => {
  const objects = new Map<string, Stored>()
  let writes = 0
  const put = (key: string, body: Uint8Array, modified: number) => {
    const etag = String(writes++)
    objects.set(key, { body: Uint8Array.from(body), etag, modified })
    return etag
  }
  const listing = (query: URLSearchParams) => {
    const prefix = query.get("prefix") ?? ""
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort()
    const rest = (key: string) => key.slice(prefix.length)
    const folders = query.get("delimiter") === "/"
      ? [...new Set(keys.flatMap((key) => rest(key).includes("/") ? [`${prefix}${rest(key).split("/")[0]}/`] : []))]
      : []
    const all = folders.length > 0 ? folders : keys
    const from = Number(query.get("continuation-token") ?? "0")
    const end = from + Math.min(most, Number(query.get("max-keys") ?? "1000"))
    const shown = all.slice(from, end).map((key) =>
      folders.length > 0
        ? `<CommonPrefixes><Prefix>${key}</Prefix></CommonPrefixes>`
        : `<Contents><Key>${key}</Key><ETag>"${objects.get(key)?.etag}"</ETag></Contents>`
    )
    const next = end < all.length ? `<NextContinuationToken>${end}</NextContinuationToken>` : ""
    return `<ListBucketResult><IsTruncated>${next !== ""}</IsTruncated>${next}${shown.join("")}</ListBucketResult>`
  }
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const key = decodeURIComponent(url.pathname.slice("/b/".length))
      const now = (yield* Clock.currentTimeMillis) + ahead
      const answer = (status: number, body: Uint8Array<ArrayBuffer> | string | null, etag = "", modified = now) =>
        HttpClientResponse.fromWeb(
          request,
          new Response(body, {
            status,
            headers: {
              etag: `"${etag}"`,
              date: new Date(now).toUTCString(),
              "last-modified": new Date(modified).toUTCString()
            }
          })
        )
      const sent = request.body._tag === "Uint8Array" ? request.body.body : new Uint8Array()
      const said = yield* answers({ method: request.method, key, headers: request.headers, bytes: sent.length })
      if (said !== undefined) return answer(said.status, said.body)
      const there = objects.get(key)
      if (request.method === "GET") {
        if (key === "") return answer(200, listing(url.searchParams))
        return there ? answer(200, there.body, there.etag, there.modified) : answer(404, null)
      }
      if (request.method === "POST") {
        for (const [, gone = ""] of new TextDecoder().decode(sent).matchAll(/<Key>([^<]*)<\/Key>/g)) {
          objects.delete(gone)
        }
        return answer(200, "<DeleteResult/>")
      }
      const match = request.headers["if-match"]
      if (request.method === "DELETE") {
        if (conditionalDelete && match !== undefined && there !== undefined && match !== `"${there.etag}"`) {
          return answer(412, null)
        }
        objects.delete(key)
        return answer(204, null)
      }
      if (request.headers["if-none-match"] === "*" && there !== undefined) return answer(412, null)
      if (match !== undefined && match !== `"${there?.etag}"`) return answer(412, null)
      return answer(200, null, put(key, sent, now))
    })
  )
  return {
    objects,
    /** Puts bytes in place of an object, past the library. */
    put: (key: string, text: string, modified = 0) => void put(key, new TextEncoder().encode(text), modified),
    client,
    layer: Layer.merge(NodeContext.layer, Layer.succeed(HttpClient.HttpClient, client))
  }
}
