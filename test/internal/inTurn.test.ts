import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { filterAfterTurns } from "../../src/internal/eventLoop.ts"
import { inTurn, lineUp, type Turns } from "../../src/internal/inTurn.ts"

/** Things that are done in turn, each of which takes a while, and what was begun so far. */
const working = () => {
  const turns: Turns = new Map()
  const begun: Array<string> = []
  const work = (name: string) =>
    Effect.uninterruptibleMask((restore) =>
      inTurn(turns, "t", Effect.zipRight(Effect.sync(() => begun.push(name)), Effect.yieldNow()), restore)
    )
  return { begun, turns, work }
}

describe("what is done in turn", () => {
  it.effect("is done first come, first served: who asks again waits behind those who were there before", () =>
    Effect.gen(function*() {
      const { begun, turns, work } = working()
      const again = yield* Effect.fork(Effect.forEach(["a1", "a2", "a3"], work))
      const others = yield* Effect.forEach(["b", "c"], (name) => Effect.fork(work(name)))
      yield* Fiber.join(again)
      yield* Fiber.joinAll(others)
      expect(begun).toEqual(["a1", "b", "c", "a2", "a3"])
      expect(turns.size).toBe(0)
    }))

  it.effect("goes on behind one who is interrupted, as it waits or in the moment that its turn comes", () =>
    Effect.gen(function*() {
      const { begun, turns, work } = working()
      const gate = yield* Effect.makeLatch()
      const first = yield* Effect.fork(inTurn(turns, "t", gate.await))
      const others = yield* Effect.forEach(["b", "c", "d"], (name) => Effect.fork(work(name)))
      yield* Effect.repeatN(Effect.yieldNow(), 5)
      yield* Fiber.interrupt(others[1] ?? first)
      // By then its turn has come, and it has not heard of that.
      first.addObserver(() => others[0]?.unsafeInterruptAsFork(first.id()))
      yield* gate.open
      yield* Fiber.await(first)
      yield* Fiber.await(others[0] ?? first)
      yield* Fiber.join(others[2] ?? first)
      expect(begun).toEqual(["d"])
      expect(turns.size).toBe(0)
    }))
})

describe("who stands in line for the length of a Scope", () => {
  it.effect("can be interrupted, and is no more in the way of those behind", () =>
    Effect.gen(function*() {
      const turns: Turns = new Map()
      const end = yield* Effect.makeLatch()
      const first = yield* Effect.fork(Effect.scoped(Effect.zipRight(lineUp(turns, "t"), end.await)))
      const [second, third] = yield* Effect.all([
        Effect.fork(Effect.scoped(lineUp(turns, "t"))),
        Effect.fork(Effect.scoped(lineUp(turns, "t")))
      ])
      yield* Effect.repeatN(Effect.yieldNow(), 5)
      yield* Fiber.interruptFork(second)
      yield* Effect.repeatN(Effect.yieldNow(), 5)
      expect(second.unsafePoll()).not.toBeNull()
      expect(third.unsafePoll()).toBeNull()
      yield* end.open
      yield* Fiber.join(first)
      yield* Fiber.join(third)
      expect(turns.size).toBe(0)
    }))
})

describe("what is done to each of many after a turn", () => {
  it.effect("is done in their order, so that none waits until all others are done", () =>
    Effect.gen(function*() {
      const all = Array.from({ length: 64 }, (_, index) => index)
      const done: Array<number> = []
      yield* filterAfterTurns(all, (one) => Effect.sync(() => done.push(one) > 0))
      expect(done).toEqual(all)
    }))
})
