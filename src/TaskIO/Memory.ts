/**
 * Journals in this process's memory: for tests, and for work that need not survive the process.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { StaleWriterError } from "../CheckMateError.ts"
import * as news from "../internal/news.ts"
import type { Encoded, EncodedSummary, Letter } from "./Encoded.ts"

interface Stored {
  epoch: number
  records: Array<string>
  summary: EncodedSummary | undefined
}

/**
 * A driver over two maps. Every driver made is a store of its own.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Encoded> = Effect.sync(() => {
  const arrived = news.make(PubSub.unbounded<string>())
  const tasks = new Map<string, Stored>()
  const mail = new Map<string, ReadonlyArray<Letter>>()
  let letters = 0

  return {
    open: (taskId, atLeast = 0) =>
      Effect.sync(() => {
        const stored: Stored = tasks.get(taskId) ?? { epoch: 0, records: [], summary: undefined }
        tasks.set(taskId, stored)
        stored.epoch = Math.max(stored.epoch + 1, atLeast)
        const { epoch } = stored
        return {
          epoch,
          records: stored.records.slice(),
          append: (position, records, summary) =>
            Effect.suspend(() => {
              const stale = (problem: string) => Effect.fail(new StaleWriterError({ taskId, epoch, problem }))
              if (tasks.get(taskId) !== stored) return stale("the task was removed")
              if (stored.epoch !== epoch) return stale(`epoch ${stored.epoch} has claimed it`)
              if (stored.records.length !== position) {
                return stale(`it holds ${stored.records.length} records, not ${position}`)
              }
              for (const record of records) stored.records.push(record)
              stored.summary = summary
              return Effect.void
            })
        }
      }),
    read: (taskId, from) => Effect.sync(() => tasks.get(taskId)?.records.slice(from) ?? []),
    list: () =>
      Stream.suspend(() =>
        Stream.fromIterable(
          [...tasks.values()].flatMap(({ summary }) => summary === undefined ? [] : [summary])
        )
      ),
    remove: (taskId) =>
      Effect.sync(() => {
        tasks.delete(taskId)
        mail.delete(taskId)
      }),
    send: (taskId, message) =>
      Effect.suspend(() => {
        mail.set(taskId, [...mail.get(taskId) ?? [], { id: String(letters++), message }])
        return arrived.tell(taskId)
      }),
    receive: (taskId) => Effect.sync(() => mail.get(taskId) ?? []),
    acknowledge: (taskId, ids) =>
      Effect.sync(() => {
        const left = (mail.get(taskId) ?? []).filter((letter) => !ids.includes(letter.id))
        if (left.length === 0) mail.delete(taskId)
        else mail.set(taskId, left)
      }),
    waiting: Effect.sync(() => [...mail.keys()]),
    arrivals: Stream.unwrapScoped(Effect.map(arrived.listen, (letters) => Stream.fromQueue(letters)))
  }
})
