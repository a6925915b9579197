/** How a new name beside the journals becomes durable. */

import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../../CheckMateError.ts"
import { storeError } from "../../internal/files.ts"
import * as group from "../../internal/group.ts"
import type { Layout } from "./layout.ts"

/** Syncs the directory of the tasks: once for all who ask for it while it is being synced for others. */
export type SyncTasks = Effect.Effect<void, PlatformError>

/** The directory is held open for it, so that a new entry costs one sync and no more. */
export const make = Effect.fnUntraced(
  function*({ fs, tasks }: Layout): Effect.fn.Return<SyncTasks, TaskIOError, Scope.Scope> {
    const handle = yield* Effect.mapError(fs.open(tasks, { flag: "r" }), storeError("open", tasks))
    return yield* group.shared(handle.sync)
  }
)
