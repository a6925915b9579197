/**
 * Journals in an S3 bucket.
 *
 * ```text
 * <prefix>journal/<task id>/<slot>    one object for each append and claim: journal.ts
 * <prefix>task/<task id>/<base>       which tasks there are, and the summaries of those at rest: register.ts
 * <prefix>mail/<task id>/<name>       the messages for whoever runs the task: mail.ts
 * ```
 *
 * All that matters is created where nothing was, or replaced where it is still what was read, by the store itself.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { TaskIOError } from "../CheckMateError.ts"
import type { Encoded, EncodedSummary } from "../TaskIO/Encoded.ts"
import type { Client } from "./client.ts"
import { type S3Failure, toTaskIOError } from "./failure.ts"
import * as journal from "./journal.ts"
import type { Entry } from "./listing.ts"
import * as mail from "./mail.ts"
import * as register from "./register.ts"
import { remember } from "./remember.ts"
import { open } from "./writer.ts"

interface Closed {
  readonly slot: number
  readonly fences: ReadonlyArray<number>
  /** Up to which slot a removal before has seen to them. */
  readonly done: number
}

/** How many summaries are remembered, so that only what changed is read again. */
const remembered = 20_000

export const make = (connected: Client): Encoded => {
  // A slot is filled once, and never again, also after its task was removed.
  const client = remember(connected, `${connected.prefix}journal/`)
  const letters = mail.make(client)
  const known = new Map<string, { readonly etag: string; readonly summary: EncodedSummary }>()

  // --- lists -----------------------------------------------------------------

  const fromJournal = (taskId: string, base: number) =>
    Effect.map(
      journal.newest(client, "list tasks", taskId),
      Option.flatMap((piece) =>
        piece.kind === "removed" || piece.base !== base ? Option.none() : Option.fromNullable(piece.summary)
      )
    )

  const fromRegister = Effect.fnUntraced(function*(key: string, etag: string) {
    const remembers = known.get(key)
    if (remembers?.etag === etag) return Option.some(remembers.summary)
    const found = yield* client.get(key)
    if (Option.isNone(found)) return Option.none()
    const { summary } = yield* register.entryOf(client, key, found.value)
    if (summary === null) return Option.some(null)
    if (known.size >= remembered) known.clear()
    known.set(key, { etag: found.value.etag, summary })
    return Option.some(summary)
  })

  const summaryOf = ({ etag, key }: Entry): Effect.Effect<Option.Option<EncodedSummary>, TaskIOError> =>
    Effect.gen(function*() {
      const named = register.parseKey(client, key)
      if (Option.isNone(named)) return Option.none()
      const { base, taskId } = named.value
      const entry = yield* fromRegister(key, etag).pipe(
        // What it says is in the journal, too.
        Effect.catchIf(({ kind }) => kind === "damaged", () => Effect.succeed(Option.some(null))),
        Effect.mapError(toTaskIOError("list tasks", taskId))
      )
      if (Option.isNone(entry)) return Option.none()
      return entry.value === null ? yield* fromJournal(taskId, base) : Option.some(entry.value)
    }).pipe(
      Effect.catchTags({
        JournalDamagedError: ({ message }) =>
          Effect.as(Effect.logWarning(`A task is left out of the list: ${message}`), Option.none()),
        JournalVersionError: ({ message }) =>
          Effect.as(Effect.logWarning(`A task is left out of the list: ${message}`), Option.none())
      })
    )

  const list: Encoded["list"] = () =>
    Stream.paginateEffect(Option.none<string>(), (after) =>
      Effect.map(
        Effect.mapError(
          client.page(register.folderOf(client), {}, Option.getOrUndefined(after)),
          toTaskIOError("list tasks")
        ),
        ({ entries, next }) => [entries, Option.map(next, Option.some)] as const
      )).pipe(
        Stream.mapConcat((entries) => entries),
        Stream.mapEffect(summaryOf, { concurrency: mail.atOnce, unordered: true }),
        Stream.filterMap((summary) => summary)
      )

  // --- removal -----------------------------------------------------------------

  const operation = "remove the task"

  const registered = (taskId: string): string => `${register.folderOf(client)}${taskId}/`

  /**
   * Fills the next slot with the mark that the task was removed, and says in which slot that is, 0 where it is nothing,
   * and which ones before it stay filled. A journal that is damaged is removed like any other.
   */
  const close = Effect.fnUntraced(function*(taskId: string): Effect.fn.Return<Closed, S3Failure | TaskIOError> {
    const last = yield* journal.newestSlot(client, taskId)
    if (last === 0) return { slot: 0, fences: [], done: 0 }
    const piece = yield* journal.pieceAt(client, operation, taskId, last).pipe(
      Effect.catchTags({
        JournalDamagedError: () => Effect.succeedNone,
        JournalVersionError: () => Effect.succeedNone
      })
    )
    const fences = Option.match(piece, { onNone: () => [], onSome: ({ fences }) => fences ?? [] })
    const done = Option.match(piece, { onNone: () => 0, onSome: ({ base }) => base })
    if (Option.exists(piece, ({ kind }) => kind === "removed")) return { slot: last, fences, done: 0 }
    const slot = last + 1
    // From here on it is listed by its journal, and so no more once that is closed.
    for (const { key } of (yield* client.list(registered(taskId))).entries) {
      yield* register.write(client, key, { slot, summary: null })
    }
    const outcome = yield* client.put(
      journal.keyOf(client, taskId, slot),
      journal.encodeRemoval(slot, fences),
      "absent"
    )
    return outcome._tag === "Written" ? { slot, fences, done } : yield* close(taskId)
  })

  /** Removes what is under a folder and does not stay. */
  const empty = (folder: string, stays: (key: string) => boolean) =>
    Effect.flatMap(
      client.list(folder),
      ({ entries }) =>
        Effect.forEach(entries.filter(({ key }) => !stays(key)), ({ key }) => client.remove(key), {
          concurrency: mail.atOnce,
          discard: true
        })
    )

  const remove: Encoded["remove"] = (taskId) =>
    Effect.gen(function*() {
      const { done, fences, slot } = yield* close(taskId)
      if (slot > 0) {
        // The task of that id that may have been begun since has keys of its own: a later base, later slots.
        yield* empty(registered(taskId), (key) => key >= register.keyOf(client, taskId, slot))
        const filled = new Set(fences.map((fence) => journal.keyOf(client, taskId, fence)))
        // Never empty, as a writer that was frozen since may try to fill one at any time.
        yield* Effect.forEach(fences.filter((fence) => fence > done), (fence) =>
          client.put(journal.keyOf(client, taskId, fence), journal.encodeRemoval(fence), "any"), {
          concurrency: mail.atOnce,
          discard: true
        })
        yield* empty(
          journal.folderOf(client, taskId),
          (key) =>
            key <= journal.keyOf(client, taskId, slot) || filled.has(key)
        )
      }
      yield* letters.discard(taskId)
    }).pipe(Effect.catchTag("S3Failure", (failure) =>
      Effect.fail(toTaskIOError(operation, taskId)(failure))))

  return {
    open: (taskId, atLeast) => open(client, taskId, atLeast),
    read: (taskId, from) =>
      Effect.map(journal.read(client, "read the journal", taskId, from), (chain) => journal.recordsFrom(chain, from)),
    list,
    remove: (taskId) => Effect.uninterruptible(remove(taskId)),
    send: letters.send,
    receive: letters.receive,
    acknowledge: letters.acknowledge,
    waiting: letters.waiting
  }
}
