/** One engine's hold of one task: the journal it may write, the task as it stands, and what it was asked to do. */
import * as DateTime from "effect/DateTime"
import type * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { InvalidTransitionError, StaleWriterError, TaskIOError } from "../CheckMateError.ts"
import type * as Stage from "../Stage.ts"
import * as Task from "../Task.ts"
import type * as TaskEvent from "../TaskEvent.ts"
import type * as TaskIO from "../TaskIO.ts"

/** Why work is being interrupted. */
export type Stop =
  /** The caller's fiber was interrupted. */
  | { readonly _tag: "Interrupted" }
  /** Another engine owns the task: nothing may be written or rolled back. */
  | { readonly _tag: "Lost"; readonly problem: string }
  | { readonly _tag: "Cancelled"; readonly rollback: boolean; readonly reason: string | undefined }

export interface Session {
  readonly taskId: string
  readonly journal: TaskIO.Journal
  readonly transaction: TaskIO.Transaction | undefined
  /** Tells whoever watches that the task has changed. */
  readonly changed: Effect.Effect<unknown>
  /** Completed once the task is asked to stop at the next boundary; `pausing` says the same without asking. */
  readonly pause: Deferred.Deferred<void>
  pausing: boolean
  task: Task.Task | undefined
  /** Folded into `task`, and not yet written. */
  pending: Array<TaskEvent.TaskEvent>
  stopping: Stop | undefined
  progress: Stage.Progress | undefined
}

export type AppendError = TaskIOError | StaleWriterError | InvalidTransitionError

/** An event without its time, which {@link record} adds. */
export type Untimed = TaskEvent.TaskEvent extends infer Event ? Event extends unknown ? Omit<Event, "at"> : never
  : never

const foldIn = (
  session: Session,
  at: DateTime.Utc,
  events: ReadonlyArray<Untimed>
): InvalidTransitionError | undefined => {
  for (const untimed of events) {
    const event: TaskEvent.TaskEvent = { ...untimed, at }
    const next = Task.evolve(session.taskId, session.task, event)
    if (Either.isLeft(next)) return next.left
    session.task = next.right
    session.pending.push(event)
  }
  return undefined
}

/** Folds events in; they are written with the next {@link commit}, in the same append. */
export const record = (
  session: Session,
  events: ReadonlyArray<Untimed>
): Effect.Effect<void, InvalidTransitionError> =>
  Effect.clockWith((clock) => {
    const illegal = foldIn(session, DateTime.unsafeMake(clock.unsafeCurrentTimeMillis()), events)
    return illegal === undefined ? Effect.void : Effect.fail(illegal)
  })

/** Folds events in and writes all that is pending, durably, in one append. */
export const commit = (session: Session, events: ReadonlyArray<Untimed> = []): Effect.Effect<unknown, AppendError> =>
  Effect.uninterruptible(Effect.clockWith((clock): Effect.Effect<unknown, AppendError> => {
    const illegal = foldIn(session, DateTime.unsafeMake(clock.unsafeCurrentTimeMillis()), events)
    if (illegal !== undefined) return Effect.fail(illegal)
    const [first, ...rest] = session.pending
    if (first === undefined || session.task === undefined) return Effect.void
    session.pending = []
    return Effect.zipRight(session.journal.append([first, ...rest], session.task), session.changed)
  }))

/** The status of a stage as it stands. */
export const stageOf = (session: Session, name: string): Task.StageRecord =>
  session.task === undefined ? Task.untouched(name) : Task.stage(session.task, name)
