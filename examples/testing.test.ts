/**
 * How to test a pipeline: the engine in memory, a service of the test in place of the real one, and a clock that the
 * test moves. `npx vitest run examples` runs it.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Ref, TestClock } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { cm_factory_report, Mailer, Shop, ShopUnavailable } from "./report_cm.ts"

const task = { taskId: "october", input: { month: "2026-10", pages: 2 } }
const run = CheckMateEngine.run(cm_factory_report(), task)

/** A shop that is closed for its first visitors, and a mailer. Both remember what they were asked. */
const make = Effect.gen(function*() {
  const visits = yield* Ref.make(0)
  const closedFor = yield* Ref.make(0)
  const mails = yield* Ref.make<ReadonlyArray<string>>([])
  const layer = Layer.merge(
    Layer.succeed(Shop, {
      sales: (month, page) =>
        Effect.gen(function*() {
          const visit = yield* Ref.updateAndGet(visits, (count) => count + 1)
          return visit <= (yield* Ref.get(closedFor)) ? yield* new ShopUnavailable({ month }) : [page + 1]
        })
    }),
    Layer.succeed(Mailer, { send: (text) => Ref.update(mails, (sent) => [...sent, text]) })
  )
  return { visits, closedFor, mails, layer }
})

it.effect("mails a report, once, however often the task is run", () =>
  Effect.gen(function*() {
    const { layer, mails } = yield* make
    const { text } = yield* Effect.provide(run, layer)
    yield* Effect.provide(run, layer)
    expect(text).toBe("2026-10: 2 sales, 3 euros")
    expect(yield* Ref.get(mails)).toEqual([text])
  }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

it.effect("waits longer after every failure", () =>
  Effect.gen(function*() {
    const { closedFor, layer, visits } = yield* make
    yield* Ref.set(closedFor, 2)
    const fiber = yield* Effect.fork(Effect.provide(run, layer))
    yield* TestClock.adjust("999 millis")
    expect(yield* Ref.get(visits)).toBe(1)
    yield* TestClock.adjust("1 millis")
    expect(yield* Ref.get(visits)).toBe(2)
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(fiber)
    const { stages } = yield* CheckMateEngine.get(task.taskId)
    expect(stages.map(({ attempts, name }) => [name, attempts])).toEqual([["gather", 3], ["write", 1], ["send", 1]])
  }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

it.effect("gives up in the end, and goes on when it is run again", () =>
  Effect.gen(function*() {
    const { closedFor, layer } = yield* make
    yield* Ref.set(closedFor, 4)
    const fiber = yield* Effect.fork(Effect.provide(run, layer))
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.await(fiber)).toEqual(Exit.fail(new ShopUnavailable({ month: "2026-10" })))

    const failed = yield* CheckMateEngine.get(task.taskId)
    expect(failed.task.status).toMatchObject({ _tag: "Failed", stage: "gather", failure: { tag: "ShopUnavailable" } })
    expect(failed.history.filter(({ _tag }) => _tag === "AttemptFailed")).toHaveLength(4)

    yield* Effect.provide(run, layer)
    const { history, task: { status } } = yield* CheckMateEngine.get(task.taskId)
    expect(status._tag).toBe("Succeeded")
    expect(history.slice(failed.history.length).map(({ _tag }) => _tag)).toEqual([
      "TaskResumed",
      "StageStarted",
      "StageSucceeded",
      "StageStarted",
      "StageSucceeded",
      "StageStarted",
      "StageSucceeded",
      "TaskSucceeded"
    ])
  }).pipe(Effect.provide(CheckMateEngine.layerMemory)))
