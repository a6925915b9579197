/** Signs requests for S3 (AWS signature, version 4). The one place where a foreign API is wrapped. */

import { AwsV4Signer } from "aws4fetch"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type { Credentials } from "./Options.ts"

/** A request before it is signed. */
export interface Unsigned {
  readonly method: "GET" | "PUT" | "POST" | "DELETE"
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** `20260131T235959Z`. */
const timestamp = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis)).replace(/[-:]|\.\d+/g, "")

/**
 * Signatures of one region. Keys derived of a secret are kept for as long as they hold, a day. The body is part of what
 * is signed, so that the store itself refuses one that was changed on its way.
 */
export const makeSigner = (region: string) => {
  const derived = new Map<string, ArrayBuffer>()
  return (
    request: Unsigned,
    credentials: Credentials,
    millis: number
  ): Effect.Effect<Readonly<Record<string, string>>, unknown> =>
    Effect.tryPromise({
      try: async () => {
        // One day's key for one secret; those of yesterday and of rotated secrets are of no use.
        if (derived.size > 8) derived.clear()
        const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(request.body))
        const { headers } = await new AwsV4Signer({
          method: request.method,
          url: request.url,
          headers: {
            ...request.headers,
            "x-amz-content-sha256": hex(new Uint8Array(digest)),
            // Asked for where many objects are removed at once.
            ...(request.method === "POST"
              ? { "x-amz-checksum-sha256": Encoding.encodeBase64(new Uint8Array(digest)) }
              : {})
          },
          accessKeyId: Redacted.value(credentials.accessKeyId),
          secretAccessKey: Redacted.value(credentials.secretAccessKey),
          ...(credentials.sessionToken === undefined ? {} : { sessionToken: Redacted.value(credentials.sessionToken) }),
          service: "s3",
          region,
          cache: derived,
          datetime: timestamp(millis)
        }).sign()
        return Object.fromEntries(headers)
      },
      catch: (cause) => cause
    })
}
