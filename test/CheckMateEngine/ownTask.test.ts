/** What is asked about a task by a part of its own that is not to be interrupted: it must not wait for itself. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Predicate, type Scope, TestClock } from "effect"
import { CheckMate, CheckMateEngine, Stage, type TaskStatus } from "effect-checkmate"
import { logged } from "../support/logs.ts"
import { Boom, inMemory, Numbers, statusOf } from "../support/pipelines.ts"

const places = ["execute", "a finalizer", "the attempt's rollback", "the task's rollback"] as const
type Place = typeof places[number]

type Asked = Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>
type Own = CheckMate.CheckMate<string, object, object, unknown, CheckMateEngine.CheckMateEngine>

/** Stage a asks once, in some place. */
const asking = (place: Place, ask: Asked) => {
  const answers: Array<unknown> = []
  const once = Effect.suspend(() =>
    answers.length > 0 ? Effect.void : Effect.match(ask, {
      onSuccess: () => void answers.push("done"),
      onFailure: (error) => void answers.push(Predicate.hasProperty(error, "_tag") ? error._tag : error)
    })
  )
  const when = (here: Place, effect: Effect.Effect<void, Boom, CheckMateEngine.CheckMateEngine | Scope.Scope>) =>
    place === here ? effect : Effect.void
  const fails = Effect.fail(new Boom({ stage: "a", status: 500 }))
  const definition = CheckMate.make("asking", {
    state: Numbers,
    input: [],
    onFailure: place === "the task's rollback" ? "rollback" : "halt",
    stages: [
      Stage.make(Numbers, "a", {
        execute: () =>
          when("execute", Effect.uninterruptible(once)).pipe(
            Effect.zipRight(when("a finalizer", Effect.addFinalizer(() => once))),
            Effect.zipRight(when("the attempt's rollback", fails))
          ),
        rollback: () => place.endsWith("rollback") ? once : Effect.void
      }),
      Stage.make(Numbers, "b", { execute: () => when("the task's rollback", fails) })
    ]
  })
  return { answers, definition }
}

/** Runs a task that asks for something, and tells what it was answered and how it stands then. */
const told = (place: Place, ask: (own: Own) => Asked) =>
  inMemory(Effect.gen(function*() {
    const { answers, definition } = asking(place, Effect.suspend(() => ask(definition)))
    yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
    return { answer: answers[0], status: (yield* statusOf("t"))._tag }
  }))

/** How the task ends where nothing is asked. */
const ends: Record<Place, TaskStatus.Tag> = {
  "execute": "Succeeded",
  "a finalizer": "Succeeded",
  "the attempt's rollback": "Failed",
  "the task's rollback": "RolledBack"
}

describe("in the middle of what is not to be interrupted", () => {
  for (const place of places) {
    it.effect(`a cancel by ${place} of the task itself is done once that is over`, () =>
      Effect.gen(function*() {
        const isGoingBack = place === "the task's rollback"
        expect(yield* told(place, () => CheckMateEngine.cancel("t"))).toEqual(
          isGoingBack
            ? { answer: "TaskStatusError", status: "RolledBack" }
            : { answer: "done", status: "Cancelled" }
        )
        expect(yield* told(place, (own) => CheckMateEngine.cancel("t", { rollback: own }))).toEqual({
          answer: "done",
          status: isGoingBack ? "RolledBack" : "Cancelled"
        })
      }))

    it.effect(`what would wait for the task to be free is refused to ${place} of the task itself`, () =>
      Effect.gen(function*() {
        const options = { taskId: "t", input: {}, whenBound: "wait" } as const
        const all: ReadonlyArray<(own: Own) => Asked> = [
          (own) => CheckMateEngine.run(own, options),
          (own) => CheckMateEngine.resume(own, "t", options),
          (own) => CheckMateEngine.rollback(own, "t", options),
          (own) => CheckMateEngine.retryFrom(own, "t", "a", options)
        ]
        for (const ask of all) {
          expect(yield* told(place, ask)).toEqual({ answer: "TaskBoundError", status: ends[place] })
        }
      }))
  }

  it.effect("what waits for another task waits for it, also where that runs here", () =>
    inMemory(Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      const inner = CheckMate.make("inner", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "a", { execute: () => gate.await })]
      })
      const other = yield* Effect.fork(CheckMateEngine.run(inner, { taskId: "inner", input: {} }))
      const { answers, definition } = asking(
        "the attempt's rollback",
        CheckMateEngine.rollback(inner, "inner", { whenBound: "wait" })
      )
      const outer = yield* Effect.fork(Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} })))
      yield* TestClock.adjust("1 second")
      expect(answers).toEqual([])
      yield* gate.open
      yield* Fiber.join(other)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(outer)
      expect([answers, (yield* statusOf("inner"))._tag]).toEqual([["done"], "RolledBack"])
    })))

  it.effect("what outlives its task may wait for it, and is not warned of", () =>
    inMemory(Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      const again = yield* Deferred.make<CheckMateEngine.View>()
      const wait = CheckMateEngine.resume(
        CheckMate.make("asking", {
          state: Numbers,
          input: [],
          stages: [Stage.make(Numbers, "a", { execute: () => Effect.void })]
        }),
        "t",
        { whenBound: "wait" }
      )
      const first = CheckMate.make("asking", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            execute: () =>
              Effect.zipRight(gate.await, wait).pipe(
                Effect.zipRight(CheckMateEngine.get("t")),
                Effect.orDie,
                Effect.intoDeferred(again),
                Effect.forkDaemon,
                Effect.zipRight(Effect.fail(new Boom({ stage: "a", status: 500 })))
              )
          })
        ]
      })
      const lines = yield* logged(
        Effect.exit(CheckMateEngine.run(first, { taskId: "t", input: {} })).pipe(
          Effect.zipRight(gate.open),
          Effect.zipRight(Deferred.await(again))
        )
      )
      expect(lines.filter((line) => line.startsWith("WARN"))).toEqual([])
      expect((yield* Deferred.await(again)).task.status._tag).toBe("Succeeded")
    })))

  it.effect("a cancel that comes on top of another end is refused, for it could not be carried out", () =>
    Effect.gen(function*() {
      const found = yield* told("the attempt's rollback", (own) =>
        Effect.zipRight(
          CheckMateEngine.cancel("t"),
          CheckMateEngine.cancel("t", { rollback: own })
        ))
      expect(found).toEqual({ answer: "TaskStatusError", status: "Cancelled" })
    }))
})
