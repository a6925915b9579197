/** Whose a task's journal is: claims, and the second names that tell earlier claimants. */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../../CheckMateError.ts"
import { alreadyExists, isNotFound, removed, storeError } from "../../internal/files.ts"
import { nonce } from "../../internal/nonce.ts"
import type { Layout } from "./layout.ts"

/** The file of an epoch, for whoever has created it. */
interface Claim {
  readonly epoch: number
  readonly handle: FileSystem.File
}

/** Creates the next epoch's file, exclusively. */
export const claim = Effect.fnUntraced(
  function*({ fileOf, fs }: Layout, taskId: string): Effect.fn.Return<Claim, TaskIOError, Scope.Scope> {
    for (let epoch = 1;; epoch++) {
      const made = yield* fs.open(fileOf(taskId, epoch), { flag: "ax" }).pipe(
        Effect.map(Option.some),
        Effect.catchIf(alreadyExists, () => Effect.succeed(Option.none())),
        Effect.mapError(storeError("open the journal", fileOf(taskId, epoch), taskId))
      )
      if (Option.isSome(made)) return { epoch, handle: made.value }
    }
  }
)

/** Gives a file its second name; false where something is called so already. */
const link = ({ fileOf, fs, secondNameOf }: Layout, taskId: string, epoch: number) =>
  Effect.as(fs.link(fileOf(taskId, epoch), secondNameOf(taskId, epoch)), true).pipe(
    Effect.catchIf(alreadyExists, () => Effect.succeed(false)),
    Effect.mapError(storeError("open the journal", fileOf(taskId, epoch), taskId))
  )

/** Whether the second name is the file's own, and not that of a removed task's file, or of a copy. */
const isSealed = ({ fileOf, fs, secondNameOf }: Layout, taskId: string, epoch: number) =>
  Effect.zipWith(
    fs.stat(fileOf(taskId, epoch)),
    Effect.map(fs.stat(secondNameOf(taskId, epoch)), Option.some).pipe(
      Effect.catchIf(isNotFound, () => Effect.succeedNone)
    ),
    ({ ino, nlink }, second) =>
      Option.exists(nlink, (names) => names > 1)
      && Option.exists(second, (other) => Option.getOrNull(other.ino) === Option.getOrNull(ino))
  ).pipe(Effect.mapError(storeError("read the journal", fileOf(taskId, epoch), taskId)))

/**
 * Gives a file its second name in place of what is called so. In one step: to remove that first could remove the name that
 * another claimant has given it, and the file's writer would be let in again.
 */
const replaceSecondName = Effect.fnUntraced(
  function*({ fileOf, fs, path, secondNameOf, trash }: Layout, taskId: string, epoch: number) {
    const name = path.join(trash, `${taskId}.${yield* nonce}`)
    yield* Effect.zipRight(fs.link(fileOf(taskId, epoch), name), fs.rename(name, secondNameOf(taskId, epoch))).pipe(
      // Somebody has tidied up, or the file is gone, which the next look tells.
      Effect.catchIf(isNotFound, () => fs.makeDirectory(trash, { recursive: true })),
      Effect.mapError(storeError("open the journal", fileOf(taskId, epoch), taskId))
    )
    // Where another claimant was first both are names of one file, and a rename does nothing.
    yield* removed(fs, name)
  }
)

/** Gives an older epoch's file its second name, which tells its writer that it has been taken over. */
export const seal = Effect.fnUntraced(
  function*(layout: Layout, taskId: string, epoch: number): Effect.fn.Return<void, TaskIOError> {
    if (yield* link(layout, taskId, epoch)) return
    while (!(yield* isSealed(layout, taskId, epoch))) yield* replaceSecondName(layout, taskId, epoch)
  }
)
