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
import { logWarning } from "../internal/log.ts"
import type { Encoded, EncodedSummary } from "../TaskIO/Encoded.ts"
import { atOnce, type Client } from "./client.ts"
import { toTaskIOError } from "./failure.ts"
import * as journal from "./journal.ts"
import type { Entry } from "./listing.ts"
import * as mail from "./mail.ts"
import * as register from "./register.ts"
import { remember } from "./remember.ts"
import { remove } from "./removal.ts"
import { open } from "./writer.ts"

/** `remembered` is how many summaries are, so that only what changed is read again. */
export const make = (connected: Client, remembered = 20_000): Encoded => {
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
    // Of more than fit the same stay, as all are asked for each time.
    if (known.size < remembered || known.has(key)) known.set(key, { etag: found.value.etag, summary })
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
      Effect.catchTag(
        "JournalDamagedError",
        "JournalVersionError",
        ({ message }) => Effect.as(logWarning(`A task is left out of the list: ${message}`), Option.none())
      )
    )

  const list: Encoded["list"] = () =>
    Stream.suspend(() => {
      const listed = new Set<string>()
      return Stream.paginateEffect(Option.none<string>(), (after) =>
        Effect.map(
          Effect.mapError(
            client.page(register.folderOf(client), {}, Option.getOrUndefined(after)),
            toTaskIOError("list tasks")
          ),
          ({ entries, next }) => {
            for (const { key } of entries) listed.add(key)
            return [entries, Option.map(next, Option.some)] as const
          }
        )).pipe(
          Stream.mapConcat((entries) => entries),
          Stream.mapEffect(summaryOf, { concurrency: atOnce, unordered: true }),
          Stream.filterMap((summary) => summary),
          // What was removed makes room.
          Stream.onEnd(Effect.sync(() => {
            for (const key of known.keys()) if (!listed.has(key)) known.delete(key)
          }))
        )
    })

  return {
    open: (taskId, atLeast) => open(client, taskId, atLeast),
    read: (taskId, from) =>
      Effect.map(journal.read(client, "read the journal", taskId, from), (chain) => journal.recordsFrom(chain, from)),
    list,
    remove: (taskId) => Effect.uninterruptible(Effect.zipRight(remove(client, taskId), letters.discard(taskId))),
    send: letters.send,
    receive: letters.receive,
    acknowledge: letters.acknowledge,
    waiting: letters.waiting
  }
}
