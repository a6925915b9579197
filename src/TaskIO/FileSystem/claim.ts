/** Whose a task's journal is: claims, and the second names that tell earlier claimants. */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../../CheckMateError.ts"
import { alreadyExists, removed, storeError } from "../../internal/files.ts"
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

const isSealed = ({ fileOf, fs }: Layout, taskId: string, epoch: number) =>
  Effect.mapBoth(fs.stat(fileOf(taskId, epoch)), {
    onFailure: storeError("read the journal", fileOf(taskId, epoch), taskId),
    onSuccess: ({ nlink }) => Option.exists(nlink, (names) => names > 1)
  })

/** Gives an older epoch's file its second name, which tells its writer that it has been taken over. */
export const seal = Effect.fnUntraced(
  function*(layout: Layout, taskId: string, epoch: number): Effect.fn.Return<void, TaskIOError> {
    // A name that is there may be that of a removed task's file.
    while (!(yield* link(layout, taskId, epoch)) && !(yield* isSealed(layout, taskId, epoch))) {
      yield* removed(layout.fs, layout.secondNameOf(taskId, epoch))
    }
  }
)
