/** Where things stand in a lock's directory, and what they are called. */

import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { BindLockError } from "../../CheckMateError.ts"
import { emptyName, entries, lockError } from "../../internal/files.ts"

/** A lock's directory. */
export interface Layout {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  /** Where the engines' files are, and the locks, which are links to them. */
  readonly locks: string
  /** A folder of their own, which is almost always empty: it is listed for each takeover. */
  readonly takes: string
  /** The lock of a task. */
  readonly lockOf: (taskId: string) => string
  /** What an engine of that nonce takes a task over with. */
  readonly takeOf: (taskId: string, nonce: string) => string
}

/** The directory of that name, which need not be there yet. */
export const of = Effect.fnUntraced(
  function*(directory: string): Effect.fn.Return<Layout, BindLockError, FileSystem.FileSystem | Path.Path> {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    if (directory === "") {
      return yield* new BindLockError({
        operation: "prepare to bind",
        taskId: "*",
        location: root,
        problem: emptyName
      })
    }
    const locks = path.join(root, "locks")
    const takes = path.join(root, "takes")
    return {
      fs,
      path,
      locks,
      takes,
      lockOf: (taskId) => path.join(locks, `${taskId}.lock`),
      takeOf: (taskId, nonce) => path.join(takes, `${taskId}.${nonce}.take`)
    }
  }
)

/** Creates the directory, where it does not exist. */
export const create = ({ fs, locks, takes }: Layout): Effect.Effect<void, BindLockError> =>
  Effect.forEach(
    [locks, takes],
    (folder) =>
      Effect.mapError(fs.makeDirectory(folder, { recursive: true }), lockError("prepare to bind", folder, "*")),
    { discard: true }
  )

const takeName = /\.[0-9a-f]+\.take$/

/** The names of all tries to take a task over. */
export const takesOf = ({ fs, takes }: Layout, taskId: string): Effect.Effect<ReadonlyArray<string>, PlatformError> =>
  Effect.map(
    entries(fs, takes),
    (names) => names.filter((name) => name.startsWith(`${taskId}.`) && takeName.exec(name)?.index === taskId.length)
  )
