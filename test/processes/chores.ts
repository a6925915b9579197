/** The pipeline that processes fight over: five stages with side effects, one of which fails at first in some tasks. */
import { Effect, Schedule, Schema } from "effect"
import { CheckMate, Stage, State } from "effect-checkmate"
import { note } from "./ledger.ts"

const Chore = State.make({ number: Schema.Int, total: Schema.Int })

const stageNames = ["one", "two", "three", "four", "five"]

/** What a chore comes to, run undisturbed. */
export const expected = (number: number): number => stageNames.reduce((total, _, index) => total + number * index, 0)

const addition = (ledger: string, pause: number, index: number) =>
({ number, total }: {
  readonly number: number
  readonly total: number
}) =>
  Effect.gen(function*() {
    yield* Effect.addFinalizer(() => note(ledger, "released"))
    yield* note(ledger, "run")
    const { attempt } = yield* Stage.Context
    yield* Effect.sleep(pause)
    if (index === 2 && number % 5 === 0 && attempt === 1) {
      yield* note(ledger, "fail")
      return yield* Effect.fail("not today")
    }
    yield* note(ledger, "ran")
    return { total: total + number * index }
  })

/** `pause` is how many milliseconds a stage takes. */
export const cm_factory_chores = (ledger: string, pause: number) =>
  CheckMate.make("chores", {
    state: Chore,
    input: ["number", "total"],
    stages: stageNames.map((name, index) =>
      Stage.make(Chore, name, {
        requires: ["number", "total"],
        provides: ["total"],
        retry: Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(20)),
        execute: addition(ledger, pause, index),
        rollback: () => Effect.zipRight(note(ledger, "undoing"), note(ledger, "undo"))
      })
    )
  })
