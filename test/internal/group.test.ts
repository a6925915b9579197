import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Scope } from "effect"
import * as group from "../../src/internal/group.ts"

/** A group of numbers that are doubled, where negative ones are refused, and what was done together. */
const doubling = (
  options: {
    readonly limit?: number
    readonly isAlone?: () => boolean
    readonly withoutKeys?: boolean
    readonly staysToTheEnd?: boolean
  } = {}
) =>
  Effect.gen(function*() {
    const done: Array<ReadonlyArray<number>> = []
    const gate = yield* Effect.makeLatch(true)
    const submit = yield* group.make<number, number, string>({
      limit: options.limit ?? 10,
      ...(options.withoutKeys === true ? {} : { keyOf: (item: number) => String(Math.abs(item)) }),
      isAlone: options.isAlone ?? (() => false),
      staysToTheEnd: options.staysToTheEnd ?? false,
      together: (items) =>
        Effect.as(
          Effect.zipRight(Effect.sync(() => done.push(items)), gate.await),
          items.map((item) => item < 0 ? Effect.fail(`${item} is negative`) : Effect.succeed(item * 2))
        )
    })
    return { done, gate, submit }
  })

const all = (submit: (item: number) => Effect.Effect<number, string>, items: ReadonlyArray<number>) =>
  Effect.forEach(items, submit, { concurrency: "unbounded" })

describe("what is done in groups", () => {
  it.scoped("what is asked for at the same time is done together, and each gets its own answer", () =>
    Effect.gen(function*() {
      const { done, submit } = yield* doubling()
      const answers = yield* Effect.forEach([1, -2, 3], (item) => Effect.either(submit(item)), {
        concurrency: "unbounded"
      })
      expect(answers).toMatchObject([{ right: 2 }, { left: "-2 is negative" }, { right: 6 }])
      expect(done).toEqual([[1, -2, 3]])
    }))

  it.scoped("never more than the limit, and never two of one key", () =>
    Effect.gen(function*() {
      const { done, submit } = yield* doubling({ limit: 2 })
      expect(yield* all(submit, [1, 1, 2, 3, 4])).toEqual([2, 2, 4, 6, 8])
      expect(done).toEqual([[1, 2], [1, 3], [4]])
    }))

  it.scoped("where there are no keys, the same goes in one group as often as it is asked for", () =>
    Effect.gen(function*() {
      const { done, submit } = yield* doubling({ withoutKeys: true })
      expect(yield* all(submit, [1, 1, 2, 1])).toEqual([2, 2, 4, 2])
      expect(done).toEqual([[1, 1, 2, 1]])
    }))

  it.scoped("the event loop turns between two groups, so that signals come through where the groups never wait", () =>
    Effect.gen(function*() {
      const { done, submit } = yield* doubling()
      yield* Effect.fork(Effect.repeatN(submit(1), 2_000))
      const turned = Effect.async<number>((resume) => {
        setImmediate(() => resume(Effect.succeed(done.length)))
      })
      expect(yield* turned).toBeLessThan(3)
      expect(yield* turned).toBeLessThan(5)
    }))

  it.scoped("what comes while a group is under way goes into the next", () =>
    Effect.gen(function*() {
      const { done, gate, submit } = yield* doubling()
      yield* gate.close
      const first = yield* Effect.fork(submit(1))
      while (done.length === 0) yield* Effect.yieldNow()
      const later = yield* Effect.fork(all(submit, [2, 3]))
      yield* Effect.yieldNow()
      yield* gate.open
      expect(yield* Fiber.join(first)).toBe(2)
      expect(yield* Fiber.join(later)).toEqual([4, 6])
      expect(done).toEqual([[1], [2, 3]])
    }))

  it.scoped("who is interrupted before the group begins is left out of it", () =>
    Effect.gen(function*() {
      const { done, gate, submit } = yield* doubling()
      yield* gate.close
      const first = yield* Effect.fork(submit(1))
      while (done.length === 0) yield* Effect.yieldNow()
      const second = yield* Effect.fork(submit(2))
      const third = yield* Effect.fork(submit(3))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(second)
      yield* gate.open
      expect(yield* Fiber.join(third)).toBe(6)
      yield* Fiber.join(first)
      expect(done).toEqual([[1], [3]])
    }))

  for (const staysToTheEnd of [true, false]) {
    const what = staysToTheEnd ? "waits until it has ended, where that is wanted" : "is gone at once"
    it.scoped(`who is interrupted while the group is under way ${what}`, () =>
      Effect.gen(function*() {
        const { done, gate, submit } = yield* doubling({ staysToTheEnd })
        yield* gate.close
        const first = yield* Effect.fork(submit(1))
        while (done.length === 0) yield* Effect.yieldNow()
        const second = yield* Effect.fork(submit(2))
        yield* Effect.yieldNow()
        const gone = yield* Effect.fork(Fiber.interrupt(first))
        // One that still waits for its group has nothing to wait for.
        expect(Exit.isInterrupted(yield* Fiber.interrupt(second))).toBe(true)
        for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow()
        expect(Option.isSome(yield* Fiber.poll(gone))).toBe(!staysToTheEnd)
        yield* gate.open
        expect(Exit.isInterrupted(yield* Fiber.join(gone))).toBe(true)
        expect(done).toEqual([[1]])
      }))
  }

  it.scoped("who is alone does it itself, and can be interrupted", () =>
    Effect.gen(function*() {
      const { done, gate, submit } = yield* doubling({ isAlone: () => true })
      yield* gate.close
      const fiber = yield* Effect.fork(submit(1))
      while (done.length === 0) yield* Effect.yieldNow()
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      yield* gate.open
      expect(yield* submit(2)).toBe(4)
    }))

  it.scoped("never larger than the size, but for one that is larger alone, and none before an earlier one of its key", () =>
    Effect.gen(function*() {
      const done: Array<ReadonlyArray<string>> = []
      const submit = yield* group.make<string, number, never>({
        limit: 10,
        size: { limit: 5, of: (item) => item.length },
        keyOf: (item) => item.slice(0, 1),
        isAlone: () => false,
        together: (items) =>
          Effect.sync(() => {
            done.push(items)
            return items.map((item) => Effect.succeed(item.length))
          })
      })
      const asked = ["aa", "bbbb", "b", "ccc", "dddddddd", "e"]
      expect(yield* Effect.forEach(asked, submit, { concurrency: "unbounded" })).toEqual([2, 4, 1, 3, 8, 1])
      expect(done).toEqual([["aa", "ccc"], ["bbbb", "e"], ["b"], ["dddddddd"]])
    }))

  for (const how of ["throws", "dies"]) {
    it.scoped(`where a group ${how}, each of it is done by itself, and the next group is done`, () =>
      Effect.gen(function*() {
        const submit = yield* group.make<bigint, bigint, string>({
          limit: 10,
          isAlone: () => false,
          together: (items) => {
            // A division by zero throws.
            const build = () => items.map((item) => Effect.succeed(6n / item))
            return how === "throws" ? Effect.succeed(build()) : Effect.sync(build)
          }
        })
        const exits = yield* Effect.forEach([1n, 0n, 3n], (item) => Effect.exit(submit(item)), {
          concurrency: "unbounded"
        })
        expect(exits).toMatchObject([{ value: 6n }, { cause: { defect: new RangeError("Division by zero") } }, {
          value: 2n
        }])
        expect(yield* submit(2n)).toBe(3n)
      }))
  }

  it.scoped("a defect is told to all of its group, once to who is alone, and the next group is done", () =>
    Effect.gen(function*() {
      let broken = true
      let asked = 0
      const submit = yield* group.make<number, number, string>({
        limit: 10,
        keyOf: String,
        isAlone: () => false,
        together: (items) =>
          Effect.suspend(() => {
            asked += 1
            return broken ? Effect.die("broken") : Effect.succeed(items.map((item) => Effect.succeed(item)))
          })
      })
      const exits = yield* Effect.forEach([1, 2], (item) => Effect.exit(submit(item)), { concurrency: "unbounded" })
      expect(exits).toMatchObject([{ cause: { defect: "broken" } }, { cause: { defect: "broken" } }])
      asked = 0
      expect(yield* Effect.exit(submit(3))).toMatchObject({ cause: { defect: "broken" } })
      expect(asked).toBe(1)
      broken = false
      expect(yield* submit(3)).toBe(3)
    }))

  it.scoped("where company is not waited for, whoever asks alone has the answer at once, also after others", () =>
    Effect.gen(function*() {
      const submit = yield* group.whileBusy<number, number, never>({
        limit: 10,
        together: (items) => Effect.succeed(items.map((item) => Effect.succeed(item * 2)))
      })
      for (const item of [1, 2]) expect(Effect.runSync(submit(item))).toBe(item * 2)
    }))

  it.effect("what waits when the Scope is closed is still done", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { done, gate, submit } = yield* Scope.extend(doubling(), scope)
      yield* gate.close
      const first = yield* Effect.fork(submit(1))
      while (done.length === 0) yield* Effect.yieldNow()
      const second = yield* Effect.fork(submit(2))
      yield* Effect.yieldNow()
      const closed = yield* Deferred.make<void>()
      yield* Effect.fork(Effect.zipRight(Scope.close(scope, Exit.void), Deferred.succeed(closed, undefined)))
      yield* Effect.yieldNow()
      expect(yield* Deferred.isDone(closed)).toBe(false)
      yield* gate.open
      yield* Deferred.await(closed)
      expect(yield* Fiber.join(first)).toBe(2)
      expect(yield* Fiber.join(second)).toBe(4)
    }))
})
