/** Reads all files of a task. */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { TaskIOError } from "../../CheckMateError.ts"
import { isNotFound, isShut, storeError } from "../../internal/files.ts"
import * as Chain from "./chain.ts"
import * as JournalFile from "./journalFile.ts"
import type { Layout } from "./layout.ts"

/** A file's bytes; none where there is no such file. */
const readBytes = (
  { fs }: Layout,
  taskId: string,
  file: string
): Effect.Effect<Option.Option<Uint8Array>, TaskIOError> =>
  Effect.map(fs.readFile(file), Option.some).pipe(
    Effect.catchIf(isNotFound, () => Effect.succeed(Option.none())),
    Effect.mapError(storeError("read the journal", file, taskId))
  )

/** A task's files, from the first on until there is no next. */
export const readFiles = Effect.fnUntraced(
  function*(layout: Layout, taskId: string): Effect.fn.Return<ReadonlyArray<Uint8Array>, TaskIOError> {
    const found: Array<Uint8Array> = []
    for (let epoch = 1;; epoch++) {
      const file = yield* readBytes(layout, taskId, layout.fileOf(taskId, epoch))
      if (Option.isNone(file)) return found
      found.push(file.value)
    }
  }
)

/** Whether a removal has begun with a file. */
const hasRemovalBegun = ({ fileOf, fs }: Layout, taskId: string, epoch: number) =>
  Effect.map(fs.stat(fileOf(taskId, epoch)), ({ mode }) => isShut(mode)).pipe(
    Effect.catchIf(isNotFound, () => Effect.succeed(false)),
    Effect.mapError(storeError("read the journal", fileOf(taskId, epoch), taskId))
  )

/**
 * Without what a removal that was cut off has left behind a claim that has written nothing yet, which looks as if the claim
 * had lost what that counts on. The removal has begun with all files there were, so not with the claim's.
 */
const withoutLeftovers = Effect.fnUntraced(
  function*(
    layout: Layout,
    taskId: string,
    found: ReadonlyArray<Uint8Array>
  ): Effect.fn.Return<ReadonlyArray<Uint8Array>, TaskIOError> {
    const claimed = found.findIndex(JournalFile.isWithoutHeader)
    if (claimed === -1 || (yield* hasRemovalBegun(layout, taskId, claimed + 1))) return found
    return yield* Effect.forEach(found, (bytes, index) =>
      index <= claimed
        ? Effect.succeed(bytes)
        : Effect.map(hasRemovalBegun(layout, taskId, index + 1), (begun) => begun ? Chain.empty : bytes))
  }
)

/** Reads a task. What does not fit together may have been written to between two reads: then all is read anew. */
export const read = (
  layout: Layout,
  taskId: string,
  before?: number
): Effect.Effect<Chain.Chain, TaskIOError | Chain.Damaged> =>
  Effect.flatMap(readFiles(layout, taskId), (found) => {
    const bytes = found.reduce((sum, file) => sum + file.length, 0)
    const assemble = (files: ReadonlyArray<Uint8Array>) =>
      Chain.assemble(taskId, files, (epoch) => layout.fileOf(taskId, epoch))
    const chain = assemble(found)
    if (Either.isRight(chain)) return chain
    return bytes === before
      ? Effect.flatMap(withoutLeftovers(layout, taskId, found), assemble)
      : read(layout, taskId, bytes)
  })
