/**
 * The driver interface of TaskIO: what a backend implements. All typing, folding and versioning happens once above
 * it, so a backend moves texts and small summaries, and is about a hundred lines.
 *
 * @since 0.1.0
 */

import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { StaleWriterError, TaskIOError, UnreadableError } from "../CheckMateError.ts"
import type * as TaskStatus from "../TaskStatus.ts"

/**
 * What a list of tasks shows of each, as plain JSON. Times are ISO 8601 texts in UTC.
 *
 * @since 0.1.0
 * @category models
 */
export interface EncodedSummary {
  readonly taskId: string
  readonly checkMate: string
  readonly status: TaskStatus.Tag
  readonly stage?: string
  readonly succeeded: number
  readonly stages: number
  readonly tags: ReadonlyArray<string>
  readonly memo?: string
  readonly createdAt: string
  readonly updatedAt: string
}

/**
 * The first tasks of a list in order of a time, and of their ids where that is the same.
 *
 * @since 0.1.0
 * @category models
 */
export interface First {
  readonly sort: "createdAt" | "updatedAt"
  readonly order: "ascending" | "descending"
  readonly limit: number
}

/**
 * Which tasks a list is about. A driver may use it to read less; whatever it yields is filtered again above it.
 *
 * @since 0.1.0
 * @category models
 */
export interface EncodedQuery {
  readonly status?: ReadonlyArray<TaskStatus.Tag>
  readonly checkMate?: string
  readonly tags?: ReadonlyArray<string>
  /** ISO 8601 text: only tasks updated at or after it. */
  readonly since?: string
  /** No more than these are asked for; see {@link Encoded.listsFirst}. */
  readonly first?: First
}

/**
 * A message for whoever runs a task. `id` names it for {@link Encoded.acknowledge}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Letter {
  readonly id: string
  readonly message: string
}

/**
 * The journal of one task, open for writing by its newest claimant.
 *
 * @since 0.1.0
 * @category models
 */
export interface EncodedJournal {
  /** Greater than that of every earlier claim of this task's journal. */
  readonly epoch: number
  /** The records acknowledged before this claim, in order. */
  readonly records: ReadonlyArray<string>
  /**
   * Appends records behind the first `position` ones, all or none, and returns once they are durable. Each record is
   * one JSON text without line breaks. Refused with `StaleWriterError` when the journal has been claimed anew, or is
   * not `position` records long. After any failure the outcome is unknown, and the journal takes no more writes.
   */
  readonly append: (
    position: number,
    records: readonly [string, ...Array<string>],
    summary: EncodedSummary
  ) => Effect.Effect<void, TaskIOError | StaleWriterError>
}

/**
 * Runs an effect so that all it writes to the store's database becomes durable together, or nothing does.
 *
 * @since 0.1.0
 * @category models
 */
export type Transaction = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TaskIOError, R>

/**
 * Runs an effect as if it had not been called in a {@link Transaction}, which may be over by then, or be undone.
 *
 * @since 0.1.0
 * @category models
 */
export type Outside = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * What a backend does.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoded {
  /**
   * Claims a task's journal for writing: from here on every earlier claimant's appends are refused by the store
   * itself, not by a clock. A task that does not exist yet has an empty journal. Where a task is brought here from
   * another store, the claim's epoch is `atLeast` what it has come to there; a store that leaves that out is claimed
   * until it is.
   */
  readonly open: (
    taskId: string,
    atLeast?: number
  ) => Effect.Effect<EncodedJournal, TaskIOError | StaleWriterError | UnreadableError, Scope.Scope>
  /** The acknowledged records from a position on; none for a task that does not exist. Needs no claim. */
  readonly read: (
    taskId: string,
    from: number
  ) => Effect.Effect<ReadonlyArray<string>, TaskIOError | UnreadableError>
  /** The summaries of the latest appends, without reading the journals. In no particular order. */
  readonly list: (query: EncodedQuery) => Stream.Stream<EncodedSummary, TaskIOError>
  /**
   * Whether it lists no more than {@link EncodedQuery.first}, of what it takes to fit the query, and all of these as they were
   * at one moment. Where too few of them fit when the query is applied again, all are asked for.
   */
  readonly listsFirst?: boolean
  /**
   * Removes a task's journal and mail, if there is any. Whoever has it open is refused from then on, also where the id is
   * used anew: by epochs that go on from where they were, or by whatever else tells two tasks of one id apart.
   */
  readonly remove: (taskId: string) => Effect.Effect<void, TaskIOError>
  /** Leaves a message for whoever runs the task, now or later. Durable when it returns. */
  readonly send: (taskId: string, message: string) => Effect.Effect<void, TaskIOError>
  /** The messages for a task, oldest first. They stay until acknowledged. */
  readonly receive: (taskId: string) => Effect.Effect<ReadonlyArray<Letter>, TaskIOError>
  /** Removes messages that were acted upon. */
  readonly acknowledge: (taskId: string, ids: ReadonlyArray<string>) => Effect.Effect<void, TaskIOError>
  /** The ids of the tasks that have mail. Asked often by engines that run tasks, so it should cost next to nothing. */
  readonly waiting: Effect.Effect<ReadonlyArray<string>, TaskIOError>
  /** The ids of tasks as they get mail, where the store can tell; engines ask {@link waiting} at intervals elsewhere. */
  readonly arrivals?: Stream.Stream<string, TaskIOError>
  /**
   * Runs an effect so that what it writes to this store's database, appends included, becomes durable together, or not at
   * all where it fails or is interrupted. Only where the store can.
   */
  readonly transaction?: Transaction
  /** Takes an effect out of such a transaction: what an engine writes for a task that is run in another one's stage. */
  readonly outside?: Outside
}
