import { describe, expect, it } from "@effect/vitest"
import { DateTime, FastCheck, Schema } from "effect"
import { TaskStatus } from "effect-checkmate"
import type { Failure } from "effect-checkmate/Failure"
import { tagsOf, valuesOf } from "./support/arbitraries.ts"
import { journeys } from "./support/givenWhenThen.ts"

// --- the model ----------------------------------------------------------------
// Every status and every event by name, told apart as far as they lead to different places; by status and event,
// the status that follows. What is not in the table is illegal.

const startsRollback = {
  "TaskRollbackStarted for Failure": "RollingBack for Failure",
  "TaskRollbackStarted for Request": "RollingBack for Request",
  "TaskRollbackStarted for Cancel": "RollingBack for Cancel",
  "TaskRollbackStarted for Retry": "RollingBack for Retry"
}

const model: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "Running": {
    ...startsRollback,
    "TaskResumed": "Running",
    "TaskSucceeded": "Succeeded",
    "TaskFailed": "Failed",
    "TaskPaused": "Paused",
    "TaskLeft": "Running",
    "TaskPoisoned": "Poisoned",
    "TaskCancelled": "Cancelled",
    "TaskRollbackFailed": "RollbackFailed in Running"
  },
  "Succeeded": startsRollback,
  "Failed": { ...startsRollback, "TaskResumed": "Running", "TaskCancelled": "Cancelled" },
  "Paused": { ...startsRollback, "TaskResumed": "Running", "TaskCancelled": "Cancelled" },
  "Poisoned": { ...startsRollback, "TaskCancelled": "Cancelled" },
  "Cancelled": startsRollback,
  "RollingBack for Failure": {
    "TaskResumed": "RollingBack for Failure",
    "TaskLeft": "RollingBack for Failure",
    "TaskPoisoned": "Poisoned",
    "TaskRolledBack": "RolledBack",
    "TaskRollbackFailed": "RollbackFailed in RollingBack for Failure"
  },
  "RollingBack for Request": {
    "TaskResumed": "RollingBack for Request",
    "TaskLeft": "RollingBack for Request",
    "TaskPoisoned": "Poisoned",
    "TaskRolledBack": "RolledBack",
    "TaskRollbackFailed": "RollbackFailed in RollingBack for Request"
  },
  "RollingBack for Cancel": {
    "TaskResumed": "RollingBack for Cancel",
    "TaskLeft": "RollingBack for Cancel",
    "TaskPoisoned": "Poisoned",
    "TaskRolledBack": "Cancelled",
    "TaskRollbackFailed": "RollbackFailed in RollingBack for Cancel"
  },
  "RollingBack for Retry": {
    "TaskResumed": "RollingBack for Retry",
    "TaskLeft": "RollingBack for Retry",
    "TaskPoisoned": "Poisoned",
    "TaskRolledBack": "Running",
    "TaskRollbackFailed": "RollbackFailed in RollingBack for Retry"
  },
  "RolledBack": { ...startsRollback, "TaskResumed": "Running" },
  "RollbackFailed in Running": { "TaskRollbackResumed": "Running", "TaskCancelled": "Cancelled" },
  "RollbackFailed in RollingBack for Failure": {
    "TaskRollbackResumed": "RollingBack for Failure",
    "TaskCancelled": "Cancelled"
  },
  "RollbackFailed in RollingBack for Request": {
    "TaskRollbackResumed": "RollingBack for Request",
    "TaskCancelled": "Cancelled"
  },
  "RollbackFailed in RollingBack for Cancel": {
    "TaskRollbackResumed": "RollingBack for Cancel",
    "TaskCancelled": "Cancelled"
  },
  "RollbackFailed in RollingBack for Retry": {
    "TaskRollbackResumed": "RollingBack for Retry",
    "TaskCancelled": "Cancelled"
  }
}

const nameOfStatus = (status: TaskStatus.TaskStatus): string =>
  status._tag === "RollingBack"
    ? `RollingBack for ${status.purpose._tag}`
    : status._tag === "RollbackFailed"
    ? `RollbackFailed in ${nameOfStatus(status.interrupted)}`
    : status._tag

const nameOfEvent = (event: TaskStatus.Event): string =>
  event._tag === "TaskRollbackStarted" ? `TaskRollbackStarted for ${event.purpose._tag}` : event._tag

// --- one of each ----------------------------------------------------------------

const time = (minute: number) => DateTime.unsafeMake(Date.UTC(2026, 0, 1, 0, minute))
const at = time(1)
const failureOf = (message: string): Failure => ({ kind: "Failure", tag: "HttpError", message })

const purposes = {
  failure: { _tag: "Failure", stage: "index", failure: failureOf("503") },
  request: { _tag: "Request", reason: "wrong folder" },
  cancel: { _tag: "Cancel", reason: "too slow" },
  retry: { _tag: "Retry", from: "chunk" }
} satisfies Record<string, TaskStatus.Purpose>

const rollbackStarted = (purpose: TaskStatus.Purpose): typeof TaskStatus.TaskRollbackStarted.Type => ({
  _tag: "TaskRollbackStarted",
  at,
  purpose
})
const resumed: typeof TaskStatus.TaskResumed.Type = {
  _tag: "TaskResumed",
  at,
  stages: ["scan", "chunk", "index"],
  recovered: false
}
const recovered: typeof TaskStatus.TaskResumed.Type = { ...resumed, recovered: true }
const succeeded: typeof TaskStatus.TaskSucceeded.Type = { _tag: "TaskSucceeded", at: time(9) }
const failed: typeof TaskStatus.TaskFailed.Type = {
  _tag: "TaskFailed",
  at,
  stage: "index",
  failure: failureOf("503")
}
const paused: typeof TaskStatus.TaskPaused.Type = { _tag: "TaskPaused", at }
const left: typeof TaskStatus.TaskLeft.Type = { _tag: "TaskLeft", at }
const poisoned: typeof TaskStatus.TaskPoisoned.Type = { _tag: "TaskPoisoned", at, stage: "index", recoveries: 3 }
const cancelled: typeof TaskStatus.TaskCancelled.Type = { _tag: "TaskCancelled", at, reason: "too slow" }
const rolledBack: typeof TaskStatus.TaskRolledBack.Type = { _tag: "TaskRolledBack", at }
const rollbackFailed: typeof TaskStatus.TaskRollbackFailed.Type = {
  _tag: "TaskRollbackFailed",
  at,
  stage: "chunk",
  failure: failureOf("disk full")
}
const rollbackResumed: typeof TaskStatus.TaskRollbackResumed.Type = { _tag: "TaskRollbackResumed", at }

const events: ReadonlyArray<TaskStatus.Event> = [
  ...Object.values(purposes).map(rollbackStarted),
  resumed,
  succeeded,
  failed,
  paused,
  left,
  poisoned,
  cancelled,
  rolledBack,
  rollbackFailed,
  rollbackResumed
]

const rollingBack = (purpose: TaskStatus.Purpose): typeof TaskStatus.RollingBack.Type => ({
  _tag: "RollingBack",
  purpose
})
const brokenIn = (
  interrupted: typeof TaskStatus.RollbackFailed.Type["interrupted"]
): typeof TaskStatus.RollbackFailed.Type => ({
  _tag: "RollbackFailed",
  stage: "chunk",
  failure: failureOf("disk full"),
  interrupted
})

const statuses: ReadonlyArray<TaskStatus.TaskStatus> = [
  TaskStatus.running,
  { _tag: "Succeeded", finishedAt: time(9) },
  { _tag: "Failed", stage: "index", failure: failureOf("503") },
  { _tag: "Paused" },
  { _tag: "Poisoned", stage: "index", recoveries: 3 },
  { _tag: "Cancelled", reason: "too slow" },
  ...Object.values(purposes).map(rollingBack),
  { _tag: "RolledBack" },
  brokenIn(TaskStatus.running),
  ...Object.values(purposes).map(rollingBack).map(brokenIn)
]

const sequences = FastCheck.array(valuesOf(TaskStatus.Event), { maxLength: 60, size: "max" })

/** `transition` for callers whose compiler knows nothing. */
const looseTransition = TaskStatus.transition as (
  status: TaskStatus.TaskStatus,
  event: TaskStatus.Event
) => TaskStatus.TaskStatus

describe("TaskStatus", () => {
  describe("the table of transitions", () => {
    it("is held against a model that knows every status and every event", () => {
      expect(new Set(statuses.map(nameOfStatus))).toEqual(new Set(Object.keys(model)))
      expect(new Set(statuses.map((status) => status._tag))).toEqual(tagsOf(TaskStatus.TaskStatus))
      expect(new Set(events.map((event) => event._tag))).toEqual(tagsOf(TaskStatus.Event))
      expect(new Set(TaskStatus.Tag.literals)).toEqual(tagsOf(TaskStatus.TaskStatus))
    })

    for (const status of statuses) {
      const row = model[nameOfStatus(status)] ?? {}
      it(`in ${nameOfStatus(status)} allows ${Object.keys(row).length} events, and nothing else`, () => {
        const allowed = events.flatMap((event) => {
          const next = TaskStatus.step(status, event)
          return next === undefined ? [] : [[nameOfEvent(event), nameOfStatus(next)]]
        })
        expect(Object.fromEntries(allowed)).toEqual(row)
      })
    }

    it("moves a task the same way where the compiler knows the status and where it does not", () => {
      let legal = 0
      for (const status of statuses) {
        for (const event of events) {
          const next = TaskStatus.step(status, event)
          if (next === undefined) continue
          legal++
          expect(looseTransition(status, event)).toEqual(next)
        }
      }
      expect(legal).toBe(Object.values(model).flatMap(Object.keys).length)
    })

    it.prop(
      "agrees with the model for whatever a status and an event hold, and never throws",
      { status: valuesOf(TaskStatus.TaskStatus), event: valuesOf(TaskStatus.Event) },
      ({ event, status }) => {
        const next = TaskStatus.step(status, event)
        expect(next === undefined ? undefined : nameOfStatus(next)).toBe(
          model[nameOfStatus(status)]?.[nameOfEvent(event)]
        )
        if (next !== undefined) expect(looseTransition(status, event)).toEqual(next)
      },
      { timeout: 30_000, fastCheck: { numRuns: 1000 } }
    )

    it.prop(
      "agrees with the model along every sequence of events; an event that is illegal in a status leaves no status behind",
      { sequence: sequences },
      ({ sequence }) => {
        const isStatus = Schema.is(TaskStatus.TaskStatus)
        let status: TaskStatus.TaskStatus = TaskStatus.running
        let name = "Running"
        for (const event of sequence) {
          const before = JSON.stringify(status)
          const expected: string | undefined = model[name]?.[nameOfEvent(event)]
          const next = TaskStatus.step(status, event)
          expect(next === undefined ? undefined : nameOfStatus(next)).toBe(expected)
          expect(JSON.stringify(status)).toBe(before)
          if (next === undefined || expected === undefined) continue
          expect(isStatus(next)).toBe(true)
          status = next
          name = expected
        }
      },
      { timeout: 30_000, fastCheck: { numRuns: 200 } }
    )

    it("has no place for statuses and events of no known name", () => {
      const names = ["", "Nonsense", "running", "constructor", "toString", "hasOwnProperty", "__proto__"]
      const strange = names.map((_tag) => ({ ...failed, _tag }))
      for (const other of strange) {
        for (const status of statuses) expect(TaskStatus.step(status, other as never)).toBeUndefined()
        for (const event of events) expect(TaskStatus.step(other as never, event)).toBeUndefined()
        for (const event of strange) expect(TaskStatus.step(other as never, event as never)).toBeUndefined()
      }
    })

    it("says that an engine has something to do just for tasks that run or are being rolled back", () => {
      expect(new Set(statuses.filter(TaskStatus.isActive).map((status) => status._tag))).toEqual(
        new Set(["Running", "RollingBack"])
      )
    })
  })

  describe("the journeys of a task", () => {
    const { given } = journeys(TaskStatus.step)

    it("success: given a running task, when every stage has succeeded, then only a rollback touches it", () => {
      given(TaskStatus.running)
        .when(succeeded)
        .thenIs({ _tag: "Succeeded", finishedAt: time(9) })
        .thenRefuses(resumed, succeeded, failed, paused, poisoned, cancelled, rolledBack)
    })

    it("failure and retry: given a failed task, when it is resumed, then it runs and can succeed", () => {
      given(TaskStatus.running)
        .when(failed)
        .thenIs({ _tag: "Failed", stage: "index", failure: failureOf("503") })
        .thenRefuses(succeeded, failed)
        .when(resumed)
        .thenIs(TaskStatus.running)
        .when(succeeded)
        .thenIs({ _tag: "Succeeded", finishedAt: time(9) })
    })

    it("failure and giving up with rollback: given that policy, then the task ends rolled back and knows why", () => {
      given(TaskStatus.running)
        .when(rollbackStarted(purposes.failure))
        .thenIs(rollingBack(purposes.failure))
        .when(rolledBack)
        .thenIs({ _tag: "RolledBack", failure: failureOf("503") })
    })

    it("crash and resume: given a dead engine, when another goes on, then the task runs, or is rolled back, as before", () => {
      given(TaskStatus.running).when(recovered).thenIs(TaskStatus.running)
      for (const purpose of Object.values(purposes)) {
        given(rollingBack(purpose)).when(recovered).thenIs(rollingBack(purpose))
      }
    })

    it("rollback: given a request on a finished task, when it is done, then the task can be started over", () => {
      given(TaskStatus.running)
        .when(succeeded, rollbackStarted(purposes.request))
        .thenIs(rollingBack(purposes.request))
        .thenRefuses(succeeded, failed, paused, cancelled)
        .when(rolledBack)
        .thenIs({ _tag: "RolledBack" })
        .when(resumed)
        .thenIs(TaskStatus.running)
    })

    it("a rollback that fails and is resumed: what it was for still holds", () => {
      given(TaskStatus.running)
        .when(rollbackStarted(purposes.cancel), rollbackFailed)
        .thenIs(brokenIn(rollingBack(purposes.cancel)))
        .thenRefuses(resumed, rolledBack, rollbackStarted(purposes.request))
        .when(rollbackResumed)
        .thenIs(rollingBack(purposes.cancel))
        .when(rollbackFailed, rollbackResumed, rolledBack)
        .thenIs({ _tag: "Cancelled", reason: "too slow" })
    })

    it("an attempt's own rollback that fails and is resumed: the task runs again", () => {
      given(TaskStatus.running)
        .when(rollbackFailed)
        .thenIs(brokenIn(TaskStatus.running))
        .thenRefuses(resumed, succeeded)
        .when(rollbackResumed)
        .thenIs(TaskStatus.running)
    })

    it("cancel: given a reason, then it is kept; without one there is none; and nothing but a rollback goes on", () => {
      given(TaskStatus.running)
        .when(cancelled)
        .thenIs({ _tag: "Cancelled", reason: "too slow" })
        .thenRefuses(resumed, cancelled, succeeded, paused)
        .when(rollbackStarted(purposes.retry), rolledBack)
        .thenIs(TaskStatus.running)
      expect(TaskStatus.step(TaskStatus.running, { _tag: "TaskCancelled", at })).toStrictEqual({ _tag: "Cancelled" })
    })

    it("cancel with rollback: given its purpose, when all is rolled back, then the task is cancelled", () => {
      given(TaskStatus.running)
        .when(rollbackStarted(purposes.cancel), rolledBack)
        .thenIs({ _tag: "Cancelled", reason: "too slow" })
      given(TaskStatus.running)
        .when(rollbackStarted({ _tag: "Cancel" }), rolledBack)
        .thenIs({ _tag: "Cancelled" })
    })

    it("pause: given a paused task, when it is resumed, then it runs; and it can be cancelled where it stands", () => {
      given(TaskStatus.running)
        .when(paused)
        .thenIs({ _tag: "Paused" })
        .thenRefuses(paused, succeeded, failed)
        .when(resumed)
        .thenIs(TaskStatus.running)
      given(TaskStatus.running).when(paused, cancelled).thenIs({ _tag: "Cancelled", reason: "too slow" })
    })

    it("retry from a stage: given any status at rest, when the later stages are rolled back, then the task runs", () => {
      const atRest = statuses.filter((status) =>
        ["Running", "Succeeded", "Failed", "Paused", "Poisoned", "Cancelled", "RolledBack"].includes(status._tag)
      )
      expect(atRest).toHaveLength(7)
      for (const status of atRest) {
        given(status)
          .when(rollbackStarted(purposes.retry))
          .thenIs(rollingBack(purposes.retry))
          .when(rolledBack)
          .thenIs(TaskStatus.running)
      }
    })

    it("poisoned: given a task that keeps crashing, then resuming is illegal, and a rollback or cancelling is not", () => {
      given(TaskStatus.running)
        .when(recovered, recovered, recovered, poisoned)
        .thenIs({ _tag: "Poisoned", stage: "index", recoveries: 3 })
        .thenRefuses(resumed, recovered, succeeded, poisoned)
      given({ _tag: "Poisoned", stage: "index", recoveries: 3 })
        .when(cancelled)
        .thenIs({ _tag: "Cancelled", reason: "too slow" })
      given(TaskStatus.running)
        .when(rollbackStarted(purposes.request), recovered, poisoned, rollbackStarted(purposes.retry), rolledBack)
        .thenIs(TaskStatus.running)
    })
  })
})
