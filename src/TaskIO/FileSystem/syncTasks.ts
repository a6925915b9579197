/** How a new name beside the journals becomes durable. */

import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../../CheckMateError.ts"
import { storeError } from "../../internal/files.ts"
import * as group from "../../internal/group.ts"
import type { Layout } from "./layout.ts"

/** Syncs the directory of the tasks. */
export interface SyncTasks {
  readonly alone: Effect.Effect<void, PlatformError>
  /** Once for all who ask for it while it is being synced for others. */
  readonly together: () => Effect.Effect<void, PlatformError>
}

/** The directory is held open for it, so that a new entry costs one sync and no more. */
export const make = Effect.fnUntraced(
  function*({ fs, tasks }: Layout): Effect.fn.Return<SyncTasks, TaskIOError, Scope.Scope> {
    const handle = yield* Effect.mapError(fs.open(tasks, { flag: "r" }), storeError("open", tasks))
    let syncing = 0
    const counted = Effect.suspend(() => {
      syncing += 1
      return Effect.ensuring(
        handle.sync,
        Effect.sync(() => {
          syncing -= 1
        })
      )
    })
    const together = yield* group.make<void, void, PlatformError>({
      limit: Number.POSITIVE_INFINITY,
      isAlone: () => syncing === 0,
      together: (askers) => Effect.as(counted, askers.map(() => Effect.void))
    })
    return { alone: handle.sync, together }
  }
)
