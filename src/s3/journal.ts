/**
 * The journal of a task: objects in numbered slots, each created where nothing was.
 *
 * ```text
 * <prefix>journal/<task id>/<slot>   a claim, an append, or the mark that the task was removed
 * ```
 *
 * Whoever claims the journal fills the next slot, so that the store itself refuses the next append of every earlier
 * writer. That a task was removed is a slot, too, and both kinds stay filled for ever (`fences`), emptied of records once
 * the task is removed: a writer that was frozen all that time would find its next slot empty otherwise, and go on. Which
 * slot was the newest for one who was frozen while it claimed is not known, so a claimant looks once more.
 *
 * So that a thousand appends are not a thousand requests to read, an object carries, beside its own records, those of the
 * objects right before it, as a binary counter carries: as long as the object before spans no more slots than this one,
 * and both together are at most a megabyte. A reader goes from the newest object to the one before what it carries, and
 * so on: of n small appends it reads at most log2(n) + 1. A record is written anew about log2(n) / 2 times for that, in
 * requests that are made anyway; objects of half a megabyte and more are never written again.
 *
 * Slots count down in the keys, so that the newest is the first in a listing.
 */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { JournalDamagedError, JournalVersionError, type TaskIOError } from "../CheckMateError.ts"
import { SummarySchema } from "../internal/journalCodec.ts"
import type { EncodedSummary } from "../TaskIO/Encoded.ts"
import type { Client, Found } from "./client.ts"
import { type S3Failure, toTaskIOError } from "./failure.ts"
import type { Page } from "./listing.ts"

const version = 1

const Head = Schema.Struct({
  v: Schema.Literal(version),
  kind: Schema.Literal("claim", "append", "removed"),
  /** The fencing token of the claim under which this was written; no earlier claim's is as great. */
  epoch: Schema.Int,
  slot: Schema.Int,
  /** The slot behind which the journal begins: 0, or that of the task's removal before it was begun anew. */
  base: Schema.Int,
  /** The slot of the object to be read before this one, or the base. */
  after: Schema.Int,
  /** How many records the journal has with this one. */
  records: Schema.Int,
  /** That of the latest append. */
  summary: Schema.NullOr(SummarySchema),
  /** The slots that an earlier writer may yet try to fill. */
  fences: Schema.optionalWith(Schema.Array(Schema.Int), { exact: true })
})
type Head = typeof Head.Type

const decodeHead = Schema.decodeUnknownEither(Head)
const decodeVersion = Schema.decodeEither(Schema.parseJson(Schema.Struct({ v: Schema.Number })))
const decodeJson = Schema.decodeEither(Schema.parseJson())
const encodeHead = Schema.encodeSync(Schema.parseJson(Head))

/** An object of a journal, and the records it carries. */
export interface Piece extends Head {
  readonly texts: ReadonlyArray<string>
  readonly size: number
}

/** A journal as it was read, oldest piece first. */
export interface Chain {
  readonly pieces: ReadonlyArray<Piece>
  /** The newest slot; 0 where there is none. */
  readonly slot: number
  readonly base: number
  readonly records: number
  readonly epoch: number
  readonly summary: EncodedSummary | null
  readonly fences: ReadonlyArray<number>
}

export type Unreadable = TaskIOError | JournalDamagedError | JournalVersionError

const digits = 10
const highest = 10 ** digits - 1

/** Numbers in keys, which are sorted as texts. */
export const padded = (number: number): string => String(number).padStart(digits, "0")

export const folderOf = (client: Client, taskId: string): string => `${client.prefix}journal/${taskId}/`
export const keyOf = (client: Client, taskId: string, slot: number): string =>
  `${folderOf(client, taskId)}${padded(highest - slot)}`

/** The slot of a key; none for a key that is not a slot's. */
const slotOf = (client: Client, taskId: string, key: string): Option.Option<number> => {
  const name = key.slice(folderOf(client, taskId).length)
  return /^\d{10}$/.test(name) ? Option.some(highest - Number(name)) : Option.none()
}

// --- objects --------------------------------------------------------------------

const sizeOf = (texts: ReadonlyArray<string>): number => texts.reduce((sum, text) => sum + text.length + 1, 0)

export const encode = (piece: Piece): string => {
  const { texts, size: _, ...head } = piece
  return [encodeHead(head), ...texts].join("\n")
}

const fencing = (fences: ReadonlyArray<number>): Pick<Head, "fences"> => fences.length === 0 ? {} : { fences }

/** The slots that stay filled when a task is removed, or was: with the mark of that, if this is it. */
export const fencesOf = ({ fences = [], kind, slot }: Piece): ReadonlyArray<number> =>
  kind === "removed" ? [...fences, slot] : fences

/** What stays of a task that was removed: no writer of it may find its next slot empty. */
export const encodeRemoval = (slot: number, epoch = slot, fences: ReadonlyArray<number> = []): string =>
  encodeHead({
    v: version,
    kind: "removed",
    epoch,
    slot,
    base: slot,
    after: slot,
    records: 0,
    summary: null,
    ...fencing(fences)
  })

export const decode = (
  client: Client,
  taskId: string,
  slot: number,
  { content }: Found
): Either.Either<Piece, JournalDamagedError | JournalVersionError> => {
  const [first = "", ...texts] = content.split("\n")
  const damaged = (problem: string) =>
    new JournalDamagedError({ taskId, location: client.location(keyOf(client, taskId, slot)), problem })
  return Either.gen(function*() {
    const { v } = yield* Either.mapLeft(decodeVersion(first), () => damaged("its first line is not what was written"))
    if (v > version) return yield* Either.left(new JournalVersionError({ taskId, version: v, supported: version }))
    const head = yield* decodeJson(first).pipe(
      Either.flatMap(decodeHead),
      Either.mapLeft((issue) => damaged(issue.message))
    )
    if (head.slot !== slot) return yield* Either.left(damaged(`it says that it is slot ${head.slot}, not ${slot}`))
    // A reader that went there would come back here.
    if (head.kind !== "removed" && (head.after < head.base || head.after >= slot)) {
      const where = `of a journal that begins behind slot ${head.base}`
      return yield* Either.left(damaged(`it says that slot ${head.after} is to be read before it, ${where}`))
    }
    return { ...head, texts, size: sizeOf(texts) }
  })
}

// --- chains ---------------------------------------------------------------------

const most = 1_048_576

/** What an object in the next slot has to hold: its own records, and those of the objects before that it carries. */
export const next = (
  chain: Chain,
  own: Pick<Head, "kind" | "epoch"> & { readonly summary: EncodedSummary | null },
  texts: ReadonlyArray<string>
): Piece => {
  const slot = chain.slot + 1
  const carried: Array<ReadonlyArray<string>> = [texts]
  let size = sizeOf(texts)
  let after = chain.slot
  for (const piece of chain.pieces.toReversed()) {
    const small = piece.slot - piece.after <= slot - after && piece.size < most / 2 && piece.size + size <= most
    if (!small) break
    carried.unshift(piece.texts)
    size += piece.size
    after = piece.after
  }
  // Before the first claim there is no writer.
  const isFence = own.kind === "claim" && chain.slot > chain.base
  return {
    ...own,
    ...fencing(isFence ? [...chain.fences, slot] : chain.fences),
    v: version,
    slot,
    base: chain.base,
    after,
    records: chain.records + texts.length,
    texts: carried.flat(),
    size
  }
}

/** A chain with one more piece; of pieces that no later one will carry the records are let go of. */
export const grow = (chain: Chain, piece: Piece): Chain => ({
  pieces: [
    ...chain.pieces.filter(({ slot }) => slot <= piece.after),
    piece.size < most / 2 ? piece : { ...piece, texts: [] }
  ],
  slot: piece.slot,
  base: piece.base,
  records: piece.records,
  epoch: piece.epoch,
  summary: piece.summary,
  fences: piece.fences ?? []
})

/** A task that is not there, or was removed in that slot. */
const emptyAt = (slot: number, epoch = slot, fences: ReadonlyArray<number> = []): Chain => ({
  pieces: [],
  slot,
  base: slot,
  records: 0,
  epoch,
  summary: null,
  fences
})

/** What others put there, the mark of a folder for instance, is passed over. */
const slotsIn = (client: Client, taskId: string, { entries }: Page): ReadonlyArray<number> =>
  entries.flatMap(({ key }) => Option.toArray(slotOf(client, taskId, key)))

/** All slots of a task that are filled, newest first. */
export const slotsOf = (client: Client, taskId: string): Effect.Effect<ReadonlyArray<number>, S3Failure> =>
  Effect.map(client.list(folderOf(client, taskId)), (all) => slotsIn(client, taskId, all))

/** The newest slot of a task; 0 where it has none. */
export const newestSlot = (client: Client, taskId: string): Effect.Effect<number, S3Failure> =>
  Effect.flatMap(client.page(folderOf(client, taskId), { limit: 1 }), (first) => {
    const [slot] = slotsIn(client, taskId, first)
    return slot !== undefined || first.entries.length === 0
      ? Effect.succeed(slot ?? 0)
      : Effect.map(slotsOf(client, taskId), ([newest = 0]) => newest)
  })

export const pieceAt = (client: Client, operation: string, taskId: string, slot: number) =>
  Effect.flatMap(
    Effect.mapError(client.get(keyOf(client, taskId, slot)), (failure): Unreadable =>
      failure.kind === "damaged"
        ? new JournalDamagedError({ taskId, location: failure.location, problem: failure.problem })
        : toTaskIOError(operation, taskId)(failure)),
    (found) => Effect.transposeMapOption(found, (object) => decode(client, taskId, slot, object))
  )

/** How often what is removed while it is read is looked for again. */
const looks = 5

/** The newest piece of a task; none for a task that is not there, or was removed. */
export const newest = Effect.fnUntraced(
  function*(
    client: Client,
    operation: string,
    taskId: string,
    tries = looks
  ): Effect.fn.Return<Option.Option<Piece>, Unreadable> {
    const slot = yield* Effect.mapError(newestSlot(client, taskId), toTaskIOError(operation, taskId))
    if (slot === 0) return Option.none()
    const piece = yield* pieceAt(client, operation, taskId, slot)
    if (Option.isSome(piece) || tries === 0) return piece
    return yield* newest(client, operation, taskId, tries - 1)
  }
)

/** Reads a journal, from the newest piece back to the one that holds the record `from`. */
export const read = Effect.fnUntraced(
  function*(
    client: Client,
    operation: string,
    taskId: string,
    from: number,
    tries = looks
  ): Effect.fn.Return<Chain, Unreadable> {
    const damaged = (slot: number, problem: string) =>
      new JournalDamagedError({ taskId, location: client.location(keyOf(client, taskId, slot)), problem })
    const last = yield* newest(client, operation, taskId)
    if (Option.isNone(last)) return emptyAt(0)
    if (last.value.kind === "removed") return emptyAt(last.value.slot, last.value.epoch, fencesOf(last.value))
    const { base, epoch, fences = [], records, slot, summary } = last.value
    const pieces: Array<Piece> = [last.value]
    let oldest = last.value
    while (oldest.after > base && oldest.records - oldest.texts.length > from) {
      const piece = yield* pieceAt(client, operation, taskId, oldest.after)
      if (Option.isNone(piece) || piece.value.kind === "removed") {
        // It was removed while it was read: then the newest says so.
        return tries === 0
          ? yield* damaged(oldest.after, "the object is not there")
          : yield* read(client, operation, taskId, from, tries - 1)
      }
      const before = piece.value
      if (before.base !== base || before.records !== oldest.records - oldest.texts.length) {
        return yield* damaged(
          before.slot,
          `it ends with record ${before.records} of the journal behind slot ${before.base}, and the next object goes on `
            + `behind record ${oldest.records - oldest.texts.length} of that behind slot ${base}`
        )
      }
      pieces.unshift(before)
      oldest = before
    }
    if (oldest.after === base && oldest.records !== oldest.texts.length) {
      return yield* damaged(oldest.slot, `it holds ${oldest.texts.length} records and should hold ${oldest.records}`)
    }
    return { pieces, slot, base, records, epoch, summary, fences }
  }
)

/** The records of a chain from a position on. */
export const recordsFrom = ({ pieces, records }: Chain, from: number): ReadonlyArray<string> => {
  const texts = pieces.flatMap((piece) => piece.texts)
  return texts.slice(Math.max(0, from - (records - texts.length)))
}
