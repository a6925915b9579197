/** Where things stand in a store's directory, and what they are called. */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { TaskIOError } from "../../CheckMateError.ts"
import { emptyName, entries, storeError, syncDirectory } from "../../internal/files.ts"

/** A store's directory. */
export interface Layout {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  /** Where the journals are. */
  readonly tasks: string
  /** Where messages are. */
  readonly mail: string
  /** Where that goes which is being removed. */
  readonly trash: string
  /** What one epoch of a task is written to. */
  readonly fileOf: (taskId: string, epoch: number) => string
  /** Its second name, once it has been taken over. */
  readonly secondNameOf: (taskId: string, epoch: number) => string
}

/** The directory, which is created where it does not exist. */
export const create = Effect.fnUntraced(
  function*(directory: string): Effect.fn.Return<Layout, TaskIOError, FileSystem.FileSystem | Path.Path> {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    if (directory === "") {
      return yield* new TaskIOError({ operation: "create its directories", location: root, problem: emptyName })
    }
    const tasks = path.join(root, "tasks")
    const mail = path.join(root, "mail")
    const trash = path.join(root, "trash")
    const ready = Effect.all([
      ...[tasks, mail, trash].map((folder) => fs.makeDirectory(folder, { recursive: true })),
      syncDirectory(fs, root)
    ], { discard: true })
    yield* Effect.mapError(ready, storeError("create its directories", root))
    return {
      fs,
      path,
      tasks,
      mail,
      trash,
      fileOf: (taskId, epoch) => path.join(tasks, `${taskId}.${epoch}.ndjson`),
      secondNameOf: (taskId, epoch) => path.join(tasks, `${taskId}.${epoch}.sealed`)
    }
  }
)

/** All names in the directory of the tasks. */
export const namesIn = ({ fs, tasks }: Layout): Effect.Effect<ReadonlyArray<string>, TaskIOError> =>
  Effect.mapError(entries(fs, tasks), storeError("list tasks", tasks))

// Numbers as they are written here: what is called otherwise is not of a task, and none of its files goes by that number.
const journalName = /^(.+)\.([1-9]\d{0,14})\.ndjson$/
const ending = /^[1-9]\d{0,14}\.(ndjson|sealed)$/

/** The epoch of a name that {@link namesOf} has found. */
export const epochOf = (name: string): number => Number(/\.(\d+)\.\w+$/.exec(name)?.[1])

/** Whether it is the name of a journal's file, and not its second one. */
export const isJournal = (name: string): boolean => journalName.test(name)

/** Which names are a task's, those of the newest epoch first. */
export const namesOf = (taskId: string, names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names
    .filter((name) => name.startsWith(`${taskId}.`) && ending.test(name.slice(taskId.length + 1)))
    .sort((left, right) => epochOf(right) - epochOf(left))

/** The newest epoch of every task, by the names of the files. What has no first is left of a removed task. */
export const newestEpochs = (names: ReadonlyArray<string>): ReadonlyMap<string, number> => {
  const epochs = new Map<string, Set<number>>()
  for (const name of names) {
    const [, taskId, epoch] = journalName.exec(name) ?? []
    if (taskId !== undefined) {
      epochs.set(taskId, (epochs.get(taskId) ?? new Set()).add(Number(epoch)))
    }
  }
  const newest = new Map<string, number>()
  for (const [taskId, found] of epochs) {
    let last = 0
    while (found.has(last + 1)) {
      last += 1
    }
    if (last > 0) {
      newest.set(taskId, last)
    }
  }
  return newest
}
