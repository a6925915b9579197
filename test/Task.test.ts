import { describe, expect, it } from "@effect/vitest"
import { Chunk, DateTime, Either, FastCheck, HashMap, Option, Schema } from "effect"
import { type StageStatus, Task, TaskEvent, type TaskStatus } from "effect-checkmate"
import type { Failure } from "effect-checkmate/Failure"
import { valuesOf } from "./support/arbitraries.ts"
import { histories, type Step } from "./support/histories.ts"

// --- telling a history ------------------------------------------------------------

type Event = TaskEvent.TaskEvent
type Untimed = Event extends infer E ? E extends Event ? Omit<E, "at"> : never : never

const minutes = (count: number) => DateTime.unsafeMake(Date.UTC(2026, 0, 1) + count * 60_000)
const failureOf = (message: string): Failure => ({ kind: "Failure", tag: "HttpError", message })

const begun: Untimed = {
  _tag: "TaskStarted",
  checkMate: "ingest",
  stages: ["scan", "chunk"],
  input: { folder: "./docs" },
  tags: ["nightly"],
  memo: "for the search team"
}
const started = (stage: string, attempt = 1): Untimed => ({ _tag: "StageStarted", stage, attempt })
const succeeded = (stage: string, output: Record<string, unknown> = {}): Untimed => ({
  _tag: "StageSucceeded",
  stage,
  output
})
const attemptFailed = (stage: string, next: StageStatus.Decision, message = "503"): Untimed => ({
  _tag: "AttemptFailed",
  stage,
  failure: failureOf(message),
  next
})
const attemptUndone = (stage: string): Untimed => ({ _tag: "AttemptUndone", stage })
const stageRollback = (stage: string): Untimed => ({ _tag: "StageRollbackStarted", stage })
const stageRolledBack = (stage: string): Untimed => ({ _tag: "StageRolledBack", stage })
const resumed = (recovered = false, stages = ["scan", "chunk"]): Untimed => ({ _tag: "TaskResumed", stages, recovered })
const rollback = (purpose: TaskStatus.Purpose): Untimed => ({ _tag: "TaskRollbackStarted", purpose })
const overridden = (attributes: Record<string, unknown>): Untimed => ({ _tag: "AttributesOverridden", attributes })
const retry: StageStatus.Decision = { _tag: "Retry", dueAt: minutes(60) }
const resume: StageStatus.Decision = { _tag: "Resume" }
const giveUp: StageStatus.Decision = { _tag: "GiveUp" }

/** The history, one minute between its events. */
const told = (...events: ReadonlyArray<Untimed>): ReadonlyArray<Event> =>
  events.map((event, index) => ({ ...event, at: minutes(index) }) as Event)

const folded = (events: Iterable<Event>): Task.Task => Option.getOrThrow(Either.getOrThrow(Task.fold("docs", events)))

const after = (...events: ReadonlyArray<Untimed>): Task.Task => folded(told(begun, ...events))

const refusal = (...events: ReadonlyArray<Untimed>) =>
  Either.getOrThrow(Either.flip(Task.fold("docs", told(...events))))

/** What a fold came to, in a form to compare. */
const shown = (task: Task.Task) => ({
  ...task,
  attributes: Task.state(task),
  stages: HashMap.toEntries(task.stages).sort(([left], [right]) => left < right ? -1 : 1).map(([, record]) => ({
    ...record,
    before: Task.toRecord(record.before),
    retries: Chunk.toReadonlyArray(record.retries)
  }))
})

/** Any events whatever, after a beginning: illegal ones are passed over. */
const walk = (events: ReadonlyArray<Event>, check: (task: Task.Task, legal: ReadonlyArray<Event>) => void) => {
  const legal: Array<Event> = [...told(begun)]
  let task = folded(legal)
  for (const event of events) {
    const next = Task.evolve("docs", task, event)
    if (Either.isLeft(next)) continue
    legal.push(event)
    task = next.right
    check(task, legal)
  }
}

/** Any events, of few stages, so that many are legal. */
const wild = FastCheck.array(
  FastCheck.tuple(valuesOf(TaskEvent.TaskEvent), FastCheck.constantFrom("scan", "chunk")).map(([event, stage]) =>
    "stage" in event ? { ...event, stage } : event
  ),
  { maxLength: 80, size: "max" }
)

const whole = (steps: ReadonlyArray<Step>) => steps.flatMap(({ events }) => events)

describe("Task", () => {
  describe("the fold", () => {
    it("tells of no task where the journal is empty", () => {
      expect(Task.fold("docs", [])).toEqual(Either.right(Option.none()))
    })

    it("begins with what the task was started with", () => {
      const task = after()
      expect(task).toMatchObject({
        id: "docs",
        checkMate: "ingest",
        status: { _tag: "Running" },
        definition: ["scan", "chunk"],
        succeeded: 0,
        tags: ["nightly"],
        memo: Option.some("for the search team"),
        current: Option.none(),
        createdAt: minutes(0),
        updatedAt: minutes(0),
        takenUpAt: minutes(0),
        recoveries: 0,
        position: 1
      })
      expect(Task.state(task)).toEqual({ folder: "./docs" })
      expect(Task.stages(task)).toEqual([Task.untouched("scan"), Task.untouched("chunk")])
    })

    it("adds what a stage provides to the state once it has succeeded, and not before", () => {
      expect(Task.state(after(started("scan")))).toEqual({ folder: "./docs" })
      const task = after(started("scan"), succeeded("scan", { files: ["a.md"] }))
      expect(Task.state(task)).toEqual({ folder: "./docs", files: ["a.md"] })
      expect(Task.stage(task, "scan")).toMatchObject({
        status: { _tag: "Succeeded", attempt: 1, finishedAt: minutes(2) },
        attempts: 1,
        output: { files: ["a.md"] },
        startedAt: Option.some(minutes(1)),
        finishedAt: Option.some(minutes(2))
      })
      expect(task.succeeded).toBe(1)
      expect(task.current).toEqual(Option.some("scan"))
      expect(task.updatedAt).toEqual(minutes(2))
    })

    it("tells when the latest attempt of a stage began and ended", () => {
      const [none, some] = [Option.none(), (count: number) => Option.some(minutes(count))]
      const first = [started("scan"), attemptFailed("scan", retry), attemptUndone("scan")]
      expect(Task.stage(after(...first), "scan")).toMatchObject({ startedAt: some(1), finishedAt: some(2) })
      const second = [...first, started("scan", 2)]
      expect(Task.stage(after(...second), "scan")).toMatchObject({ startedAt: some(4), finishedAt: none })
      const ended = after(...second, succeeded("scan"))
      expect(Task.stage(ended, "scan")).toMatchObject({ startedAt: some(4), finishedAt: some(5) })
    })

    it("lets attributes given anew override the persisted ones, and leaves the others", () => {
      const task = after(
        started("scan"),
        succeeded("scan", { files: ["a.md"] }),
        resumed(),
        overridden({ files: ["b.md"], limit: null })
      )
      expect(Task.state(task)).toEqual({ folder: "./docs", files: ["b.md"], limit: null })
      expect(task.given).toEqual({ folder: "./docs", files: ["b.md"], limit: null })
      expect(Task.toRecord(Task.stage(task, "scan").before)).toEqual({ folder: "./docs" })
    })

    it("goes on with the stages of the definition that took it up last", () => {
      const task = after(started("scan"), resumed(true, ["scan", "chunk", "index"]))
      expect(task.definition).toEqual(["scan", "chunk", "index"])
      expect(Task.stages(task).map(({ name }) => name)).toEqual(["scan", "chunk", "index"])
      expect(task.takenUpAt).toEqual(minutes(2))
      expect(after(started("scan"), resumed(true), { _tag: "TaskPaused" }).takenUpAt).toEqual(minutes(2))
    })
  })

  describe("rollback", () => {
    it("restores the attributes to what stood before the stage", () => {
      const task = after(
        started("scan"),
        succeeded("scan", { files: ["a.md"], folder: "/docs" }),
        rollback({ _tag: "Request" }),
        stageRollback("scan")
      )
      expect(Task.state(task)).toEqual({ folder: "/docs", files: ["a.md"] })
      const done = Either.getOrThrow(Task.evolve("docs", task, { ...stageRolledBack("scan"), at: minutes(9) } as Event))
      expect(Task.state(done)).toEqual({ folder: "./docs" })
      expect(Task.stage(done, "scan")).toMatchObject({ status: { _tag: "RolledBack" }, round: 1 })
      expect(Task.stage(done, "scan").output).toEqual({})
      expect(done.succeeded).toBe(0)
    })

    it("gives an attribute that two stages provide back to the first when the second is rolled back", () => {
      const both = [
        started("scan"),
        succeeded("scan", { files: ["a.md"], size: 1 }),
        started("chunk"),
        succeeded("chunk", { files: ["a.md", "b.md"], chunks: 2 })
      ]
      expect(Task.state(after(...both))).toEqual({ folder: "./docs", files: ["a.md", "b.md"], size: 1, chunks: 2 })
      const second = [rollback({ _tag: "Retry", from: "chunk" }), stageRollback("chunk"), stageRolledBack("chunk")]
      expect(Task.state(after(...both, ...second))).toEqual({ folder: "./docs", files: ["a.md"], size: 1 })
      expect(after(...both, ...second, stageRollback("scan")).current).toEqual(Option.some("scan"))
      const first = [stageRollback("scan"), stageRolledBack("scan")]
      expect(Task.state(after(...both, ...second, ...first))).toEqual({ folder: "./docs" })
    })

    it("keeps attributes that a caller overrode and the stage had not provided", () => {
      const task = after(
        started("scan"),
        succeeded("scan", { files: ["a.md"] }),
        { _tag: "TaskPaused" },
        resumed(),
        overridden({ folder: "/other" }),
        rollback({ _tag: "Request" }),
        stageRollback("scan"),
        stageRolledBack("scan")
      )
      expect(Task.state(task)).toEqual({ folder: "/other" })
    })

    it("takes back what a caller gave since for an attribute that the stage had provided", () => {
      const task = after(
        started("scan"),
        succeeded("scan", { folder: "/docs" }),
        { _tag: "TaskPaused" },
        resumed(),
        overridden({ folder: "/other" }),
        rollback({ _tag: "Retry", from: "scan" }),
        stageRollback("scan"),
        stageRolledBack("scan")
      )
      expect(Task.state(task)).toEqual({ folder: "./docs" })
      expect(task.given).toEqual({ folder: "/other" })
    })

    it("leaves the state alone where only an attempt is undone, or a rollback fails", () => {
      const undone = after(started("scan"), attemptFailed("scan", giveUp), attemptUndone("scan"))
      expect(Task.state(undone)).toEqual({ folder: "./docs" })
      const broken = after(
        started("scan"),
        succeeded("scan", { files: ["a.md"] }),
        rollback({ _tag: "Request" }),
        stageRollback("scan"),
        { _tag: "StageRollbackFailed", stage: "scan", failure: failureOf("disk full") },
        { _tag: "TaskRollbackFailed", stage: "scan", failure: failureOf("disk full") }
      )
      expect(Task.state(broken)).toEqual({ folder: "./docs", files: ["a.md"] })
      expect(broken.status).toMatchObject({ _tag: "RollbackFailed", stage: "scan" })
      expect(Task.stage(broken, "scan").status._tag).toBe("RollbackFailed")
      expect(Task.stage(broken, "scan").round).toBe(0)
    })

    it("begins a new round whenever work of the stage was rolled back, an attempt's or a success, and else none", () => {
      const round = [started("scan"), succeeded("scan"), stageRollback("scan"), stageRolledBack("scan")]
      const failed = [started("scan"), attemptFailed("scan", giveUp), attemptUndone("scan")]
      const undone = [...failed.slice(0, 2), { ...attemptUndone("scan"), rolledBack: true as const }]
      expect(Task.stage(after(...failed, ...failed), "scan").round).toBe(0)
      expect(Task.stage(after(...failed, ...undone, ...failed, ...undone), "scan").round).toBe(2)
      expect(Task.stage(after(...round), "scan").round).toBe(1)
      expect(Task.stage(after(...round, ...failed, ...round), "scan").round).toBe(2)
    })
  })

  describe("retries", () => {
    const once = (attempt: number, message: string) => [
      started("scan", attempt),
      attemptFailed("scan", retry, message),
      attemptUndone("scan")
    ]
    const messages = (task: Task.Task) =>
      Chunk.toReadonlyArray(Task.stage(task, "scan").retries).map(({ failure }) => failure.message)

    it("are kept over waiting, with the failure and its time, so that the Schedule's position survives", () => {
      const task = after(...once(1, "first"), ...once(2, "second"))
      expect(Chunk.toReadonlyArray(Task.stage(task, "scan").retries)).toEqual([
        { at: minutes(2), attempt: 1, failure: failureOf("first") },
        { at: minutes(5), attempt: 2, failure: failureOf("second") }
      ])
      expect(messages(after(...once(1, "first"), started("scan", 2)))).toEqual(["first"])
      expect(Task.stage(task, "scan").attempts).toBe(2)
    })

    it("do not count crashes and interruptions, which no Schedule answered", () => {
      const crash = [started("scan", 2), attemptFailed("scan", resume, "crash"), attemptUndone("scan")]
      expect(messages(after(...once(1, "first"), ...crash, ...once(3, "second")))).toEqual(["first", "second"])
    })

    it("are cleared when the stage begins afresh: after it was given up, and after it was rolled back", () => {
      const gaveUp = [started("scan", 2), attemptFailed("scan", giveUp, "last"), attemptUndone("scan")]
      expect(messages(after(...once(1, "first"), ...gaveUp))).toEqual(["first"])
      expect(messages(after(...once(1, "first"), ...gaveUp, started("scan", 3)))).toEqual([])
      const undone = [started("scan", 2), succeeded("scan"), stageRollback("scan"), stageRolledBack("scan")]
      expect(messages(after(...once(1, "first"), ...undone, started("scan", 3)))).toEqual([])
    })
  })

  describe("a stage that waits for its next attempt", () => {
    const waits = [started("scan"), attemptFailed("scan", retry), attemptUndone("scan")]
    const statusAfter = (...events: ReadonlyArray<Untimed>) => Task.stage(after(...waits, ...events), "scan").status

    it("has failed once the task is cancelled, as nothing tries it again", () => {
      expect(statusAfter()._tag).toBe("Waiting")
      expect(statusAfter({ _tag: "TaskCancelled" })).toEqual({
        _tag: "Failed",
        attempt: 1,
        failure: failureOf("503")
      })
    })

    it("begins anew once the task is rolled back, also after it was cancelled", () => {
      const rolledBack = [rollback({ _tag: "Retry", from: "scan" }), { _tag: "TaskRolledBack" }] as const
      expect(statusAfter(...rolledBack)._tag).toBe("Pending")
      const anew = [...waits, { _tag: "TaskCancelled" } as const, ...rolledBack, started("scan", 2)]
      const { retries, status } = Task.stage(after(...anew), "scan")
      expect(status._tag).toBe("Running")
      expect(Chunk.toReadonlyArray(retries)).toEqual([])
    })

    it("keeps waiting where the task is paused", () => {
      expect(statusAfter({ _tag: "TaskPaused" })._tag).toBe("Waiting")
    })
  })

  describe("recoveries", () => {
    const crash = (attempt: number) => [
      started("scan", attempt),
      resumed(true),
      attemptFailed("scan", resume, "crash"),
      attemptUndone("scan")
    ]

    it("count each time the task was taken up after a crash in the middle of its work", () => {
      expect(after(...crash(1)).recoveries).toBe(1)
      expect(after(...crash(1), ...crash(2), ...crash(3)).recoveries).toBe(3)
      expect(after(...crash(1), resumed(false)).recoveries).toBe(1)
    })

    it("begin at none again once the task got anywhere: a stage succeeded or was rolled back, or somebody steered", () => {
      expect(after(...crash(1), started("scan", 2), succeeded("scan")).recoveries).toBe(0)
      expect(
        after(started("scan"), succeeded("scan"), rollback({ _tag: "Request" }), resumed(true)).recoveries
      ).toBe(1)
      expect(
        after(
          started("scan"),
          succeeded("scan"),
          rollback({ _tag: "Request" }),
          resumed(true),
          { _tag: "TaskLeft" },
          resumed(false)
        ).recoveries
      ).toBe(1)
      expect(
        after(
          started("scan"),
          succeeded("scan"),
          rollback({ _tag: "Request" }),
          stageRollback("scan"),
          resumed(true),
          stageRolledBack("scan")
        ).recoveries
      ).toBe(0)
      expect(after(...crash(1), rollback({ _tag: "Request" })).recoveries).toBe(0)
      expect(after(...crash(1), { _tag: "TaskPaused" }, resumed(false)).recoveries).toBe(0)
      const stuck = [
        started("scan", 2),
        attemptFailed("scan", giveUp),
        { _tag: "StageRollbackFailed", stage: "scan", failure: failureOf("busy") },
        { _tag: "TaskRollbackFailed", stage: "scan", failure: failureOf("busy") }
      ] satisfies ReadonlyArray<Untimed>
      expect(after(...crash(1), ...stuck).recoveries).toBe(1)
      expect(after(...crash(1), ...stuck, { _tag: "TaskRollbackResumed" }, resumed(false)).recoveries).toBe(0)
    })

    it("go by whether the last engine let go of the task in order, and no earlier one", () => {
      const leftOnce = [started("scan"), attemptFailed("scan", retry), { _tag: "TaskLeft" }] satisfies ReadonlyArray<
        Untimed
      >
      expect(after(...leftOnce.slice(0, 2)).left).toBe(false)
      expect(after(...leftOnce).left).toBe(true)
      expect(after(...leftOnce, resumed(false)).left).toBe(false)
    })

    it("do not begin at none again because an attempt failed", () => {
      const failing = [started("scan", 2), attemptFailed("scan", retry), attemptUndone("scan")]
      expect(after(...crash(1), ...failing).recoveries).toBe(1)
    })
  })

  describe("what must not be", () => {
    it("is refused with subject, status, event and position: a stage's event", () => {
      const error = refusal(begun, started("scan"), started("chunk"), succeeded("scan"), attemptUndone("scan"))
      expect(error).toMatchObject({
        _tag: "InvalidTransitionError",
        taskId: "docs",
        subject: "stage \"scan\"",
        status: "Succeeded",
        event: "AttemptUndone",
        position: 4
      })
      expect(error.message).toContain(
        "Event AttemptUndone at position 4 of task \"docs\" is illegal: stage \"scan\" is Succeeded"
      )
    })

    it("is refused with subject, status, event and position: a task's event", () => {
      expect(refusal(begun, { _tag: "TaskSucceeded" }, { _tag: "TaskPaused" })).toMatchObject({
        _tag: "InvalidTransitionError",
        taskId: "docs",
        subject: "the task",
        status: "Succeeded",
        event: "TaskPaused",
        position: 2
      })
    })

    it("is refused: a second beginning, and anything before the first", () => {
      expect(refusal(begun, begun)).toMatchObject({
        subject: "the task",
        status: "Running",
        event: "TaskStarted",
        position: 1
      })
      for (const first of [resumed(), started("scan"), overridden({})]) {
        expect(refusal(first)).toMatchObject({
          subject: "the task",
          status: "not started",
          event: first._tag,
          position: 0
        })
      }
    })

    it("is refused: whatever a stage does or a caller overrides in a task that is not running", () => {
      const failure = failureOf("503")
      const overs: ReadonlyArray<ReadonlyArray<Untimed>> = [
        [{ _tag: "TaskPaused" }],
        [{ _tag: "TaskSucceeded" }],
        [{ _tag: "TaskCancelled" }],
        [{ _tag: "TaskFailed", stage: "scan", failure }],
        [{ _tag: "TaskPoisoned", stage: "scan", recoveries: 5 }],
        [rollback({ _tag: "Request" }), { _tag: "TaskRolledBack" }],
        [rollback({ _tag: "Request" }), { _tag: "TaskRollbackFailed", stage: "scan", failure }]
      ]
      for (const over of overs) {
        const { _tag: status } = after(...over).status
        for (const event of [started("scan"), overridden({ folder: "./other" })]) {
          expect(refusal(begun, ...over, event)).toMatchObject({ subject: "the task", status, event: event._tag })
        }
      }
    })

    it("is refused: a stage that begins, goes well or finds its state overridden while the task is rolled back", () => {
      const rollingBack = [begun, started("scan"), rollback({ _tag: "Request" })]
      for (const event of [started("chunk"), succeeded("scan"), overridden({ folder: "./other" })]) {
        expect(refusal(...rollingBack, event)).toMatchObject({
          subject: "the task",
          status: "RollingBack",
          event: event._tag
        })
      }
      // What an earlier process left behind is undone first.
      const undone = folded(told(...rollingBack, attemptFailed("scan", giveUp), attemptUndone("scan")))
      expect(Task.stage(undone, "scan").status._tag).toBe("Failed")
    })

    it.prop("leaves the task as it was", { events: wild }, ({ events }) => {
      let task = after(started("scan"))
      for (const event of events) {
        const before = JSON.stringify(shown(task))
        const next = Task.evolve("docs", task, event)
        expect(JSON.stringify(shown(task))).toBe(before)
        if (Either.isRight(next)) task = next.right
        else {
          expect(next.left).toMatchObject({ taskId: "docs", event: event._tag, position: task.position })
        }
      }
    })
  })

  describe("over all histories that an engine can write", () => {
    it("tries histories with every event", () => {
      const events = FastCheck.sample(histories, { numRuns: 100, seed: 1 }).flatMap(whole)
      const never = ["AttributesOverridden", "TaskCancelled", "TaskLeft", "TaskPaused", "TaskPoisoned"]
      expect(new Set([...events.map((event) => event._tag), ...never]).size).toBe(TaskEvent.TaskEvent.members.length)
    })

    it.prop(
      "tells status, state, successes, attempts, rounds, retries and recoveries as they were",
      { steps: histories },
      ({ steps }) => {
        let task: Task.Task | undefined
        let count = 0
        for (const { events, expected } of steps) {
          for (const event of events) {
            task = Either.getOrThrow(Task.evolve("docs", task, event))
            expect(task.position).toBe(++count)
            expect(task.updatedAt).toEqual(event.at)
          }
          const records = Task.stages(task!)
          const nonzero = (count: (record: Task.StageRecord) => number) =>
            Object.fromEntries(records.map((record) => [record.name, count(record)]).filter(([, value]) => value !== 0))
          const kept = (counts: Readonly<Record<string, number>>) =>
            Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0))
          expect({
            status: task!.status._tag,
            state: Task.state(task!),
            succeeded: records.filter(({ status }) => status._tag === "Succeeded").map(({ name }) => name),
            recoveries: task!.recoveries,
            attempts: nonzero(({ attempts }) => attempts),
            rounds: nonzero(({ round }) => round),
            retries: nonzero(({ retries }) => Chunk.size(retries))
          }).toEqual({
            ...expected,
            attempts: kept(expected.attempts),
            rounds: kept(expected.rounds),
            retries: kept(expected.retries)
          })
          expect(task!.succeeded).toBe(expected.succeeded.length)
        }
      },
      { timeout: 30_000, fastCheck: { numRuns: 300 } }
    )

    it.prop(
      "comes to the same in pieces, from the journal's text, and at once",
      { steps: histories, cut: FastCheck.nat() },
      ({ cut, steps }) => {
        const events = whole(steps)
        const at = cut % (events.length + 1)
        const first = Either.getOrThrow(Task.fold("docs", events.slice(0, at)))
        const pieces = events.slice(at).reduce<Task.Task | undefined>(
          (task, event) =>
            Either.getOrThrow(
              Task.evolve("docs", task, Either.getOrThrow(TaskEvent.decode("docs", 0, TaskEvent.encode(event))))
            ),
          Option.getOrUndefined(first)
        )
        expect(shown(pieces!)).toEqual(shown(folded(events)))
      }
    )
  })

  describe("over all events there are", () => {
    it.prop(
      "counts as succeeded just the stages that stand so, and as position the events",
      { events: wild },
      ({ events }) => {
        walk(events, (task, legal) => {
          const standing = HashMap.reduce(task.stages, 0, (n, { status }) => n + Number(status._tag === "Succeeded"))
          expect(task.succeeded).toBe(standing)
          expect(task.position).toBe(legal.length)
        })
      },
      { timeout: 30_000, fastCheck: { numRuns: 300 } }
    )

    it.prop("comes to the same in pieces and at once", { events: wild }, ({ events }) => {
      let last: readonly [Task.Task, ReadonlyArray<Event>] | undefined
      walk(events, (task, legal) => {
        last = [task, legal]
      })
      if (last === undefined) return
      const [task, legal] = last
      expect(shown(task)).toEqual(shown(folded(legal)))
      const half = Math.ceil(legal.length / 2)
      const rest = Task.fold("docs", legal.slice(half), Option.some(folded(legal.slice(0, half))))
      expect(shown(Option.getOrThrow(Either.getOrThrow(rest)))).toEqual(shown(task))
    })

    it.prop("never goes back in what it counts", { events: wild }, ({ events }) => {
      let rounds = 0
      walk(events, (task) => {
        const now = HashMap.reduce(task.stages, 0, (sum, { round }) => sum + round)
        expect(now).toBeGreaterThanOrEqual(rounds)
        expect(task.recoveries).toBeGreaterThanOrEqual(0)
        rounds = now
      })
    })
  })

  describe("summaries", () => {
    it("show what a list shows of a task", () => {
      const stages = ["scan", "chunk", "index"]
      const task = after(started("scan"), succeeded("scan", { files: [] }), resumed(false, stages), started("chunk"))
      expect(Task.summarize(task)).toStrictEqual({
        taskId: "docs",
        checkMate: "ingest",
        status: "Running",
        stage: "chunk",
        succeeded: 1,
        stages: 3,
        tags: ["nightly"],
        memo: "for the search team",
        createdAt: minutes(0),
        updatedAt: minutes(4)
      })
    })

    it("leave out a stage and a memo where there are none", () => {
      const { memo: _, ...plain } = begun as Extract<Untimed, { readonly _tag: "TaskStarted" }>
      const summary = Task.summarize(folded(told(plain)))
      expect(Object.keys(summary)).not.toContain("memo")
      expect(Object.keys(summary)).not.toContain("stage")
    })

    it.prop("survive being written and read", { steps: histories }, ({ steps }) => {
      const summary = Task.summarize(folded(whole(steps)))
      const text = JSON.stringify(Schema.encodeSync(Task.Summary)(summary))
      expect(Schema.decodeUnknownSync(Task.Summary)(JSON.parse(text))).toEqual(summary)
      expect(summary.succeeded).toBeLessThanOrEqual(summary.stages)
    })
  })
})
