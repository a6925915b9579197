import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, Option } from "effect"
import { CheckMateEngine, Task } from "effect-checkmate"
import { Crashes } from "effect-checkmate/testing"
import { abc, failing, Ledger } from "../support/pipelines.ts"

type Definition = ReturnType<typeof abc>
type Ending = Crashes.Ending<Ledger>

/** What ran between two checkpoints of a stage: never twice without having been undone in between. */
const isSound = (ledger: Ledger, stage: string): boolean =>
  !/run .,run/.test(ledger.entries.filter((entry) => entry.endsWith(stage)).join())

interface Story {
  readonly definition: (ledger: Ledger) => Definition
  readonly program: (definition: Definition) => Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>
  /** What must be true however the run was cut. */
  readonly check: (ending: Ending) => void
}

const run = (definition: Definition) => CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })

const succeeds = ({ exit, task }: Ending) => {
  expect(exit).toEqual(Exit.succeed({ seed: 1, a: 2, b: 3, c: 4 }))
  expect(task.status._tag).toBe("Succeeded")
}

/** Whatever ran was undone, and undone last. */
const isUndone = ({ world: ledger }: Ending) => {
  for (const stage of ["a", "b", "c"]) {
    expect(ledger.entries.filter((entry) => entry.endsWith(stage)).at(-1)).toBe(`undo ${stage}`)
  }
}

const stories: Readonly<Record<string, Story>> = {
  "a run that succeeds": {
    definition: (ledger) => abc(ledger),
    program: run,
    check: succeeds
  },
  "a run whose stages are retried by hand": {
    // Fails once, as a flaky world would; the caller tries again.
    definition: (ledger) => abc(ledger, { fail: failing({ a: 1, c: 1 }) }),
    program: (definition) => Effect.retry(run(definition), { times: 3 }),
    check: succeeds
  },
  "a run that fails for good and is rolled back": {
    definition: (ledger) => abc(ledger, { onFailure: "rollback", fail: failing({ c: 100 }) }),
    program: run,
    check: (ending) => {
      const { exit, task } = ending
      const failure = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
      expect(["Boom", "TaskRolledBackError"]).toContain(
        (Option.getOrThrow(failure) as { readonly _tag: string })._tag
      )
      expect(task.status).toMatchObject({ _tag: "RolledBack", failure: { tag: "Boom" } })
      expect(Task.state(task)).toEqual({ seed: 1 })
      isUndone(ending)
    }
  },
  "a rollback on request": {
    definition: (ledger) => abc(ledger),
    program: (definition) =>
      Effect.gen(function*() {
        const found = yield* CheckMateEngine.find()
        if (found[0]?.status !== "RollingBack") yield* run(definition)
        yield* CheckMateEngine.rollback(definition, "t")
      }).pipe(Effect.catchTag("TaskRolledBackError", () => Effect.void)),
    check: (ending) => {
      expect(ending.task.status._tag).toBe("RolledBack")
      isUndone(ending)
    }
  }
}

describe("promise 9: crash anywhere", () => {
  for (const [name, { check, definition, program }] of Object.entries(stories)) {
    const verify = (
      pairs: boolean,
      random?: { readonly count: number; readonly seed: number; readonly most: number }
    ) =>
      Crashes.verify(definition, {
        input: { seed: 1 },
        taskId: "t",
        program,
        before: Effect.sync(() => new Ledger()),
        invariant: (ending) =>
          Effect.sync(() => {
            check(ending)
            for (const stage of ["a", "b", "c"]) {
              expect([stage, isSound(ending.world, stage)]).toEqual([stage, true])
              // A stage never runs again after its checkpoint, but for having been rolled back.
              const own = ending.history.filter((event) => "stage" in event && event.stage === stage)
              expect(own.map(({ _tag }) => _tag).join()).not.toContain("StageSucceeded,StageStarted")
            }
          }),
        pairs,
        ...(random === undefined ? {} : { random })
      })

    it.effect(`${name}: cut before and after every write, it ends the same`, () =>
      Effect.gen(function*() {
        const { cuts, runs } = yield* verify(false)
        expect(cuts).toBeGreaterThan(6)
        expect(runs).toBe(cuts + 1)
      }))

    it.effect(
      `${name}: cut twice, at every pair of writes, and at random, it ends the same`,
      () =>
        Effect.gen(function*() {
          const { cuts, runs } = yield* verify(true, { count: 50, seed: 9, most: 6 })
          expect(runs).toBeGreaterThan(100)
          expect(cuts).toBeGreaterThan(runs)
        }),
      300_000
    )
  }
})
