import { describe, expect, it } from "@effect/vitest"
import { Context, Data, DateTime, Duration, Effect, Option, Schedule, Schema } from "effect"
import { CheckMate, CheckMateEngine, Stage, State, Task } from "effect-checkmate"
import { Simulation } from "effect-checkmate/testing"
import { abc, Boom, Ledger } from "../support/pipelines.ts"

class Declined extends Data.TaggedError("Declined")<{ readonly code: number }> {}

class Terminal extends Context.Tag("Terminal")<Terminal, { readonly charge: Effect.Effect<number, Declined> }>() {}

const Order = State.make({
  item: Schema.NonEmptyString,
  when: Schema.Date,
  reserved: Schema.Boolean,
  receipt: Schema.DateTimeUtc
})

/** Uses a service that no test provides. */
const order = (onFailure: CheckMate.OnFailure = "rollback") =>
  CheckMate.make("order", {
    state: Order,
    input: ["item"],
    onFailure,
    stages: [
      Stage.make(Order, "reserve", {
        requires: ["item"],
        provides: ["reserved"],
        timeout: "30 seconds",
        retry: Schedule.recurs(1),
        execute: () => Effect.as(Terminal, { reserved: true }),
        rollback: () => Effect.asVoid(Terminal)
      }),
      Stage.make(Order, "charge", {
        requires: ["reserved"],
        provides: ["receipt"],
        retry: Schedule.exponential("100 millis").pipe(
          Schedule.intersect(Schedule.recurs(3)),
          Schedule.whileInput((error: Declined) => error.code >= 500)
        ),
        execute: () =>
          Effect.gen(function*() {
            yield* (yield* Terminal).charge
            return { receipt: yield* DateTime.now }
          }),
        rollback: () => Effect.fail("never run"),
        rollbackRetry: Schedule.spaced("10 seconds").pipe(Schedule.intersect(Schedule.recurs(1)))
      })
    ]
  })

const story = (simulation: Simulation.Simulation) =>
  Simulation.format(simulation).split("\n").map((line) => line.trim())

describe("Simulation.simulate", () => {
  it.effect("without a script every stage succeeds at once", () =>
    Effect.gen(function*() {
      const simulation = yield* Simulation.simulate(order())
      expect(simulation).toMatchObject({ checkMate: "order", status: { _tag: "Succeeded" }, unused: {} })
      expect(story(simulation)).toEqual([
        "CheckMate \"order\":",
        "0  the task starts",
        "0  reserve: attempt 1 starts",
        "0  reserve: attempt 1 succeeds",
        "0  charge: attempt 1 starts",
        "0  charge: attempt 1 succeeds",
        "0  the task is Succeeded",
        "Stages: reserve Succeeded, charge Succeeded"
      ])
      expect(Task.state(Option.getOrThrow(yield* Task.fold("t", simulation.journal)))).toEqual({
        item: "<item>",
        reserved: "<reserved>",
        receipt: "<receipt>"
      })
    }))

  it.effect("shows retries with the waits of the stage's own Schedule, which sees the scripted errors", () =>
    Effect.gen(function*() {
      const { stages, status, steps } = yield* Simulation.simulate(order("halt"), {
        outcomes: {
          charge: [
            Simulation.fails(new Declined({ code: 503 })),
            Simulation.fails(new Declined({ code: 500 })),
            Simulation.fails(new Declined({ code: 402 }))
          ]
        }
      })
      const next = steps.flatMap((step) => step._tag === "AttemptFailed" ? [step.next] : [])
      expect(next).toEqual([
        { _tag: "Retry", delay: Duration.millis(100) },
        { _tag: "Retry", delay: Duration.millis(200) },
        { _tag: "GiveUp" }
      ])
      expect(steps.at(-1)?.at).toEqual(Duration.millis(300))
      expect(status).toMatchObject({
        _tag: "Failed",
        stage: "charge",
        failure: { tag: "Declined", fields: { code: 402 } }
      })
      expect(stages.map(({ attempts, name, status }) => [name, status._tag, attempts])).toEqual([
        ["reserve", "Succeeded", 1],
        ["charge", "Failed", 3]
      ])
    }))

  it.effect("tells time-outs, crashes, defects and rollbacks in the order they happen", () =>
    Effect.gen(function*() {
      const simulation = yield* Simulation.simulate(order(), {
        input: { item: "tea" },
        outcomes: {
          reserve: [Simulation.timesOut, Simulation.crashes],
          charge: [Simulation.dies(new Error("a bug")), Simulation.rollbackFails(new Declined({ code: 1 }))]
        }
      })
      expect(story(simulation)).toEqual([
        "CheckMate \"order\":",
        "0  the task starts",
        "0  reserve: attempt 1 starts",
        expect.stringMatching(/^30s {2}reserve: attempt 1 fails with .*StageTimeout.*; the next is due in 0$/),
        "30s  reserve: attempt 1 is rolled back",
        "30s  reserve: attempt 2 starts",
        "30s  reserve: the process dies in attempt 2",
        "30s  the task goes on in another process",
        expect.stringMatching(/^30s {2}reserve: attempt 2 fails with Crash: .*; the next is due at once$/),
        "30s  reserve: attempt 2 is rolled back",
        "30s  reserve: attempt 3 starts",
        "30s  reserve: attempt 3 succeeds",
        "30s  charge: attempt 1 starts",
        "30s  charge: attempt 1 fails with Error: a bug; it is given up",
        "30s  charge: its rollback fails with Declined {\"code\":1}",
        "40s  charge: attempt 1 is rolled back",
        "40s  the task is being rolled back",
        "40s  reserve: is rolled back",
        "40s  the task is RolledBack",
        "Stages: reserve RolledBack, charge Failed"
      ])
    }))

  it.effect("shows a rollback that fails for good, and what of the script was never reached", () =>
    Effect.gen(function*() {
      const simulation = yield* Simulation.simulate(order(), {
        outcomes: {
          reserve: [Simulation.succeeds(), Simulation.rollbackFails("busy"), Simulation.rollbackFails("busy")],
          charge: [Simulation.fails(new Declined({ code: 402 })), Simulation.succeeds(), Simulation.crashes]
        }
      })
      expect(simulation.status).toMatchObject({ _tag: "RollbackFailed", stage: "reserve" })
      expect(simulation.stages.map(({ status }) => status._tag)).toEqual(["RollbackFailed", "Failed"])
      expect(simulation.unused).toEqual({
        reserve: [Simulation.rollbackFails("busy")],
        charge: [Simulation.succeeds(), Simulation.crashes]
      })
      expect(story(simulation).slice(-2)).toEqual([
        "Never reached: reserve RollbackFails",
        "Never reached: charge Succeeds, Crashes"
      ])
    }))

  it.effect("a task that crashes its process too often is Poisoned", () =>
    Effect.gen(function*() {
      const script = { outcomes: { reserve: Array.from({ length: 9 }, () => Simulation.crashes) } }
      const { status, steps } = yield* Simulation.simulate(order(), script)
      expect(status).toEqual({ _tag: "Poisoned", stage: "reserve", recoveries: 5 })
      expect(steps.filter(({ _tag }) => _tag === "ProcessDied")).toHaveLength(6)
      const impatient = yield* Simulation.simulate(order(), { ...script, engine: { maxRecoveries: 1 } })
      expect(impatient.status).toEqual({ _tag: "Poisoned", stage: "reserve", recoveries: 1 })
    }))

  it.effect("takes values of any kind, and refuses an output that the stage does not provide", () =>
    Effect.gen(function*() {
      const { journal } = yield* Simulation.simulate(order(), {
        input: { item: "", when: new Date(0) },
        outcomes: { charge: [Simulation.succeeds({ receipt: new Map([["no", () => "JSON"]]) })] }
      })
      expect(journal[0]).toMatchObject({ input: { item: "", when: "1970-01-01T00:00:00.000Z" } })
      const { status } = yield* Simulation.simulate(order("halt"), {
        outcomes: { reserve: [Simulation.succeeds({ receipt: 1 })] }
      })
      expect(status).toMatchObject({ _tag: "Failed", failure: { tag: "StageOutputError" } })
    }))

  it.effect("needs no database for a transactional stage", () =>
    Effect.gen(function*() {
      const definition = CheckMate.make("order", {
        state: Order,
        input: [],
        stages: [Stage.make(Order, "charge", { execute: () => Effect.void }).pipe(Stage.transactional)]
      })
      expect((yield* Simulation.simulate(definition)).status).toMatchObject({ _tag: "Succeeded" })
    }))

  it.effect("answers failures as the stage does, without the fallback's own work", () =>
    Effect.gen(function*() {
      let asked = 0
      const state = State.make({ text: Schema.String })
      const definition = CheckMate.make("answers", {
        state,
        input: [],
        stages: [
          Stage.make(state, "summary", {
            provides: ["text"],
            execute: () => Effect.fail(new Boom({ stage: "summary", status: 1 }))
          }).pipe(Stage.catchTag("Boom", () =>
            Effect.sync(() => {
              asked += 1
              return { text: "short" }
            })))
        ]
      })
      const script = { outcomes: { summary: [Simulation.fails(new Boom({ stage: "summary", status: 2 }))] } }
      const { status } = yield* Simulation.simulate(definition, script)
      expect([status._tag, asked]).toEqual(["Succeeded", 0])
    }))

  it.effect("a Schedule that uses services finds those provided to the simulation, and gives up without", () =>
    Effect.gen(function*() {
      class Patience extends Context.Tag("Patience")<Patience, number>() {}
      const state = State.make({})
      const definition = CheckMate.make("patient", {
        state,
        input: [],
        stages: [
          Stage.make(state, "wait", {
            retry: Schedule.recurs(5).pipe(
              Schedule.whileOutputEffect((count) => Effect.map(Patience, (patience) => count < patience))
            ),
            execute: () => Effect.fail("no")
          })
        ]
      })
      const script = { outcomes: { wait: Array.from({ length: 9 }, () => Simulation.fails("no")) } }
      const patient = yield* Effect.provideService(Simulation.simulate(definition, script), Patience, 3)
      expect(patient.stages[0]).toMatchObject({ attempts: 4, status: { _tag: "Failed" } })
      const impatient = yield* Simulation.simulate(definition, script)
      expect(impatient.stages[0]).toMatchObject({ attempts: 1, status: { _tag: "Failed" } })
    }))

  it.effect("refuses a script that does not fit", () =>
    Effect.gen(function*() {
      const refused = (outcomes: Simulation.Options<object>["outcomes"]) =>
        Effect.map(
          Effect.flip(Simulation.simulate(abc(new Ledger()), { outcomes: outcomes ?? {} })),
          ({ message }) => message
        )
      expect(yield* refused({ d: [] })).toBe(
        "The script does not fit CheckMate \"abc\": it has no stage \"d\"; it has a, b, c"
      )
      expect(yield* refused({ a: [Simulation.timesOut] })).toContain("stage \"a\" times out, and has no timeout")
      const bare = CheckMate.make("bare", {
        state: Order,
        input: [],
        stages: [Stage.make(Order, "only", { execute: () => Effect.void })]
      })
      const error = yield* Effect.flip(
        Simulation.simulate(bare, { outcomes: { only: [Simulation.fails("x"), Simulation.rollbackFails("y")] } })
      )
      expect(error).toMatchObject({ _tag: "ScriptError" })
      expect(error.message).toContain("the rollback of \"only\" fails, and it has none")
      const broken = CheckMate.make("", { state: Order, input: [], stages: Array.of<Stage.Any<never, never>>() })
      expect(yield* Effect.flip(Simulation.simulate(broken))).toMatchObject({ _tag: "InvalidDefinitionError" })
    }))

  it.effect("runs nothing of the stages' own, and tells the same as the engine", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      const { journal } = yield* Simulation.simulate(abc(ledger, { onFailure: "rollback" }), {
        outcomes: { c: [Simulation.fails(new Boom({ stage: "c", status: 503 }))] }
      })
      expect(ledger.entries).toEqual([])
      const failing = abc(ledger, {
        onFailure: "rollback",
        fail: (stage) => stage === "c" ? Effect.fail(new Boom({ stage, status: 503 })) : Effect.void
      })
      const real = yield* Effect.gen(function*() {
        yield* Effect.exit(CheckMateEngine.run(failing, { taskId: "t", input: { seed: 1 } }))
        return yield* CheckMateEngine.get("t")
      }).pipe(Effect.provide(CheckMateEngine.layerMemory))
      const told = (events: typeof journal) =>
        events.map((event) => "stage" in event ? [event._tag, event.stage] : [event._tag])
      expect(told(journal)).toEqual(told(real.history))
    }))
})
