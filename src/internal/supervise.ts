/** Holds a task for the length of some work: binds it, claims its journal, and stops the work when it has to stop. */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type * as BindLock from "../BindLock.ts"
import {
  BindingLostError,
  type BindLockError,
  type HoldError,
  StaleWriterError,
  TaskBoundError,
  TaskCancelledError
} from "../CheckMateError.ts"
import * as Stage from "../Stage.ts"
import type * as Task from "../Task.ts"
import type * as TaskIO from "../TaskIO.ts"
import { exitOf, inScope } from "./inContext.ts"
import { lineUp } from "./inTurn.ts"
import { logInfo, logWarning } from "./log.ts"
import * as region from "./region.ts"
import type { Registry } from "./registry.ts"
import {
  type AppendError,
  type Cancelled,
  commit,
  type Fork,
  isEnding,
  isMidway,
  Session,
  type Stop
} from "./session.ts"

/** The services an engine is made of. */
export interface Parts {
  readonly taskIO: TaskIO.TaskIO["Type"]
  readonly bindLock: BindLock.BindLock["Type"]
  readonly registry: Registry
  readonly fork: Fork
}

/** How often a caller that waits for a binding tries again. */
const waitBetween = "250 millis"

/** A holder, with the time its engine took the task up where the lock only knows when that engine began. */
export const heldSince = (holder: BindLock.Holder, task: Option.Option<Task.Task>): DateTime.Utc =>
  Option.match(task, { onNone: () => holder.since, onSome: ({ takenUpAt }) => DateTime.max(holder.since, takenUpAt) })

/** Binds a task, and tells who holds one that cannot be bound, and since when; or waits, and calls `waits` before. */
export const bind = (
  parts: Parts,
  taskId: string,
  whenBound: "fail" | "wait",
  waits: () => void = () => {}
): Effect.Effect<BindLock.Binding, TaskBoundError | BindLockError, Scope.Scope> => {
  const acquire = parts.bindLock.acquire(taskId)
  const orTold = Effect.catchTag(
    acquire,
    "TaskBoundError",
    (bound) =>
      Effect.flatMap(Effect.orElseSucceed(parts.taskIO.get(taskId), Option.none), (task) =>
        Effect.fail(
          new TaskBoundError({
            taskId,
            holder: parts.registry.running.has(taskId) ? `${bound.holder} (this very engine)` : bound.holder,
            since: heldSince({ name: bound.holder, since: bound.since }, task)
          })
        ))
  )
  if (whenBound === "fail") return orTold
  const { lines } = parts.registry
  const inLine = Effect.suspend(() => {
    waits()
    return Effect.zipRight(
      lineUp(lines, taskId),
      Effect.retry(acquire, {
        schedule: Schedule.spaced(waitBetween),
        while: (error) => error._tag === "TaskBoundError"
      })
    )
  })
  const waiting = Effect.suspend(() =>
    lines.has(taskId) ? inLine : Effect.catchTag(acquire, "TaskBoundError", () => inLine)
  )
  return Effect.if(waitsForItself(parts, taskId), {
    onTrue: () => orTold,
    onFalse: () => Effect.zipRight(warnOfItself(parts, taskId), untilClosed(parts, waiting))
  })
}

/** Ends what waits when the engine does. */
const untilClosed = <A, E, R>(parts: Parts, waiting: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // A race waits for its loser, who must let itself be interrupted also where the caller does not.
  Effect.raceFirst(
    Effect.interruptible(waiting),
    Effect.interruptible(Effect.zipRight(parts.registry.closing.await, Effect.interrupt))
  )

/** Whether a task is another engine's now, as it was told by its lock or by its journal. */
export const isTaken = (taskId: string, error: unknown): boolean =>
  (error instanceof BindingLostError || error instanceof StaleWriterError) && error.taskId === taskId

/**
 * Takes a task up; `again` is what is done once another engine has taken it over midway, for a caller that waits for whoever
 * has it: to a stage that runs the task, that is no failure. What `again` gives back of it stands.
 */
export const whileTaken = <A, E, R>(
  parts: Parts,
  { taskId, whenBound }: { readonly taskId: string; readonly whenBound: "fail" | "wait" },
  takeUp: Effect.Effect<A, E, R>,
  again: (taken: E) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (whenBound === "fail") return takeUp
  // A lock that is lost as often as it is got must not keep the processor busy.
  const waiting = Effect.zipRight(
    logInfo(`Task ${taskId} was taken over by another engine, and is waited for`),
    untilClosed(parts, Effect.sleep(waitBetween))
  )
  const orAgain = (work: Effect.Effect<A, E, R>, last?: E): Effect.Effect<A, E, R> =>
    Effect.catchIf(
      work,
      (error) => error !== last && isTaken(taskId, error),
      (taken) => Effect.zipRight(waiting, Effect.suspend(() => orAgain(again(taken), taken)))
    )
  return orAgain(takeUp)
}

/** Whether it is a stage, or a rollback, of a task that runs here that asks for something about its own task. */
const isOwn = (parts: Parts, taskId: string): Effect.Effect<boolean> =>
  Effect.map(
    Effect.serviceOption(Stage.Context),
    (asker) => Option.exists(asker, (own) => own.taskId === taskId) && parts.registry.running.has(taskId)
  )

/** Whether it is one that is not to be interrupted, as a rollback: it would wait for itself for ever, and its engine for it. */
export const waitsForItself = (parts: Parts, taskId: string): Effect.Effect<boolean> =>
  Effect.flatMap(
    isOwn(parts, taskId),
    (own) => own ? Effect.checkInterruptible((can) => Effect.succeed(!can)) : Effect.succeed(false)
  )

/** A stage that waits for its own task does so for ever, unless what waits outlives the stage. */
const warnOfItself = (parts: Parts, taskId: string) =>
  Effect.flatMap(isOwn(parts, taskId), (own) =>
    own
      ? logWarning(`Task ${taskId} is waited for by a stage of its own, which ends only if it does not wait for that`)
      : Effect.void)

/** How a fiber ended, which is waited for also where the wait is interrupted: then it is told first. */
const seenToItsEnd = <A, E>(
  fiber: Fiber.RuntimeFiber<A, E>,
  restore: region.Restore,
  whenInterrupted: Effect.Effect<void>
): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.matchCauseEffect(restore(exitOf(fiber)), {
    onFailure: () => Effect.zipRight(whenInterrupted, exitOf(fiber)),
    onSuccess: Effect.succeed
  })

const interrupted: Stop = { _tag: "Interrupted" }

/** Interrupts a task's work, and returns once that is over, or once that is asked for. */
const stopFor = (
  session: Session,
  reason: Stop,
  interrupt: (work: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<unknown> = Fiber.interrupt
): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (session.cancelling && reason._tag === "Cancelled") return Effect.void
    session.endFor(reason)
    return session.work === undefined ? Effect.void : Effect.asVoid(interrupt(session.work))
  })

/** Why the task is another engine's now, if it is. */
const lossOf = ({ stopping, taskId }: Session): BindingLostError | undefined =>
  stopping?._tag === "Lost" ? new BindingLostError({ taskId, problem: stopping.problem }) : undefined

type Marks = HashMap.HashMap<string, unknown>

/** The marks on what is logged around a task, and of it. Asked for by a stage of another task, whose marks are not its own. */
const marksOf = (taskId: string) =>
  Effect.withFiberRuntime<{ readonly outer: Marks; readonly own: Marks }>((fiber) => {
    const outer = fiber.getFiberRef(FiberRef.currentLogAnnotations)
    const isWithin = Option.isSome(Context.getOption(fiber.currentContext, Stage.Context))
    const kept = isWithin ? HashMap.removeMany(outer, ["stage", "attempt"]) : outer
    return Effect.succeed({ outer, own: HashMap.set(kept, "task", taskId) })
  })

/** Logs as of a task. */
export const loggedAs = (taskId: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(marksOf(taskId), ({ own }) => Effect.locally(self, FiberRef.currentLogAnnotations, own))

/** Runs work in a fiber of its own, so that why it is interrupted is known before it is. Not to be interrupted itself. */
const supervise = Effect.fnUntraced(
  function*<A, E, R>(
    parts: Parts,
    session: Session,
    work: Effect.Effect<A, E, R>,
    restore: region.Restore
  ): Effect.fn.Return<Exit.Exit<A, E>, never, R> {
    const { outer, own } = yield* marksOf(session.taskId)
    const fiber = yield* parts.fork(Effect.zipRight(
      FiberRef.set(FiberRef.currentLogAnnotations, own),
      region.interruptible(Effect.suspend(() => session.stopping === undefined ? work : Effect.interrupt))
    ))
    session.work = fiber
    parts.registry.enter({
      session,
      stop: (reason) => stopFor(session, reason),
      ask: (reason) => stopFor(session, reason, Fiber.interruptFork)
    })
    if (parts.registry.closing.isSettled) yield* stopFor(session, interrupted)
    const exit = yield* seenToItsEnd(fiber, restore, stopFor(session, interrupted))
    yield* Fiber.inheritAll(fiber)
    // The marks on the logs, and those that stages set, end with the task.
    yield* FiberRef.set(FiberRef.currentLogAnnotations, outer)
    return exit
  }
)

export const cancelledError = (taskId: string, reason: string | undefined): TaskCancelledError =>
  new TaskCancelledError({ taskId, ...(reason === undefined ? {} : { reason }) })

/** Writes that the task is cancelled, where nothing is to be rolled back. */
export const writeCancelled = (session: Session, reason: string | undefined): Effect.Effect<unknown, AppendError> =>
  commit(session, [{ _tag: "TaskCancelled", ...(reason === undefined ? {} : { reason }) }])

/**
 * Writes what is left to be written as an engine lets go of a task, which others will go on with. Nothing behind an append that
 * failed: it would be refused, and that told in place of why. Nor where nothing was done: it is not this engine that left it
 * midway, but one that may have crashed.
 */
const leave = (session: Session): Effect.Effect<unknown, AppendError> => {
  const { heldFrom, isInDoubt, task } = session
  if (isInDoubt || task === undefined || task.position === heldFrom) return Effect.void
  return commit(session, isMidway(task) ? [{ _tag: "TaskLeft" }] : [])
}

/** How a task is held, and what for. */
interface Hold<A, E, R, E2, R2> {
  readonly whenBound: "fail" | "wait"
  readonly work: (session: Session) => Effect.Effect<A, E, R>
  /** Decides what becomes of a task that is cancelled meanwhile. */
  readonly cancelled: (session: Session, stop: Cancelled) => Effect.Effect<A, E2, R2>
  /** What a look at it found. */
  readonly found?: TaskIO.Look | undefined
  /** What there is to answer of a task that was waited for, and is over by then; of any other, nothing. */
  readonly over?: ((task: Task.Task) => Effect.Effect<A | undefined, E, R>) | undefined
}

/** What is held for the length of the Scope; only where it restores may it be interrupted. */
const holding = Effect.fnUntraced(function*<A, E, R, E2, R2>(
  parts: Parts,
  taskId: string,
  { cancelled, found, over, whenBound, work }: Hold<A, E, R, E2, R2>,
  restore: region.Restore
): Effect.fn.Return<A, E | E2 | HoldError, R | R2 | Scope.Scope> {
  if (parts.registry.closing.isSettled) {
    return yield* Effect.dieMessage(
      `Task "${taskId}" cannot be taken up: the CheckMateEngine it was given to is closed, as its Scope has ended. `
        + "Let what runs tasks end before the engine's layer does."
    )
  }
  parts.registry.begin()
  let session: Session | undefined
  let watcher: Fiber.RuntimeFiber<void> | undefined
  // Registered first, so that it runs once the task is let go of, its binding included.
  yield* Scope.addFinalizer(
    yield* Effect.scope,
    Effect.suspend(() => {
      watcher?.unsafeInterruptAsFork(FiberId.none)
      return Effect.tap(parts.registry.leave(taskId, session), () => session?.left.settle())
    })
  )
  let hasWaited = false
  const waits = () => {
    hasWaited = true
  }
  const binding = yield* restore(bind(parts, taskId, whenBound, waits))
  const latest = hasWaited && over !== undefined ? yield* restore(parts.taskIO.look(taskId, found)) : found
  // Whoever had it may have brought it to its end: none of many that waited need claim it for that.
  if (hasWaited && over !== undefined && latest !== undefined && Option.isSome(latest.task)) {
    const answer = yield* restore(over(latest.task.value))
    if (answer !== undefined) return answer
  }
  const journal = yield* restore(parts.taskIO.open(taskId, latest))
  const held = new Session(
    taskId,
    journal,
    parts.taskIO.driver.transaction,
    () => parts.registry.tell(taskId),
    parts.fork
  )
  session = held
  // Forked first, so that work whose binding is lost already does not begin.
  if (binding.lost !== Effect.never) {
    watcher = yield* parts.fork(
      region.interruptible(Effect.flatMap(binding.lost, (problem) => stopFor(held, { _tag: "Lost", problem })))
    )
  }
  const exit = yield* supervise(parts, held, work(held), restore)
  if (exit._tag === "Success") return exit.value
  let lost = lossOf(held)
  if (lost !== undefined) return yield* lost
  const stopping: Stop | undefined = held.stopping
  if (stopping?._tag === "Interrupted") {
    yield* leave(held)
    return yield* exit
  }
  // What was folded in and came to nothing is not written: a task whose values are refused stands as it was found.
  if (stopping?._tag !== "Cancelled" || held.isInDoubt) return yield* exit
  yield* commit(held)
  lost = lossOf(held)
  if (lost !== undefined) return yield* lost
  held.stopping = undefined
  held.cancelling = true
  // Asked to end since, which was no other reason to stop.
  if (isEnding(held)) yield* stopFor(held, interrupted)
  // In a fiber of its own, so that whoever is interrupted meanwhile cuts the waits of a rollback's retries short.
  const ending = yield* parts.fork(loggedAs(taskId)(cancelled(held, stopping)))
  const ended = yield* seenToItsEnd(ending, restore, stopFor(held, interrupted))
  lost = lossOf(held)
  if (lost !== undefined) return yield* lost
  // By its caller's interruption or by the engine's end: whoever goes on with the rollback carries the cancel out.
  if (!isEnding(held) || held.isInDoubt || held.task === undefined || !isMidway(held.task)) return yield* ended
  yield* leave(held)
  return yield* Effect.interrupt
})

/**
 * Holds a task while its work is done. When the binding is lost, nothing more is written. A task that is run in a transactional
 * stage takes no part in its transaction.
 */
export const hold = <A, E, R, E2, R2>(
  parts: Parts,
  taskId: string,
  options: Hold<A, E, R, E2, R2>
): Effect.Effect<A, E | E2 | HoldError, R | R2> => {
  const held = region.uninterruptibleMask((restore) => inScope(holding(parts, taskId, options, restore)))
  const { outside } = parts.taskIO.driver
  return outside === undefined ? held : outside(held)
}
