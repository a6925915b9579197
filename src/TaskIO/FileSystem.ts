/**
 * Journals in a directory, as files people can read.
 *
 * ```text
 * directory/tasks/<task id>.1.ndjson   the journal of the first engine that ran the task
 *                 <task id>.1.sealed   a second name of it: it has been taken over
 *                 <task id>.2.ndjson   of the engine that took it up next; its first line says how much of 1 counts
 * directory/mail/…                     messages for whoever runs the task
 * directory/trash/…                    tasks being removed
 * ```
 *
 * A stale writer is refused without clocks. A claim is the exclusive creation of the next epoch's file; the claimant
 * then gives every older file its second name, and reads them afterwards. An append is one write and one sync; it is
 * acknowledged only if, after the write, the file had one name still: not two, which is taken over, and not none, which
 * is removed; nor is one that is being removed, whose names go one by one, and which its sticky bit marks. So whatever was
 * acknowledged before the claim is among what the claimant reads. It syncs that, for what was written and not acknowledged
 * counts, too; how much that is it writes into its own first line, and bytes behind it never count.
 *
 * @since 0.1.0
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../CheckMateError.ts"
import type { Encoded } from "./Encoded.ts"
import * as Layout from "./FileSystem/layout.ts"
import { list } from "./FileSystem/list.ts"
import * as Mail from "./FileSystem/mail.ts"
import { read } from "./FileSystem/read.ts"
import * as Remove from "./FileSystem/remove.ts"
import * as SyncTasks from "./FileSystem/syncTasks.ts"
import { open } from "./FileSystem/writer.ts"

/**
 * The driver over a directory, which is created where it does not exist.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(
  function*(
    directory: string
  ): Effect.fn.Return<Encoded, TaskIOError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
    const layout = yield* Layout.create(directory)
    const mail = yield* Mail.make(layout)
    yield* mail.tidy
    yield* Remove.emptyTrash(layout)
    const syncTasks = yield* SyncTasks.make(layout)
    const remove = yield* Remove.make(layout, { syncTasks, discardMail: mail.discard })
    return {
      open: (taskId, atLeast) => open(layout, syncTasks, taskId, atLeast),
      read: (taskId, from) =>
        Effect.map(read(layout, taskId), ({ records }) => from === 0 ? records : records.slice(from)),
      list: () => list(layout),
      remove,
      send: mail.send,
      receive: mail.receive,
      acknowledge: mail.acknowledge,
      waiting: mail.waiting
    }
  }
)
