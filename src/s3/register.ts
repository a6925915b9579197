/**
 * Which tasks there are, for lists.
 *
 * ```text
 * <prefix>task/<task id>/<base>   "since slot n its journal says how it is", or its summary as of slot n
 * ```
 *
 * A task that runs has no summary here, so that a stage is one request: its newest journal object has it. It is written
 * here once the task has come to rest, after the append that says so; before it goes on, that is written first. What
 * stands here is only ever replaced by what is of a later slot, so that a late writer's word does not count. The base
 * tells a task from one of the same id that was removed before.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SummarySchema } from "../internal/journalCodec.ts"
import type { Client, Condition, Found, Outcome } from "./client.ts"
import { S3Failure } from "./failure.ts"
import { padded } from "./journal.ts"

const Entry = Schema.parseJson(Schema.Struct({ slot: Schema.Int, summary: Schema.NullOr(SummarySchema) }))
export type Entry = typeof Entry.Type

const encode = Schema.encodeSync(Entry)
const decode = Schema.decodeOption(Entry)

export const folderOf = (client: Client): string => `${client.prefix}task/`
export const keyOf = (client: Client, taskId: string, base: number): string =>
  `${folderOf(client)}${taskId}/${padded(base)}`

/** The task and the base that a key is of. */
export const parseKey = (
  client: Client,
  key: string
): Option.Option<{ readonly taskId: string; readonly base: number }> => {
  const match = /^([^/]+)\/(\d{10})$/.exec(key.slice(folderOf(client).length))
  const [, taskId, base] = match ?? []
  return taskId === undefined ? Option.none() : Option.some({ taskId, base: Number(base) })
}

export const entryOf = (client: Client, key: string, { content }: Found): Effect.Effect<Entry, S3Failure> =>
  Option.match(decode(content), {
    onNone: () =>
      Effect.fail(
        new S3Failure({ location: client.location(key), problem: "it is not what was written", kind: "damaged" })
      ),
    onSome: Effect.succeed
  })

const isLater = (entry: Entry, than: Entry): boolean =>
  entry.slot > than.slot || (entry.slot === than.slot && entry.summary !== null && than.summary === null)

/**
 * Writes an entry unless a later one is there, and says which ETag it then has. `known` is the ETag of an earlier one of
 * the same writer. An entry with a summary is not created anew: its task has been removed.
 */
export const write = Effect.fnUntraced(
  function*(
    client: Client,
    key: string,
    entry: Entry,
    known: Option.Option<string> = Option.none()
  ): Effect.fn.Return<Option.Option<string>, S3Failure> {
    const outcome: Outcome = Option.isSome(known) || entry.summary === null
      ? yield* client.put(
        key,
        encode(entry),
        Option.match(known, { onNone: () => "absent", onSome: (etag): Condition => ({ etag }) })
      )
      : { _tag: "Refused", found: yield* client.get(key) }
    if (outcome._tag === "Written") return Option.some(outcome.etag)
    if (Option.isSome(outcome.found)) {
      return isLater(entry, yield* entryOf(client, key, outcome.found.value))
        ? yield* write(client, key, entry, Option.some(outcome.found.value.etag))
        : Option.none()
    }
    return entry.summary === null ? yield* write(client, key, entry) : Option.none()
  },
  (written, client, key, entry) =>
    Effect.catchAll(written, (failure) =>
      failure.kind !== "damaged"
        ? Effect.fail(failure)
        // One without a summary is right whatever is there: the journal is asked then.
        : entry.summary === null
        ? Effect.map(
          client.put(key, encode(entry), "any"),
          (outcome) => outcome._tag === "Written" ? Option.some(outcome.etag) : Option.none<string>()
        )
        : Effect.succeed(Option.none<string>()))
)
