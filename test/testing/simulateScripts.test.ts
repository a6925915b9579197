/** A simulation tells what the engine does with stages that come out as scripted, whatever the script. */
import { expect, it } from "@effect/vitest"
import { DateTime, Effect, FastCheck, Fiber, Layer, Option, Schedule, Schema } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, Task, TaskIO } from "effect-checkmate"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { Simulation } from "effect-checkmate/testing"
import * as HandClock from "../support/handClock.ts"
import { turn } from "../support/interleaved.ts"

const Numbers = State.make({ seed: Schema.Number, a: Schema.Number, b: Schema.Number, c: Schema.Number })

type Script = Readonly<Record<"a" | "b" | "c", ReadonlyArray<Simulation.Outcome>>>

interface Work {
  readonly execute: Effect.Effect<number, string>
  readonly rollback: Effect.Effect<void, string>
}

const pipeline = (onFailure: CheckMate.OnFailure, work: (stage: keyof Script) => Work) =>
  CheckMate.make("abc", {
    state: Numbers,
    input: ["seed"],
    onFailure,
    stages: [
      Stage.make(Numbers, "a", {
        provides: ["a"],
        retry: Schedule.recurs(2),
        retryDefects: true,
        execute: () => Effect.map(work("a").execute, (a) => ({ a })),
        rollback: () => work("a").rollback,
        rollbackRetry: Schedule.recurs(1)
      }),
      Stage.make(Numbers, "b", {
        provides: ["b"],
        timeout: "5 seconds",
        retry: Schedule.exponential("1 second").pipe(Schedule.intersect(Schedule.recurs(2))),
        execute: () => Effect.map(work("b").execute, (b) => ({ b })),
        rollback: () => work("b").rollback,
        rollbackRetry: Schedule.spaced("3 seconds").pipe(Schedule.intersect(Schedule.recurs(2)))
      }),
      Stage.make(Numbers, "c", {
        requires: ["a"],
        provides: ["c"],
        execute: () => Effect.map(work("c").execute, (c) => ({ c })),
        rollback: () => work("c").rollback
      })
    ]
  })

const never = Effect.async<never>((_) => undefined)

/** Has an engine do it, whose clock goes on when nothing else does, and another one where its process dies. */
const played = Effect.fnUntraced(function*(onFailure: CheckMate.OnFailure, script: Script) {
  const { clock, passToNext } = yield* HandClock.make
  const left = { a: [...script.a], b: [...script.b], c: [...script.c] }
  let died = false
  const definition = pipeline(onFailure, (stage) => ({
    execute: Effect.suspend(() => {
      const next = left[stage][0]?._tag === "RollbackFails" ? undefined : left[stage].shift()
      switch (next?._tag) {
        case "Fails":
          return Effect.fail(String(next.error))
        case "Dies":
          return Effect.die(next.defect)
        case "TimesOut":
          return never
        case "Crashes":
          died = true
          return Effect.uninterruptible(never)
        default:
          return Effect.succeed(1)
      }
    }),
    rollback: Effect.suspend(() => {
      const next = left[stage][0]
      if (next?._tag !== "RollbackFails") return Effect.void
      left[stage].shift()
      return Effect.fail(String(next.error))
    })
  }))
  const taskIO = TaskIO.make(yield* MemoryDriver.make)
  const live = CheckMateEngine.run(definition, { taskId: "simulation", input: { seed: 1 } }).pipe(
    Effect.provide(
      CheckMateEngine.layer.pipe(
        Layer.provide([Layer.succeed(TaskIO.TaskIO, taskIO), Layer.fresh(BindLock.layerMemory)])
      )
    ),
    Effect.withClock(clock)
  )
  do {
    died = false
    const fiber = yield* Effect.forkDaemon(live)
    const isOver = Effect.map(Fiber.poll(fiber), (exit) => died || Option.isSome(exit))
    while (!(yield* isOver)) {
      yield* Effect.repeatN(turn, 5)
      if (!(yield* isOver)) yield* passToNext
    }
  } while (died)
  return { events: yield* taskIO.read("simulation"), task: Option.getOrThrow(yield* taskIO.get("simulation")), left }
})

const eventsOf = (events: Simulation.Simulation["journal"]) =>
  events.map((event) => ({
    event: event._tag,
    at: DateTime.toEpochMillis(event.at),
    ...("stage" in event ? { stage: event.stage } : {}),
    ...("failure" in event ? { failure: [event.failure?.tag, event.failure?.message] } : {}),
    ...(event._tag === "AttemptFailed" ? { next: event.next } : {})
  }))

const outcomesOf = (...more: ReadonlyArray<Simulation.Outcome>) =>
  FastCheck.array(
    FastCheck.constantFrom(
      Simulation.succeeds(),
      Simulation.fails("no"),
      Simulation.dies("bug"),
      Simulation.crashes,
      Simulation.rollbackFails("not undone"),
      ...more
    ),
    { maxLength: 6 }
  )

const scripts = FastCheck.record({
  a: outcomesOf(),
  b: outcomesOf(Simulation.timesOut),
  c: outcomesOf(Simulation.crashes, Simulation.crashes, Simulation.crashes)
})

it.effect("a simulation tells the same order, waits, failures and statuses as the engine, whatever the script", () =>
  Effect.gen(function*() {
    const statuses = new Set<string>()
    for (const script of FastCheck.sample(scripts, { numRuns: 150, seed: 7 })) {
      for (const onFailure of ["halt", "rollback"] as const) {
        const ignored = pipeline(onFailure, () => ({ execute: Effect.succeed(1), rollback: Effect.void }))
        const told = yield* Simulation.simulate(ignored, { outcomes: script })
        const { events, left, task } = yield* played(onFailure, script)
        const shown = JSON.stringify({ onFailure, script })
        expect(eventsOf(told.journal), shown).toEqual(eventsOf(events))
        expect(told.status._tag, shown).toBe(task.status._tag)
        const stagesOf = (stages: ReadonlyArray<Task.StageRecord>) =>
          stages.map(({ attempts, name, status }) => [name, status._tag, attempts])
        expect(stagesOf(told.stages), shown).toEqual(stagesOf(Task.stages(task)))
        expect(told.unused, shown).toEqual(
          Object.fromEntries(Object.entries(left).filter(([, outcomes]) => outcomes.length > 0))
        )
        statuses.add(told.status._tag)
      }
    }
    expect([...statuses].sort()).toEqual(["Failed", "Poisoned", "RollbackFailed", "RolledBack", "Succeeded"])
  }))
