import { describe, expect, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Option } from "effect"
import { CheckMateEngine, Task, TaskIO } from "effect-checkmate"
import { type Cut, runWithCuts } from "../support/crashes.ts"
import { abc, failing, Ledger } from "../support/pipelines.ts"

const cutsOf = (writes: number): ReadonlyArray<Cut> =>
  Array.from({ length: writes }, (_, index) => index + 1).flatMap((write) => [
    { write, when: "before" as const },
    { write, when: "after" as const }
  ])

/** What ran between two checkpoints of a stage: never twice without having been undone in between. */
const isSound = (ledger: Ledger, stage: string): boolean =>
  !/run .,run/.test(ledger.entries.filter((entry) => entry.endsWith(stage)).join())

interface Story {
  readonly program: (ledger: Ledger) => Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>
  /** What must be true however the run was cut. */
  readonly check: (ledger: Ledger, task: Task.Task, exit: Exit.Exit<unknown, unknown>) => void
}

const run = (definition: ReturnType<typeof abc>) => CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })

const stories: Readonly<Record<string, Story>> = {
  "a run that succeeds": {
    program: (ledger) => run(abc(ledger)),
    check: (ledger, task, exit) => {
      expect(exit).toEqual(Exit.succeed({ seed: 1, a: 2, b: 3, c: 4 }))
      expect(task.status._tag).toBe("Succeeded")
    }
  },
  "a run whose stages are retried by hand": {
    program: (ledger) => {
      // Fails once in every process, as a flaky world would; the caller tries again.
      const definition = abc(ledger, { fail: failing({ a: 1, c: 1 }) })
      return run(definition).pipe(Effect.retry({ times: 3 }))
    },
    check: (_, task, exit) => {
      expect(exit).toEqual(Exit.succeed({ seed: 1, a: 2, b: 3, c: 4 }))
      expect(task.status._tag).toBe("Succeeded")
    }
  },
  "a run that fails for good and is rolled back": {
    program: (ledger) => run(abc(ledger, { onFailure: "rollback", fail: failing({ c: 100 }) })),
    check: (ledger, task, exit) => {
      const failures = Exit.isFailure(exit) ? Chunk.toReadonlyArray(Cause.failures(exit.cause)) : []
      expect(["Boom", "TaskRolledBackError"]).toContain((failures[0] as { readonly _tag: string })._tag)
      expect(task.status).toMatchObject({ _tag: "RolledBack", failure: { tag: "Boom" } })
      expect(Task.state(task)).toEqual({ seed: 1 })
      // Whatever ran was undone, and undone last.
      for (const stage of ["a", "b", "c"]) {
        expect(ledger.entries.filter((entry) => entry.endsWith(stage)).at(-1)).toBe(`undo ${stage}`)
      }
    }
  },
  "a rollback on request": {
    program: (ledger) =>
      Effect.gen(function*() {
        const definition = abc(ledger)
        const found = yield* CheckMateEngine.find()
        if (found[0]?.status !== "RollingBack") yield* run(definition)
        yield* CheckMateEngine.rollback(definition, "t")
      }).pipe(Effect.catchTag("TaskRolledBackError", () => Effect.void)),
    check: (ledger, task) => {
      expect(task.status._tag).toBe("RolledBack")
      for (const stage of ["a", "b", "c"]) {
        expect(ledger.entries.filter((entry) => entry.endsWith(stage)).at(-1)).toBe(`undo ${stage}`)
      }
    }
  }
}

describe("promise 9: crash anywhere", () => {
  for (const [name, story] of Object.entries(stories)) {
    const tell = (cuts: ReadonlyArray<Cut>) =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const { exit, store, writes } = yield* runWithCuts(cuts, story.program(ledger))
        const task = yield* TaskIO.make(store).get("t")
        const where = JSON.stringify(cuts)
        expect([where, Option.isSome(task)]).toEqual([where, true])
        if (Option.isSome(task)) story.check(ledger, task.value, exit)
        for (const stage of ["a", "b", "c"]) {
          expect([where, stage, isSound(ledger, stage)]).toEqual([where, stage, true])
        }
        // A stage never runs again after its checkpoint, but for having been rolled back.
        const events = yield* TaskIO.make(store).read("t")
        for (const stage of ["a", "b", "c"]) {
          const own = events.filter((event) => "stage" in event && event.stage === stage).map(({ _tag }) => _tag).join()
          expect([where, own]).toEqual([where, own.replace(/StageSucceeded,StageStarted/g, "AGAIN")])
        }
        return writes
      })

    it.effect(`${name}: cut before and after every write, it ends the same`, () =>
      Effect.gen(function*() {
        const writes = yield* tell([])
        expect(writes).toBeGreaterThan(3)
        for (const cut of cutsOf(writes)) yield* tell([cut])
      }))

    it.effect(`${name}: cut twice, at every pair of writes, it ends the same`, () =>
      Effect.gen(function*() {
        const writes = yield* tell([])
        for (const first of cutsOf(writes)) {
          for (const second of cutsOf(writes)) yield* tell([first, second])
        }
      }), 60_000)
  }
})
