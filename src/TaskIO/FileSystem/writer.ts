/** Who writes a task's journal: takes it over from whoever did, and appends for as long as nobody takes it over in turn. */

import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { StaleWriterError, type TaskIOError } from "../../CheckMateError.ts"
import { appendTo, storeError, syncFile, written } from "../../internal/files.ts"
import { exitOf } from "../../internal/inContext.ts"
import { nonce } from "../../internal/nonce.ts"
import type { EncodedJournal } from "../Encoded.ts"
import * as Chain from "./chain.ts"
import { claim, seal } from "./claim.ts"
import * as JournalFile from "./journalFile.ts"
import type { Layout } from "./layout.ts"
import { read } from "./read.ts"
import type { SyncTasks } from "./syncTasks.ts"

type Header = Omit<JournalFile.Header, "format">

/**
 * Whether a header is written with the claim, since others go by it: of a later epoch it says how much counts from here on,
 * and of any how far epochs are ahead. Else it goes with the first append.
 */
const isWrittenFirst = ({ ahead, epoch }: Header): boolean => epoch > 1 || ahead !== undefined

/** Claims a task's journal for writing, at an epoch of at least `atLeast`, and reads what it holds. */
export const open = Effect.fnUntraced(
  function*(
    layout: Layout,
    syncTasks: SyncTasks,
    taskId: string,
    atLeast = 0
  ): Effect.fn.Return<EncodedJournal, TaskIOError | Chain.Damaged, Scope.Scope> {
    const { epoch, handle } = yield* claim(layout, taskId)
    const file = layout.fileOf(taskId, epoch)
    // Read once all are sealed: so whatever was acknowledged before is among it.
    for (let older = epoch - 1; older > 0; older--) yield* seal(layout, taskId, older)
    const chain = epoch === 1 ? Chain.nothing : yield* read(layout, taskId)
    if (chain.seal !== null) yield* syncCounted(layout, taskId, chain.seal.epoch)
    const origin = Option.isSome(chain.origin) ? chain.origin.value : yield* nonce
    const ahead = Math.max(chain.ahead, atLeast - epoch)
    const header: Header = { taskId, epoch, origin, ...(ahead > 0 ? { ahead } : {}), after: chain.seal }
    if (isWrittenFirst(header)) {
      const line = JournalFile.headerLine(header)
      yield* Effect.mapError(written(handle.writeAll(line)), storeError("open the journal", file, taskId))
    }
    return writer(handle, file, header, chain.records, syncTasks)
  }
)

/** What an older file holds counts from here on, and an engine that was overtaken may not have got to sync it. */
const syncCounted = ({ fileOf, fs }: Layout, taskId: string, epoch: number) =>
  Effect.mapError(
    syncFile(fs, fileOf(taskId, epoch)),
    storeError("open the journal", fileOf(taskId, epoch), taskId)
  )

/** Appends to an open file, and fails once that has been taken over or removed. */
const fenced = (
  handle: FileSystem.File,
  stale: (problem: string) => StaleWriterError
): (bytes: Uint8Array) => Effect.Effect<void, PlatformError | StaleWriterError> => {
  const append = appendTo(handle)
  return (bytes) =>
    Effect.flatMap(append(bytes), (names) =>
      names === 1
        ? Effect.void
        : Effect.fail(stale(names === 0 ? "the task was removed" : "a newer epoch has taken it over")))
}

/** The journal of a file that is claimed, where `records` stand before what is appended here. */
const writer = (
  handle: FileSystem.File,
  file: string,
  header: Header,
  records: ReadonlyArray<string>,
  syncTasks: SyncTasks
): EncodedJournal => {
  const { ahead = 0, taskId } = header
  const epoch = header.epoch + ahead
  const stale = (problem: string) => new StaleWriterError({ taskId, epoch, problem })
  const failed = storeError("append to the journal", file, taskId)
  const write = fenced(handle, stale)
  // The first append is also what makes the file's name durable; in a fiber, since a concurrent zip makes three times as
  // much of it, and takes as long as writing does.
  const writeFirst = (bytes: Uint8Array) =>
    Effect.flatMap(
      Effect.fork(syncTasks),
      (synced) => Effect.zipRight(write(bytes), Effect.flatten(exitOf(synced)))
    )
  let isFirst = true
  let length = records.length
  let broken: string | undefined

  return {
    epoch,
    records,
    append: (position, records, summary) =>
      Effect.suspend(() => {
        if (broken !== undefined) return Effect.fail(stale(`an earlier append failed: ${broken}`))
        if (position !== length) return Effect.fail(stale(`it holds ${length} records, not ${position}`))
        const needsHeader = isFirst && !isWrittenFirst(header)
        const bytes = JournalFile.batch(needsHeader ? header : undefined, position, records, summary)
        // Any outcome but success leaves the file in doubt, so nothing more is written to it.
        broken = "its outcome is unknown"
        return Effect.matchEffect(isFirst ? writeFirst(bytes) : write(bytes), {
          onFailure: (error) => {
            const failure = error._tag === "StaleWriterError" ? error : failed(error)
            broken = failure.message
            return Effect.fail(failure)
          },
          onSuccess: () => {
            isFirst = false
            length += records.length
            broken = undefined
            return Effect.void
          }
        })
      })
  }
}
