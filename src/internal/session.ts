/** One engine's hold of one task: the journal it may write, the task as it stands, and what it was asked to do. */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { InvalidTransitionError, StaleWriterError, TaskIOError } from "../CheckMateError.ts"
import type * as Stage from "../Stage.ts"
import * as Task from "../Task.ts"
import type * as TaskEvent from "../TaskEvent.ts"
import type * as TaskIO from "../TaskIO.ts"
import { Once } from "./once.ts"
import { uninterruptible } from "./region.ts"

/** Why work is being interrupted. */
export type Stop =
  /** The caller's fiber was interrupted. */
  | { readonly _tag: "Interrupted" }
  /** Another engine owns the task: nothing may be written or rolled back. */
  | { readonly _tag: "Lost"; readonly problem: string }
  | { readonly _tag: "Cancelled"; readonly rollback: boolean; readonly reason: string | undefined }

export type Cancelled = Extract<Stop, { readonly _tag: "Cancelled" }>

const none: ReadonlyArray<TaskEvent.TaskEvent> = []

/**
 * Makes a fiber that whoever made it sees to the end of, and which the interruption of its maker does not reach: a child
 * would be interrupted with it at once, also where its maker is not to be.
 */
export type Fork = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R>

/** A hold of a task. A class, and no literal with literals in it: those V8 takes for lasting where some have lasted. */
export class Session {
  readonly taskId: string
  readonly journal: TaskIO.Journal
  readonly transaction: TaskIO.Transaction | undefined
  /** Tells whoever watches that the task has changed. */
  readonly changed: () => Effect.Effect<unknown>
  readonly fork: Fork
  /** How long the journal was when it was taken up. */
  readonly heldFrom: number
  /** Settled once the task is asked to stop at the next boundary; `pausing` says the same without asking. */
  readonly pause = new Once<void>()
  pausing = false
  /** Settled once {@link isEnding}. */
  readonly ending = new Once<void>()
  /** Settled once the task is let go of, its binding included. */
  readonly left = new Once<void>()
  task: Task.Task | undefined
  /** The fiber that works on it. */
  work: Fiber.RuntimeFiber<unknown, unknown> | undefined = undefined
  /** Folded into `task`, and not yet written. */
  pending = none
  /** Whether a write failed, after which the task may not stand as it was folded. */
  isInDoubt = false
  stopping: Stop | undefined = undefined
  /** Whether a cancel is being carried out, to which another one adds nothing. */
  cancelling = false
  progress: Stage.Progress | undefined = undefined
  /** The work or rollback that runs, whose progress it is. */
  reporter: Stage.Context["Type"] | undefined = undefined

  constructor(
    taskId: string,
    journal: TaskIO.Journal,
    transaction: TaskIO.Transaction | undefined,
    changed: () => Effect.Effect<unknown>,
    fork: Fork
  ) {
    this.taskId = taskId
    this.journal = journal
    this.transaction = transaction
    this.changed = changed
    this.fork = fork
    this.task = Option.getOrUndefined(journal.task)
    this.heldFrom = this.task?.position ?? 0
  }

  /** Notes why its work is to end, before that is interrupted. */
  endFor(reason: Stop): void {
    // Whatever else was asked for, nothing is written about a task that somebody else has.
    if (this.stopping === undefined || reason._tag === "Lost") this.stopping = reason
    if (reason._tag !== "Cancelled") this.ending.settle()
  }

  /** What a stage has forked may go on reporting. */
  endReport(): void {
    this.reporter = undefined
    this.progress = undefined
  }
}

/**
 * Whether the work ends here and somebody else will go on with it. With a task that is cancelled nobody will, unless its engine
 * or its caller was asked to end as well, before that is done.
 */
export const isEnding = ({ ending }: Session): boolean => ending.isSettled

/** Whether the task is another engine's now. Asked behind each write, too, in the middle of which that may have come. */
export const isLost = ({ stopping }: Session): boolean => stopping?._tag === "Lost"

/** Whether a task stands in the middle of a stage's work or of a rollback. */
export const isMidway = (task: Task.Task): boolean => {
  if (task.status._tag === "RollingBack") return true
  if (task.status._tag !== "Running") return false
  const current = Option.map(task.current, (name) => Task.stage(task, name).status._tag)
  return Option.exists(current, (tag) => tag === "Running" || tag === "Undoing")
}

export type AppendError = TaskIOError | StaleWriterError | InvalidTransitionError

/** An event without its time, which {@link record} adds. */
export type Untimed = TaskEvent.TaskEvent extends infer Event ? Event extends unknown ? Omit<Event, "at"> : never
  : never

/** Makes events of a time. Written out where it matters: to add the time to an event takes as long as to fold it. */
type At = (at: DateTime.Utc) => ReadonlyArray<TaskEvent.TaskEvent>

// The time first: what is added to a spread gives every object a hidden class of its own.
const timed = (events: ReadonlyArray<Untimed>, when?: DateTime.Utc): At => (now) =>
  events.map((event) => ({ at: when ?? now, ...event }))

/** Folds events in, as of now by a fiber's clock; where one is illegal it says so, and stops there. */
export const foldIn = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  session: Session,
  events: At
): InvalidTransitionError | undefined => {
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  for (const event of events(DateTime.unsafeMake(clock.unsafeCurrentTimeMillis()))) {
    const next = Task.evolve(session.taskId, session.task, event)
    if (Either.isLeft(next)) return next.left
    session.task = next.right
    session.pending = [...session.pending, event]
  }
  return undefined
}

/** Folds events in, as of now or of another time; they are written with the next {@link commit}, in the same append. */
export const record = (
  session: Session,
  events: ReadonlyArray<Untimed>,
  when?: DateTime.Utc
): Effect.Effect<void, InvalidTransitionError> =>
  Effect.withFiberRuntime((fiber) => {
    const illegal = foldIn(fiber, session, timed(events, when))
    return illegal === undefined ? Effect.void : Effect.fail(illegal)
  })

/** What {@link commit} does, for where nothing can interrupt it. */
export const write = (session: Session, events: At): Effect.Effect<unknown, AppendError> =>
  Effect.withFiberRuntime((fiber): Effect.Effect<unknown, AppendError> => {
    // As behind a rollback, which is finished whatever comes.
    if (isLost(session)) return Effect.interrupt
    const illegal = foldIn(fiber, session, events)
    if (illegal !== undefined) return Effect.fail(illegal)
    const { pending, task } = session
    if (!Arr.isNonEmptyReadonlyArray(pending) || task === undefined) return Effect.void
    session.pending = none
    return Effect.matchEffect(session.journal.append(pending, task), {
      onFailure: (error) => {
        session.isInDoubt = true
        return Effect.fail(error)
      },
      onSuccess: session.changed
    })
  })

/** Folds events in and writes all that is pending, durably, in one append. */
export const commit = (session: Session, events: ReadonlyArray<Untimed> = []): Effect.Effect<unknown, AppendError> =>
  uninterruptible(write(session, timed(events)))

/** The status of a stage as it stands. */
export const stageOf = (session: Session, name: string): Task.StageRecord =>
  session.task === undefined ? Task.untouched(name) : Task.stage(session.task, name)
