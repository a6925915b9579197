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
 * is removed. So whatever was acknowledged before the claim is among what the claimant reads. It syncs that, for what was
 * written and not acknowledged counts, too; how much that is it writes into its own first line, and bytes behind it
 * never count.
 *
 * @since 0.1.0
 */

import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { StaleWriterError, TaskIOError } from "../CheckMateError.ts"
import {
  alreadyExists,
  appendTo,
  emptyName,
  entries,
  isNotFound,
  removed,
  storeError,
  syncDirectory,
  syncFile,
  written
} from "../internal/files.ts"
import * as group from "../internal/group.ts"
import { exitOf } from "../internal/inContext.ts"
import * as Chain from "../internal/journalChain.ts"
import * as JournalFile from "../internal/journalFile.ts"
import { nonce } from "../internal/nonce.ts"
import type { Encoded, EncodedJournal, EncodedSummary } from "./Encoded.ts"
import * as Mail from "./FileSystem/mail.ts"

// Numbers as they are written here: what is called otherwise is not of a task, and none of its files goes by that number.
const journalName = /^(.+)\.([1-9]\d{0,14})\.ndjson$/
const epochOf = (name: string): number => Number(/\.(\d+)\.\w+$/.exec(name)?.[1])

/** How much of a file's end is read for its last line; a longer one is read whole. */
const tailLength = 4096

/** More than a file's first line has. */
const headLength = 4096

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
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(directory)
    if (directory === "") {
      return yield* new TaskIOError({ operation: "create its directories", location: root, problem: emptyName })
    }
    const tasks = path.join(root, "tasks")
    const mailbox = path.join(root, "mail")
    const trash = path.join(root, "trash")
    const ready = Effect.all([
      ...[tasks, mailbox, trash].map((folder) => fs.makeDirectory(folder, { recursive: true })),
      syncDirectory(fs, root)
    ], { discard: true })
    yield* Effect.mapError(ready, storeError("create its directories", root))
    const mail = Mail.make(fs, path, mailbox)
    // What removals and messages that were cut off have left is out of sight, and nobody comes back for it.
    yield* mail.tidy
    yield* Effect.ignore(
      Effect.flatMap(
        entries(fs, trash),
        (names) => Effect.forEach(names, (name) => Effect.ignore(fs.remove(path.join(trash, name))), { discard: true })
      )
    )
    // Held open, so that a new entry in it costs one sync and no more.
    const tasksHandle = yield* Effect.mapError(fs.open(tasks, { flag: "r" }), storeError("open", tasks))
    let syncing = 0
    /** Syncs the directory of the tasks, once for all who ask for it while it is being synced for others. */
    const syncTasks = yield* group.make<void, void, PlatformError>({
      limit: Number.POSITIVE_INFINITY,
      isAlone: () => syncing === 0,
      together: (askers) =>
        Effect.suspend(() => {
          syncing += 1
          return Effect.ensuring(
            tasksHandle.sync,
            Effect.sync(() => {
              syncing -= 1
            })
          )
        }).pipe(Effect.as(askers.map(() => Effect.void)))
    })

    const fileOf = (taskId: string, epoch: number): string => path.join(tasks, `${taskId}.${epoch}.ndjson`)
    const secondNameOf = (taskId: string, epoch: number): string => path.join(tasks, `${taskId}.${epoch}.sealed`)

    const discard = (file: string) => removed(fs, file)

    // --- reading -------------------------------------------------------------

    /** A file's bytes; none where there is no such file. */
    const readBytes = (taskId: string, file: string): Effect.Effect<Option.Option<Uint8Array>, TaskIOError> =>
      Effect.map(fs.readFile(file), Option.some).pipe(
        Effect.catchIf(isNotFound, () => Effect.succeed(Option.none())),
        Effect.mapError(storeError("read the journal", file, taskId))
      )

    const isSealed = (taskId: string, epoch: number): Effect.Effect<boolean, TaskIOError> =>
      Effect.mapBoth(fs.stat(fileOf(taskId, epoch)), {
        onFailure: storeError("read the journal", fileOf(taskId, epoch), taskId),
        onSuccess: ({ nlink }) => Option.exists(nlink, (names) => names > 1)
      })

    /** Gives an older epoch's file its second name, which tells its writer that it has been taken over. */
    const seal = (taskId: string, epoch: number): Effect.Effect<void, TaskIOError> => {
      const link = Effect.mapError(
        Effect.as(fs.link(fileOf(taskId, epoch), secondNameOf(taskId, epoch)), true).pipe(
          Effect.catchIf(alreadyExists, () => Effect.succeed(false))
        ),
        storeError("open the journal", fileOf(taskId, epoch), taskId)
      )
      // A name that is there may be that of a removed task's file.
      return Effect.gen(function*() {
        while (!(yield* link) && !(yield* isSealed(taskId, epoch))) yield* discard(secondNameOf(taskId, epoch))
      })
    }

    /** A task's files, from the first on until there is no next. */
    const readFiles = Effect.fnUntraced(
      function*(taskId: string): Effect.fn.Return<ReadonlyArray<Uint8Array>, TaskIOError> {
        const found: Array<Uint8Array> = []
        for (let epoch = 1;; epoch++) {
          const file = yield* readBytes(taskId, fileOf(taskId, epoch))
          if (Option.isNone(file)) return found
          found.push(file.value)
        }
      }
    )

    /** Reads a task. What does not fit together may have been written to between two reads: then all is read anew. */
    const read = (taskId: string, before?: number): Effect.Effect<Chain.Chain, TaskIOError | Chain.Damaged> =>
      Effect.flatMap(readFiles(taskId), (found) => {
        const bytes = found.reduce((sum, file) => sum + file.length, 0)
        const chain = Chain.assemble(taskId, found, (epoch) => fileOf(taskId, epoch))
        return Either.isRight(chain) || bytes === before ? chain : read(taskId, bytes)
      })

    // --- writing -------------------------------------------------------------

    /** Creates the next epoch's file, exclusively. */
    const claim = Effect.fnUntraced(function*(taskId: string, from: number) {
      for (let epoch = from;; epoch++) {
        const made = yield* fs.open(fileOf(taskId, epoch), { flag: "ax" }).pipe(
          Effect.map(Option.some),
          Effect.catchIf(alreadyExists, () => Effect.succeed(Option.none())),
          Effect.mapError(storeError("open the journal", fileOf(taskId, epoch), taskId))
        )
        if (Option.isSome(made)) return { epoch, handle: made.value }
      }
    })

    const openJournal = Effect.fnUntraced(
      function*(
        taskId: string,
        atLeast = 0
      ): Effect.fn.Return<EncodedJournal, TaskIOError | Chain.Damaged, Scope.Scope> {
        const { epoch, handle } = yield* claim(taskId, 1)
        const file = fileOf(taskId, epoch)
        for (let older = epoch - 1; older > 0; older--) yield* seal(taskId, older)
        const chain = epoch === 1 ? Chain.nothing : yield* read(taskId)
        if (chain.seal !== null) {
          // It counts from here on, and an engine that was overtaken may not have got to sync it.
          const older = fileOf(taskId, chain.seal.epoch)
          yield* Effect.mapError(syncFile(fs, older), storeError("open the journal", older, taskId))
        }
        const origin = Option.isSome(chain.origin) ? chain.origin.value : yield* nonce
        const ahead = Math.max(chain.ahead, atLeast - epoch)
        const header = { taskId, epoch, origin, ...(ahead > 0 ? { ahead } : {}), after: chain.seal }
        // The first epoch's header goes with its first append; of a later one it says how much counts from here on.
        if (epoch > 1) {
          const line = JournalFile.headerLine(header)
          yield* Effect.mapError(written(handle.writeAll(line)), storeError("open the journal", file, taskId))
        }
        let firstAppend = true
        let length = chain.records.length
        let broken: string | undefined

        const stale = (problem: string) => new StaleWriterError({ taskId, epoch: epoch + ahead, problem })
        const writing = storeError("append to the journal", file, taskId)

        const append = appendTo(handle)
        /** Fails once the file has been taken over or removed. */
        const write = (bytes: Uint8Array) =>
          Effect.flatMap(append(bytes), (names) =>
            names === 1
              ? Effect.void
              : Effect.fail(stale(names === 0 ? "the task was removed" : "a newer epoch has taken it over")))
        // In a fiber: a concurrent zip makes three times as much of it, and takes as long as writing does.
        const writeFirst = (bytes: Uint8Array) =>
          Effect.flatMap(
            Effect.fork(syncTasks()),
            (synced) => Effect.zipRight(write(bytes), Effect.flatten(exitOf(synced)))
          )

        return {
          epoch: epoch + ahead,
          records: chain.records,
          append: (position, records, summary) =>
            Effect.suspend(() => {
              if (broken !== undefined) return Effect.fail(stale(`an earlier append failed: ${broken}`))
              if (position !== length) return Effect.fail(stale(`it holds ${length} records, not ${position}`))
              const first = epoch === 1 && firstAppend ? header : undefined
              const bytes = JournalFile.batch(first, position, records, summary)
              // Any outcome but success leaves the file in doubt, so nothing more is written to it.
              broken = "its outcome is unknown"
              return Effect.matchEffect(firstAppend ? writeFirst(bytes) : write(bytes), {
                onFailure: (error) => {
                  const failure = error._tag === "StaleWriterError" ? error : writing(error)
                  broken = failure.message
                  return Effect.fail(failure)
                },
                onSuccess: () => {
                  firstAppend = false
                  length += records.length
                  broken = undefined
                  return Effect.void
                }
              })
            })
        }
      }
    )

    // --- listing -------------------------------------------------------------

    const originOf = (taskId: string, epoch: number) =>
      Effect.scoped(Effect.gen(function*() {
        const handle = yield* fs.open(fileOf(taskId, epoch), { flag: "r" })
        const head = yield* handle.readAlloc(headLength)
        return Option.map(Option.flatMap(head, JournalFile.parseHeader), ({ origin }) => origin)
      })).pipe(
        Effect.catchIf(isNotFound, () => Effect.succeedNone),
        Effect.mapError(storeError("read the journal", fileOf(taskId, epoch), taskId))
      )

    /** Whether the newest file is of the task that the first one is of, and not left of one that was removed. */
    const belongs = (taskId: string, newest: number) =>
      newest === 1 ? Effect.succeed(true) : Effect.map(
        Effect.zip(originOf(taskId, 1), originOf(taskId, newest)),
        ([first, last]) => Option.isSome(first) && Option.contains(last, first.value)
      )

    const lastSummary = (taskId: string, newest: number) => {
      const file = fileOf(taskId, newest)
      // One call reads a small file whole; of a long one only the end is read.
      const readTail = Effect.fnUntraced(function*(size: number) {
        const handle = yield* fs.open(file, { flag: "r" })
        yield* handle.seek(size - tailLength, "start")
        return Option.getOrElse(yield* handle.readAlloc(tailLength), () => empty)
      }, Effect.scoped)
      const tail = Effect.flatMap(
        fs.stat(file),
        ({ size }) => Number(size) > tailLength * 16 ? readTail(Number(size)) : fs.readFile(file)
      ).pipe(
        Effect.map(JournalFile.summaryOf),
        Effect.catchIf(isNotFound, () => Effect.succeed(Option.none())),
        Effect.mapError(storeError("read the journal", file, taskId))
      )
      return Effect.flatMap(
        Effect.zip(tail, belongs(taskId, newest)),
        ([summary, own]) =>
          Option.isSome(summary) && own ? Effect.succeed(summary) : Effect.map(read(taskId), (chain) => chain.summary)
      )
    }

    const skipped = (taskId: string) => (error: TaskIOError | Chain.Damaged) =>
      Effect.as(
        Effect.logWarning(`Task ${taskId} is left out of the list: ${error.message}`),
        Option.none<EncodedSummary>()
      )

    /** The newest epoch of every task, by the names of the files. What has no first is left of a removed task. */
    const newestEpochs = (names: ReadonlyArray<string>): ReadonlyMap<string, number> => {
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

    const taskFiles = Effect.mapError(entries(fs, tasks), storeError("list tasks", tasks))

    return {
      open: openJournal,
      read: (taskId, from) => Effect.map(read(taskId), ({ records }) => from === 0 ? records : records.slice(from)),
      list: () =>
        Stream.fromIterableEffect(Effect.flatMap(taskFiles, (names) =>
          Effect.forEach(
            newestEpochs(names),
            ([taskId, newest]) => Effect.catchAll(lastSummary(taskId, newest), skipped(taskId)),
            { concurrency: 16 }
          ))).pipe(Stream.filterMap((summary) => summary)),
      remove: Effect.fnUntraced(function*(taskId) {
        const rest = (yield* taskFiles).filter((name) =>
          name.startsWith(`${taskId}.`) && /^[1-9]\d{0,14}\.(ndjson|sealed)$/.test(name.slice(taskId.length + 1))
        ).sort((left, right) => epochOf(right) - epochOf(left))
        const epochs = rest.filter((name) => journalName.test(name)).map(epochOf)
        // Nobody writes to it any more, who may be frozen and think that it is theirs.
        for (const epoch of epochs) yield* seal(taskId, epoch)
        // Without the file it begins in, a task is out of sight, in one step; what follows may be cut off anywhere.
        const headers = (yield* readFiles(taskId)).map(JournalFile.parseHeader)
        const first = fileOf(taskId, Math.max(1, headers.findIndex(Option.isSome) + 1))
        const grave = path.join(trash, `${taskId}.${yield* nonce}`)
        yield* fs.rename(first, grave).pipe(
          Effect.zipRight(tasksHandle.sync),
          Effect.catchIf(isNotFound, () => Effect.void),
          Effect.mapError(storeError("remove the task", first, taskId))
        )
        const files = rest.map((name) => path.join(tasks, name))
        const secondNames = epochs.map((epoch) => secondNameOf(taskId, epoch))
        yield* Effect.forEach([...files, ...secondNames], discard, { discard: true })
        yield* mail.discard(taskId)
        yield* discard(grave)
      }),
      send: mail.send,
      receive: mail.receive,
      acknowledge: mail.acknowledge,
      waiting: mail.waiting
    }
  }
)

const empty = new Uint8Array(0)
