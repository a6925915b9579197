/** Lists tasks by their files' last lines, without reading all of them. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { TaskIOError } from "../../CheckMateError.ts"
import { isNotFound, storeError } from "../../internal/files.ts"
import { logWarning } from "../../internal/log.ts"
import type { EncodedSummary } from "../Encoded.ts"
import { type Damaged, empty } from "./chain.ts"
import * as JournalFile from "./journalFile.ts"
import { type Layout, namesIn, newestEpochs } from "./layout.ts"
import { read } from "./read.ts"

/** How much of a file's end is read for its last line; a longer one is read whole. */
const tailLength = 4096

/** More than a file's first line has. */
const headLength = 4096

/** The end of a file of that size. */
const readTail = Effect.fnUntraced(function*({ fs }: Layout, file: string, size: number) {
  const handle = yield* fs.open(file, { flag: "r" })
  yield* handle.seek(size - tailLength, "start")
  return Option.getOrElse(yield* handle.readAlloc(tailLength), () => empty)
}, Effect.scoped)

/** The summary in a file's last line; none where that is not the end of a batch. */
const summaryIn = (layout: Layout, taskId: string, file: string) =>
  Effect.flatMap(
    layout.fs.stat(file),
    // One call reads a small file whole; of a long one only the end is read.
    ({ size }) => Number(size) > tailLength * 16 ? readTail(layout, file, Number(size)) : layout.fs.readFile(file)
  ).pipe(
    Effect.map(JournalFile.summaryOf),
    Effect.catchIf(isNotFound, () => Effect.succeed(Option.none())),
    Effect.mapError(storeError("read the journal", file, taskId))
  )

const readHead = Effect.fnUntraced(function*({ fs }: Layout, file: string) {
  const handle = yield* fs.open(file, { flag: "r" })
  return yield* handle.readAlloc(headLength)
}, Effect.scoped)

const originOf = (layout: Layout, taskId: string, epoch: number) => {
  const file = layout.fileOf(taskId, epoch)
  return readHead(layout, file).pipe(
    Effect.map((head) => Option.map(Option.flatMap(head, JournalFile.parseHeader), ({ origin }) => origin)),
    Effect.catchIf(isNotFound, () => Effect.succeedNone),
    Effect.mapError(storeError("read the journal", file, taskId))
  )
}

/** Whether the newest file is of the task that the first one is of, and not left of one that was removed. */
const belongs = (layout: Layout, taskId: string, newest: number) =>
  newest === 1 ? Effect.succeed(true) : Effect.map(
    Effect.zip(originOf(layout, taskId, 1), originOf(layout, taskId, newest)),
    ([first, last]) => Option.isSome(first) && Option.contains(last, first.value)
  )

/** What the list shows of a task: its newest file's last line, or else what all its files come to. */
const summaryOf = (layout: Layout, taskId: string, newest: number) =>
  Effect.flatMap(
    Effect.zip(summaryIn(layout, taskId, layout.fileOf(taskId, newest)), belongs(layout, taskId, newest)),
    ([summary, own]) =>
      Option.isSome(summary) && own
        ? Effect.succeed(summary)
        : Effect.map(read(layout, taskId), (chain) => chain.summary)
  )

const skipped = (taskId: string) => (error: TaskIOError | Damaged) =>
  Effect.as(
    logWarning(`Task ${taskId} is left out of the list: ${error.message}`),
    Option.none<EncodedSummary>()
  )

/** The summaries of all tasks. One whose files do not read is left out, with a warning. */
export const list = (layout: Layout): Stream.Stream<EncodedSummary, TaskIOError> =>
  Stream.fromIterableEffect(Effect.flatMap(namesIn(layout), (names) =>
    Effect.forEach(
      newestEpochs(names),
      ([taskId, newest]) => Effect.catchAll(summaryOf(layout, taskId, newest), skipped(taskId)),
      { concurrency: 16 }
    ))).pipe(Stream.filterMap((summary) => summary))
