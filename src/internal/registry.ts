/** The tasks that run in this engine, and word of every change to them. */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as news from "./news.ts"
import type { Session, Stop } from "./session.ts"

export interface Running {
  readonly session: Session
  /** Interrupts the task's work, and returns once that is over. */
  readonly stop: (reason: Stop) => Effect.Effect<void>
}

export interface Registry {
  readonly running: ReadonlyMap<string, Running>
  /** Waits until a task runs here. */
  readonly busy: Effect.Effect<void>
  /** The ids of tasks as they change. */
  readonly changes: news.News<string>
  readonly enter: (running: Running) => void
  readonly leave: (taskId: string, session: Session | undefined) => Effect.Effect<void>
}

/** Slow watchers miss changes rather than hold up the work; they look at the journal anyway. */
const backlog = 256

export const make: Effect.Effect<Registry> = Effect.sync(() => {
  const running = new Map<string, Running>()
  // Made for the first who waits.
  let busy: Effect.Latch | undefined
  const changes = news.make(PubSub.sliding<string>(backlog))
  return {
    running,
    busy: Effect.suspend(() => (busy ??= Effect.unsafeMakeLatch(running.size > 0)).await),
    changes,
    enter: (task) => {
      running.set(task.session.taskId, task)
      busy?.unsafeOpen()
    },
    leave: (taskId, session) =>
      Effect.suspend(() => {
        // The task may have been taken up anew already, by another call.
        if (running.get(taskId)?.session === session) running.delete(taskId)
        if (running.size === 0) busy?.unsafeClose()
        return changes.tell(taskId)
      })
  }
})

/** Asks a running task to stop at its next boundary. */
export const pause = (running: Running): Effect.Effect<void> =>
  Effect.suspend(() => {
    running.session.pausing = true
    running.session.pause.settle()
    return Effect.void
  })
