/** What a store answers when it is asked to list (ListObjectsV2). */

import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { bareETag } from "./answer.ts"
import * as xml from "./xml.ts"

export interface Entry {
  readonly key: string
  readonly etag: string
}

export interface Page {
  readonly entries: ReadonlyArray<Entry>
  /** What is in front of the next "/", where only that was asked for; they end in "/". */
  readonly folders: ReadonlyArray<string>
  /** Where the next page begins, if there is one. */
  readonly next: Option.Option<string>
}

export class UnreadableError extends Data.TaggedError("UnreadableError") {}

export const pageOf = (document: string): Either.Either<Page, UnreadableError> =>
  Either.gen(function*() {
    const unreadable = () => new UnreadableError()
    const root = yield* Either.fromOption(xml.parse(document), unreadable)
    if (root.name !== "ListBucketResult") return yield* Either.left(unreadable())
    const text = (element: xml.Element, name: string) => Either.fromOption(xml.textOf(element, name), unreadable)
    const entries: Array<Entry> = []
    for (const item of xml.all(root, "Contents")) {
      entries.push({ key: yield* text(item, "Key"), etag: bareETag(yield* text(item, "ETag")) })
    }
    const folders: Array<string> = []
    for (const item of xml.all(root, "CommonPrefixes")) folders.push(yield* text(item, "Prefix"))
    const more = (yield* text(root, "IsTruncated")) === "true"
    return { entries, folders, next: more ? Option.some(yield* text(root, "NextContinuationToken")) : Option.none() }
  })
