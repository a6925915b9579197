/** An S3 store in memory, as far as tasks need one: for what a real server does not do when it is asked to. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Redacted } from "effect"
import type * as S3 from "effect-checkmate/s3"

/** A request before it is answered. */
export interface Asked {
  readonly method: string
  readonly key: string
  readonly headers: Readonly<Record<string, string>>
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

/** `answers` comes before the store's own: what it answers is not done. */
export const make = (
  answers: (asked: Asked) => Effect.Effect<ReturnType<typeof refusal> | void> = () => Effect.void
) => {
  const objects = new Map<string, { readonly body: Uint8Array<ArrayBuffer>; readonly etag: string }>()
  let writes = 0
  const put = (key: string, body: Uint8Array) => {
    const etag = String(writes++)
    objects.set(key, { body: Uint8Array.from(body), etag })
    return etag
  }
  const listing = (query: URLSearchParams) => {
    const prefix = query.get("prefix") ?? ""
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort()
    const rest = (key: string) => key.slice(prefix.length)
    const folders = query.get("delimiter") === "/"
      ? [...new Set(keys.flatMap((key) => rest(key).includes("/") ? [rest(key).split("/")[0] ?? ""] : []))]
      : []
    const shown = folders.length > 0 ? [] : keys.slice(0, Number(query.get("max-keys") ?? "1000"))
    return `<ListBucketResult><IsTruncated>false</IsTruncated>${
      shown.map((key) => `<Contents><Key>${key}</Key><ETag>"${objects.get(key)?.etag}"</ETag></Contents>`).join("")
    }${
      folders.map((folder) => `<CommonPrefixes><Prefix>${prefix}${folder}/</Prefix></CommonPrefixes>`).join("")
    }</ListBucketResult>`
  }
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const key = decodeURIComponent(url.pathname.slice("/b/".length))
      const answer = (status: number, body: Uint8Array<ArrayBuffer> | string | null, etag = "") =>
        HttpClientResponse.fromWeb(request, new Response(body, { status, headers: { etag: `"${etag}"` } }))
      const said = yield* answers({ method: request.method, key, headers: request.headers })
      if (said !== undefined) return answer(said.status, said.body)
      const there = objects.get(key)
      if (request.method === "GET") {
        if (key === "") return answer(200, listing(url.searchParams))
        return there ? answer(200, there.body, there.etag) : answer(404, null)
      }
      const match = request.headers["if-match"]
      if (request.method === "DELETE") {
        objects.delete(key)
        return answer(204, null)
      }
      if (request.headers["if-none-match"] === "*" && there !== undefined) return answer(412, null)
      if (match !== undefined && match !== `"${there?.etag}"`) return answer(412, null)
      return answer(200, null, put(key, request.body._tag === "Uint8Array" ? request.body.body : new Uint8Array()))
    })
  )
  return {
    objects,
    /** Puts bytes in place of an object, past the library. */
    put: (key: string, text: string) => void put(key, new TextEncoder().encode(text)),
    layer: Layer.merge(NodeContext.layer, Layer.succeed(HttpClient.HttpClient, client))
  }
}
