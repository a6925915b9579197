/**
 * Journals in a directory, as files people can read.
 *
 * ```text
 * directory/tasks/<task id>/00000001.ndjson   the journal of the first engine that ran the task
 *                           00000002.ndjson   of the one that took it up next; its first line says how much of 1 counts
 * directory/mail/<task id>!<time>-<nonce>.json   messages for whoever runs the task
 * directory/trash/…                           tasks being removed
 * ```
 *
 * A stale writer is refused without clocks. A claim is the exclusive creation of the next epoch's file. An append is
 * one write and one sync; it is acknowledged only if, after the write, no newer epoch's file was there. A claimant
 * creates its file first and reads the older ones afterwards, so whatever was acknowledged before is among what it
 * reads; how much that is it writes into its own first line, and bytes behind it never count.
 *
 * @since 0.1.0
 */
import { isPlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { JournalDamagedError, JournalVersionError, StaleWriterError, TaskIOError } from "../CheckMateError.ts"
import { alreadyExists, entries, isNotFound, nonce, storeError, syncDirectory } from "../internal/files.ts"
import * as JournalFile from "../internal/journalFile.ts"
import type { Encoded, EncodedJournal, EncodedSummary, Letter } from "./Encoded.ts"

const extension = ".ndjson"
const fileName = (epoch: number): string => `${String(epoch).padStart(8, "0")}${extension}`
const epochOf = (name: string): number => name.endsWith(extension) ? Number(name.slice(0, -extension.length)) : 0
const epochsIn = (names: ReadonlyArray<string>): ReadonlyArray<number> =>
  names.map(epochOf).filter((epoch) => epoch > 0).sort((left, right) => right - left)

/** How much of a file's end is read for its last line; a longer one is read whole. */
const tailLength = 4096

type Damaged = JournalDamagedError | JournalVersionError

interface Chain {
  readonly records: ReadonlyArray<string>
  readonly seal: JournalFile.Seal | null
  readonly summary: Option.Option<EncodedSummary>
}

/**
 * The driver over a directory, which is created where it does not exist.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  directory: string
): Effect.Effect<Encoded, TaskIOError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    const tasks = path.join(root, "tasks")
    const mailbox = path.join(root, "mail")
    const trash = path.join(root, "trash")
    const ready = Effect.all([
      ...[tasks, mailbox, trash].map((folder) => fs.makeDirectory(folder, { recursive: true })),
      syncDirectory(fs, root)
    ], { discard: true })
    yield* Effect.mapError(ready, storeError("create its directories", root))

    const folderOf = (taskId: string): string => path.join(tasks, taskId)

    // --- reading -------------------------------------------------------------

    const readEpoch = (taskId: string, epoch: number, limit?: number): Effect.Effect<
      JournalFile.Contents,
      TaskIOError | Damaged
    > => {
      const file = path.join(folderOf(taskId), fileName(epoch))
      return Effect.flatMap(
        Effect.mapError(fs.readFile(file), storeError("read the journal", file, taskId)),
        (bytes): Effect.Effect<JournalFile.Contents, Damaged> => {
          const damaged = (location: string, problem: string) =>
            Effect.fail(new JournalDamagedError({ taskId, location: `${file}${location}`, problem }))
          if (limit !== undefined && bytes.length < limit) {
            return damaged("", `it has ${bytes.length} bytes, and a later epoch counts on ${limit}`)
          }
          const parsed = JournalFile.parse(limit === undefined ? bytes : bytes.subarray(0, limit))
          if (Either.isLeft(parsed)) {
            const { byte, line, newer, problem } = parsed.left
            return newer === undefined
              ? damaged(`, line ${line}, byte ${byte}`, problem)
              : Effect.fail(new JournalVersionError({ taskId, version: newer, supported: 1 }))
          }
          const header = parsed.right.header
          if (Option.isSome(header) && (header.value.taskId !== taskId || header.value.epoch !== epoch)) {
            return damaged(", line 1", `it is epoch ${header.value.epoch} of task "${header.value.taskId}"`)
          }
          return limit !== undefined && parsed.right.bytes !== limit
            ? damaged("", `byte ${limit}, up to which a later epoch counts on it, is not the end of a batch`)
            : Effect.succeed(parsed.right)
        }
      )
    }

    /** What the epochs up to `newest` hold together: from the newest that wrote anything, down what each is after. */
    const readChain = (taskId: string, newest: number, known: ReadonlyArray<number>): Effect.Effect<Chain, TaskIOError | Damaged> =>
      Effect.gen(function*() {
        const batches: Array<ReadonlyArray<string>> = []
        let top: JournalFile.Contents | undefined
        let topEpoch = 0
        for (const epoch of known.filter((epoch) => epoch <= newest)) {
          const contents = yield* readEpoch(taskId, epoch)
          if (Option.isNone(contents.header)) continue
          top = contents
          topEpoch = epoch
          break
        }
        if (top === undefined) return { records: [], seal: null, summary: Option.none() }
        batches.unshift(top.records)
        let summary = top.summary
        let after = Option.match(top.header, { onNone: () => null, onSome: (header) => header.after })
        while (after !== null) {
          const seal: JournalFile.Seal = after
          const contents: JournalFile.Contents = yield* readEpoch(taskId, seal.epoch, seal.bytes)
          batches.unshift(contents.records)
          summary = Option.orElse(summary, () => contents.summary)
          after = Option.match(contents.header, { onNone: () => null, onSome: (header) => header.after })
          const before: number = after?.records ?? 0
          if (before + contents.records.length !== seal.records) {
            return yield* new JournalDamagedError({
              taskId,
              location: path.join(folderOf(taskId), fileName(seal.epoch)),
              problem: `it ends at record ${before + contents.records.length}, and a later epoch counts on ${seal.records}`
            })
          }
        }
        const records = batches.flat()
        return { records, seal: { epoch: topEpoch, bytes: top.bytes, records: records.length }, summary }
      })

    const listEpochs = (taskId: string): Effect.Effect<ReadonlyArray<number>, TaskIOError> =>
      Effect.mapBoth(entries(fs, folderOf(taskId)), {
        onFailure: storeError("read the journal", folderOf(taskId), taskId),
        onSuccess: epochsIn
      })

    // An epoch file that vanishes between listing and reading belongs to a task that is being removed.
    const read = (taskId: string): Effect.Effect<Chain, TaskIOError | Damaged> =>
      Effect.flatMap(listEpochs(taskId), (known) => readChain(taskId, Infinity, known)).pipe(
        Effect.catchIf(
          (error) => error._tag === "TaskIOError" && isPlatformError(error.cause) && isNotFound(error.cause),
          (error) =>
            Effect.flatMap(listEpochs(taskId), (known) =>
              known.length === 0
                ? Effect.succeed<Chain>({ records: [], seal: null, summary: Option.none() })
                : Effect.fail(error))
        )
      )

    // --- writing -------------------------------------------------------------

    const openJournal = (taskId: string): Effect.Effect<
      EncodedJournal,
      TaskIOError | Damaged | StaleWriterError,
      Scope.Scope
    > =>
      Effect.gen(function*() {
        const folder = folderOf(taskId)
        const failed = storeError("open the journal", folder, taskId)
        const created = yield* fs.makeDirectory(folder).pipe(
          Effect.as(true),
          Effect.catchIf(alreadyExists, () => Effect.succeed(false)),
          Effect.mapError(failed)
        )
        const known = created ? [] : yield* listEpochs(taskId)
        const epoch = (known[0] ?? 0) + 1
        const file = path.join(folder, fileName(epoch))
        const handle = yield* fs.open(file, { flag: "ax" }).pipe(
          Effect.mapError((error) =>
            alreadyExists(error)
              ? new StaleWriterError({ taskId, epoch, problem: "another engine claimed the epoch first" })
              : failed(error)
          )
        )
        const chain = yield* Effect.tapError(readChain(taskId, epoch - 1, known), () => Effect.ignore(fs.remove(file)))
        let header: Uint8Array | undefined = JournalFile.headerLine({ taskId, epoch, after: chain.seal })
        let length = chain.records.length
        let broken: string | undefined

        const stale = (problem: string) => new StaleWriterError({ taskId, epoch, problem })
        const writing = storeError("append to the journal", file, taskId)

        /** Fails once a newer epoch's file is there, or ours is gone. */
        const stillNewest = Effect.flatMap(listEpochs(taskId), ([newest]) =>
          newest === epoch
            ? Effect.void
            : Effect.fail(stale(newest === undefined ? "the task was removed" : `epoch ${newest} has claimed it`)))

        const syncEntries = Effect.zipRight(syncDirectory(fs, folder), created ? syncDirectory(fs, tasks) : Effect.void)

        return {
          epoch,
          records: chain.records,
          append: (position, records, summary) =>
            Effect.suspend(() => {
              if (broken !== undefined) return Effect.fail(stale(`an earlier append failed: ${broken}`))
              if (position !== length) return Effect.fail(stale(`it holds ${length} records, not ${position}`))
              const first = header
              const bytes = JournalFile.batch(position, records, summary)
              // Any outcome but success leaves the file in doubt, so nothing more is written to it.
              broken = "its outcome is unknown"
              const durable = Effect.zipRight(handle.sync, first === undefined ? Effect.void : syncEntries)
              return Effect.mapError(
                handle.writeAll(first === undefined ? bytes : JournalFile.withHeader(first, bytes)),
                writing
              ).pipe(
                // The check needs the write to be visible, not durable, so it runs beside the sync.
                Effect.zipRight(
                  Effect.zip(Effect.mapError(durable, writing), stillNewest, { concurrent: true })
                ),
                Effect.tapError((error) =>
                  Effect.sync(() => {
                    broken = error.message
                  })
                ),
                Effect.map(() => {
                  header = undefined
                  length += records.length
                  broken = undefined
                })
              )
            })
        }
      })

    // --- listing -------------------------------------------------------------

    const lastSummary = (taskId: string): Effect.Effect<Option.Option<EncodedSummary>, TaskIOError | Damaged> =>
      Effect.flatMap(listEpochs(taskId), ([newest]) => {
        if (newest === undefined) return Effect.succeed(Option.none())
        const file = path.join(folderOf(taskId), fileName(newest))
        const tail = Effect.scoped(Effect.gen(function*() {
          const handle = yield* fs.open(file, { flag: "r" })
          const { size } = yield* handle.stat
          yield* handle.seek(Math.max(0, Number(size) - tailLength), "start")
          const bytes = yield* handle.readAlloc(tailLength)
          return Option.flatMap(bytes, JournalFile.summaryOf)
        }))
        return Effect.flatMap(
          Effect.mapError(tail, storeError("read the journal", file, taskId)),
          (summary) => Option.isSome(summary) ? Effect.succeed(summary) : Effect.map(read(taskId), (chain) => chain.summary)
        )
      })

    const skipped = (taskId: string) => (error: TaskIOError | Damaged) =>
      Effect.as(
        Effect.logWarning(`Task ${taskId} is left out of the list: ${error.message}`),
        Option.none<EncodedSummary>()
      )

    // --- mail ----------------------------------------------------------------

    const addressee = (name: string): string => name.slice(0, name.indexOf("!"))

    const mail = Effect.map(
      Effect.mapError(entries(fs, mailbox), storeError("read the mail", mailbox)),
      (names) => names.filter((name) => name.endsWith(".json")).sort()
    )

    const discard = (name: string): Effect.Effect<void, TaskIOError> =>
      fs.remove(path.join(mailbox, name)).pipe(
        Effect.catchIf(isNotFound, () => Effect.void),
        Effect.mapError(storeError("remove mail", path.join(mailbox, name)))
      )

    return {
      open: openJournal,
      read: (taskId, from) => Effect.map(read(taskId), ({ records }) => from === 0 ? records : records.slice(from)),
      list: () =>
        Stream.unwrap(Effect.map(
          Effect.mapError(entries(fs, tasks), storeError("list tasks", tasks)),
          (ids) =>
            Stream.fromIterable(ids).pipe(
              Stream.mapEffect((taskId) => Effect.catchAll(lastSummary(taskId), skipped(taskId)), {
                concurrency: 16
              }),
              Stream.filterMap((summary) => summary)
            )
        )),
      remove: (taskId) =>
        Effect.gen(function*() {
          // Out of sight in one step, so that a crash in the middle leaves no half of a journal behind.
          const grave = path.join(trash, `${taskId}!${yield* nonce}`)
          yield* fs.rename(folderOf(taskId), grave).pipe(
            Effect.zipRight(syncDirectory(fs, tasks)),
            Effect.zipRight(fs.remove(grave, { recursive: true })),
            Effect.catchIf(isNotFound, () => Effect.void),
            Effect.mapError(storeError("remove the task", folderOf(taskId), taskId))
          )
          const letters = yield* mail
          yield* Effect.forEach(letters.filter((name) => addressee(name) === taskId), discard, { discard: true })
        }),
      send: (taskId, message) =>
        Effect.gen(function*() {
          const time = String(yield* Clock.currentTimeMillis).padStart(15, "0")
          const name = path.join(mailbox, `${taskId}!${time}-${yield* nonce}`)
          yield* Effect.scoped(Effect.gen(function*() {
            const handle = yield* fs.open(`${name}.tmp`, { flag: "wx" })
            yield* handle.writeAll(new TextEncoder().encode(message))
            yield* handle.sync
            yield* fs.rename(`${name}.tmp`, `${name}.json`)
            yield* syncDirectory(fs, mailbox)
          })).pipe(Effect.mapError(storeError("send a message", mailbox, taskId)))
        }),
      receive: (taskId) =>
        Effect.flatMap(mail, (names) =>
          Effect.forEach(names.filter((name) => addressee(name) === taskId), (name) =>
            fs.readFileString(path.join(mailbox, name)).pipe(
              Effect.map((message) => Option.some<Letter>({ id: name, message })),
              Effect.catchIf(isNotFound, () => Effect.succeed(Option.none<Letter>())),
              Effect.mapError(storeError("read the mail", path.join(mailbox, name), taskId))
            ))).pipe(Effect.map((letters) => letters.flatMap(Option.toArray))),
      acknowledge: (_, ids) => Effect.forEach(ids, discard, { discard: true }),
      waiting: Effect.map(mail, (names) => [...new Set(names.map(addressee))])
    }
  })
