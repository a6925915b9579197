/**
 * The service that stores journals: persistence. It is typed here, once, over a small driver interface
 * ({@link Encoded}), so that a backend is about a hundred lines. Its heart is the single-writer journal.
 *
 * @since 0.1.0
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import type * as Path from "@effect/platform/Path"
import * as Arr from "effect/Array"
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type EncryptionKeysError,
  type InvalidTaskIdError,
  type InvalidTransitionError,
  type ReadError,
  type StaleWriterError,
  type TaskIOError
} from "./CheckMateError.ts"
import { decodeAll, encodeQuery, encodeSummary, matches } from "./internal/journalCodec.ts"
import { logWarning } from "./internal/log.ts"
import { againFrom, joined, lookAt, nothing } from "./internal/look.ts"
import { appendLatency } from "./internal/metrics.ts"
import { checkTaskId } from "./internal/taskId.ts"
import * as Task from "./Task.ts"
import * as TaskEvent from "./TaskEvent.ts"
import * as copying from "./TaskIO/copy.ts"
import type * as Driver from "./TaskIO/Encoded.ts"
import * as Encrypted from "./TaskIO/Encrypted.ts"
import * as files from "./TaskIO/FileSystem.ts"
import * as keyValueStore from "./TaskIO/KeyValueStore.ts"
import * as memory from "./TaskIO/Memory.ts"
import type * as TaskStatus from "./TaskStatus.ts"

/**
 * The driver interface: what a backend implements.
 *
 * @since 0.1.0
 * @category models
 */
export type Encoded = Driver.Encoded

/**
 * A journal as a driver opens it.
 *
 * @since 0.1.0
 * @category models
 */
export type EncodedJournal = Driver.EncodedJournal

/**
 * What a driver keeps for lists of tasks.
 *
 * @since 0.1.0
 * @category models
 */
export type EncodedSummary = Driver.EncodedSummary

/** Which task a message is about, and to which of its holders it was written. */
const about = {
  /** When the task was created: another one may have begun under its id since. */
  createdAt: Schema.optionalWith(Schema.DateTimeUtc, { exact: true }),
  /** How long the journal was when it was written. */
  position: Schema.optionalWith(Schema.Int, { exact: true })
}

/**
 * What another process asks of whoever runs a task.
 *
 * @since 0.1.0
 * @category models
 */
export const Message = Schema.Union(
  Schema.TaggedStruct("Cancel", {
    at: Schema.DateTimeUtc,
    ...about,
    rollback: Schema.Boolean,
    reason: Schema.optionalWith(Schema.String, { exact: true })
  }),
  Schema.TaggedStruct("Pause", {
    at: Schema.DateTimeUtc,
    ...about
  })
)

/**
 * @since 0.1.0
 * @category models
 */
export type Message = Exclude<typeof Message.Type, never>

/**
 * Which tasks to list. What is left out does not restrict.
 *
 * @since 0.1.0
 * @category models
 */
export interface Query {
  readonly status?: ReadonlyArray<TaskStatus.Tag> | undefined
  readonly checkMate?: string | undefined
  /** Tasks that carry all of these tags. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** Tasks updated at or after this time. */
  readonly since?: DateTime.DateTime.Input | undefined
}

/**
 * A task's journal, open for writing. Only the newest claimant's appends are accepted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Journal {
  /** Grows with every claim: the fencing token. */
  readonly epoch: number
  /** The task as its journal told it when it was claimed; none for a new one. */
  readonly task: Option.Option<Task.Task>
  /**
   * Appends events, all or none, and returns once they are durable. `task` is the task with these events folded in,
   * so the journal must be as many records long as its position without them.
   */
  readonly append: (
    events: readonly [TaskEvent.TaskEvent, ...Array<TaskEvent.TaskEvent>],
    task: Task.Task
  ) => Effect.Effect<void, TaskIOError | StaleWriterError>
}

/**
 * A task's journal as it was found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Look {
  /** As the store keeps them. */
  readonly records: ReadonlyArray<string>
  readonly events: ReadonlyArray<TaskEvent.TaskEvent>
  /** The fold of the events; none for a task that does not exist. */
  readonly task: Option.Option<Task.Task>
}

/**
 * Runs an effect so that all it writes to the store's database becomes durable together, or nothing does.
 *
 * @since 0.1.0
 * @category models
 */
export type Transaction = Driver.Transaction

/**
 * What opening a journal can fail with.
 *
 * @since 0.1.0
 * @category models
 */
export type OpenError = ReadError | StaleWriterError

/**
 * The service that stores journals.
 *
 * @since 0.1.0
 * @category services
 */
export class TaskIO extends Context.Tag("checkmate/TaskIO")<TaskIO, {
  /** Claims a task's journal for writing, for the length of the Scope. What an earlier look found is not decoded again. */
  readonly open: (taskId: string, earlier?: Look) => Effect.Effect<Journal, OpenError, Scope.Scope>
  /** The events of a task from a position on; none for a task that does not exist. */
  readonly read: (
    taskId: string,
    from?: number
  ) => Effect.Effect<ReadonlyArray<TaskEvent.TaskEvent>, Exclude<ReadError, InvalidTransitionError>>
  /** A task's journal and its fold. What an earlier look found is not decoded again, and most of it not asked for. */
  readonly look: (taskId: string, earlier?: Look) => Effect.Effect<Look, ReadError>
  /** The fold of a task's journal; none for a task that does not exist. */
  readonly get: (taskId: string) => Effect.Effect<Option.Option<Task.Task>, ReadError>
  /**
   * The summaries of tasks, without folding their journals. In no particular order. Of a store that can tell which are
   * `first`, no others, and maybe fewer.
   */
  readonly list: (query?: Query, first?: Driver.First) => Stream.Stream<Task.Summary, TaskIOError>
  /** Removes a task. Only for who holds its binding. */
  readonly remove: (taskId: string) => Effect.Effect<void, InvalidTaskIdError | TaskIOError>
  /** Leaves a message for whoever runs the task. */
  readonly send: (taskId: string, message: Message) => Effect.Effect<void, InvalidTaskIdError | TaskIOError>
  /** Takes the messages for a task, oldest first: each is handed out once it is removed. */
  readonly take: (taskId: string) => Effect.Effect<ReadonlyArray<Message>, TaskIOError>
  /** Takes messages back that were sent and that nobody has taken. */
  readonly takeBack: (taskId: string, messages: ReadonlyArray<Message>) => Effect.Effect<void, TaskIOError>
  /** The ids of the tasks that have messages. */
  readonly waiting: Effect.Effect<ReadonlyArray<string>, TaskIOError>
  /** The ids of tasks as they get messages, where the store can tell. */
  readonly arrivals: Option.Option<Stream.Stream<string, TaskIOError>>
  /** What it is made of: for what works on records as they are, as {@link encrypted} does. */
  readonly driver: Encoded
}>() {}

const decodeSummary = ParseResult.decodeUnknownEither(Task.Summary)
/** Where data does not fit a schema. */
const whereOf = (issue: ParseResult.ParseIssue): string =>
  Arr.dedupe(ParseResult.ArrayFormatter.formatIssueSync(issue).map(({ path }) => path.join("."))).join(", ")
const encodeMessage = Schema.encodeSync(Schema.parseJson(Message))
const decodeMessage = Schema.decodeOption(Schema.parseJson(Message))

/** A message that was taken; one of another version is told of. */
const readMessage = (taskId: string, text: string): Effect.Effect<Option.Option<Message>> => {
  const message = decodeMessage(text)
  return Option.isSome(message)
    ? Effect.succeed(message)
    : Effect.as(
      logWarning(`A message for task ${taskId} is dropped: it is none that this version knows`),
      message
    )
}

const openJournal = Effect.fnUntraced(function*(driver: Driver.Encoded, taskId: string, earlier: Look | undefined) {
  yield* checkTaskId(taskId)
  const journal = yield* driver.open(taskId)
  const { task } = yield* lookAt(taskId, journal.records, earlier)
  const opened: Journal = {
    epoch: journal.epoch,
    task,
    append: (events, next) =>
      appendLatency(() =>
        journal.append(
          next.position - events.length,
          Arr.map(events, TaskEvent.encode),
          encodeSummary(Task.summarize(next))
        )
      )
  }
  return opened
})

/**
 * Makes the typed service of a driver: task ids are checked, events encoded, decoded and folded, summaries filtered.
 *
 * ```ts
 * const layerMine = Layer.effect(TaskIO.TaskIO, Effect.map(makeMyDriver, TaskIO.make))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (driver: Driver.Encoded): TaskIO["Type"] => {
  const read = (taskId: string, from = 0) =>
    checkTaskId(taskId).pipe(
      Effect.zipRight(driver.read(taskId, from)),
      Effect.flatMap((records) => decodeAll(taskId, from, records))
    )

  const look = (taskId: string, earlier = nothing): Effect.Effect<Look, ReadError> => {
    const from = againFrom(earlier)
    return checkTaskId(taskId).pipe(
      Effect.zipRight(driver.read(taskId, from)),
      Effect.flatMap((found) =>
        Option.match(joined(earlier, from, found), {
          onNone: () => look(taskId),
          onSome: (records) => lookAt(taskId, records, earlier)
        })
      )
    )
  }

  return {
    open: (taskId, earlier) => openJournal(driver, taskId, earlier),
    read,
    look,
    get: (taskId) => Effect.map(look(taskId), ({ task }) => task),
    list: (query = {}, first) =>
      Stream.unwrap(
        Effect.map(encodeQuery(query, first), (encoded) => Stream.filter(driver.list(encoded), matches(encoded)))
      ).pipe(
        Stream.mapEffect((summary) =>
          Either.match(decodeSummary(summary), {
            // One that another version wrote must not keep all others from being listed.
            onLeft: (issue) =>
              Effect.as(
                logWarning(
                  `Task ${summary.taskId} is left out of the list: its summary does not fit in ${whereOf(issue)}`
                ),
                Option.none()
              ),
            onRight: (found) => Effect.succeedSome(found)
          })
        ),
        Stream.filterMap((found) => found)
      ),
    remove: (taskId) => Effect.zipRight(checkTaskId(taskId), driver.remove(taskId)),
    send: (taskId, message) => Effect.zipRight(checkTaskId(taskId), driver.send(taskId, encodeMessage(message))),
    take: (taskId) =>
      Effect.flatMap(driver.receive(taskId), (letters) =>
        letters.length === 0
          ? Effect.succeed([])
          : Effect.zipRight(
            driver.acknowledge(taskId, letters.map(({ id }) => id)),
            Effect.map(Effect.forEach(letters, ({ message }) => readMessage(taskId, message)), Arr.getSomes)
          )),
    takeBack: (taskId, messages) =>
      Effect.flatMap(driver.receive(taskId), (letters) => {
        const texts = messages.map((message) => encodeMessage(message))
        const mine = letters.filter(({ message }) => texts.includes(message))
        return mine.length === 0 ? Effect.void : driver.acknowledge(taskId, mine.map(({ id }) => id))
      }),
    waiting: driver.waiting,
    arrivals: Option.fromNullable(driver.arrivals),
    driver
  }
}

/**
 * Journals in memory: for tests, and for work that need not survive the process. Every layer built is a store of its
 * own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<TaskIO> = Layer.effect(TaskIO, Effect.map(memory.make, make))

/**
 * Journals as files in a directory, which is created where it does not exist. Each acknowledged append is synced to
 * disk. See `effect-checkmate/TaskIO/FileSystem` for the files' format.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFileSystem = (
  directory: string
): Layer.Layer<TaskIO, TaskIOError, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(TaskIO, Effect.map(files.make(directory), make))

/**
 * Journals in a KeyValueStore of @effect/platform, for one process at a time: see `effect-checkmate/TaskIO/KeyValueStore`
 * for what it can tell of a second one. How durable an append is, is up to the store. Together with
 * `BindLock.layerMemory`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerKeyValueStore = (
  options?: keyValueStore.KeyValueStoreOptions
): Layer.Layer<TaskIO, never, KeyValueStore.KeyValueStore> =>
  Layer.effect(TaskIO, Effect.map(keyValueStore.make(options), make))

/**
 * Encrypts what the store of a layer keeps: records, messages and memos, with AES-256-GCM. Ids, names, statuses, counts,
 * tags and times stay readable, for `find`. See `effect-checkmate/TaskIO/Encrypted` for what it guards against and what
 * not. Fails with an `EncryptionKeysError` for keys that cannot be used.
 *
 * ```ts
 * const store = TaskIO.layerFileSystem(".checkmate").pipe(
 *   TaskIO.encrypted({ current: "2026-11", keys: { "2026-11": newKey, "2026-05": olderKey } })
 * )
 * ```
 *
 * @since 0.1.0
 * @category encryption
 */
export const encrypted =
  (keys: Encrypted.Keys, options?: Encrypted.EncryptedOptions) =>
  <Out, E, R>(store: Layer.Layer<TaskIO | Out, E, R>): Layer.Layer<TaskIO | Out, E | EncryptionKeysError, R> =>
    // With whatever else the layer provides.
    Layer.flatMap(store, (context) =>
      Layer.effectContext(
        Effect.map(
          Encrypted.make(Context.get(context, TaskIO).driver, keys, options),
          (driver) => Context.add(context, TaskIO, make(driver))
        )
      ))

/**
 * The same, with the keys from configuration: `CHECKMATE_KEYS`, written as `id:base64,id:base64` with the current key
 * first, or another one.
 *
 * ```ts
 * const store = TaskIO.layerFileSystem(".checkmate").pipe(TaskIO.encryptedConfig())
 * ```
 *
 * @since 0.1.0
 * @category encryption
 */
export const encryptedConfig =
  (config: Config.Config<Encrypted.Keys> = Encrypted.config(), options?: Encrypted.EncryptedOptions) =>
  <Out, E, R>(
    store: Layer.Layer<TaskIO | Out, E, R>
  ): Layer.Layer<TaskIO | Out, E | EncryptionKeysError | ConfigError.ConfigError, R> =>
    Layer.unwrapEffect(Effect.map(config, (keys) => encrypted(keys, options)(store)))

/**
 * Copies the tasks of one store to another, or moves them, with what mail they have. Each is read back and compared. It
 * can be cut off anywhere and done again; a task the target holds otherwise is reported as a `CopyConflictError`, and
 * never overwritten. Fails only where the source cannot be listed: what became of each task stands in the report.
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const from = Context.get(yield* Layer.build(TaskIO.layerFileSystem(".checkmate")), TaskIO.TaskIO)
 *   const to = Context.get(yield* Layer.build(encryptedStore), TaskIO.TaskIO)
 *   const { failed } = yield* TaskIO.copy(from, to, { claim: true, query: { status: ["Running", "Failed"] } })
 *   yield* Effect.forEach(failed, ({ error }) => Effect.logError(error.message))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category copying
 */
export const copy = (
  from: TaskIO["Type"],
  to: TaskIO["Type"],
  options: copying.CopyOptions & {
    /**
     * Which tasks to copy.
     *
     * @default all
     */
    readonly query?: Query | undefined
  } = {}
): Effect.Effect<copying.CopyReport, TaskIOError> =>
  copying.copy(from.driver, to.driver, from.list(options.query), options)
