/**
 * Cuts a run before or after any of its writes, as the death of the process would, and goes on in a fresh engine over
 * the same store. A dead process runs no finalizers: its fibers hang for ever, and its lock is gone.
 */
import { Deferred, Effect, type Exit, Fiber, Option } from "effect"
import { BindLock, type CheckMateEngine, type TaskIO } from "effect-checkmate"
import { engineOver, makeStore } from "./pipelines.ts"

export interface Cut {
  readonly write: number
  readonly when: "before" | "after"
}

/** A store whose process dies at a cut; counts its writes. */
const mortal = (store: TaskIO.Encoded, cut: Cut | undefined, died: Deferred.Deferred<void>) => {
  const writes = { count: 0 }
  const die = Effect.zipRight(Deferred.succeed(died, undefined), Effect.uninterruptible(Effect.never))
  const driver: TaskIO.Encoded = {
    ...store,
    open: (taskId) =>
      Effect.map(store.open(taskId), (journal) => ({
        ...journal,
        append: (...args) =>
          Effect.suspend(() => {
            writes.count += 1
            if (cut?.write !== writes.count) return journal.append(...args)
            return cut.when === "before" ? die : Effect.zipRight(journal.append(...args), die)
          })
      }))
  }
  return { driver, writes }
}

/** Runs in one process for each cut, and then in one that lives. */
export const runWithCuts = <A, E>(
  cuts: ReadonlyArray<Cut>,
  program: Effect.Effect<A, E, CheckMateEngine.CheckMateEngine>
): Effect.Effect<{ readonly store: TaskIO.Encoded; readonly exit: Exit.Exit<A, E>; readonly writes: number }> =>
  Effect.gen(function*() {
    const store = yield* makeStore
    for (const cut of cuts) {
      const died = yield* Deferred.make<void>()
      const { driver } = mortal(store, cut, died)
      const fiber = yield* Effect.forkDaemon(Effect.exit(Effect.provide(program, engineOver(driver))))
      const ended = yield* Effect.raceFirst(
        Effect.as(Deferred.await(died), Option.none<Exit.Exit<A, E>>()),
        Effect.map(Fiber.join(fiber), Option.some)
      )
      // It came to its end before the cut.
      if (Option.isSome(ended)) return { store, exit: ended.value, writes: 0 }
    }
    const { driver, writes } = mortal(store, undefined, yield* Deferred.make<void>())
    const exit = yield* Effect.exit(Effect.provide(program, engineOver(driver, BindLock.layerMemory)))
    return { store, exit, writes: writes.count }
  })
