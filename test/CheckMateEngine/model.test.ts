import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Either, Exit, FastCheck, Fiber, Option, Predicate, Schedule, Schema } from "effect"
import {
  BindLock,
  CheckMate,
  CheckMateEngine,
  Stage,
  StageStatus,
  State,
  Task,
  type TaskEvent,
  TaskIO,
  TaskStatus
} from "effect-checkmate"
import { make as makeProcess, orphanage, type Process } from "../../src/testing/Crashes/process.ts"
import { tagsOf } from "../support/arbitraries.ts"
import * as Model from "../support/model.ts"
import { Boom, engineOver, makeStore } from "../support/pipelines.ts"

const taskId = "t"
const names = ["a", "b", "c", "d", "e"]
const state = State.make(Object.fromEntries(["seed", "shared", ...names].map((name) => [name, Schema.String])))

/** Something a stage did to the outside world, and how many events were durable then. */
interface Entry {
  readonly what: "run" | "undo"
  readonly stage: string
  readonly position: number
}

// --- the real thing ----------------------------------------------------------------

const hang = Effect.async<never>(() => undefined)

/** The stages of a pipeline, which note what they do and come out as planned. */
const definitionOf = (pipeline: Model.Pipeline, store: TaskIO.Encoded, ledger: Array<Entry>) => {
  const midway = { interrupt: Effect.void }
  const told = () => ledger.map(({ stage, what }) => `${what} ${stage}`)
  const note = (what: Entry["what"], stage: string) =>
    Effect.map(Effect.orDie(store.read(taskId, 0)), (records) => {
      ledger.push({ what, stage, position: records.length })
      return Model.count(told(), `${what} ${stage}`)
    })
  const stageOf = (plan: Model.Plan) => {
    const boom = Effect.fail(new Boom({ stage: plan.name, status: 503 }))
    const retry = Schedule.recurs(plan.retries)
    return Stage.make(state, plan.name, {
      provides: [plan.name, ...plan.also],
      retryDefects: plan.retryDefects,
      ...(plan.retries === 0
        ? {}
        : { retry: plan.waits ? Schedule.intersect(retry, Schedule.spaced(Model.wait)) : retry }),
      execute: (attributes) =>
        Effect.gen(function*() {
          const nth = yield* note("run", plan.name)
          const outcome = plan.outcomes[nth - 1] ?? "ok"
          if (outcome.startsWith("pause")) yield* Effect.orDie(CheckMateEngine.pause(taskId))
          switch (outcome) {
            case "ok":
            case "pause, ok":
              return Model.outputOf(plan, nth, attributes)
            case "fails":
            case "pause, fails":
              return yield* boom
            case "dies":
              return yield* Effect.die(new Error("a bug"))
            case "cancelled":
            case "cancelled and rolled back":
              yield* Effect.forkDaemon(
                CheckMateEngine.cancel(taskId, outcome === "cancelled" ? {} : { rollback: definition })
              )
              return yield* hang
            case "interrupted":
              yield* midway.interrupt
              return yield* hang
          }
        }),
      ...(plan.undo
        ? {
          rollback: () =>
            Effect.flatMap(note("undo", plan.name), (nth) => plan.undoFails[nth - 1] === true ? boom : Effect.void)
        }
        : {})
    })
  }
  const definition: CheckMate.CheckMate<string, Model.Input, object, unknown, CheckMateEngine.CheckMateEngine> =
    CheckMate
      .make("model", { state, input: ["seed"], onFailure: pipeline.onFailure, stages: pipeline.stages.map(stageOf) })
  return { definition, midway, told }
}

type Definition = ReturnType<typeof definitionOf>["definition"]

const carryOut = (definition: Definition, command: Model.Command) => {
  switch (command._tag) {
    case "run":
      return CheckMateEngine.run(definition, { taskId, input: command.input })
    case "resume":
      return CheckMateEngine.resume(definition, taskId, { input: command.input })
    case "rollback":
      return CheckMateEngine.rollback(definition, taskId)
    case "cancel":
      return CheckMateEngine.cancel(taskId)
    case "cancel and roll back":
      return CheckMateEngine.cancel(taskId, { rollback: definition })
    case "pause":
      return CheckMateEngine.pause(taskId)
    case "retryFrom":
      return CheckMateEngine.retryFrom(definition, taskId, command.stage, { input: command.input })
  }
}

/** The store as a process sees it that dies at one of its writes. */
const mortal = (store: TaskIO.Encoded, cut: Model.Cut | undefined, { die }: Process): TaskIO.Encoded => {
  let writes = 0
  return {
    ...store,
    open: (id) =>
      Effect.map(store.open(id), (journal) => ({
        ...journal,
        append: (...args) =>
          Effect.suspend(() => {
            writes += 1
            if (cut?.write !== writes) return journal.append(...args)
            return cut.when === "before" ? die : Effect.zipRight(journal.append(...args), die)
          })
      }))
  }
}

const endOf = (exit: Option.Option<Exit.Exit<unknown, unknown>>): string => {
  if (Option.isNone(exit)) return "died"
  if (Exit.isSuccess(exit.value)) return "returned"
  if (Exit.isInterrupted(exit.value)) return "interrupted"
  const failure = Option.getOrUndefined(Cause.failureOption(exit.value.cause))
  return Predicate.hasProperty(failure, "_tag") ? String(failure._tag) : "defect"
}

// --- what is compared --------------------------------------------------------------

/** A task as the model has it. */
const expected = (task: Model.Task | undefined) => ({
  status: task?.status ?? "none",
  stages: task?.stages.map(({ attempts, plan, status }) => `${plan.name} ${status} after ${attempts}`) ?? [],
  attributes: task?.attributes ?? {}
})

/** The same of a task as its journal tells it. */
const seen = (task: Task.Task | undefined) => ({
  status: task?.status._tag ?? "none",
  stages: task === undefined
    ? []
    : Task.stages(task).map(({ attempts, name, status }) => `${name} ${status._tag} after ${attempts}`),
  attributes: task === undefined ? {} : Task.state(task)
})

/** What is wrong between what was done outside and what was in the journal then; nothing, for a sound engine. */
const unsound = (
  pipeline: Model.Pipeline,
  history: ReadonlyArray<TaskEvent.TaskEvent>,
  ledger: ReadonlyArray<Entry>
): ReadonlyArray<string> => {
  const order = pipeline.stages.map(({ name }) => name)
  const undone = new Map<string, number>()
  const dirty = new Set<string>()
  return ledger.flatMap(({ position, stage, what }, index) => {
    const line = `${index + 1}: ${what} ${stage}`
    const plan = pipeline.stages.find(({ name }) => name === stage)
    const past = history.slice(0, position)
    const task = Option.getOrThrow(Either.getOrThrow(Task.fold(taskId, past)))
    const { status } = Task.stage(task, stage)
    const checkpoint = past.findLast((event) =>
      "stage" in event && event.stage === stage && /^Stage(Succeeded|RolledBack)$/.test(event._tag)
    )
    if (what === "run") {
      const again = dirty.has(stage) && plan?.undo === true
      dirty.add(stage)
      return [
        ...(status._tag === "Running" ? [] : [`${line}: its start is not durable`]),
        ...(checkpoint?._tag === "StageSucceeded" ? [`${line}: it has succeeded, and was not rolled back`] : []),
        ...(again ? [`${line}: its last attempt was not rolled back`] : [])
      ]
    }
    const nth = (undone.get(stage) ?? 0) + 1
    undone.set(stage, nth)
    if (plan?.undoFails[nth - 1] !== true) dirty.delete(stage)
    const later = order.slice(order.indexOf(stage) + 1).filter((name) =>
      ["Succeeded", "RollingBack"].includes(Task.stage(task, name).status._tag)
    )
    return [
      ...(/^(Undoing|RollingBack)$/.test(status._tag) ? [] : [`${line}: it is ${status._tag}`]),
      ...(later.length > 0 ? [`${line}: before ${later.join(", ")}`] : [])
    ]
  })
}

// --- stories -----------------------------------------------------------------------

interface Story {
  readonly pipeline: Model.Pipeline
  readonly commands: ReadonlyArray<{ readonly command: Model.Command; readonly cut: Model.Cut | undefined }>
}

/** As often the first of them as any. */
const often = <A>(usual: A, ...others: ReadonlyArray<A>): FastCheck.Arbitrary<A> =>
  FastCheck.oneof(FastCheck.constant(usual), FastCheck.constantFrom(usual, ...others))

const input = FastCheck.constantFrom<Array<Model.Input>>({ seed: "1" }, { seed: "2" }, { seed: "1", shared: "mine" })
const some = FastCheck.oneof(FastCheck.constant<Model.Attributes>({}), input)
const is = <const Tag extends string>(...tags: Array<Tag>) => FastCheck.constantFrom(...tags)

const plan: FastCheck.Arbitrary<Omit<Model.Plan, "name">> = FastCheck.record({
  undo: FastCheck.boolean(),
  also: FastCheck.subarray(["shared", "seed"]),
  retries: FastCheck.nat({ max: 2 }),
  waits: FastCheck.boolean(),
  retryDefects: FastCheck.boolean(),
  outcomes: FastCheck.oneof(
    FastCheck.array(often(...Model.outcomes), { maxLength: 5 }),
    FastCheck.array(is("ok", "fails"), { maxLength: 6, size: "max" })
  ),
  undoFails: FastCheck.array(often(false, true), { maxLength: 3 })
})

const pipeline: FastCheck.Arbitrary<Model.Pipeline> = FastCheck.record({
  onFailure: is("halt", "rollback"),
  maxRecoveries: FastCheck.nat({ max: 2 }),
  stages: FastCheck.array(plan, { minLength: 1, maxLength: 5 }).map((plans) =>
    plans.map((plan, index) => ({ name: names[index] ?? "", ...plan }))
  )
})

const runs = FastCheck.record({ _tag: is("run"), input })

const commands = FastCheck.oneof(
  { weight: 6, arbitrary: runs },
  { weight: 4, arbitrary: FastCheck.record({ _tag: is("retryFrom"), nth: FastCheck.nat(4), input: some }) },
  { weight: 4, arbitrary: FastCheck.record({ _tag: is("rollback", "cancel", "cancel and roll back", "pause") }) },
  { weight: 1, arbitrary: FastCheck.record({ _tag: is("resume"), input }) }
)

const cut: FastCheck.Arbitrary<Model.Cut | undefined> = FastCheck.option(
  FastCheck.record({ write: FastCheck.integer({ min: 1, max: 8 }), when: is("before", "after") }),
  { nil: undefined, freq: 3 }
)

const listOf = <A>(command: FastCheck.Arbitrary<A>) =>
  FastCheck.array(FastCheck.record({ command, cut }), { minLength: 1, maxLength: 10, size: "max" })

const stories: FastCheck.Arbitrary<Story> = FastCheck.record({
  pipeline,
  // Half of them are about crashes alone.
  steps: FastCheck.oneof(listOf(commands), listOf(runs))
}).map(({ pipeline, steps }) => ({
  pipeline,
  // Not chained, so that it shrinks.
  commands: steps.map(({ command, cut }) => ({
    cut,
    command: command._tag === "retryFrom"
      ? { _tag: command._tag, stage: names[command.nth % pipeline.stages.length] ?? "", input: command.input }
      : command
  }))
}))

// --- told twice --------------------------------------------------------------------

const show = (value: object): string => JSON.stringify(value).replaceAll(/"(\w+)":/g, "$1: ").replaceAll("\"", "'")

const showCommand = ({ command: { _tag, ...rest }, cut }: Story["commands"][number]): string =>
  `${_tag} ${show(rest)}${cut === undefined ? "" : ` in a process that dies ${cut.when} write ${cut.write}`}`

/** Tells a story to the model and to the engine; after each command both must be the same. */
const tell = ({ commands, pipeline: { stages, ...pipeline } }: Story) =>
  Effect.gen(function*() {
    const store = yield* makeStore
    const taskIO = TaskIO.make(store)
    const ledger: Array<Entry> = []
    const whole = { ...pipeline, stages }
    const { definition, midway, told } = definitionOf(whole, store, ledger)
    const time = { now: 0 }
    const { orphaned } = yield* orphanage
    const world: Model.World = { now: 0, ledger: [] }
    const story = [`\nA pipeline ${show(pipeline)} of`, ...stages.map((plan) => `  ${show(plan)}`)]
    let task: Model.Task | undefined
    let records: ReadonlyArray<string> = []
    for (const [index, step] of commands.entries()) {
      const { command, cut } = step
      const process = makeProcess(time, `process ${index}`, orphaned)
      const program = Effect.gen(function*() {
        const fiber = yield* Effect.fork(carryOut(definition, command))
        midway.interrupt = Effect.asVoid(Fiber.interruptFork(fiber))
        return yield* Fiber.join(fiber)
      })
      const engine = engineOver(mortal(store, cut, process), BindLock.layerMemory, pipeline)
      const exit = yield* process.run(Effect.provide(program, engine))
      const obeyed = Model.obey(whole, world, task, command, cut)
      task = obeyed.task

      const history = yield* taskIO.read(taskId)
      const folded = Option.getOrUndefined(yield* Task.fold(taskId, history))
      story.push(
        `${index + 1}. ${showCommand(step)}: ${history.slice(records.length).map(({ _tag }) => _tag).join(", ")}`
      )
      const found = {
        ended: endOf(exit),
        ...seen(folded),
        ledger: told(),
        now: time.now,
        unsound: unsound(whole, history, ledger)
      }
      const right = { ended: obeyed.ended, ...expected(task), ...world, unsound: [] }
      story.push(`The model says ${show(right)}`, `The engine     ${show(found)}`)
      expect(found, story.join("\n")).toEqual(right)
      const longer = yield* store.read(taskId, 0)
      expect(longer.slice(0, records.length), story.join("\n")).toEqual(records)
      records = longer
      story.splice(-2)
    }
  })

/** Stories of two stages that a random one seldom tells. */
const ofTwo = (
  onFailure: Model.Pipeline["onFailure"],
  a: Partial<Model.Plan>,
  b: Partial<Model.Plan>,
  ...commands: Story["commands"]
): Story => {
  const plain = { undo: true, also: [], retries: 0, waits: false, retryDefects: false, outcomes: [], undoFails: [] }
  const stages = [{ ...plain, name: "a", ...a }, { ...plain, name: "b", ...b }]
  return { pipeline: { onFailure, maxRecoveries: 2, stages }, commands }
}

const living = (command: Model.Command) => ({ command, cut: undefined })
const run = (seed: string) => living({ _tag: "run", input: { seed } })
const retryFrom = (stage: string, cut?: Model.Cut, input: Model.Attributes = {}) => ({
  command: { _tag: "retryFrom" as const, stage, input },
  cut
})
const stuck = (then: Model.Command) => ofTwo("halt", {}, { undoFails: [true] }, run("1"), retryFrom("b"), living(then))

const stuckInRetry = "after a rollback for a retry that failed"
const seldom: Readonly<Record<string, Story>> = {
  [`${stuckInRetry}, retryFrom an earlier stage rolls that one back, too`]: stuck(retryFrom("a").command),
  [`${stuckInRetry}, rollback rolls everything back`]: stuck({ _tag: "rollback" }),
  [`${stuckInRetry}, cancel with a rollback rolls everything back`]: stuck({ _tag: "cancel and roll back" }),
  "input that a rollback took back is taken when it is given again": ofTwo(
    "rollback",
    { also: ["seed"] },
    { outcomes: ["interrupted", "fails"] },
    run("1"),
    run("2"),
    run("2")
  ),
  "input that a retry's rollback took back is taken when it is given with the retry": ofTwo(
    "halt",
    { also: ["seed"] },
    { outcomes: ["fails", "fails", "fails"] },
    run("1"),
    run("2"),
    retryFrom("a"),
    retryFrom("a", undefined, { seed: "2" })
  ),
  "input outlives a rollback that is to be finished first": ofTwo(
    "halt",
    { also: ["seed"] },
    {},
    run("1"),
    retryFrom("a", { write: 1, when: "after" }),
    run("2")
  )
}

describe("the whole engine, against a model", () => {
  for (const [name, story] of Object.entries(seldom)) it.effect(name, () => tell(story))

  it.effect.prop(
    "whatever the pipeline, its luck, the commands and the crashes: it ends as the model says",
    { story: stories },
    ({ story }) => tell(story),
    { timeout: 120_000, fastCheck: { numRuns: 200 } }
  )

  it("the stories get everywhere", () => {
    const met = new Set<string>()
    for (const { commands, pipeline } of FastCheck.sample(stories, { numRuns: 1_000, seed: 1 })) {
      const world: Model.World = { now: 0, ledger: [] }
      let task: Model.Task | undefined
      for (const { command, cut } of commands) {
        const obeyed = Model.obey(pipeline, world, task, command, cut)
        task = obeyed.task
        met.add(obeyed.ended)
        if (task !== undefined) met.add(`task ${task.status}`)
        for (const { status } of task?.stages ?? []) met.add(`stage ${status}`)
      }
    }
    const errors = ["NotFound", "Paused", "Cancelled", "Poisoned", "RolledBack", "Status"].map((name) =>
      `Task${name}Error`
    )
    const ends = ["returned", "died", "interrupted", "Boom", "defect", "RollbackFailedError", ...errors]
    const tasks = [...tagsOf(TaskStatus.TaskStatus)].map((tag) => `task ${tag}`)
    const stages = [...tagsOf(StageStatus.StageStatus)].map((tag) => `stage ${tag}`)
    expect([...met].sort()).toEqual([...ends, ...tasks, ...stages].sort())
  })
})
