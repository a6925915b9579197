/**
 * Journals in any KeyValueStore of @effect/platform.
 *
 * ```text
 * <prefix>head/<task id>        who may write, how much counts, the summary: its replacement is what makes a batch count
 * <prefix>batch/<task id>/<n>   the records of the nth append
 * <prefix>mail/<task id>        the messages for whoever runs the task
 * <prefix>waiting               the ids of the tasks that have messages
 * <prefix>ids/<00..ff>          the ids of all tasks, in 256 parts, since such a store lists no keys
 * ```
 *
 * For one process at a time, and one layer in it: such a store compares nothing before it writes, so two that write to one
 * task in the same moment can overwrite each other, and of two tasks that they begin then, lists may show but one. What can
 * be seen of that is refused: a writer reads who may write before each append, and again after it. What is done through one
 * layer is ordered. How durable an append is, is up to the store.
 *
 * The store must take keys as long as its tasks' ids make them. Platform's store of files names a file by the encoded key,
 * in which `@`, `+` and `=` take three characters each, as `/` does, and a name has no more than 255: with the default
 * prefix an id's length and twice the number of those in it may come to 226. A longer one is a `TaskIOError`, maybe of a
 * later append.
 *
 * @since 0.1.0
 */

import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { JournalDamagedError, StaleWriterError, TaskIOError } from "../CheckMateError.ts"
import { crc32 } from "../internal/crc32.ts"
import { storeError } from "../internal/files.ts"
import { oneAtATime } from "../internal/inTurn.ts"
import { SummarySchema } from "../internal/journalCodec.ts"
import { logWarning } from "../internal/log.ts"
import { nonce } from "../internal/nonce.ts"
import type { Encoded, EncodedSummary } from "./Encoded.ts"

const Head = Schema.parseJson(Schema.Struct({
  epoch: Schema.Int,
  /** Another one for every claim, so that a task that was removed and begun anew is told from the earlier one. */
  owner: Schema.String,
  records: Schema.Int,
  batches: Schema.Int,
  summary: Schema.NullOr(SummarySchema)
}))
type Head = typeof Head.Type

const Texts = Schema.parseJson(Schema.Array(Schema.String))
const Letters = Schema.parseJson(Schema.Array(Schema.Struct({ id: Schema.String, message: Schema.String })))

const encoder = new TextEncoder()
const partOf = (taskId: string): string => {
  const bytes = encoder.encode(taskId)
  return crc32(bytes, 0, bytes.length).slice(-2)
}
const parts = Array.from({ length: 256 }, (_, part) => part.toString(16).padStart(2, "0"))

/**
 * Where in a store the journals are.
 *
 * @since 0.1.0
 * @category options
 */
export interface KeyValueStoreOptions {
  /**
   * What all keys begin with, so that others can use the same store, and several tenants can. The prefix of one may
   * begin with that of another, but not with `head/`, `mail/` or `batch/` behind that: its keys would be those of tasks.
   *
   * @default "checkmate/"
   */
  readonly prefix?: string | undefined
}

/**
 * The driver over a KeyValueStore.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(
  function*(options: KeyValueStoreOptions = {}): Effect.fn.Return<Encoded, never, KeyValueStore.KeyValueStore> {
    const store = yield* KeyValueStore.KeyValueStore
    const prefix = options.prefix ?? "checkmate/"
    const arrived = yield* PubSub.unbounded<string>()
    // Begun is finished: half of a change would be found by nobody.
    const inTurn = oneAtATime()

    const headOf = (taskId: string): string => `${prefix}head/${taskId}`
    const batchOf = (taskId: string, batch: number): string => `${prefix}batch/${taskId}/${batch}`
    const mailOf = (taskId: string): string => `${prefix}mail/${taskId}`
    const idsOf = (part: string): string => `${prefix}ids/${part}`
    const waitingKey = `${prefix}waiting`

    // --- keys ------------------------------------------------------------------

    const read = <A>(
      operation: string,
      key: string,
      schema: Schema.Schema<A, string>,
      taskId?: string
    ): Effect.Effect<Option.Option<A>, TaskIOError | JournalDamagedError> =>
      Effect.flatMap(
        Effect.mapError(store.get(key), storeError(operation, key, taskId)),
        (text) =>
          Effect.transposeMapOption(text, (value) =>
            Effect.mapError(Schema.decode(schema)(value), (issue) =>
              new JournalDamagedError({ taskId: taskId ?? "*", location: key, problem: issue.message })))
      )

    /** The same, for keys that are no journal's. */
    const readList = <A>(
      operation: string,
      key: string,
      schema: Schema.Schema<ReadonlyArray<A>, string>,
      taskId?: string
    ): Effect.Effect<ReadonlyArray<A>, TaskIOError> =>
      read(operation, key, schema, taskId).pipe(
        Effect.map(Option.getOrElse((): ReadonlyArray<A> => [])),
        Effect.catchTag("JournalDamagedError", ({ location, problem }) =>
          Effect.fail(new TaskIOError({ operation, location, problem })))
      )

    const write = <A>(operation: string, key: string, schema: Schema.Schema<A, string>, value: A, taskId?: string) =>
      Effect.mapError(store.set(key, Schema.encodeSync(schema)(value)), storeError(operation, key, taskId))

    const isThere = (operation: string, key: string, taskId: string) =>
      Effect.mapError(store.has(key), storeError(operation, key, taskId))

    const discard = (operation: string, key: string, taskId: string) =>
      Effect.flatMap(
        isThere(operation, key, taskId),
        (there) => there ? Effect.mapError(store.remove(key), storeError(operation, key, taskId)) : Effect.void
      )

    const changeTexts = (
      operation: string,
      key: string,
      change: (texts: ReadonlyArray<string>) => ReadonlyArray<string>
    ) =>
      Effect.flatMap(readList(operation, key, Texts), (texts) => {
        const changed = change(texts)
        return changed.length === texts.length ? Effect.void : write(operation, key, Texts, changed)
      })

    const adding = (id: string) => (ids: ReadonlyArray<string>) => ids.includes(id) ? ids : [...ids, id]
    const without = (id: string) => (ids: ReadonlyArray<string>) => ids.filter((other) => other !== id)

    // --- journals ----------------------------------------------------------------

    /** One batch after the other: a head that says more than there are is found out at the first that is missing. */
    const recordsOf = Effect.fnUntraced(function*(taskId: string, head: Head) {
      const records: Array<string> = []
      for (let batch = 0; batch < head.batches; batch++) {
        const key = batchOf(taskId, batch)
        const texts = yield* read("read the journal", key, Texts, taskId)
        if (Option.isNone(texts)) {
          return yield* new JournalDamagedError({ taskId, location: key, problem: "the batch is not there" })
        }
        for (const text of texts.value) records.push(text)
      }
      return records
    })

    const whole = (taskId: string, head: Head) =>
      Effect.flatMap(recordsOf(taskId, head), (records) =>
        records.length === head.records
          ? Effect.succeed(records)
          : Effect.fail(
            new JournalDamagedError({
              taskId,
              location: headOf(taskId),
              problem: `the batches hold ${records.length} records, and ${head.records} were written`
            })
          ))

    /** What is read while nobody removes the task, or claims it: else some may be gone, or be of another one of its id. */
    const found = (taskId: string): Effect.Effect<ReadonlyArray<string>, TaskIOError | JournalDamagedError> => {
      const head = read("read the journal", headOf(taskId), Head, taskId)
      return Effect.flatMap(
        head,
        Option.match({
          onNone: () => Effect.succeed([]),
          onSome: (before) =>
            Effect.zipWith(
              Effect.either(whole(taskId, before)),
              head,
              (records, now) => Option.exists(now, ({ owner }) => owner === before.owner) ? records : found(taskId)
            ).pipe(Effect.flatten)
        })
      )
    }

    const open: Encoded["open"] = (taskId, atLeast = 0) =>
      inTurn(Effect.gen(function*() {
        const found = yield* read("open the journal", headOf(taskId), Head, taskId)
        const before = Option.getOrElse(found, (): Head => ({
          epoch: 0,
          owner: "",
          records: 0,
          batches: 0,
          summary: null
        }))
        const records = yield* whole(taskId, before)
        const mine: Head = { ...before, epoch: Math.max(before.epoch + 1, atLeast), owner: yield* nonce }
        yield* write("open the journal", headOf(taskId), Head, mine, taskId)
        const { epoch, owner } = mine
        let broken: string | undefined

        const stale = (problem: string) => new StaleWriterError({ taskId, epoch, problem })
        /** The head as it stands, if this is still who may write. */
        const own = Effect.flatMap(read("append to the journal", headOf(taskId), Head, taskId), (head) =>
          Option.match(head, {
            onNone: () =>
              Effect.fail(stale("the task was removed")),
            onSome: (now) =>
              now.owner === owner ? Effect.succeed(now) : Effect.fail(stale("a newer epoch has taken it over"))
          })).pipe(
            Effect.catchTag("JournalDamagedError", (error) =>
              Effect.fail(stale(error.message)))
          )

        const append = (position: number, batch: ReadonlyArray<string>, summary: EncodedSummary) =>
          Effect.gen(function*() {
            if (broken !== undefined) return yield* stale(`an earlier append failed: ${broken}`)
            const head = yield* own
            if (head.records !== position) return yield* stale(`it holds ${head.records} records, not ${position}`)
            if (head.summary === null) {
              yield* changeTexts("append to the journal", idsOf(partOf(taskId)), adding(taskId))
            }
            yield* write("append to the journal", batchOf(taskId, head.batches), Texts, batch, taskId)
            const next: Head = { ...head, records: position + batch.length, batches: head.batches + 1, summary }
            yield* write("append to the journal", headOf(taskId), Head, next, taskId)
            yield* own
          }).pipe(Effect.tapError((error) =>
            Effect.sync(() => {
              if (error._tag === "TaskIOError") broken ??= error.message
            })
          ))

        return {
          epoch,
          records,
          append: (position, batch, summary) => inTurn(append(position, batch, summary))
        }
      }))

    const summaryOf = (taskId: string): Effect.Effect<ReadonlyArray<EncodedSummary>, TaskIOError> =>
      read("read the journal", headOf(taskId), Head, taskId).pipe(
        Effect.map((head) => Option.isSome(head) && head.value.summary !== null ? [head.value.summary] : []),
        Effect.catchTag(
          "JournalDamagedError",
          (error) => Effect.as(logWarning(`Task ${taskId} is left out of the list: ${error.message}`), [])
        )
      )

    return {
      open,
      read: (taskId, from) => Effect.map(found(taskId), (records) => from === 0 ? records : records.slice(from)),
      list: () =>
        Stream.fromIterable(parts).pipe(
          Stream.mapEffect((part) => readList("list tasks", idsOf(part), Texts)),
          Stream.mapConcat((ids) => ids),
          Stream.mapEffect(summaryOf),
          Stream.mapConcat((summaries) => summaries)
        ),
      remove: (taskId) =>
        inTurn(Effect.gen(function*() {
          const operation = "remove the task"
          const head = yield* Effect.option(read(operation, headOf(taskId), Head, taskId))
          yield* discard(operation, headOf(taskId), taskId)
          let batches = Option.match(Option.flatten(head), { onNone: () => 0, onSome: (found) => found.batches })
          // And what no head tells of: what an append that was cut off has written, what was left where a removal was cut
          // off, and what belongs to a head that cannot be read. The last goes first, so that the rest is found again.
          while (yield* isThere(operation, batchOf(taskId, batches), taskId)) batches++
          for (let batch = batches - 1; batch >= 0; batch--) {
            yield* discard(operation, batchOf(taskId, batch), taskId)
          }
          yield* discard(operation, mailOf(taskId), taskId)
          yield* changeTexts(operation, waitingKey, without(taskId))
          yield* changeTexts(operation, idsOf(partOf(taskId)), without(taskId))
        })),
      send: (taskId, message) =>
        inTurn(Effect.gen(function*() {
          const letters = yield* readList("send a message", mailOf(taskId), Letters, taskId)
          const id = yield* nonce
          yield* write("send a message", mailOf(taskId), Letters, [...letters, { id, message }], taskId)
          yield* changeTexts("send a message", waitingKey, adding(taskId))
          yield* PubSub.publish(arrived, taskId)
        })),
      receive: (taskId) => readList("read messages", mailOf(taskId), Letters, taskId),
      acknowledge: (taskId, ids) =>
        inTurn(Effect.gen(function*() {
          const operation = "acknowledge messages"
          const letters = yield* readList(operation, mailOf(taskId), Letters, taskId)
          const left = letters.filter(({ id }) => !ids.includes(id))
          if (left.length > 0) return yield* write(operation, mailOf(taskId), Letters, left, taskId)
          yield* changeTexts(operation, waitingKey, without(taskId))
          yield* discard(operation, mailOf(taskId), taskId)
        })),
      waiting: readList("look for messages", waitingKey, Texts),
      arrivals: Stream.fromPubSub(arrived)
    }
  }
)
