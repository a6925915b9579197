/** What is counted, once for each thing and by what became of it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { CheckMate, CheckMateEngine, Stage } from "effect-checkmate"
import { growthOf } from "../support/counts.ts"
import { logged } from "../support/logs.ts"
import {
  abc,
  engineOver,
  engineService,
  failing,
  inMemory,
  Ledger,
  losing,
  makeStore,
  Numbers,
  until
} from "../support/pipelines.ts"

const run = CheckMateEngine.run

/** A pipeline of stages that do what they are given. */
const pipeline = <E, R>(name: string, ...work: ReadonlyArray<Effect.Effect<void, E, R>>) =>
  CheckMate.make(name, {
    state: Numbers,
    input: [],
    stages: work.map((execute, index) => Stage.make(Numbers, `${index}`, { execute: () => execute }))
  })

describe("what is counted", () => {
  it.effect("a task that fails since one that its stage ran was paused or cancelled is told of as failed", () =>
    inMemory(Effect.gen(function*() {
      const steps = {
        pause: CheckMateEngine.pause("inner-pause"),
        cancel: CheckMateEngine.cancel("inner-cancel", { reason: "no longer needed" })
      }
      for (const [name, step] of Object.entries(steps)) {
        const begun = yield* Effect.makeLatch()
        const gate = yield* Effect.makeLatch()
        const inner = pipeline(`${name} inner`, Effect.zipRight(begun.open, gate.await), Effect.void)
        const outer = pipeline(`${name} outer`, Effect.asVoid(run(inner, { taskId: `inner-${name}`, input: {} })))
        let lines: ReadonlyArray<string> = []
        const grown = yield* growthOf(
          new RegExp(`tasks check_mate=${name} outer`),
          Effect.gen(function*() {
            lines = yield* logged(Effect.gen(function*() {
              const handle = yield* CheckMateEngine.start(outer, { taskId: `outer-${name}`, input: {} })
              yield* begun.await
              yield* step
              yield* gate.open
              expect(Exit.isFailure(yield* Effect.exit(handle.await))).toBe(true)
            }))
          })
        )
        expect(grown).toEqual({ [`checkmate_tasks check_mate=${name} outer outcome=failed`]: 1 })
        expect(lines).toEqual([`WARN task=outer-${name} Task outer-${name}, in the background, ended with a failure`])
      }
    })))

  it.effect("a task whose stage interrupts itself, which nobody asked for, is told of as failed", () =>
    inMemory(Effect.gen(function*() {
      const selfish = pipeline("selfish", Effect.interrupt)
      let lines: ReadonlyArray<string> = []
      const grown = yield* growthOf(
        /tasks check_mate=selfish/,
        Effect.gen(function*() {
          lines = yield* logged(Effect.gen(function*() {
            const handle = yield* CheckMateEngine.start(selfish, { taskId: "t", input: {} })
            expect(Exit.isInterrupted(yield* Effect.exit(handle.await))).toBe(true)
            expect((yield* handle.status).task.status._tag).toBe("Failed")
          }))
        })
      )
      expect(grown).toEqual({ "checkmate_tasks check_mate=selfish outcome=failed": 1 })
      expect(lines).toEqual(["WARN task=t Task t, in the background, ended with a failure"])
    })))

  it.effect("a task that several wait for is counted once", () =>
    inMemory(Effect.gen(function*() {
      const gate = yield* Effect.makeLatch()
      const asked = run(pipeline("waited for", gate.await), { taskId: "t", input: {}, whenBound: "wait" })
      const grown = yield* growthOf(
        /tasks check_mate=waited for/,
        Effect.gen(function*() {
          const all = yield* Effect.fork(Effect.all([asked, asked, asked], { concurrency: "unbounded" }))
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          yield* gate.open
          yield* Effect.repeat(Effect.zipRight(TestClock.adjust("1 second"), all.status), {
            until: ({ _tag }) => _tag === "Done"
          })
          yield* Fiber.join(all)
        })
      )
      expect(grown).toEqual({ "checkmate_tasks check_mate=waited for outcome=succeeded": 1 })
    })))

  it.effect("a task that another engine takes over is counted as interrupted here, also by who is told by the journal", () =>
    Effect.gen(function*() {
      const options = { input: {} }
      const grown = yield* growthOf(
        /(tasks|stage_attempts) check_mate=taken/,
        Effect.gen(function*() {
          for (const told of ["by its lock", "by its journal"]) {
            const store = yield* makeStore
            const takenOver = yield* Effect.makeLatch()
            const gate = yield* Effect.makeLatch()
            const begun = yield* Effect.makeLatch()
            const taskId = told.replaceAll(" ", "-")
            const frozen = pipeline("taken over", Effect.zipRight(begun.open, gate.await))
            const lines = yield* logged(Effect.gen(function*() {
              const engine = yield* engineService(store, losing(takenOver))
              const handle = yield* engine.start(frozen, { ...options, taskId })
              yield* begun.await
              yield* Effect.provide(run(pipeline("taken over", Effect.void), { ...options, taskId }), engineOver(store))
              yield* told === "by its lock" ? takenOver.open : gate.open
              expect(Exit.isFailure(yield* Effect.exit(handle.await))).toBe(true)
            }))
            expect(lines.at(-1)).toBe(`WARN task=${taskId} Task ${taskId}, in the background, ended with a failure`)
          }
        })
      )
      expect(grown).toEqual({
        "checkmate_stage_attempts check_mate=taken over outcome=crashed stage=0": 2,
        "checkmate_stage_attempts check_mate=taken over outcome=succeeded stage=0": 3,
        "checkmate_tasks check_mate=taken over outcome=interrupted": 2,
        "checkmate_tasks check_mate=taken over outcome=succeeded": 2
      })
    }).pipe(Effect.scoped))

  it.effect("what a definition that does not fit is refused for is no end of the task", () =>
    inMemory(Effect.gen(function*() {
      yield* run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      const other = { ...abc(new Ledger()), name: "other" }
      const refused = Effect.flip(CheckMateEngine.retryFrom(other, "t", "a"))
      expect(yield* growthOf(/tasks check_mate=(abc|other)/, refused)).toEqual({})
    })))

  it.effect("a task that retryFrom cannot take back is counted as failed", () =>
    inMemory(Effect.gen(function*() {
      const definition = { ...abc(new Ledger(), { failUndo: failing({ c: 1 }) }), name: "not taken back" }
      yield* run(definition, { taskId: "t", input: { seed: 1 } })
      const stuck = Effect.flip(CheckMateEngine.retryFrom(definition, "t", "b"))
      expect(yield* growthOf(/tasks check_mate=not taken back/, stuck)).toEqual({
        "checkmate_tasks check_mate=not taken back outcome=failed": 1
      })
    })))

  const cuts = { "its attempt": ["halt", "b"], "its task": ["rollback", "a"] } as const
  for (const [whose, [onFailure, stage]] of Object.entries(cuts)) {
    it.effect(`a crash in the middle of a rollback of ${whose} is no crash of an attempt`, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const ledger = new Ledger()
        const over = (failUndo: (undone: string) => Effect.Effect<void>) =>
          Effect.provide(
            Effect.exit(
              run(abc(ledger, { onFailure, fail: failing({ b: 1 }), failUndo }), { taskId: "t", input: { seed: 1 } })
            ),
            engineOver(store)
          )
        const attempts = yield* growthOf(
          /stage_attempts check_mate=abc .* stage=(a|b)/,
          Effect.gen(function*() {
            yield* Effect.forkDaemon(over((undone) => undone === stage ? Effect.never : Effect.void))
            yield* until(() => ledger.count(`undo ${stage}`) === 1)
            yield* over(() => Effect.void)
          })
        )
        expect(attempts).toEqual({
          "checkmate_stage_attempts check_mate=abc outcome=succeeded stage=a": 1,
          "checkmate_stage_attempts check_mate=abc outcome=failed stage=b": ledger.count("run b")
        })
      }))
  }
})
