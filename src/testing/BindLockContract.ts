/**
 * What every lock must do, whatever it is made of.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import type { Driver } from "../BindLock/Driver.ts"
import { type Rule, rulesOf } from "./Contract.ts"

/**
 * What a lock may be unable to do: `"leftovers"`, to tell what it leaves behind.
 *
 * @since 0.1.0
 * @category models
 */
export type Capability = "leftovers"

/**
 * One lock as two engines hold it, in processes of their own where that is what the lock is for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subject {
  readonly one: Driver
  readonly other: Driver
  /** What is there beyond the engines' own marks: files, keys, rows. Nothing while no task is bound. */
  readonly leftovers: Effect.Effect<ReadonlyArray<string>>
}

/** Binds a task until it is released, or the rule is over. */
const bind = (lock: Driver, taskId: string) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
    const { holder, lost } = yield* Scope.extend(lock.acquire(taskId), scope)
    const end = (exit: Exit.Exit<unknown, unknown>) => Scope.close(scope, exit)
    return { holder, lost, end, release: end(Exit.void) }
  })

/** Many tries at once, by both engines in turn; those that hold the task now. */
const race = ({ one, other }: Subject, taskId: string) =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: 16 }, (_, index) => index % 2 === 0 ? one : other),
      (lock) => Effect.exit(bind(lock, taskId)),
      { concurrency: "unbounded" }
    ),
    (tries) => tries.flatMap((exit) => Exit.isSuccess(exit) ? [exit.value] : [])
  )

/** Interrupts a try to bind a task after more and more steps of it. */
const interruptTries = (lock: Driver, taskId: string) =>
  Effect.gen(function*() {
    for (let step = 0; step < 20; step++) {
      const fiber = yield* Effect.fork(Effect.scoped(Effect.zipRight(lock.acquire(taskId), Effect.never)))
      yield* Effect.repeatN(Effect.yieldNow(), step)
      yield* Fiber.interrupt(fiber)
    }
  })

const nameOf = Option.match({ onNone: () => null, onSome: ({ name }: { readonly name: string }) => name })

const rule = rulesOf<Subject, Capability>("BindLock")

/**
 * The rules.
 *
 * @since 0.1.0
 * @category rules
 */
export const rules: ReadonlyArray<Rule<Subject, Capability>> = [
  rule("a task that was never bound has no holder", ({ one, other }, expect) =>
    Effect.gen(function*() {
      for (const lock of [one, other]) {
        yield* expect.same("the holder of a task that was never bound", nameOf(yield* lock.holder("t")), null)
      }
    })),

  rule("both engines see who holds a bound task", ({ one, other }, expect) =>
    Effect.gen(function*() {
      const { holder } = yield* bind(one, "t")
      yield* expect.same("the holder its own engine sees", nameOf(yield* one.holder("t")), holder.name)
      yield* expect.same("the holder the other engine sees", nameOf(yield* other.holder("t")), holder.name)
    })),

  rule("a task has no holder once its Scope has ended", ({ one, other }, expect) =>
    Effect.gen(function*() {
      const binding = yield* bind(one, "t")
      yield* binding.release
      yield* expect.same("the holder its last engine sees", nameOf(yield* one.holder("t")), null)
      yield* expect.same("the holder the other engine sees", nameOf(yield* other.holder("t")), null)
    })),

  rule("a task that was released can be bound by another engine", ({ one, other }, expect) =>
    Effect.gen(function*() {
      yield* (yield* bind(one, "t")).release
      const bound = yield* Effect.exit(bind(other, "t"))
      yield* expect.that(Exit.isSuccess(bound), "the other engine to bind the task", bound)
    })),

  rule("a task is released also where its work failed or died", ({ one, other }, expect) =>
    Effect.gen(function*() {
      for (const [ended, exit] of [["failed", Exit.fail("no")], ["died", Exit.die("no")]] as const) {
        yield* (yield* bind(one, ended)).end(exit)
        const bound = yield* Effect.exit(bind(other, ended))
        yield* expect.that(Exit.isSuccess(bound), `the other engine to bind a task whose work ${ended}`, bound)
      }
    })),

  rule("a task that is held is TaskBoundError for another engine", ({ one, other }, expect) =>
    Effect.gen(function*() {
      yield* bind(one, "t")
      const refusal = yield* expect.failure("binding it from another engine", bind(other, "t"), "TaskBoundError")
      yield* expect.same("the refusal's taskId", refusal.taskId, "t")
    })),

  rule("a task that is held is TaskBoundError for the same engine too", ({ one }, expect) =>
    Effect.gen(function*() {
      yield* bind(one, "t")
      const refusal = yield* expect.failure("binding it again from its own engine", bind(one, "t"), "TaskBoundError")
      yield* expect.same("the refusal's taskId", refusal.taskId, "t")
    })),

  rule("a refusal names who holds the task", ({ one, other }, expect) =>
    Effect.gen(function*() {
      const { holder } = yield* bind(one, "t")
      const refusal = yield* Effect.flip(bind(other, "t"))
      const named = refusal._tag === "TaskBoundError" ? refusal.holder : holder.name
      yield* expect.same("the holder that the refusal names", named, holder.name)
    })),

  rule(
    "a try that was refused takes nothing from the holder, once it is over",
    ({ one, other }, expect) =>
      Effect.gen(function*() {
        yield* bind(one, "t")
        for (const lock of [other, one]) {
          yield* Effect.exit(Effect.scoped(lock.acquire("t")))
          const again = yield* Effect.exit(bind(other, "t"))
          yield* expect.that(Exit.isFailure(again), "the task to be refused while it is held", "it was bound")
        }
      })
  ),

  rule("a try that was interrupted takes nothing from the holder", ({ one, other }, expect) =>
    Effect.gen(function*() {
      yield* bind(one, "t")
      yield* interruptTries(other, "t")
      const again = yield* Effect.exit(bind(other, "t"))
      yield* expect.that(Exit.isFailure(again), "the task to be refused while it is held", "it was bound")
    })),

  rule("a try that was refused is no loss for the holder", ({ one, other }, expect) =>
    Effect.gen(function*() {
      const binding = yield* bind(one, "t")
      const lost = yield* Effect.fork(binding.lost)
      yield* Effect.yieldNow()
      for (const lock of [other, one]) yield* Effect.exit(Effect.scoped(lock.acquire("t")))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      yield* expect.same("what the binding tells of being lost", Option.getOrNull(yield* Fiber.poll(lost)), null)
    })),

  rule(
    "tasks are bound independently, also where their ids look alike",
    ({ one, other }, expect) =>
      Effect.gen(function*() {
        const ids = ["a", "a.1", "a.2", "a.lock", "a.2.take", "A2", "x".repeat(199), "x".repeat(200)]
        for (const [index, id] of ids.entries()) yield* bind(index % 2 === 0 ? one : other, id)
        for (const [index, id] of ids.entries()) {
          const again = yield* Effect.exit(bind(index % 2 === 0 ? other : one, id))
          yield* expect.that(Exit.isFailure(again), `task "${id}" to be refused while it is held`, "it was bound")
        }
      })
  ),

  rule("task ids of every allowed character can be bound", ({ one, other }, expect) =>
    Effect.gen(function*() {
      for (const id of ["ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789._-@+=", "0=", "9-"]) {
        yield* bind(one, id)
        const again = yield* Effect.exit(bind(other, id))
        yield* expect.that(Exit.isFailure(again), `task "${id}" to be refused while it is held`, "it was bound")
      }
    })),

  rule("releasing a task leaves the engine's other tasks bound", ({ one, other }, expect) =>
    Effect.gen(function*() {
      const released = yield* bind(one, "a")
      const kept = ["second", "a.b", "a-1", "aa", "1.a"]
      for (const id of kept) yield* bind(one, id)
      yield* released.release
      for (const id of kept) {
        const again = yield* Effect.exit(bind(other, id))
        yield* expect.that(Exit.isFailure(again), `task "${id}" to be refused while it is held`, "it was bound")
      }
    })),

  rule("of many that try at once exactly one holds it", (locks, expect) =>
    Effect.gen(function*() {
      for (let round = 1; round <= 10; round++) {
        const held = yield* race(locks, "t")
        yield* expect.same(`how many hold the task in round ${round}`, held.length, 1)
        yield* Effect.forEach(held, ({ release }) => release)
      }
    })),

  rule("a holder that lives keeps its task, however long it works", ({ one, other }, expect) =>
    Effect.gen(function*() {
      const binding = yield* bind(one, "t")
      const lost = yield* Effect.fork(binding.lost)
      yield* TestClock.adjust("5 minutes")
      const taken = yield* Effect.exit(bind(other, "t"))
      yield* expect.that(Exit.isFailure(taken), "the task to be refused after 5 minutes of work", "it was bound")
      const told = Option.getOrNull(yield* Fiber.poll(lost))
      yield* expect.same("what the binding tells of being lost after 5 minutes of work", told, null)
    })),

  rule("a binding that was released does not count as lost", ({ one }, expect) =>
    Effect.gen(function*() {
      const binding = yield* bind(one, "t")
      const lost = yield* Effect.fork(binding.lost)
      yield* Effect.yieldNow()
      yield* binding.release
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      yield* expect.same("what it tells of being lost", Option.getOrNull(yield* Fiber.poll(lost)), null)
    })),

  rule(
    "a task that was bound before and is bound anew does not count as lost",
    ({ one }, expect) =>
      Effect.gen(function*() {
        for (let time = 1; time <= 3; time++) {
          const binding = yield* bind(one, "t")
          const lost = yield* Effect.fork(binding.lost)
          yield* Effect.repeatN(Effect.yieldNow(), 10)
          yield* expect.same("what the binding tells of being lost", Option.getOrNull(yield* Fiber.poll(lost)), null)
          yield* Fiber.interrupt(lost)
          yield* binding.release
        }
      })
  ),

  rule("interruption while it tries leaves nothing bound", ({ one, other }, expect) =>
    Effect.gen(function*() {
      yield* interruptTries(one, "t")
      const bound = yield* Effect.exit(bind(other, "t"))
      yield* expect.that(Exit.isSuccess(bound), "the other engine to bind the task", bound)
    })),

  rule(
    "binding a task, looking at it and releasing it leaves nothing behind",
    ({ leftovers, one, other }, expect) =>
      Effect.gen(function*() {
        const binding = yield* bind(one, "t")
        yield* other.holder("t")
        yield* binding.release
        yield* expect.same("what is left behind", yield* leftovers, [])
      }),
    ["leftovers"]
  ),

  rule("tries that were refused leave nothing behind", (locks, expect) =>
    Effect.gen(function*() {
      for (let round = 0; round < 10; round++) {
        yield* Effect.forEach(yield* race(locks, "t"), ({ release }) => release)
        yield* expect.same("what is left behind", yield* locks.leftovers, [])
      }
    }), ["leftovers"]),

  rule("tries that were interrupted leave nothing behind", ({ leftovers, one }, expect) =>
    Effect.gen(function*() {
      yield* interruptTries(one, "t")
      yield* expect.same("what is left behind", yield* leftovers, [])
    }), ["leftovers"])
]
