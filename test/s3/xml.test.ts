import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Option } from "effect"
import { seal, unseal } from "../../src/s3/envelope.ts"
import { pageOf } from "../../src/s3/listing.ts"
import { parse } from "../../src/s3/xml.ts"

const listing = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
<NextContinuationToken>a&amp;b</NextContinuationToken>
<Contents><Key>a&lt;b&#x20AC;</Key><ETag>&quot;abc&quot;</ETag><Owner/></Contents>
<CommonPrefixes><Prefix>mail/t/</Prefix></CommonPrefixes></ListBucketResult>`

describe("the XML of S3", () => {
  it("is read: keys, ETags without quotes, folders, and where to go on", () => {
    expect(pageOf(listing)).toEqual(Either.right({
      entries: [{ key: "a<b€", etag: "abc" }],
      folders: ["mail/t/"],
      next: Option.some("a&b")
    }))
  })

  it("is not read where it is not whole", () => {
    for (let length = 0; length < listing.length; length++) {
      expect(Either.isLeft(pageOf(listing.slice(0, length)))).toBe(true)
    }
  })

  it("is not read where it is not well-formed, or something else", () => {
    for (
      const text of ["<a></b>", "<a/><b/>", "text", "<a>", "</a>", "<a b=c/>", "<!DOCTYPE a><a/>", "<Error></Error>"]
    ) {
      expect([text, Either.isLeft(pageOf(text))]).toEqual([text, true])
    }
    expect(Option.isNone(parse("<a></b>"))).toBe(true)
  })
})

describe("an object's envelope", () => {
  it.effect("is another one each time, and holds any text", () =>
    Effect.gen(function*() {
      for (const text of ["", "\ufeffü€🎉\n\n", "x".repeat(100_000)]) {
        const [one, other] = [yield* seal(text), yield* seal(text)]
        expect(one.nonce).not.toBe(other.nonce)
        expect(unseal(one.bytes)).toEqual(Option.some({ nonce: one.nonce, content: text }))
      }
    }))

  it.effect("is not opened where any byte is missing or another", () =>
    Effect.gen(function*() {
      const { bytes } = yield* seal("some text")
      for (let index = 0; index < bytes.length; index++) {
        expect(Option.isNone(unseal(bytes.slice(0, index)))).toBe(true)
        // The nonce is not under the checksum: another one is another object.
        if (index < 32) continue
        const changed = bytes.slice()
        changed[index] = (changed[index] ?? 0) ^ 1
        expect([index, Option.isNone(unseal(changed))]).toEqual([index, true])
      }
    }))
})
