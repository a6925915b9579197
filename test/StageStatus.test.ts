import { describe, expect, it } from "@effect/vitest"
import { DateTime, FastCheck, Schema } from "effect"
import { StageStatus } from "effect-checkmate"
import type { Failure } from "effect-checkmate/Failure"
import { tagsOf, valuesOf } from "./support/arbitraries.ts"
import { journeys } from "./support/givenWhenThen.ts"

// --- the model ----------------------------------------------------------------
// Every status and every event by name, told apart as far as they lead to different places; by status and event,
// the status that follows. What is not in the table is illegal.

const model: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "Pending": { "StageStarted": "Running" },
  "Running": {
    "StageSucceeded": "Succeeded",
    "AttemptFailed, then Retry": "Undoing, then Retry",
    "AttemptFailed, then Resume": "Undoing, then Resume",
    "AttemptFailed, then GiveUp": "Undoing, then GiveUp"
  },
  "Undoing, then Retry": {
    "AttemptUndone": "Waiting",
    "StageRollbackFailed": "RollbackFailed in Undoing, then Retry"
  },
  "Undoing, then Resume": {
    "AttemptUndone": "Waiting",
    "StageRollbackFailed": "RollbackFailed in Undoing, then Resume"
  },
  "Undoing, then GiveUp": {
    "AttemptUndone": "Failed",
    "StageRollbackFailed": "RollbackFailed in Undoing, then GiveUp"
  },
  "Waiting": { "StageStarted": "Running" },
  "Failed": { "StageStarted": "Running" },
  "Succeeded": { "StageRollbackStarted": "RollingBack" },
  "RollingBack": { "StageRolledBack": "RolledBack", "StageRollbackFailed": "RollbackFailed in RollingBack" },
  "RolledBack": { "StageStarted": "Running" },
  "RollbackFailed in Undoing, then Retry": { "StageRollbackStarted": "Undoing, then Retry" },
  "RollbackFailed in Undoing, then Resume": { "StageRollbackStarted": "Undoing, then Resume" },
  "RollbackFailed in Undoing, then GiveUp": { "StageRollbackStarted": "Undoing, then GiveUp" },
  "RollbackFailed in RollingBack": { "StageRollbackStarted": "RollingBack" }
}

const nameOfStatus = (status: StageStatus.StageStatus): string =>
  status._tag === "Undoing"
    ? `Undoing, then ${status.next._tag}`
    : status._tag === "RollbackFailed"
    ? `RollbackFailed in ${nameOfStatus(status.interrupted)}`
    : status._tag

const nameOfEvent = (event: StageStatus.Event): string =>
  event._tag === "AttemptFailed" ? `AttemptFailed, then ${event.next._tag}` : event._tag

const follows = (status: StageStatus.StageStatus, event: StageStatus.Event): string | undefined =>
  model[nameOfStatus(status)]?.[nameOfEvent(event)]

// --- one of each ----------------------------------------------------------------

const time = (minute: number) => DateTime.unsafeMake(Date.UTC(2026, 0, 1, 0, minute))
const failureOf = (message: string): Failure => ({ kind: "Failure", tag: "HttpError", message })

const retry: StageStatus.Decision = { _tag: "Retry", dueAt: time(60) }
const resume: StageStatus.Decision = { _tag: "Resume" }
const giveUp: StageStatus.Decision = { _tag: "GiveUp" }

const started = (attempt: number, minute = attempt): typeof StageStatus.StageStarted.Type => ({
  _tag: "StageStarted",
  at: time(minute),
  stage: "index",
  attempt
})
const succeeded: typeof StageStatus.StageSucceeded.Type = {
  _tag: "StageSucceeded",
  at: time(9),
  stage: "index",
  output: { indexed: 3 }
}
const attemptFailed = (next: StageStatus.Decision, message = "503"): typeof StageStatus.AttemptFailed.Type => ({
  _tag: "AttemptFailed",
  at: time(10),
  stage: "index",
  failure: failureOf(message),
  next
})
const attemptUndone: typeof StageStatus.AttemptUndone.Type = { _tag: "AttemptUndone", at: time(11), stage: "index" }
const rollbackStarted: typeof StageStatus.StageRollbackStarted.Type = {
  _tag: "StageRollbackStarted",
  at: time(12),
  stage: "index"
}
const rolledBack: typeof StageStatus.StageRolledBack.Type = { _tag: "StageRolledBack", at: time(13), stage: "index" }
const rollbackFailed: typeof StageStatus.StageRollbackFailed.Type = {
  _tag: "StageRollbackFailed",
  at: time(14),
  stage: "index",
  failure: failureOf("disk full")
}

const events: ReadonlyArray<StageStatus.Event> = [
  started(1),
  succeeded,
  attemptFailed(retry),
  attemptFailed(resume),
  attemptFailed(giveUp),
  attemptUndone,
  rollbackStarted,
  rolledBack,
  rollbackFailed
]

const undoing = (next: StageStatus.Decision): typeof StageStatus.Undoing.Type => ({
  _tag: "Undoing",
  attempt: 1,
  failure: failureOf("503"),
  next
})
const brokenIn = (
  interrupted: typeof StageStatus.RollbackFailed.Type["interrupted"]
): typeof StageStatus.RollbackFailed.Type => ({
  _tag: "RollbackFailed",
  attempt: 1,
  failure: failureOf("disk full"),
  interrupted
})

const statuses: ReadonlyArray<StageStatus.StageStatus> = [
  StageStatus.pending,
  { _tag: "Running", attempt: 1, startedAt: time(1) },
  undoing(retry),
  undoing(resume),
  undoing(giveUp),
  { _tag: "Waiting", attempt: 1, failure: failureOf("503"), dueAt: time(60) },
  { _tag: "Failed", attempt: 1, failure: failureOf("503") },
  { _tag: "Succeeded", attempt: 1, finishedAt: time(9) },
  { _tag: "RollingBack", attempt: 1 },
  { _tag: "RolledBack", attempt: 1 },
  brokenIn(undoing(retry)),
  brokenIn(undoing(resume)),
  brokenIn(undoing(giveUp)),
  brokenIn({ _tag: "RollingBack", attempt: 1 })
]

const sequences = FastCheck.array(valuesOf(StageStatus.Event), { maxLength: 60, size: "max" })

/** `transition` for callers whose compiler knows nothing. */
const looseTransition = StageStatus.transition as (
  status: StageStatus.StageStatus,
  event: StageStatus.Event
) => StageStatus.StageStatus

describe("StageStatus", () => {
  describe("the table of transitions", () => {
    it("is held against a model that knows every status and every event", () => {
      expect(new Set(statuses.map(nameOfStatus))).toEqual(new Set(Object.keys(model)))
      expect(new Set(statuses.map((status) => status._tag))).toEqual(tagsOf(StageStatus.StageStatus))
      expect(new Set(events.map((event) => event._tag))).toEqual(tagsOf(StageStatus.Event))
    })

    for (const status of statuses) {
      const row = model[nameOfStatus(status)] ?? {}
      it(`in ${nameOfStatus(status)} allows ${Object.keys(row).join("; ")}, and nothing else`, () => {
        const allowed = events.flatMap((event) => {
          const next = StageStatus.step(status, event)
          return next === undefined ? [] : [[nameOfEvent(event), nameOfStatus(next)]]
        })
        expect(Object.fromEntries(allowed)).toEqual(row)
      })
    }

    it("moves a stage the same way where the compiler knows the status and where it does not", () => {
      let legal = 0
      for (const status of statuses) {
        for (const event of events) {
          const next = StageStatus.step(status, event)
          if (next === undefined) continue
          legal++
          expect(looseTransition(status, event)).toEqual(next)
        }
      }
      expect(legal).toBe(Object.values(model).flatMap(Object.keys).length)
    })

    it.prop(
      "agrees with the model for whatever a status and an event hold, and never throws",
      { status: valuesOf(StageStatus.StageStatus), event: valuesOf(StageStatus.Event) },
      ({ event, status }) => {
        const next = StageStatus.step(status, event)
        expect(next === undefined ? undefined : nameOfStatus(next)).toBe(follows(status, event))
        if (next !== undefined) expect(looseTransition(status, event)).toEqual(next)
      },
      { timeout: 30_000, fastCheck: { numRuns: 1000 } }
    )

    it.prop(
      "agrees with the model along every sequence of events; an event that is illegal in a status leaves no status behind",
      { sequence: sequences },
      ({ sequence }) => {
        let status: StageStatus.StageStatus = StageStatus.pending
        let name = "Pending"
        for (const event of sequence) {
          const before = JSON.stringify(status)
          const expected: string | undefined = model[name]?.[nameOfEvent(event)]
          const next = StageStatus.step(status, event)
          expect(next === undefined ? undefined : nameOfStatus(next)).toBe(expected)
          expect(JSON.stringify(status)).toBe(before)
          if (next === undefined || expected === undefined) continue
          status = next
          name = expected
        }
      },
      { timeout: 30_000, fastCheck: { numRuns: 200 } }
    )

    it.prop(
      "yields statuses that their schema accepts, and that tell the attempt and the failure that led there",
      { sequence: sequences },
      ({ sequence }) => {
        const isStatus = Schema.is(StageStatus.StageStatus)
        let status: StageStatus.StageStatus = StageStatus.pending
        let attempt: number | undefined
        let failed: StageStatus.Event | undefined
        let broken: StageStatus.Event | undefined
        for (const event of sequence) {
          const next: StageStatus.StageStatus | undefined = StageStatus.step(status, event)
          if (next === undefined) continue
          status = next
          if (event._tag === "StageStarted") attempt = event.attempt
          if (event._tag === "AttemptFailed") failed = event
          if (event._tag === "StageRollbackFailed") broken = event
          expect(isStatus(status)).toBe(true)
          expect("attempt" in status ? status.attempt : undefined).toBe(attempt)
          if (status._tag === "RollbackFailed") {
            expect(status.failure).toBe(broken && "failure" in broken && broken.failure)
          } else if ("failure" in status) expect(status.failure).toBe(failed && "failure" in failed && failed.failure)
        }
      },
      { timeout: 30_000, fastCheck: { numRuns: 200 } }
    )

    it("has no place for statuses and events of no known name", () => {
      const names = ["", "Nonsense", "pending", "constructor", "toString", "hasOwnProperty", "__proto__"]
      const strange = names.map((_tag) => ({ ...attemptFailed(retry), _tag }))
      for (const other of strange) {
        for (const status of statuses) expect(StageStatus.step(status, other as never)).toBeUndefined()
        for (const event of events) expect(StageStatus.step(other as never, event)).toBeUndefined()
        for (const event of strange) expect(StageStatus.step(other as never, event as never)).toBeUndefined()
      }
    })
  })

  describe("the journeys of a stage", () => {
    const { given } = journeys(StageStatus.step)
    const running = (attempt: number): StageStatus.StageStatus => ({
      _tag: "Running",
      attempt,
      startedAt: time(attempt)
    })

    it("success: given a stage that has not run, when an attempt returns, then it stands as succeeded for good", () => {
      given(StageStatus.pending)
        .when(started(1))
        .thenIs(running(1))
        .when(succeeded)
        .thenIs({ _tag: "Succeeded", attempt: 1, finishedAt: time(9) })
        .thenRefuses(started(2), succeeded, attemptFailed(retry), attemptUndone)
    })

    it("failure and retry: given a failed attempt, when it is undone, then the next one begins only after that", () => {
      given(StageStatus.pending)
        .when(started(1), attemptFailed(retry))
        .thenIs(undoing(retry))
        .thenRefuses(started(2))
        .when(attemptUndone)
        .thenIs({ _tag: "Waiting", attempt: 1, failure: failureOf("503"), dueAt: time(60) })
        .when(started(2))
        .thenIs(running(2))
        .when(succeeded)
        .thenIs({ _tag: "Succeeded", attempt: 2, finishedAt: time(9) })
    })

    it("failure and giving up: given no retry left, when the attempt is undone, then it is failed until it is started anew", () => {
      given(StageStatus.pending)
        .when(started(1), attemptFailed(giveUp), attemptUndone)
        .thenIs({ _tag: "Failed", attempt: 1, failure: failureOf("503") })
        .thenRefuses(succeeded, attemptUndone, rollbackStarted)
        .when(started(2))
        .thenIs(running(2))
    })

    it("crash and resume: given a dead attempt, when it is undone, then the next attempt is due at once", () => {
      given(StageStatus.pending)
        .when(started(1))
        .thenRefuses(started(2))
        .when(attemptFailed(resume, "the process died"), attemptUndone)
        .thenIs({ _tag: "Waiting", attempt: 1, failure: failureOf("the process died"), dueAt: attemptUndone.at })
        .when(started(2), succeeded)
        .thenIs({ _tag: "Succeeded", attempt: 2, finishedAt: time(9) })
    })

    it("rollback: given a success, when it is rolled back, then the stage can run anew", () => {
      given(StageStatus.pending)
        .when(started(1), succeeded, rollbackStarted)
        .thenIs({ _tag: "RollingBack", attempt: 1 })
        .thenRefuses(started(2), rollbackStarted)
        .when(rolledBack)
        .thenIs({ _tag: "RolledBack", attempt: 1 })
        .thenRefuses(rolledBack, rollbackStarted)
        .when(started(2))
        .thenIs(running(2))
    })

    it("a rollback that fails and is resumed: given RollbackFailed, when it is tried again, then it is rolling back", () => {
      given(StageStatus.pending)
        .when(started(1), succeeded, rollbackStarted, rollbackFailed)
        .thenIs(brokenIn({ _tag: "RollingBack", attempt: 1 }))
        .thenRefuses(started(2), rolledBack, attemptUndone)
        .when(rollbackStarted)
        .thenIs({ _tag: "RollingBack", attempt: 1 })
        .when(rollbackFailed)
        .thenIs(brokenIn({ _tag: "RollingBack", attempt: 1 }))
        .when(rollbackStarted, rolledBack)
        .thenIs({ _tag: "RolledBack", attempt: 1 })
    })

    it("an attempt's own rollback that fails and is resumed: what was decided for the attempt still holds", () => {
      for (const [next, after] of [[retry, "Waiting"], [resume, "Waiting"], [giveUp, "Failed"]] as const) {
        const end = given(StageStatus.pending)
          .when(started(1), attemptFailed(next), rollbackFailed)
          .thenIs(brokenIn(undoing(next)))
          .thenRefuses(started(2), rolledBack, attemptUndone)
          .when(rollbackStarted)
          .thenIs(undoing(next))
          .thenRefuses(rolledBack)
          .when(attemptUndone)
        expect(StageStatus.step(undoing(next), attemptUndone)?._tag).toBe(after)
        end.when(started(2), succeeded).thenIs({ _tag: "Succeeded", attempt: 2, finishedAt: time(9) })
      }
    })

    it("cancel and pause: given an interrupted attempt, then the stage waits until somebody goes on", () => {
      given(StageStatus.pending)
        .when(started(1), attemptFailed(resume, "interrupted"), attemptUndone)
        .thenIs({ _tag: "Waiting", attempt: 1, failure: failureOf("interrupted"), dueAt: attemptUndone.at })
        .when(started(2))
        .thenIs(running(2))
    })
  })
})
