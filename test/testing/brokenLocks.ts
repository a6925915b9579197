/** Locks that each break one rule of their contract, and no other. */
import { DateTime, Effect, Exit, Option, Scope } from "effect"
import type { BindLock } from "effect-checkmate"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import { BindLockError, TaskBoundError } from "effect-checkmate/CheckMateError"
import type { BindLockContract } from "effect-checkmate/testing"

type Locks = Effect.Effect<BindLockContract.Subject>
type Acquire = BindLock.Driver["acquire"]

/** Two engines over one lock in memory, of which each may be another; what they leave behind is noted. */
export const locksWith = (
  change: (
    memory: BindLock.Driver,
    engine: "one" | "other",
    leave: (what: string) => Effect.Effect<void>
  ) => Partial<BindLock.Driver>
): Locks =>
  Effect.map(MemoryLock.make, (memory) => {
    const left: Array<string> = []
    const leave = (what: string) => Effect.sync(() => void left.push(what))
    return {
      one: { ...memory, ...change(memory, "one", leave) },
      other: { ...memory, ...change(memory, "other", leave) },
      leftovers: Effect.sync(() => left.slice())
    }
  })

/** Does something else where a task is held. */
const heldWith = (
  memory: BindLock.Driver,
  instead: (refusal: TaskBoundError) => ReturnType<Acquire>
): Acquire =>
(taskId) => Effect.catchTag(memory.acquire(taskId), "TaskBoundError", instead)

const refused = (taskId: string, problem: string) =>
  Effect.fail(new BindLockError({ operation: "bind", taskId, location: "memory", problem }))

const noScope = Effect.runSync(Scope.make())

const bound = (refusal: TaskBoundError): Effect.Effect<BindLock.Binding> =>
  Effect.succeed({ holder: { name: refusal.holder, since: refusal.since }, lost: Effect.never })

/** Locks by the rule of the BindLock contract that each one breaks. */
export const brokenLocks: Readonly<Record<string, () => Locks>> = {
  "a task that was never bound has no holder": () => {
    const known = new Set<string>()
    return locksWith((memory) => ({
      acquire: (taskId) => Effect.zipRight(Effect.sync(() => known.add(taskId)), memory.acquire(taskId)),
      holder: (taskId) =>
        known.has(taskId)
          ? memory.holder(taskId)
          : Effect.succeed(Option.some({ name: "nobody", since: DateTime.unsafeMake(0) }))
    }))
  },

  "both engines see who holds a bound task": () =>
    locksWith((_, engine) => engine === "other" ? { holder: () => Effect.succeedNone } : {}),

  "a task has no holder once its Scope has ended": () => {
    const last = new Map<string, BindLock.Holder>()
    return locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.tap(memory.acquire(taskId), ({ holder }) => Effect.sync(() => last.set(taskId, holder))),
      holder: (taskId) => Effect.succeed(Option.fromNullable(last.get(taskId)))
    }))
  },

  // Keeps a task for the engine that worked on it well.
  "a task that was released can be bound by another engine": () => {
    const kept = new Map<string, string>()
    return locksWith((memory, engine) => ({
      acquire: (taskId) =>
        (kept.get(taskId) ?? engine) === engine
          ? Effect.zipLeft(
            memory.acquire(taskId),
            Effect.addFinalizer((exit) => Effect.sync(() => Exit.isSuccess(exit) && kept.set(taskId, engine)))
          )
          : refused(taskId, "it is kept for another")
    }))
  },

  // Gives back what its work came to an end with, or what was interrupted.
  "a task is released also where its work failed or died": () =>
    locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          const scope = yield* Effect.acquireRelease(
            Scope.make(),
            (scope, exit) => Exit.isSuccess(exit) || Exit.isInterrupted(exit) ? Scope.close(scope, exit) : Effect.void
          )
          return yield* Scope.extend(memory.acquire(taskId), scope)
        })
    })),

  "a task that is held is TaskBoundError for another engine": () =>
    locksWith((memory, engine) =>
      engine === "other" ? { acquire: heldWith(memory, ({ taskId }) => refused(taskId, "it is held")) } : {}
    ),

  // Reentrant, in the fiber that holds it.
  "a task that is held is TaskBoundError for the same engine too": () =>
    locksWith((memory) => {
      const fibers = new Map<string, number>()
      return {
        acquire: (taskId) =>
          Effect.withFiberRuntime((fiber) => {
            const { id } = fiber.id()
            return Effect.tap(memory.acquire(taskId), () => Effect.sync(() => fibers.set(taskId, id))).pipe(
              Effect.catchTag(
                "TaskBoundError",
                (refusal) => fibers.get(taskId) === id ? bound(refusal) : Effect.fail(refusal)
              )
            )
          })
      }
    }),

  "a refusal names who holds the task": () =>
    locksWith((memory) => ({
      acquire: heldWith(
        memory,
        ({ since, taskId }) => Effect.fail(new TaskBoundError({ taskId, holder: "someone", since }))
      )
    })),

  // Gives the task back at the Scope's end, whatever came of the try.
  "a try that was refused takes nothing from the holder, once it is over": () => {
    const scopes = new Map<string, Scope.CloseableScope>()
    const free = (taskId: string) => Effect.suspend(() => Scope.close(scopes.get(taskId) ?? noScope, Exit.void))
    return locksWith((memory, engine) =>
      engine === "other" ? {} : {
        acquire: (taskId) =>
          Effect.gen(function*() {
            const scope = yield* Scope.make()
            yield* Effect.addFinalizer((exit) => Exit.isInterrupted(exit) ? Scope.close(scope, exit) : free(taskId))
            const binding = yield* Scope.extend(memory.acquire(taskId), scope)
            scopes.set(taskId, scope)
            return binding
          })
      }
    )
  },

  "a try that was interrupted takes nothing from the holder": () => {
    const scopes = new Map<string, Scope.CloseableScope>()
    const free = (taskId: string) => Effect.suspend(() => Scope.close(scopes.get(taskId) ?? noScope, Exit.void))
    return locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          yield* Effect.onInterrupt(Effect.yieldNow(), () => free(taskId))
          const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
          const binding = yield* Scope.extend(memory.acquire(taskId), scope)
          scopes.set(taskId, scope)
          return binding
        })
    }))
  },

  "a try that was refused is no loss for the holder": () => {
    const tries = new Map<string, Effect.Latch>()
    return locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          const tried = yield* Effect.makeLatch()
          const binding = yield* heldWith(memory, (refusal) =>
            Effect.zipRight(tries.get(taskId)?.open ?? Effect.void, Effect.fail(refusal)))(taskId)
          tries.set(taskId, tried)
          return { ...binding, lost: Effect.as(tried.await, "another wants it") }
        })
    }))
  },

  "tasks are bound independently, also where their ids look alike": () =>
    locksWith((memory) => ({ acquire: (taskId) => memory.acquire(taskId.replace(/\.(lock|\d)$/, "")) })),

  "task ids of every allowed character can be bound": () =>
    locksWith((memory) => ({
      acquire: (taskId) => taskId.includes("=") ? refused(taskId, "a bad name") : memory.acquire(taskId)
    })),

  // Gives back all whose ids begin so.
  "releasing a task leaves the engine's other tasks bound": () => {
    const scopes = new Map<string, Scope.CloseableScope>()
    const free = (taskId: string) =>
      Effect.forEach(
        [...scopes].filter(([id]) => id.startsWith(taskId)),
        ([id, scope]) => Effect.zipRight(Effect.sync(() => scopes.delete(id)), Scope.close(scope, Exit.void))
      )
    return locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const binding = yield* Scope.extend(memory.acquire(taskId), scope)
          scopes.set(taskId, scope)
          yield* Effect.addFinalizer(() => free(taskId))
          return binding
        })
    }))
  },

  // Looks first, and binds later.
  "of many that try at once exactly one holds it": () =>
    locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          const seen = yield* memory.holder(taskId)
          yield* Effect.yieldNow()
          return yield* heldWith(memory, Option.isNone(seen) ? bound : Effect.fail)(taskId)
        })
    })),

  "a holder that lives keeps its task, however long it works": () =>
    locksWith((memory) => ({
      acquire: heldWith(memory, (refusal) =>
        Effect.flatMap(DateTime.now, (now) =>
          DateTime.distance(refusal.since, now) > 60_000 ? bound(refusal) : Effect.fail(refusal)))
    })),

  "a binding that was released does not count as lost": () =>
    locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          const binding = yield* memory.acquire(taskId)
          const ended = yield* Effect.makeLatch()
          yield* Effect.addFinalizer(() => ended.open)
          return { ...binding, lost: Effect.as(ended.await, "it was released") }
        })
    })),

  // Keeps for a task what it told of its first binding.
  "a task that was bound before and is bound anew does not count as lost": () => {
    const before = new Set<string>()
    return locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.map(memory.acquire(taskId), (binding) => {
          const lost = before.has(taskId) ? Effect.succeed("it was bound before") : binding.lost
          before.add(taskId)
          return { ...binding, lost }
        })
    }))
  },

  // Gives back only what its work came to an end with.
  "interruption while it tries leaves nothing bound": () =>
    locksWith((memory) => ({
      acquire: (taskId) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const binding = yield* Scope.extend(memory.acquire(taskId), scope)
          yield* Effect.addFinalizer((exit) => Exit.isInterrupted(exit) ? Effect.void : Scope.close(scope, exit))
          return binding
        })
    })),

  "binding a task, looking at it and releasing it leaves nothing behind": () =>
    locksWith((memory, _, leave) => ({
      holder: (taskId) => Effect.zipRight(leave(`${taskId}.probe`), memory.holder(taskId))
    })),

  "tries that were refused leave nothing behind": () =>
    locksWith((memory, _, leave) => ({
      acquire: heldWith(memory, (refusal) => Effect.zipRight(leave(`${refusal.taskId}.try`), Effect.fail(refusal)))
    })),

  "tries that were interrupted leave nothing behind": () =>
    locksWith((memory, _, leave) => ({
      acquire: (taskId) =>
        Effect.zipLeft(
          memory.acquire(taskId),
          Effect.addFinalizer((exit) => Exit.isInterrupted(exit) ? leave(`${taskId}.lock`) : Effect.void)
        )
    }))
}
