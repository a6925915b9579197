/**
 * Removes a task: its journal is closed by a mark in the next slot, and then all else goes that the mark makes of no use.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { TaskIOError } from "../CheckMateError.ts"
import { atOnce, type Client } from "./client.ts"
import { type S3Failure, toTaskIOError } from "./failure.ts"
import * as journal from "./journal.ts"
import * as register from "./register.ts"

interface Closed {
  /** Where the mark is; 0 where there was nothing to close. */
  readonly slot: number
  /** The slots before it that stay filled. */
  readonly fences: ReadonlyArray<number>
  /** Up to which slot a removal before has seen to them, unless it was cut off. */
  readonly done: number
}

/** What is known of a journal, also of a damaged one, which is removed like any other. */
interface Known extends Closed {
  readonly epoch: number
  readonly isClosed: boolean
}

const operation = "remove the task"

const pieceAt = (client: Client, taskId: string, slot: number) =>
  journal.pieceAt(client, operation, taskId, slot).pipe(
    Effect.catchTag("JournalDamagedError", "JournalVersionError", () => Effect.succeedNone)
  )

/** Goes by the newest piece that can be read. Any slot behind it may be that of a claim, and stays filled as one. */
const look = Effect.fnUntraced(
  function*(client: Client, taskId: string, slot: number): Effect.fn.Return<Known, S3Failure | TaskIOError> {
    const newest = yield* pieceAt(client, taskId, slot)
    const slots = Option.isSome(newest) ? [slot] : yield* journal.slotsOf(client, taskId)
    const unreadable: Array<number> = []
    for (const older of slots) {
      const piece = older === slot ? newest : yield* pieceAt(client, taskId, older)
      if (Option.isNone(piece)) {
        unreadable.unshift(older)
        continue
      }
      const { base, epoch, fences = [], kind } = piece.value
      // Maybe by a removal that was cut off.
      if (kind === "removed" && older === slot) return { slot, fences, done: 0, epoch, isClosed: true }
      return {
        slot,
        fences: [...journal.fencesOf(piece.value), ...unreadable],
        done: base,
        epoch: epoch + unreadable.length,
        isClosed: false
      }
    }
    return { slot, fences: unreadable, done: 0, epoch: slot, isClosed: false }
  }
)

const registered = (client: Client, taskId: string): string => `${register.folderOf(client)}${taskId}/`

/** Fills the next slot with the mark that the task was removed. */
const close = Effect.fnUntraced(
  function*(client: Client, taskId: string): Effect.fn.Return<Closed, S3Failure | TaskIOError> {
    const newest = yield* journal.newestSlot(client, taskId)
    if (newest === 0) return { slot: 0, fences: [], done: 0 }
    const { done, epoch, fences, isClosed } = yield* look(client, taskId, newest)
    if (isClosed) return { slot: newest, fences, done }
    const slot = newest + 1
    // From here on it is listed by its journal, and so no more once that is closed.
    for (const { key } of (yield* client.list(registered(client, taskId))).entries) {
      yield* register.write(client, key, { slot, summary: null })
    }
    const outcome = yield* client.put(
      journal.keyOf(client, taskId, slot),
      journal.encodeRemoval(slot, Math.max(slot, epoch), fences),
      "absent"
    )
    return outcome._tag === "Written" ? { slot, fences, done } : yield* close(client, taskId)
  }
)

/** What is under a folder and does not stay. */
const goingFrom = (client: Client, folder: string, stays: (key: string) => boolean) =>
  Effect.map(client.list(folder), ({ entries }) => entries.flatMap(({ key }) => stays(key) ? [] : [key]))

/** Removes all of a task but its mail. */
export const remove = (client: Client, taskId: string): Effect.Effect<void, TaskIOError> =>
  Effect.gen(function*() {
    const { done, fences, slot } = yield* close(client, taskId)
    if (slot === 0) return
    const keyOf = (at: number) => journal.keyOf(client, taskId, at)
    // The task of that id that may have been begun since has keys of its own: a later base, later slots.
    const isLater = (key: string) => key >= register.keyOf(client, taskId, slot)
    yield* client.removeAll(yield* goingFrom(client, registered(client, taskId), isLater))
    const filled = new Set(fences.map(keyOf))
    const going = yield* goingFrom(
      client,
      journal.folderOf(client, taskId),
      (key) => key <= keyOf(slot) || filled.has(key)
    )
    // One that was cut off before it had seen to them has left the task's first claim at least, which is none of them.
    const seenTo = going.some((key) => key > keyOf(done)) ? 0 : done
    // Never empty, as a writer that was frozen since may try to fill one at any time.
    yield* Effect.forEach(fences.filter((fence) => fence > seenTo), (fence) =>
      client.put(keyOf(fence), journal.encodeRemoval(fence), "any"), {
      concurrency: atOnce,
      discard: true
    })
    yield* client.removeAll(going)
  }).pipe(Effect.catchTag("S3Failure", (failure) =>
    Effect.fail(toTaskIOError(operation, taskId)(failure))))
