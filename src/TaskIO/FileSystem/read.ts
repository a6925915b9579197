/** Reads all files of a task. */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { TaskIOError } from "../../CheckMateError.ts"
import { isNotFound, storeError } from "../../internal/files.ts"
import * as Chain from "./chain.ts"
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

/** Reads a task. What does not fit together may have been written to between two reads: then all is read anew. */
export const read = (
  layout: Layout,
  taskId: string,
  before?: number
): Effect.Effect<Chain.Chain, TaskIOError | Chain.Damaged> =>
  Effect.flatMap(readFiles(layout, taskId), (found) => {
    const bytes = found.reduce((sum, file) => sum + file.length, 0)
    const chain = Chain.assemble(taskId, found, (epoch) => layout.fileOf(taskId, epoch))
    return Either.isRight(chain) || bytes === before ? chain : read(layout, taskId, bytes)
  })
