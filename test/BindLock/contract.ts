/** What every BindLock must do. Run on each by BindLock.test.ts. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import type { BindLock } from "effect-checkmate"

const acquireIn = (lock: BindLock.Driver, taskId: string) =>
  Effect.flatMap(Scope.make(), (scope) =>
    Effect.map(Scope.extend(lock.acquire(taskId), scope), (binding) => ({
      ...binding,
      release: Scope.close(scope, Exit.void)
    })))

/**
 * `withLocks` hands out two locks over the same place, as two engines have them; `leftovers` lists what is there
 * beyond the engines' own marks.
 */
export const bindLockContract = (
  name: string,
  withLocks: <A, E>(
    use: (
      one: BindLock.Driver,
      other: BindLock.Driver,
      leftovers: Effect.Effect<ReadonlyArray<string>>
    ) => Effect.Effect<A, E, Scope.Scope>
  ) => Effect.Effect<A, unknown>
) => {
  const rule = (
    title: string,
    use: (
      one: BindLock.Driver,
      other: BindLock.Driver,
      leftovers: Effect.Effect<ReadonlyArray<string>>
    ) => Effect.Effect<void, unknown, Scope.Scope>
  ) => it.effect(title, () => withLocks(use))

  describe(`BindLock contract: ${name}`, () => {
    rule(
      "binds a task for the length of a Scope, and leaves nothing behind",
      (one, other, leftovers) =>
        Effect.gen(function*() {
          const binding = yield* acquireIn(one, "t")
          expect(Option.map(yield* other.holder("t"), ({ name }) => name)).toEqual(Option.some(binding.holder.name))
          yield* binding.release
          expect(yield* other.holder("t")).toEqual(Option.none())
          expect(yield* leftovers).toEqual([])
        })
    )

    rule(
      "a task that is held is TaskBoundError for any other, and for the same engine",
      (one, other) =>
        Effect.gen(function*() {
          const binding = yield* acquireIn(one, "t")
          for (const lock of [one, other]) {
            expect(yield* Effect.flip(acquireIn(lock, "t"))).toMatchObject({
              _tag: "TaskBoundError",
              taskId: "t",
              holder: binding.holder.name
            })
          }
          yield* binding.release
          yield* (yield* acquireIn(other, "t")).release
        })
    )

    rule("tasks are bound independently, also where their ids look alike", (one, other) =>
      Effect.gen(function*() {
        const ids = ["a", "a.1", "a.2", "a.lock", "a.2.take", "A2", "x".repeat(200)]
        for (const [index, id] of ids.entries()) yield* acquireIn(index % 2 === 0 ? one : other, id)
        for (const id of ids) expect(yield* Effect.flip(acquireIn(one, id))).toMatchObject({ _tag: "TaskBoundError" })
      }))

    rule("of many that try at once exactly one holds it", (one, other, leftovers) =>
      Effect.gen(function*() {
        for (let round = 0; round < 10; round++) {
          const tries = yield* Effect.forEach(
            Array.from({ length: 16 }, (_, index) => index % 2 === 0 ? one : other),
            (lock) => Effect.exit(acquireIn(lock, "t")),
            { concurrency: "unbounded" }
          )
          const held = tries.flatMap((exit) => Exit.isSuccess(exit) ? [exit.value] : [])
          expect(held).toHaveLength(1)
          yield* Effect.forEach(held, ({ release }) => release)
          expect(yield* leftovers).toEqual([])
        }
      }))

    rule("a holder that lives keeps its task, however long it works", (one, other) =>
      Effect.gen(function*() {
        const binding = yield* acquireIn(one, "t")
        const lost = yield* Effect.fork(binding.lost)
        yield* TestClock.adjust("5 minutes")
        expect(yield* Effect.flip(acquireIn(other, "t"))).toMatchObject({ _tag: "TaskBoundError" })
        expect(Option.isNone(yield* Fiber.poll(lost))).toBe(true)
        yield* binding.release
      }))

    rule("interruption while it tries leaves nothing bound", (one, other, leftovers) =>
      Effect.gen(function*() {
        for (let step = 0; step < 20; step++) {
          const fiber = yield* Effect.fork(Effect.scoped(Effect.zipRight(one.acquire("t"), Effect.never)))
          yield* Effect.repeatN(Effect.yieldNow(), step)
          yield* Fiber.interrupt(fiber)
        }
        yield* (yield* acquireIn(other, "t")).release
        expect(yield* leftovers).toEqual([])
      }))
  })
}
