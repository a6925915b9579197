/** Removes tasks, each out of sight in one step. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../../CheckMateError.ts"
import { entries, isNotFound, removed, shutMode, storeError } from "../../internal/files.ts"
import * as group from "../../internal/group.ts"
import { nonce } from "../../internal/nonce.ts"
import { seal } from "./claim.ts"
import * as JournalFile from "./journalFile.ts"
import { epochOf, isJournal, type Layout, namesIn, namesOf } from "./layout.ts"
import { readFiles } from "./read.ts"
import type { SyncTasks } from "./syncTasks.ts"

/** The file that a task begins in. */
const beginningOf = (layout: Layout, taskId: string) =>
  Effect.map(readFiles(layout, taskId), (files) => {
    const index = files.map(JournalFile.parseHeader).findIndex(Option.isSome)
    return layout.fileOf(taskId, Math.max(1, index + 1))
  })

/** Tells who has a file open that the task is being removed; where that cannot be told, the file's names do. */
const shut = ({ fileOf, fs }: Layout, taskId: string, epoch: number): Effect.Effect<void> =>
  Effect.ignore(Effect.flatMap(
    fs.stat(fileOf(taskId, epoch)),
    ({ mode }) => fs.chmod(fileOf(taskId, epoch), (mode & 0o777) | shutMode)
  ))

/** Removes a task of which the files are called so, and what `discardMail` removes of it. */
const removeOne = Effect.fnUntraced(
  function*(
    layout: Layout,
    { discardMail, syncTasks }: Means,
    taskId: string,
    names: ReadonlyArray<string>
  ): Effect.fn.Return<void, TaskIOError> {
    const { fs, path, secondNameOf, tasks, trash } = layout
    const epochs = names.filter(isJournal).map(epochOf)
    // Nobody writes to it any more, who may be frozen and think that it is theirs.
    for (const epoch of epochs) yield* Effect.zipRight(seal(layout, taskId, epoch), shut(layout, taskId, epoch))
    // Without the file it begins in, a task is out of sight, in one step; what follows may be cut off anywhere.
    const first = yield* beginningOf(layout, taskId)
    const grave = path.join(trash, `${taskId}.${yield* nonce}`)
    yield* fs.rename(first, grave).pipe(
      Effect.zipRight(syncTasks),
      Effect.catchIf(isNotFound, () => Effect.void),
      Effect.mapError(storeError("remove the task", first, taskId))
    )
    const files = names.map((name) => path.join(tasks, name))
    const secondNames = epochs.map((epoch) => secondNameOf(taskId, epoch))
    yield* Effect.forEach([...files, ...secondNames], (file) => removed(fs, file), { discard: true })
    yield* discardMail(taskId)
    yield* removed(fs, grave)
  }
)

/** What a removal needs of the rest of the store. */
interface Means {
  readonly syncTasks: SyncTasks
  readonly discardMail: (taskId: string) => Effect.Effect<void, TaskIOError>
}

/**
 * What removes a task, together with those that others ask for meanwhile. What a removal that was cut off has left has gaps, so
 * that only the names of all tasks tell: they are read once for all of a group, after each of it was asked for.
 */
export const make = (
  layout: Layout,
  means: Means
): Effect.Effect<(taskId: string) => Effect.Effect<void, TaskIOError>, never, Scope.Scope> =>
  group.whileBusy<string, void, TaskIOError>({
    // None of them waits for others once the names are read, which it goes by.
    limit: 16,
    // Who asked for it holds the task.
    staysToTheEnd: true,
    together: (taskIds) =>
      Effect.flatMap(namesIn(layout), (all) =>
        Effect.forEach(
          taskIds,
          (taskId) => Effect.exit(removeOne(layout, means, taskId, namesOf(taskId, all))),
          { concurrency: "unbounded" }
        ))
  })

/** What removals that were cut off have left is out of sight, and nobody comes back for it. */
export const emptyTrash = ({ fs, path, trash }: Layout): Effect.Effect<void> =>
  Effect.ignore(
    Effect.flatMap(
      entries(fs, trash),
      (names) => Effect.forEach(names, (name) => Effect.ignore(fs.remove(path.join(trash, name))), { discard: true })
    )
  )
