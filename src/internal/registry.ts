/** The tasks that run in this engine, and word of every change to them. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Turns } from "./inTurn.ts"
import { Once } from "./once.ts"
import type { Session, Stop } from "./session.ts"

export interface Running {
  readonly session: Session
  /** Interrupts the task's work, and returns once that is over. */
  readonly stop: (reason: Stop) => Effect.Effect<void>
  /** The same, without waiting for that. */
  readonly ask: (reason: Stop) => Effect.Effect<void>
}

export interface Registry {
  readonly running: ReadonlyMap<string, Running>
  /** Waits until a task runs here. */
  readonly busy: Effect.Effect<void>
  /** Calls a function with the id of each task that changes, as long as the Scope. */
  readonly listen: (hear: (taskId: string) => void) => Effect.Effect<unknown, never, Scope.Scope>
  /** Says that a task has changed. */
  readonly tell: (taskId: string) => Effect.Effect<unknown>
  /** What is settled by the next change of a task, or by whoever asked for it. */
  readonly nextOf: (taskId: string) => Next
  /** Of all here who wait for a task that is bound one asks its lock, until it lets the task go. The others wait for that. */
  readonly lines: Turns
  /** Settled once the engine closes, and no task begins any more. */
  readonly closing: Once<void>
  /** A task is about to be held, until it {@link leave}s. */
  readonly begin: () => void
  readonly enter: (running: Running) => void
  readonly leave: (taskId: string, session: Session | undefined) => Effect.Effect<void>
  /** Asks all that run to end, and lets nothing begin any more. */
  readonly halt: Effect.Effect<void>
  /** The same, and returns once all are let go of, to be gone on with by others. */
  readonly close: Effect.Effect<void>
}

const interrupted: Stop = { _tag: "Interrupted" }

interface Next {
  readonly happened: Effect.Effect<void>
  readonly hasHappened: () => boolean
  readonly forget: () => void
}

export const make: Effect.Effect<Registry> = Effect.sync(() => {
  const running = new Map<string, Running>()
  // Made for the first who waits.
  let busy: Effect.Latch | undefined
  const listeners = new Set<(taskId: string) => void>()
  const nexts = new Map<string, Set<Once<void>>>()
  const tell = (taskId: string) =>
    Effect.sync(() => {
      for (const next of nexts.get(taskId) ?? []) next.settle()
      nexts.delete(taskId)
      for (const hear of listeners) hear(taskId)
    })
  let holds = 0
  const closing = new Once<void>()
  const empty = new Once<void>()
  const halt = Effect.suspend(() => {
    closing.settle()
    // Noted of all before any is interrupted: a stage that waits for another task is not to fail by that one's end.
    for (const { session } of running.values()) session.endFor(interrupted)
    return Effect.forEach(running.values(), ({ ask }) => ask(interrupted), { discard: true })
  })
  return {
    running,
    lines: new Map(),
    busy: Effect.suspend(() => (busy ??= Effect.unsafeMakeLatch(running.size > 0)).await),
    listen: (hear) =>
      Effect.acquireRelease(
        Effect.sync(() => listeners.add(hear)),
        () => Effect.sync(() => listeners.delete(hear))
      ),
    tell,
    nextOf: (taskId) => {
      const next = new Once<void>()
      const all = nexts.get(taskId) ?? new Set()
      nexts.set(taskId, all.add(next))
      return {
        happened: next.await,
        hasHappened: () => next.isSettled,
        forget: () => {
          next.settle()
          all.delete(next)
          if (all.size === 0 && nexts.get(taskId) === all) nexts.delete(taskId)
        }
      }
    },
    closing,
    begin: () => {
      holds += 1
    },
    enter: (task) => {
      running.set(task.session.taskId, task)
      busy?.unsafeOpen()
    },
    leave: (taskId, session) =>
      Effect.suspend(() => {
        // The task may have been taken up anew already, by another call.
        if (running.get(taskId)?.session === session) running.delete(taskId)
        if (running.size === 0) busy?.unsafeClose()
        holds -= 1
        if (closing.isSettled && holds === 0) empty.settle()
        return tell(taskId)
      }),
    halt,
    close: Effect.zipRight(halt, Effect.suspend(() => holds === 0 ? Effect.void : empty.await))
  }
})

/** Asks a running task to stop at its next boundary. */
export const pause = (running: Running): Effect.Effect<void> =>
  Effect.suspend(() => {
    running.session.pausing = true
    running.session.pause.settle()
    return Effect.void
  })
