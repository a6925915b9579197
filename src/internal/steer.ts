/** Cancels, pauses and removes tasks, wherever they run. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import {
  type ReadError,
  TaskBoundError,
  TaskCancelledError,
  type TaskIOError,
  TaskNotFoundError,
  TaskStatusError
} from "../CheckMateError.ts"
import type * as Task from "../Task.ts"
import type * as TaskIO from "../TaskIO.ts"
import * as TaskStatus from "../TaskStatus.ts"
import { rollbackFailedError } from "./attempt.ts"
import { filterAfterTurns } from "./eventLoop.ts"
import { logWarning } from "./log.ts"
import * as registry from "./registry.ts"
import { hasLeftovers } from "./rollback.ts"
import { type Cancelled, commit, type Session, type Untimed } from "./session.ts"
import { bind, cancelledError, hold, type Parts, waitsForItself, writeCancelled } from "./supervise.ts"
import { checkTaskId } from "./taskId.ts"

/** The task, which must exist. */
const getExisting = (parts: Parts, taskId: string) =>
  Effect.flatMap(
    parts.taskIO.get(taskId),
    Option.match({
      onNone: () => Effect.fail(new TaskNotFoundError({ taskId })),
      onSome: Effect.succeed
    })
  )

const refuse = (task: Task.Task, operation: string, problem: string) =>
  new TaskStatusError({ taskId: task.id, operation, status: task.status._tag, problem })

/** Whether nothing is left to do for a task. Fails where it is past what was to be done. */
export type IsDone = (task: Task.Task) => Effect.Effect<boolean, TaskStatusError>

/** When a message was written, and to the holder of which task. */
type Written = Pick<TaskIO.Message, "at" | "createdAt" | "position">

/**
 * Does something to a task: to the one running in this engine, else by holding it, else by asking its holder, for as
 * long as that takes.
 */
const reach = <E, E2, R>(parts: Parts, interval: Duration.Duration, taskId: string, steps: Steps<E, E2, R>) =>
  Effect.suspend(() => {
    const sent: Array<TaskIO.Message> = []
    // What has failed is not to be done behind its caller's back, by whoever takes the task up next where it stands.
    return Effect.tapErrorCause(
      reaching(parts, interval, taskId, steps, sent),
      (failed) =>
        sent.length === 0 || Cause.isInterruptedOnly(failed) ? Effect.void : Effect.catchAllCause(
          parts.taskIO.takeBack(taskId, sent),
          (cause) => logWarning(`Task ${taskId} may still be told what could not be asked of it`, cause)
        )
    )
  })

interface Steps<E, E2, R> {
  /** Tells whether that was all there was to do. */
  readonly here: (running: registry.Running) => Effect.Effect<boolean, E2>
  /** Tells whether that was all there was to do. */
  readonly held: Effect.Effect<boolean, E, R>
  readonly message: (written: Written) => TaskIO.Message
  readonly isDone: IsDone
}

const reaching = Effect.fnUntraced(
  function*<E, E2, R>(
    parts: Parts,
    interval: Duration.Duration,
    taskId: string,
    options: Steps<E, E2, R>,
    sent: Array<TaskIO.Message>
  ) {
    yield* checkTaskId(taskId)
    let round = 0
    while (true) {
      const isAtWork = parts.registry.running.get(taskId)?.session.task?.status._tag === "Running"
      // One at work here is not looked at: on SQLite a look waits for the transactional stage that may be to end.
      const task = isAtWork ? undefined : yield* getExisting(parts, taskId)
      if (task !== undefined && (yield* options.isDone(task))) return
      const running = parts.registry.running.get(taskId)
      if (running !== undefined && (yield* options.here(running))) return
      if (running !== undefined || task === undefined) continue
      const held = yield* Effect.matchEffect(options.held, {
        onFailure: (error): Effect.Effect<"bound", E> =>
          error instanceof TaskBoundError ? Effect.succeed("bound") : Effect.fail(error),
        onSuccess: (done) => Effect.succeed(done)
      })
      if (held === true) return
      if (held === false) continue
      // Said again, and less and less often: its holder may not have been ready for it, or have ended with it in its
      // hands. What is left over is for nobody, by its position.
      round += 1
      if (isPowerOfTwo(round)) {
        const { createdAt, position } = task
        const message = options.message({ at: yield* DateTime.now, createdAt, position })
        sent.push(message)
        yield* parts.taskIO.send(taskId, message)
      }
      yield* Effect.sleep(interval)
    }
  }
)

const isPowerOfTwo = (number: number): boolean => Number.isInteger(Math.log2(number))

/** Holds a task that nobody runs, to write an event, if that is still to be done then. */
const write = (parts: Parts, taskId: string, isDone: IsDone, event: Untimed) =>
  hold(parts, taskId, {
    whenBound: "fail",
    work: (session) =>
      Effect.gen(function*() {
        if (session.task === undefined) return yield* new TaskNotFoundError({ taskId })
        if (!(yield* isDone(session.task))) yield* commit(session, [event])
      }),
    // What came in meanwhile may have been too late, or not be for a task that stands where it does.
    cancelled: (session, { reason, rollback }) =>
      Effect.gen(function*() {
        if (session.task === undefined) return yield* new TaskNotFoundError({ taskId })
        if (yield* isDone(session.task)) return
        // A rollback is made by who asked for it, and has the definition, once this is done.
        if (rollback) return yield* commit(session, [event])
        yield* writeCancelled(session, reason)
        return yield* cancelledError(taskId, reason)
      })
  })

/** Whether a task is to be cancelled once whoever asks for it is over. */
const askedOf = ({ cancelling, stopping, task }: Session, rollback: boolean): Effect.Effect<true, TaskStatusError> => {
  const asked = cancelling ? !rollback : stopping?._tag === "Cancelled" && (stopping.rollback || !rollback)
  return asked || task === undefined
    ? Effect.succeed(true)
    : Effect.fail(
      refuse(task, "be cancelled", "it is stopping already, and waits for what asks. Cancel it from elsewhere")
    )
}

export const cancel = <E, R>(
  parts: Parts,
  interval: Duration.Duration,
  taskId: string,
  reason: string | undefined,
  rollBack: Option.Option<(isDone: IsDone) => Effect.Effect<void, E, R>>
) => {
  const because = reason === undefined ? {} : { reason }
  const rollback = Option.isSome(rollBack)
  const succeeded = (task: Task.Task) => refuse(task, "be cancelled", "it has succeeded. Undo it with rollback")
  const isDone: IsDone = (task) => {
    switch (task.status._tag) {
      case "Cancelled":
        // Without a rollback, it may have been.
        return Effect.succeed(!(rollback && hasLeftovers(task)))
      case "RolledBack":
        return Effect.succeed(true)
      case "Succeeded":
        return Effect.fail(succeeded(task))
      case "RollingBack":
        return rollback
          ? Effect.succeed(false)
          : Effect.fail(refuse(task, "be cancelled", "it is being rolled back. Finish that with rollback or resume"))
      default:
        return Effect.succeed(false)
    }
  }
  return reach(parts, interval, taskId, {
    here: Effect.fnUntraced(function*(running) {
      const stop: Cancelled = { _tag: "Cancelled", rollback, reason }
      if (yield* waitsForItself(parts, taskId)) {
        yield* running.ask(stop)
        return yield* askedOf(running.session, rollback)
      }
      yield* running.stop(stop)
      yield* running.session.left.await
      const { heldFrom, task } = running.session
      // Not where it stood there before, and nothing was done about it.
      if (task?.status._tag === "RollbackFailed" && task.position > heldFrom) {
        return yield* rollbackFailedError(taskId, task.status)
      }
      // It may have been stopping for another reason, or have come to its end: looked at again.
      return false
    }),
    held: Effect.as(
      Option.match(rollBack, {
        onNone: () => write(parts, taskId, isDone, { _tag: "TaskCancelled", ...because }),
        onSome: (held): Effect.Effect<void, E | Effect.Effect.Error<ReturnType<typeof write>>, R> => held(isDone)
      }),
      true
    ).pipe(
      // Another cancel came in on this one: looked at again.
      Effect.catchIf((error) => error instanceof TaskCancelledError, () => Effect.succeed(false))
    ),
    message: (written) => ({ _tag: "Cancel", ...written, rollback, ...because }),
    isDone
  })
}

const isPaused: IsDone = (task) => {
  switch (task.status._tag) {
    case "Running":
      return Effect.succeed(false)
    case "Paused":
      return Effect.succeed(true)
    default:
      return Effect.fail(refuse(task, "be paused", "only a running task can be"))
  }
}

export const pause = (parts: Parts, interval: Duration.Duration, taskId: string) =>
  reach(parts, interval, taskId, {
    here: (running) => Effect.as(registry.pause(running), true),
    held: Effect.as(write(parts, taskId, isPaused, { _tag: "TaskPaused" }), true),
    message: (written) => ({ _tag: "Pause", ...written }),
    isDone: isPaused
  })

/** Whether a message was not written to an earlier holder, or to that of a task which has been removed since. */
const isFor = ({ heldFrom, task }: Session, { createdAt, position = heldFrom }: TaskIO.Message): boolean =>
  position >= heldFrom
  && (createdAt === undefined || (task !== undefined && DateTime.Equivalence(createdAt, task.createdAt)))

const readMailOf = Effect.fnUntraced(function*(parts: Parts, task: registry.Running) {
  for (const message of yield* parts.taskIO.take(task.session.taskId)) {
    if (!isFor(task.session, message)) continue
    switch (message._tag) {
      case "Cancel":
        // Not awaited: a stage may take its time to stop, and there may be more mail.
        yield* task.ask({ _tag: "Cancelled", rollback: message.rollback, reason: message.reason })
        break
      case "Pause":
        yield* registry.pause(task)
    }
  }
})

/** Acts on the messages that other processes left for tasks that run here. */
export const readMail = Effect.fnUntraced(function*(parts: Parts) {
  const { running } = parts.registry
  if (running.size === 0) return
  const waiting = Arr.filterMap(yield* parts.taskIO.waiting, (taskId) => Option.fromNullable(running.get(taskId)))
  // What cannot be read keeps nothing that was taken from being acted upon.
  const read = yield* Effect.forEach(waiting, (task) => Effect.exit(readMailOf(parts, task)), { concurrency: 16 })
  yield* Effect.forEach(read, identity, { discard: true })
})

type Unreadable = Exclude<ReadError, TaskIOError>

/** What is done about a task of which the journal tells nothing, whatever the reason. */
const unreadable = <A>(answer: (error: Unreadable) => A) => ({
  DecryptionError: answer,
  InvalidTaskIdError: answer,
  InvalidTransitionError: answer,
  JournalDamagedError: answer,
  JournalVersionError: answer
})

/** Of some statuses, those that tasks are removed in: never while they are active, whatever the caller's types say. */
export const removable = (statuses: ReadonlyArray<TaskStatus.Tag>): ReadonlyArray<TaskStatus.Tag> =>
  statuses.filter((tag) => !TaskStatus.isActive({ _tag: tag }))

type IsOver = (task: { readonly status: TaskStatus.Tag; readonly updatedAt: DateTime.Utc }) => boolean

/** Whether a task is still to be removed, as its journal tells. */
const isStillOver = (parts: Parts, taskId: string, isOver: IsOver) =>
  Effect.map(
    parts.taskIO.get(taskId),
    Option.exists(({ status, updatedAt }) => isOver({ status: status._tag, updatedAt }))
  )

/** Removes a task while it is held, and only if it is still to be removed then. Tells whether it did. */
export const removeIf = (parts: Parts, taskId: string, isOver: IsOver) =>
  Effect.scoped(Effect.gen(function*() {
    const { lost } = yield* parts.bindLock.acquire(taskId)
    // Whoever takes it over meanwhile may go on with it.
    const left = Effect.as(Effect.interruptible(lost), false)
    if (!(yield* Effect.raceFirst(isStillOver(parts, taskId, isOver), left))) return false
    yield* Effect.uninterruptible(parts.taskIO.remove(taskId))
    return true
  })).pipe(Effect.catchTag("TaskBoundError", () => Effect.succeed(false)))

/** Whether {@link removeIf} would remove a task now. */
const wouldRemove = (parts: Parts, taskId: string, isOver: IsOver) =>
  Effect.flatMap(
    parts.bindLock.holder(taskId),
    Option.match({
      onNone: () => isStillOver(parts, taskId, isOver),
      onSome: () => Effect.succeed(false)
    })
  )

/** Removes a task while it is held, unless there is something to do for it. One that cannot be read is removed, too. */
export const remove = Effect.fnUntraced(function*(parts: Parts, taskId: string) {
  yield* checkTaskId(taskId)
  const { lost } = yield* bind(parts, taskId, "fail")
  const look = Effect.catchTags(
    Effect.flatMap(
      getExisting(parts, taskId),
      (task) =>
        TaskStatus.isActive(task.status)
          ? Effect.fail(refuse(task, "be removed", "it is not over. Cancel it first"))
          : Effect.void
    ),
    unreadable(() => Effect.void)
  )
  const taken = Effect.flatMap(DateTime.now, (since) => new TaskBoundError({ taskId, holder: "another engine", since }))
  const discard = Effect.uninterruptible(parts.taskIO.remove(taskId))
  yield* Effect.raceFirst(look, Effect.zipRight(Effect.interruptible(lost), taken)).pipe(
    // A removal that was cut off may have left what is in no list any more.
    Effect.tapErrorTag("TaskNotFoundError", () => discard)
  )
  yield* discard
}, Effect.scoped)

/** Removes tasks that are over. What cannot be read is left alone, and keeps no other. */
export const clean = Effect.fnUntraced(function*(parts: Parts, options: {
  readonly status: ReadonlyArray<TaskStatus.Tag>
  readonly checkMate: string | undefined
  readonly olderThan: Duration.Duration
  readonly dryRun: boolean
}) {
  const statuses = removable(options.status)
  const limit = DateTime.subtractDuration(yield* DateTime.now, options.olderThan)
  // A clock that has been set back, or another machine's that is ahead, keeps no task where no age is asked for.
  const anyAge = Duration.toMillis(options.olderThan) === 0
  const isOver: IsOver = (task) =>
    statuses.includes(task.status) && (anyAge || DateTime.lessThanOrEqualTo(task.updatedAt, limit))
  const found = yield* parts.taskIO.list({
    status: statuses,
    ...(options.checkMate === undefined ? {} : { checkMate: options.checkMate })
  }).pipe(Stream.filter(isOver), Stream.runCollect)
  const remove = options.dryRun ? wouldRemove : removeIf
  return yield* filterAfterTurns(found, ({ taskId }) => {
    const leave = (error: Unreadable) =>
      Effect.as(logWarning(`Task ${taskId} is over and is not removed: ${error.message}`), false)
    return Effect.catchTags(remove(parts, taskId, isOver), unreadable(leave))
  })
})
