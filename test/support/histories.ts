/**
 * Histories of tasks as an engine writes them, chosen at random, with what must come of them. What must come of them is
 * kept the naive way: a stack of whole copies of the state, one for each stage that stands as succeeded.
 */
import { DateTime, FastCheck } from "effect"
import type { TaskEvent } from "effect-checkmate"
import type { Failure } from "effect-checkmate/Failure"
import type { Purpose } from "effect-checkmate/TaskStatus"

type Event = TaskEvent.TaskEvent
type Untimed = Event extends infer E ? E extends Event ? Omit<E, "at"> : never : never

/** What a task must look like. */
interface Expected {
  readonly status: string
  readonly state: Readonly<Record<string, unknown>>
  readonly succeeded: ReadonlyArray<string>
  readonly recoveries: number
  readonly attempts: Readonly<Record<string, number>>
  readonly rounds: Readonly<Record<string, number>>
  readonly retries: Readonly<Record<string, number>>
}

/** Some events that belong together, and what the task must look like after them. */
export interface Step {
  readonly events: ReadonlyArray<Event>
  readonly expected: Expected
}

/** The attributes each stage provides; later stages provide again what earlier ones did. */
const provides: Readonly<Record<string, ReadonlyArray<string>>> = {
  scan: ["files"],
  chunk: ["files", "chunks"],
  index: ["chunks", "indexed"],
  verify: ["indexed", "folder"]
}
const stages = Object.keys(provides)

const failure: Failure = { kind: "Failure", tag: "HttpError", message: "503" }

/** Plays an engine whose luck is `choices`. */
const play = (choices: ReadonlyArray<number>): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  let minute = 0
  let events: Array<Event> = []
  let status = "Running"
  let state: Record<string, unknown> = { folder: "./docs" }
  let recoveries = 0
  let value = 0
  const undo: Array<{ readonly stage: string; readonly before: Record<string, unknown> }> = []
  const attempts: Record<string, number> = {}
  const rounds: Record<string, number> = {}
  const retries: Record<string, number> = {}
  const fresh = new Set<string>(stages)

  const tell = (...told: ReadonlyArray<Untimed>) => {
    for (const event of told) events.push({ ...event, at: DateTime.unsafeMake(minute++ * 60_000) } as Event)
  }
  const done = () => {
    const now = { status, state, succeeded: undo.map(({ stage }) => stage), recoveries }
    const counts = { attempts: { ...attempts }, rounds: { ...rounds }, retries: { ...retries } }
    steps.push({ events, expected: { ...now, ...counts } })
    events = []
  }
  const goOn = (recovered: boolean) => tell({ _tag: "TaskResumed", stages, recovered })
  const start = (stage: string) => {
    attempts[stage] = (attempts[stage] ?? 0) + 1
    if (fresh.has(stage)) retries[stage] = 0
    fresh.delete(stage)
    tell({ _tag: "StageStarted", stage, attempt: attempts[stage] })
  }
  const undone = (stage: string, rolledBack: boolean) => {
    if (rolledBack) rounds[stage] = (rounds[stage] ?? 0) + 1
    tell({ _tag: "AttemptUndone", stage, ...(rolledBack ? { rolledBack } : {}) })
  }
  const rollbackFails = (stage: string) =>
    tell(
      { _tag: "StageRollbackFailed", stage, failure },
      { _tag: "TaskRollbackFailed", stage, failure },
      { _tag: "TaskRollbackResumed" },
      { _tag: "StageRollbackStarted", stage }
    )
  const rollBack = (purpose: Purpose, count: number, stumbles: boolean) => {
    tell({ _tag: "TaskRollbackStarted", purpose })
    recoveries = 0
    for (let left = count; left > 0; left--) {
      const last = undo.pop()
      if (last === undefined) break
      tell({ _tag: "StageRollbackStarted", stage: last.stage })
      if (stumbles) rollbackFails(last.stage)
      tell({ _tag: "StageRolledBack", stage: last.stage })
      rounds[last.stage] = (rounds[last.stage] ?? 0) + 1
      fresh.add(last.stage)
      state = last.before
    }
    tell({ _tag: "TaskRolledBack" })
    // What waited for a retry begins anew after a rollback.
    for (const stage of Object.keys(retries)) {
      if (!fresh.has(stage) && !undo.some((done) => done.stage === stage)) retries[stage] = 0
    }
  }

  tell({ _tag: "TaskStarted", checkMate: "ingest", stages, input: state, tags: [] })
  done()
  for (const choice of choices) {
    const stage = stages[undo.length]
    const kind = stage === undefined ? 8 : choice % 10
    switch (stage === undefined || kind >= 8 ? "rollback" : kind) {
      case 5:
        start(stage!)
        retries[stage!] = (retries[stage!] ?? 0) + 1
        tell({
          _tag: "AttemptFailed",
          stage: stage!,
          failure,
          next: { _tag: "Retry", dueAt: DateTime.unsafeMake(minute * 60_000 + 5_000) }
        })
        if (choice % 4 === 0) rollbackFails(stage!)
        undone(stage!, choice % 2 === 0)
        break
      case 6:
        start(stage!)
        tell(
          { _tag: "AttemptFailed", stage: stage!, failure, next: { _tag: "GiveUp" } },
          { _tag: "AttemptUndone", stage: stage! },
          { _tag: "TaskFailed", stage: stage!, failure }
        )
        fresh.add(stage!)
        goOn(false)
        recoveries = 0
        break
      case 7:
        start(stage!)
        goOn(true)
        recoveries += 1
        tell({ _tag: "AttemptFailed", stage: stage!, failure, next: { _tag: "Resume" } })
        undone(stage!, choice % 2 === 0)
        break
      case "rollback":
        if (choice % 3 === 0) {
          rollBack({ _tag: "Request" }, stages.length, choice % 2 === 0)
          goOn(false)
        } else {
          const count = choice % (undo.length + 1)
          rollBack({ _tag: "Retry", from: stages[undo.length - count] ?? "verify" }, count, choice % 2 === 0)
        }
        break
      default: {
        const before = state
        start(stage!)
        const output = Object.fromEntries(provides[stage!]!.map((attribute) => [attribute, ++value]))
        tell({ _tag: "StageSucceeded", stage: stage!, output })
        undo.push({ stage: stage!, before })
        state = { ...state, ...output }
        recoveries = 0
        if (undo.length === stages.length && choice % 2 === 0) {
          tell({ _tag: "TaskSucceeded" })
          status = "Succeeded"
        }
      }
    }
    done()
    status = "Running"
  }
  return steps
}

/** Histories, and what must come of each of their steps. */
export const histories: FastCheck.Arbitrary<ReadonlyArray<Step>> = FastCheck.array(FastCheck.nat({ max: 999 }), {
  maxLength: 40,
  size: "max"
}).map(play)
