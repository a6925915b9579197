/** One claim of a journal, and what is appended under it. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { StaleWriterError, type TaskIOError } from "../CheckMateError.ts"
import type { EncodedJournal, EncodedSummary } from "../TaskIO/Encoded.ts"
import * as TaskStatus from "../TaskStatus.ts"
import type { Client, Found } from "./client.ts"
import { toTaskIOError } from "./failure.ts"
import * as journal from "./journal.ts"
import * as register from "./register.ts"

const isActive = (summary: EncodedSummary | null): boolean =>
  summary !== null && TaskStatus.isActive({ _tag: summary.status })

/** A journal with all its records. */
interface Whole {
  readonly chain: journal.Chain
  readonly records: ReadonlyArray<string>
}

const readWhole = (client: Client, taskId: string) =>
  Effect.map(
    journal.read(client, "open the journal", taskId, 0),
    (chain): Whole => ({ chain, records: journal.recordsFrom(chain, 0) })
  )

/** A journal after what another has put in the next slot, where that follows from what is known; else it is read anew. */
const follow = Effect.fnUntraced(
  function*(client: Client, taskId: string, { chain, records }: Whole, found: Option.Option<Found>) {
    if (Option.isNone(found)) return yield* readWhole(client, taskId)
    const piece = yield* journal.decode(client, taskId, chain.slot + 1, found.value)
    const follows = piece.kind !== "removed" && piece.base === chain.base
      && (piece.after === chain.base || chain.pieces.some(({ slot }) => slot === piece.after))
    return follows
      ? {
        chain: journal.grow(chain, piece),
        records: [...records.slice(0, piece.records - piece.texts.length), ...piece.texts]
      }
      : yield* readWhole(client, taskId)
  }
)

/** How often a claim may find the next slot filled. Each time somebody else got somewhere. */
const mostTries = 200

/** Whether a claim stands: the slot may have been filled by others since this one read, and emptied by a removal. */
const isStanding = Effect.fnUntraced(function*(client: Client, taskId: string, slot: number) {
  const failed = Effect.mapError(toTaskIOError("open the journal", taskId))
  if ((yield* failed(journal.newestSlot(client, taskId))) === slot) return true
  const { base } = yield* journal.read(client, "open the journal", taskId, 0)
  if (base < slot) return true
  yield* failed(client.remove(journal.keyOf(client, taskId, slot)))
  return false
})

/** Fills the next slot with a claim, however often another is faster. */
const claim = Effect.fnUntraced(function*(client: Client, taskId: string, atLeast: number) {
  let before = yield* readWhole(client, taskId)
  for (let tries = 0; tries < mostTries; tries++) {
    const { chain } = before
    const epoch = Math.max(chain.slot + 1, chain.epoch + 1, atLeast)
    const piece = journal.next(chain, { kind: "claim", epoch, summary: chain.summary }, [])
    const outcome = yield* Effect.mapError(
      client.put(journal.keyOf(client, taskId, piece.slot), journal.encode(piece), "absent"),
      toTaskIOError("open the journal", taskId)
    )
    if (outcome._tag === "Refused") {
      before = yield* follow(client, taskId, before, outcome.found)
      continue
    }
    if (yield* isStanding(client, taskId, piece.slot)) return { before, chain: journal.grow(chain, piece), epoch }
    before = yield* readWhole(client, taskId)
  }
  return yield* new StaleWriterError({
    taskId,
    epoch: before.chain.slot + 1,
    problem: `others wrote to it ${mostTries} times while it was claimed`
  })
})

const removed = "the task was removed"

/** What stands in the slot that an append was meant for. */
const tell = (client: Client, taskId: string, slot: number, found: Option.Option<Found>): string => {
  const piece = Option.flatMap(found, (object) => Option.getRight(journal.decode(client, taskId, slot, object)))
  if (Option.isNone(piece)) return "the next slot has been filled by another"
  return piece.value.kind === "removed" ? removed : `epoch ${piece.value.epoch} has claimed it`
}

/**
 * Claims a task's journal. An append is one request; two more where the task comes to rest, or goes on after that.
 */
export const open = Effect.fnUntraced(function*(client: Client, taskId: string, atLeast = 0): Effect.fn.Return<
  EncodedJournal,
  journal.Unreadable | StaleWriterError
> {
  const { before, chain: claimed, epoch } = yield* Effect.uninterruptible(claim(client, taskId, atLeast))
  const turn = yield* Effect.makeSemaphore(1)
  const key = register.keyOf(client, taskId, claimed.base)
  let chain = claimed
  let entry = Option.none<string>()
  let over: string | undefined

  const stale = (problem: string) => new StaleWriterError({ taskId, epoch, problem })
  const failed = toTaskIOError("append to the journal", taskId)

  const append = (
    position: number,
    texts: ReadonlyArray<string>,
    summary: EncodedSummary
  ): Effect.Effect<void, TaskIOError | StaleWriterError> =>
    Effect.gen(function*() {
      if (over !== undefined) return yield* stale(over)
      if (chain.records !== position) return yield* stale(`it holds ${chain.records} records, not ${position}`)
      const piece = journal.next(chain, { kind: "append", epoch, summary }, texts)
      if (!isActive(chain.summary)) {
        entry = yield* Effect.mapError(
          register.write(client, key, { slot: piece.slot, summary: null }, entry),
          failed
        )
      }
      const outcome = yield* Effect.mapError(
        client.put(journal.keyOf(client, taskId, piece.slot), journal.encode(piece), "absent"),
        failed
      )
      if (outcome._tag === "Refused") {
        over = tell(client, taskId, piece.slot, outcome.found)
        // Of a task that was removed meanwhile, nothing stays in lists of what was written just now.
        if (over === removed) yield* Effect.ignore(client.remove(key))
        return yield* stale(over)
      }
      chain = journal.grow(chain, piece)
      if (isActive(summary)) return
      // Where this fails the task is listed by its journal, which costs more, and says the same.
      entry = yield* Effect.orElseSucceed(
        register.write(client, key, { slot: piece.slot, summary }, entry),
        () => Option.none()
      )
    }).pipe(
      Effect.tapErrorTag("TaskIOError", ({ message }) =>
        Effect.sync(() => {
          over ??= `an earlier append failed: ${message}`
        }))
    )

  return {
    epoch,
    records: before.records,
    // Begun is finished, or has failed within the bound: nobody could tell what became of half an append.
    append: (position, texts, summary) => Effect.uninterruptible(turn.withPermits(1)(append(position, texts, summary)))
  }
})
