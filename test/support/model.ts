/**
 * What an engine must do, by its README, as plainly as it can be said: one task, one thing at a time, no effects. A
 * command is a generator that yields the task at each durable write, so that a dead process is one that is asked no
 * more. All there is to know of writes: what has happened is written before anything is done to the outside world, or
 * waited for, and when a command or a rollback is over.
 */

/** What comes of an attempt. Some ask for a pause first; the last three are stopped midway. */
export const outcomes = [
  "ok",
  "fails",
  "dies",
  "pause, ok",
  "pause, fails",
  "cancelled",
  "cancelled and rolled back",
  "interrupted"
] as const
type Outcome = typeof outcomes[number]

export interface Plan {
  readonly name: string
  /** Whether there is a rollback. */
  readonly undo: boolean
  /** What it provides beside an attribute of its own name. */
  readonly also: ReadonlyArray<string>
  readonly retries: number
  readonly waits: boolean
  readonly retryDefects: boolean
  /** By attempt over the whole story; those beyond are ok. */
  readonly outcomes: ReadonlyArray<Outcome>
  /** By rollback over the whole story, whether it fails; those beyond do not. */
  readonly undoFails: ReadonlyArray<boolean>
}

export interface Pipeline {
  readonly onFailure: "halt" | "rollback"
  readonly maxRecoveries: number
  readonly stages: ReadonlyArray<Plan>
}

/** Where a process dies. */
export interface Cut {
  readonly write: number
  readonly when: "before" | "after"
}

export type Attributes = Readonly<Record<string, string>>
export type Input = Attributes & { readonly seed: string }

export type Command =
  | { readonly _tag: "run" | "resume"; readonly input: Input }
  | { readonly _tag: "rollback" | "cancel" | "cancel and roll back" | "pause" }
  | { readonly _tag: "retryFrom"; readonly stage: string; readonly input: Attributes }

// --- the task ---------------------------------------------------------------------

interface Stage {
  readonly plan: Plan
  status: string
  attempts: number
  /** What follows once its failed attempt is undone. */
  next: "retry" | "resume" | "give up"
  /** Whether it is an attempt that is undone, or a success. */
  undoing: "attempt" | "success"
  dueAt: number
  retried: number
  before: Attributes
  output: Attributes
}

type Purpose =
  | { readonly _tag: "failure" | "request" | "cancel" }
  | { readonly _tag: "retry"; readonly from: string }

export interface Task {
  status: string
  /** What a rollback that is under way, or failed, is for; none for that of an attempt alone. */
  purpose: Purpose | undefined
  attributes: Attributes
  given: Attributes
  recoveries: number
  /** Whether its process ended in order in the middle of a rollback. */
  left: boolean
  stages: Array<Stage>
}

/** What no crash takes back. */
export interface World {
  now: number
  readonly ledger: Array<string>
}

/** How often something was done. */
export const count = (ledger: ReadonlyArray<string>, entry: string): number =>
  ledger.filter((other) => other === entry).length

/** What an attempt provides: values that tell it from all others, and what it saw. */
export const outputOf = (
  { also, name }: Plan,
  nth: number,
  { seed, shared }: { readonly seed?: string; readonly shared?: string }
): Attributes => {
  const value = `${name}${nth} of ${seed?.slice(0, 2)} ${shared?.slice(0, 2)}`
  return Object.fromEntries([name, ...also].map((attribute) => [attribute, value]))
}

/** A second, in milliseconds: how long a stage waits that does. */
export const wait = 1_000

const fresh = { status: "Pending", attempts: 0, next: "give up", undoing: "attempt", dueAt: 0, retried: 0 } as const

const begin = ({ stages }: Pipeline, input: Attributes): Task => ({
  status: "Running",
  purpose: undefined,
  attributes: input,
  given: input,
  recoveries: 0,
  left: false,
  stages: stages.map((plan) => ({ ...fresh, plan, before: {}, output: {} }))
})

/** Whether an attempt was left behind, by a death or by a rollback that failed. */
const isLeftover = ({ status, undoing }: Stage) =>
  status === "Running" || status === "Undoing" || (status === "RollbackFailed" && undoing === "attempt")

const stands = ({ status, undoing }: Stage) =>
  status === "Succeeded" || status === "RollingBack" || (status === "RollbackFailed" && undoing === "success")

/** The attributes with those that the stage provided as they were before it. */
const restored = (attributes: Attributes, { before, output }: Stage): Attributes => {
  const others = Object.entries(attributes).filter(([key]) => !(key in output))
  const earlier = Object.entries(before).filter(([key]) => key in output)
  return Object.fromEntries([...others, ...earlier])
}

type Writes<A> = Generator<Task, A>

// --- one process ------------------------------------------------------------------

/** A process that holds the task. */
const hold = (pipeline: Pipeline, world: World, task: Task) => {
  let unwritten = false
  let pausing = false

  function* write(): Writes<void> {
    if (unwritten) yield structuredClone(task)
    unwritten = false
  }

  const turn = (change: Partial<Task>) => {
    Object.assign(task, { left: false }, change)
    unwritten = true
  }

  const move = (stage: Stage, change: Partial<Stage>) => {
    Object.assign(stage, change)
    task.left = false
    unwritten = true
  }

  function* end(status: string, ended: string): Writes<string> {
    turn({ status, purpose: undefined })
    if (status === "Cancelled") {
      for (const stage of task.stages) if (stage.status === "Waiting") move(stage, { status: "Failed" })
    }
    yield* write()
    return ended
  }

  /** Does something to the outside world; the number of times it has been done. */
  const act = (entry: string): number => world.ledger.push(entry) && count(world.ledger, entry)

  /** Runs a stage's rollback, if it has one; whether that went well. */
  function* undo({ plan }: Stage): Writes<boolean> {
    if (!plan.undo) return true
    yield* write()
    return plan.undoFails[act(`undo ${plan.name}`) - 1] !== true
  }

  /** A rollback has failed for good: nothing goes on before it is tried again. */
  function* stuck(stage: Stage, undoing: Stage["undoing"]): Writes<false> {
    move(stage, { status: "RollbackFailed", undoing })
    turn({ status: "RollbackFailed" })
    yield* write()
    return false
  }

  const undone = (stage: Stage) => {
    if (stage.next === "resume") stage.dueAt = world.now
    move(stage, { status: stage.next === "give up" ? "Failed" : "Waiting" })
  }

  function* undoAttempt(stage: Stage): Writes<boolean> {
    if (!(yield* undo(stage))) return yield* stuck(stage, "attempt")
    undone(stage)
    return true
  }

  function* undoLeftover(stage: Stage): Writes<boolean> {
    if (stage.status === "Running") move(stage, { status: "Undoing", next: "resume" })
    if (stage.status === "RollbackFailed") move(stage, { status: "Undoing" })
    return yield* undoAttempt(stage)
  }

  /** Carries out the rollback that is under way; whether it came to its end. */
  function* rollBack(): Writes<boolean> {
    const { purpose } = task
    const from = purpose?._tag === "retry" ? task.stages.findIndex(({ plan }) => plan.name === purpose.from) : 0
    for (const stage of task.stages) {
      if (isLeftover(stage) && !(yield* undoLeftover(stage))) return false
    }
    for (const stage of task.stages.slice(from).reverse()) {
      if (!stands(stage)) continue
      if (stage.status !== "RollingBack") move(stage, { status: "RollingBack" })
      if (!(yield* undo(stage))) return yield* stuck(stage, "success")
      turn({ attributes: restored(task.attributes, stage), recoveries: 0 })
      move(stage, { status: "RolledBack", output: {} })
    }
    for (const stage of task.stages) if (stage.status === "Waiting") move(stage, { status: "Pending" })
    const status = { failure: "RolledBack", request: "RolledBack", cancel: "Cancelled", retry: "Running" }
    turn({ status: status[purpose?._tag ?? "request"], purpose: undefined })
    yield* write()
    return true
  }

  const startRollback = (purpose: Purpose) => turn({ status: "RollingBack", purpose, recoveries: 0 })

  /** Back to what a failed rollback was in the middle of. */
  const goBack = () => {
    if (task.status !== "RollbackFailed") return
    turn({ status: task.purpose === undefined ? "Running" : "RollingBack", recoveries: 0 })
  }

  function* giveUp(ended: string): Writes<string> {
    if (pipeline.onFailure === "halt") return yield* end("Failed", ended)
    startRollback({ _tag: "failure" })
    return (yield* rollBack()) ? ended : "RollbackFailedError"
  }

  /** Stops in the middle of an attempt; a rollback that fails as a process ends is left to whoever goes on. */
  function* stop(stage: Stage, outcome: Outcome): Writes<string> {
    move(stage, { status: "Undoing", next: "resume" })
    if (outcome === "interrupted") {
      if (yield* undo(stage)) undone(stage)
      else turn({ left: true })
      yield* write()
      return "interrupted"
    }
    if (!(yield* undoAttempt(stage))) return "RollbackFailedError"
    yield* write()
    if (outcome === "cancelled") return yield* end("Cancelled", "TaskCancelledError")
    startRollback({ _tag: "cancel" })
    return (yield* rollBack()) ? "TaskCancelledError" : "RollbackFailedError"
  }

  /** Runs a stage until it has succeeded; what else it came to. */
  function* runStage(stage: Stage): Writes<string | undefined> {
    const { plan } = stage
    if (isLeftover(stage)) {
      if (!(yield* undoLeftover(stage))) return "RollbackFailedError"
      if (stage.status === "Failed" && pipeline.onFailure === "rollback") return yield* giveUp("TaskRolledBackError")
    }
    while (true) {
      const waiting = stage.status === "Waiting"
      if (waiting && stage.dueAt > world.now) {
        yield* write()
        if (!pausing) world.now = stage.dueAt
      }
      if (pausing) return yield* end("Paused", "TaskPausedError")
      move(stage, {
        status: "Running",
        attempts: stage.attempts + 1,
        before: task.attributes,
        output: {},
        retried: waiting ? stage.retried : 0
      })
      yield* write()
      const nth = act(`run ${plan.name}`)
      const outcome = plan.outcomes[nth - 1] ?? "ok"
      if (outcome === "cancelled" || outcome === "cancelled and rolled back" || outcome === "interrupted") {
        return yield* stop(stage, outcome)
      }
      pausing ||= outcome.startsWith("pause")
      if (outcome.endsWith("ok")) {
        move(stage, { status: "Succeeded", output: outputOf(plan, nth, task.attributes) })
        turn({ attributes: { ...task.attributes, ...stage.output }, recoveries: 0 })
        return undefined
      }
      const again = stage.retried < plan.retries && (outcome !== "dies" || plan.retryDefects)
      const retry = { next: "retry", dueAt: world.now + (plan.waits ? wait : 0), retried: stage.retried + 1 } as const
      move(stage, { status: "Undoing", ...(again ? retry : { next: "give up" }) })
      if (!(yield* undoAttempt(stage))) return "RollbackFailedError"
      if (!again) return yield* giveUp(outcome === "dies" ? "defect" : "Boom")
    }
  }

  /** Takes what the caller gives. */
  const take = (input: Attributes) => {
    for (const [key, value] of Object.entries(input)) {
      // The same call changes nothing, but what no stage has provided since is as it was given.
      const provided = task.stages.some(({ output, status }) => status === "Succeeded" && key in output)
      if (value === (task.given[key] ?? task.attributes[key]) && (provided || value === task.attributes[key])) continue
      turn({ attributes: { ...task.attributes, [key]: value }, given: { ...task.given, [key]: value } })
    }
  }

  function* runStages(): Writes<string> {
    for (const stage of task.stages) {
      const ended = stage.status === "Succeeded" ? undefined : yield* runStage(stage)
      if (ended !== undefined) return ended
    }
    return yield* end("Succeeded", "returned")
  }

  /** Takes the task up again, unless it has crashed its process too often. */
  function* takeUp(): Writes<string | undefined> {
    const midway = task.stages.some(({ status }) => status === "Running" || status === "Undoing")
    const recovered = !task.left && (task.status === "RollingBack" || (task.status === "Running" && midway))
    if (recovered && task.recoveries >= pipeline.maxRecoveries) return yield* end("Poisoned", "TaskPoisonedError")
    goBack()
    const active = task.status === "Running" || task.status === "RollingBack"
    turn(active ? { recoveries: task.recoveries + Number(recovered) } : { status: "Running", recoveries: 0 })
    return undefined
  }

  return { end, goBack, rollBack, runStages, startRollback, take, takeUp }
}

/** What a command does to the task, and how it ends. */
function* carryOut(pipeline: Pipeline, world: World, found: Task | undefined, command: Command): Writes<string> {
  if (found === undefined) {
    if (command._tag !== "run") return "TaskNotFoundError"
    return yield* hold(pipeline, world, begin(pipeline, command.input)).runStages()
  }
  const task = structuredClone(found)
  const { end, goBack, rollBack, runStages, startRollback, take, takeUp } = hold(pipeline, world, task)
  const { status } = task
  const indexOf = (name: string) => task.stages.findIndex(({ plan }) => plan.name === name)

  /** Finishes the rollback that is under way; where that leaves the task to be run, does what is wanted as well. */
  function* rollBackFor(wanted: Purpose): Writes<boolean> {
    goBack()
    const { purpose } = task
    if (purpose !== undefined) {
      if (!(yield* rollBack())) return false
      const isDone = wanted._tag === "retry" && purpose._tag === "retry" && wanted.from === purpose.from
      if (purpose._tag !== "retry" || isDone) return true
    }
    startRollback(wanted)
    return yield* rollBack()
  }

  switch (command._tag) {
    case "run":
    case "resume": {
      if (status === "Succeeded") return "returned"
      if (status === "Cancelled") return "TaskCancelledError"
      if (status === "Poisoned" || (yield* takeUp()) !== undefined) return "TaskPoisonedError"
      if (task.status === "RollingBack") {
        const { purpose } = task
        if (!(yield* rollBack())) return "RollbackFailedError"
        if (purpose?._tag !== "retry") return purpose?._tag === "cancel" ? "TaskCancelledError" : "TaskRolledBackError"
      }
      take(command.input)
      return yield* runStages()
    }
    case "pause":
      if (status === "Paused") return "returned"
      return status === "Running" ? yield* end("Paused", "returned") : "TaskStatusError"
    case "cancel":
    case "cancel and roll back":
      if (status === "RolledBack") return "returned"
      if (status === "Cancelled") {
        const isLeft = task.stages.some((stage) => isLeftover(stage) || stands(stage))
        if (command._tag === "cancel" || !isLeft) return "returned"
      }
      if (status === "Succeeded") return "TaskStatusError"
      if (command._tag === "cancel and roll back") {
        return (yield* rollBackFor({ _tag: "cancel" })) ? "returned" : "RollbackFailedError"
      }
      return status === "RollingBack" ? "TaskStatusError" : yield* end("Cancelled", "returned")
    case "rollback":
      if (status === "RolledBack") return "returned"
      return (yield* rollBackFor({ _tag: "request" })) ? "returned" : "RollbackFailedError"
    case "retryFrom": {
      const all = task.stages.slice(0, indexOf(command.stage)).every((stage) => stage.status === "Succeeded")
      if (!all && status !== "RolledBack") return "TaskStatusError"
      if (!(yield* rollBackFor({ _tag: "retry", from: command.stage }))) return "RollbackFailedError"
      if (task.status !== "Running") return "TaskRolledBackError"
      yield* takeUp()
      take(command.input)
      return yield* runStages()
    }
  }
}

/** Carries out a command in a process that may die at one of its writes. */
export const obey = (
  pipeline: Pipeline,
  world: World,
  task: Task | undefined,
  command: Command,
  cut: Cut | undefined
): { readonly task: Task | undefined; readonly ended: string } => {
  const process = carryOut(pipeline, world, task, command)
  let durable = task
  for (let writes = 1;; writes++) {
    const next = process.next()
    if (next.done === true) return { task: durable, ended: next.value }
    if (cut?.write !== writes) durable = next.value
    else return { task: cut.when === "before" ? durable : next.value, ended: "died" }
  }
}
