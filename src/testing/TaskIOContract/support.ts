/** What the rules for stores share. */

import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Encoded, EncodedQuery, EncodedSummary } from "../../TaskIO/Encoded.ts"
import { rulesOf } from "../Contract.ts"

/**
 * What a store may be unable to do: `"arrivals"`, to tell of mail as it comes; `"secondWriter"`, to refuse a writer
 * once another has claimed its journal; `"concurrentClaims"`, to have one journal claimed by many at once. Only
 * arrivals can be missing in a store that more than one engine uses.
 *
 * @since 0.1.0
 * @category models
 */
export type Capability = "arrivals" | "secondWriter" | "concurrentClaims"

export const summaryOf = (taskId: string, more: Partial<EncodedSummary> = {}): EncodedSummary => ({
  taskId,
  checkMate: "contract",
  status: "Running",
  succeeded: 0,
  stages: 1,
  tags: [],
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
  ...more
})

export const record = (value: unknown): string => JSON.stringify({ value })

/** Claims a journal until it is closed, or the rule is over. */
export const claim = (io: Encoded, taskId: string, atLeast?: number) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const journal = yield* Scope.extend(io.open(taskId, atLeast), scope)
    return {
      epoch: journal.epoch,
      records: journal.records,
      append: (position: number, values: readonly [unknown, ...Array<unknown>], more?: Partial<EncodedSummary>) => {
        const [first, ...rest] = values
        return journal.append(position, [record(first), ...rest.map(record)], summaryOf(taskId, more))
      },
      close: Scope.close(scope, Exit.void)
    }
  })

/** Claims a journal, writes behind its first `position` records, and closes it. */
export const write = (
  io: Encoded,
  taskId: string,
  position: number,
  values: readonly [unknown, ...Array<unknown>],
  more?: Partial<EncodedSummary>
) =>
  Effect.gen(function*() {
    const journal = yield* claim(io, taskId)
    yield* journal.append(position, values, more)
    yield* journal.close
  })

export const list = (io: Encoded, query: EncodedQuery = {}) =>
  Effect.map(
    Stream.runCollect(io.list(query)),
    (found) => Chunk.toReadonlyArray(found).toSorted((left, right) => left.taskId < right.taskId ? -1 : 1)
  )

export const listed = (io: Encoded, query?: EncodedQuery) =>
  Effect.map(list(io, query), (found) => found.map(({ taskId }) => taskId))

export const messages = (io: Encoded, taskId: string) =>
  Effect.map(io.receive(taskId), (letters) => letters.map(({ message }) => message))

/** More than a page of what stores list. */
export const manyIds = Array.from({ length: 120 }, (_, index) => `t-${String(index).padStart(3, "0")}`)

export const waiting = (io: Encoded) => Effect.map(io.waiting, (ids) => ids.toSorted())

/** Texts of any kind; which ones is up to the rule's Random. */
export const anyTexts = (count: number) =>
  Effect.map(Random.nextIntBetween(0, 0x7fff_ffff), (seed) => [
    ...FastCheck.sample(FastCheck.string({ unit: "binary", maxLength: 200 }), { numRuns: count, seed }),
    "\u2028\u0000\n\r\"\\",
    "\ud800 alone",
    "e\u0301 is not \u00e9",
    "ü€🎉".repeat(1000)
  ])

export const rule = rulesOf<Encoded, Capability>("TaskIO")
