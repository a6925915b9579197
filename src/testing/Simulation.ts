/**
 * Shows what a CheckMate would do if its stages came out as scripted: the order of stages and attempts, retries with
 * the waits of the stages' own Schedules, rollbacks, and where the stages and the task end up. Nothing that the stages
 * would do is done.
 *
 * ```ts
 * import { Simulation } from "effect-checkmate/testing"
 *
 * const simulation = yield* Simulation.simulate(cm_factory_order(), {
 *   outcomes: { charge: [Simulation.fails(new Declined()), Simulation.crashes, Simulation.succeeds()] }
 * })
 * yield* Effect.log(Simulation.format(simulation))
 * ```
 *
 * It is the engine itself that runs, in memory, over a copy of the CheckMate whose stages are replaced by the script,
 * with a Clock whose time passes at once. So it takes no time, and cannot tell anything else than what the engine does.
 * Schedules and `mapError` are the stages' own. A Schedule that uses services finds those that are provided to the
 * simulation.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Schema from "effect/Schema"
import * as BindLock from "../BindLock.ts"
import * as CheckMate from "../CheckMate.ts"
import * as CheckMateEngine from "../CheckMateEngine.ts"
import type { InvalidDefinitionError } from "../CheckMateError.ts"
import * as Failure from "../Failure.ts"
import { likeness } from "../internal/json.ts"
import type * as Stage from "../Stage.ts"
import * as State from "../State.ts"
import * as Task from "../Task.ts"
import type * as TaskEvent from "../TaskEvent.ts"
import * as TaskIO from "../TaskIO.ts"
import * as memory from "../TaskIO/Memory.ts"
import * as TaskStatus from "../TaskStatus.ts"
import { make as makeProcess, orphanage } from "./Crashes/process.ts"
import { hang } from "./hang.ts"
import { type OfStage, Step, stepOf, tell } from "./Simulation/story.ts"

export { type Next, Step } from "./Simulation/story.ts"

// --- the script -----------------------------------------------------------------

/**
 * How an attempt comes out, or the rollback of one.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = Exclude<
  Data.TaggedEnum<{
    Succeeds: { readonly values: Readonly<Record<string, unknown>> }
    Fails: { readonly error: unknown }
    Dies: { readonly defect: unknown }
    TimesOut: {}
    Crashes: {}
    RollbackFails: { readonly error: unknown }
  }>,
  never
>

const outcome = Data.taggedEnum<Outcome>()

/**
 * The attempt returns. What it provides and is not given here is made up.
 *
 * @since 0.1.0
 * @category outcomes
 */
export const succeeds = (values: Readonly<Record<string, unknown>> = {}): Outcome => outcome.Succeeds({ values })

/**
 * The attempt fails, as the stage's `execute` would: `retry` sees this error.
 *
 * @since 0.1.0
 * @category outcomes
 */
export const fails = (error: unknown): Outcome => outcome.Fails({ error })

/**
 * The attempt dies of a bug.
 *
 * @since 0.1.0
 * @category outcomes
 */
export const dies = (defect: unknown): Outcome => outcome.Dies({ defect })

/**
 * The attempt takes longer than its stage's `timeout`.
 *
 * @since 0.1.0
 * @category outcomes
 */
export const timesOut: Outcome = outcome.TimesOut()

/**
 * The process dies in the middle of the attempt, and the task is run again in another one.
 *
 * @since 0.1.0
 * @category outcomes
 */
export const crashes: Outcome = outcome.Crashes()

/**
 * The rollback of the attempt before it in the script fails. Given more than once, it fails as often; its
 * `rollbackRetry` sees this error.
 *
 * ```ts
 * // The second try of the rollback succeeds, and so does the second attempt.
 * [Simulation.fails("503"), Simulation.rollbackFails("busy"), Simulation.succeeds()]
 * ```
 *
 * @since 0.1.0
 * @category outcomes
 */
export const rollbackFails = (error: unknown): Outcome => outcome.RollbackFails({ error })

/**
 * What to simulate.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options<Input> {
  /** The input attributes, as far as they matter; the others are made up. */
  readonly input?: Partial<Input> | undefined
  /**
   * By stage, what comes of each attempt in turn, followed by what comes of its rollback where that fails. Whatever is
   * not scripted succeeds at once.
   */
  readonly outcomes?: Readonly<Record<string, ReadonlyArray<Outcome>>> | undefined
  /** For instance how many crashes in a row make a task Poisoned. */
  readonly engine?: CheckMateEngine.Options | undefined
}

/**
 * The script does not fit the CheckMate.
 *
 * @since 0.1.0
 * @category errors
 */
export class ScriptError extends Schema.TaggedError<ScriptError>()("ScriptError", {
  checkMate: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The script does not fit CheckMate "${this.checkMate}": ${this.problem}`
  }
}

// --- what it shows ----------------------------------------------------------------

/**
 * What would happen.
 *
 * @since 0.1.0
 * @category models
 */
export interface Simulation {
  /** The name of the CheckMate. */
  readonly checkMate: string
  readonly steps: ReadonlyArray<Step>
  /** Where the task ends up. */
  readonly status: TaskStatus.TaskStatus
  /** Where its stages end up, in order. */
  readonly stages: ReadonlyArray<Task.StageRecord>
  readonly journal: ReadonlyArray<TaskEvent.TaskEvent>
  /** What of the script was never reached, by stage. */
  readonly unused: Readonly<Record<string, ReadonlyArray<Outcome>>>
}

// --- playing it -------------------------------------------------------------------

const standIns = (attributes: ReadonlyArray<string>): Record<string, unknown> =>
  Object.fromEntries(attributes.map((attribute) => [attribute, `<${attribute}>`]))

/** Takes any value for any attribute: nobody looks at it. */
const anything = Schema.transform(Schema.Unknown, Schema.Unknown, {
  strict: true,
  decode: (kept) => kept,
  encode: (value) => likeness(value)
})

/** Says that a Schedule's services are in its fiber's context, if it uses any. */
function provided(schedule: Stage.RetrySchedule<unknown> | undefined): Stage.RetrySchedule<never> | undefined
function provided(schedule: unknown): unknown {
  return schedule
}

/** What stages do in place of their own work. */
type Play = (stage: Stage.Any) => Pick<Stage.Any<unknown, never>, "execute" | "rollback">

const copyOf = (
  checkMate: CheckMate.Any,
  play: Play
): CheckMate.CheckMate<string, object, unknown, unknown, never> => {
  const state = State.make(Object.fromEntries([...checkMate.state.codecs.keys()].map((key) => [key, anything])))
  return {
    ...checkMate,
    state,
    stages: checkMate.stages.map((stage): Stage.Any<unknown, never> => ({
      ...stage,
      ...play(stage),
      transactional: false,
      state,
      retry: provided(stage.retry),
      rollbackRetry: provided(stage.rollbackRetry),
      fallbacks: stage.fallbacks.map((fallback) => ({
        matches: (error: unknown) => fallback.matches(error),
        answer: () => Effect.succeed(standIns(stage.provides))
      }))
    })),
    pipe() {
      return pipeArguments(this, arguments)
    }
  }
}

const problemOf = ({ stages, state }: CheckMate.Any, { input, outcomes }: Options<object>): string | undefined => {
  const unknown = Object.keys(input ?? {}).find((attribute) => !state.codecs.has(attribute))
  if (unknown !== undefined) return `its state has no attribute "${unknown}"`
  for (const [name, scripted] of Object.entries(outcomes ?? {})) {
    const stage = stages.find((stage) => stage.name === name)
    if (stage === undefined) return `it has no stage "${name}"; it has ${stages.map(({ name }) => name).join(", ")}`
    const has = (tag: Outcome["_tag"]) => scripted.some(({ _tag }) => _tag === tag)
    if (has("TimesOut") && stage.timeout === undefined) return `stage "${name}" times out, and has no timeout`
    if (has("RollbackFails") && stage.rollback === undefined) return `the rollback of "${name}" fails, and it has none`
  }
  return undefined
}

/**
 * Plays the script until the task has settled; after each crash it is run again, in a new process.
 *
 * @since 0.1.0
 * @category operations
 */
export const simulate = <Input extends object, Output, E, R>(
  checkMate: CheckMate.CheckMate<string, Input, Output, E, R>,
  options: Options<Input> = {}
): Effect.Effect<Simulation, InvalidDefinitionError | ScriptError> =>
  Effect.gen(function*() {
    const { input, name } = yield* CheckMate.validate(checkMate)
    const problem = problemOf(checkMate, options)
    if (problem !== undefined) return yield* new ScriptError({ checkMate: name, problem })

    const taskId = "simulation"
    const taskIO = TaskIO.make(yield* memory.make)
    const left = new Map(Object.entries(options.outcomes ?? {}).map(([stage, outcomes]) => [stage, [...outcomes]]))
    const time = { now: 0 }
    const { orphaned } = yield* orphanage
    let process = makeProcess(time, taskId, orphaned)
    /** What the journal does not tell, and how many events it held then. */
    const notes: Array<{ readonly position: number; readonly step: Step }> = []
    const note = (stage: string, make: (about: OfStage) => Step) =>
      Effect.map(Effect.orDie(Effect.flatten(taskIO.get(taskId))), (task) => {
        const at = Duration.millis(time.now)
        notes.push({ position: task.position, step: make({ at, stage, attempt: Task.stage(task, stage).attempts }) })
      })
    /** The next outcome of a stage, if it is about a rollback, or if it is not. */
    const take = (stage: string, rollback: boolean): Outcome | undefined => {
      const next = left.get(stage)?.[0]
      return next !== undefined && rollback === (next._tag === "RollbackFails") ? left.get(stage)?.shift() : undefined
    }
    const copy = copyOf(checkMate, ({ name, provides, rollback }) => ({
      execute: () => {
        const next = take(name, false) ?? succeeds()
        switch (next._tag) {
          case "Succeeds":
            return Effect.succeed({ ...standIns(provides), ...next.values })
          case "Dies":
            return Effect.die(next.defect)
          case "TimesOut":
            return hang
          case "Crashes":
            return Effect.zipRight(note(name, Step.ProcessDied), process.die)
          default:
            return Effect.fail(next.error)
        }
      },
      rollback: rollback === undefined ? undefined : () => {
        const next = take(name, true)
        if (next?._tag !== "RollbackFails") return Effect.void
        const failure = Failure.fromUnknown(next.error, "Failure")
        return Effect.zipRight(
          note(name, (about) => Step.RollbackFailed({ ...about, failure })),
          Effect.fail(next.error)
        )
      }
    }))

    const layer = CheckMateEngine.layerWith(options.engine).pipe(
      Layer.provide(Layer.merge(Layer.succeed(TaskIO.TaskIO, taskIO), BindLock.layerMemory))
    )
    const run = CheckMateEngine.run(copy, { taskId, input: { ...standIns(input), ...options.input } })
    const inProcess = Effect.suspend(() =>
      Effect.onInterrupt(process.run(Effect.provide(run, layer)), () => process.interrupt)
    )
    let ended = yield* inProcess
    while (Option.isNone(ended)) {
      process = makeProcess(time, taskId, orphaned)
      ended = yield* inProcess
    }

    const journal = yield* Effect.orDie(taskIO.read(taskId))
    const steps: Array<Step> = []
    let task: Task.Task | undefined
    for (const event of journal) {
      steps.push(...notes.filter(({ position }) => position === (task?.position ?? 0)).map(({ step }) => step))
      task = yield* Effect.orDie(Task.evolve(taskId, task, event))
      const step = stepOf(event, task)
      if (step !== undefined) steps.push(step)
    }
    // No script leaves a task running; a Schedule that dies does.
    if (task === undefined || TaskStatus.isActive(task.status)) {
      return yield* Effect.die(Cause.squash(Exit.isFailure(ended.value) ? ended.value.cause : Cause.empty))
    }
    const unused = Object.fromEntries([...left].filter(([_, outcomes]) => outcomes.length > 0))
    return { checkMate: name, steps, status: task.status, stages: Task.stages(task), journal, unused }
  })

// --- telling it -------------------------------------------------------------------

/**
 * The story, for people: a line for each step, and where the stages end up.
 *
 * @since 0.1.0
 * @category formatting
 */
export const format = ({ checkMate, stages, steps, unused }: Simulation): string => {
  const times = steps.map(({ at }) => Duration.format(at))
  const width = Math.max(...times.map((time) => time.length))
  return [
    `CheckMate "${checkMate}":`,
    ...steps.map((step, index) => `  ${times[index]?.padStart(width)}  ${tell(step)}`),
    `Stages: ${stages.map(({ name, status }) => `${name} ${status._tag}`).join(", ")}`,
    ...Object.entries(unused).map(([stage, left]) =>
      `Never reached: ${stage} ${left.map(({ _tag }) => _tag).join(", ")}`
    )
  ].join("\n")
}
