import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  Clock,
  Data,
  Duration,
  Effect,
  Exit,
  Fiber,
  Option,
  Random,
  Schedule,
  ScheduleDecision,
  ScheduleInterval,
  TestClock
} from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, StageStatus, type TaskIO } from "effect-checkmate"
import type { StageDefectError } from "effect-checkmate/CheckMateError"
import { logged } from "../support/logs.ts"
import {
  Boom,
  engineOver,
  failing,
  inMemory,
  Ledger,
  makeStore,
  Numbers,
  until,
  withAppends
} from "../support/pipelines.ts"

/** One stage that fails `times` times with ascending status, then passes; it notes the clock at every attempt. */
const flaky = (
  times: number,
  retry: Schedule.Schedule<unknown, Boom>,
  options: { readonly rollback?: boolean } = {}
) => {
  const at: Array<number> = []
  const ledger = new Ledger()
  const execute = Effect.gen(function*() {
    at.push(yield* Clock.currentTimeMillis)
    if (at.length <= times) return yield* new Boom({ stage: "flaky", status: 500 + at.length })
    return { a: at.length }
  })
  const definition = CheckMate.make("flaky", {
    state: Numbers,
    input: [],
    stages: [
      options.rollback === true
        ? Stage.make(Numbers, "flaky", {
          provides: ["a"],
          retry,
          execute: () => execute,
          rollback: () => ledger.note("undo")
        })
        : Stage.make(Numbers, "flaky", { provides: ["a"], retry, execute: () => execute })
    ]
  })
  return { at, ledger, definition }
}

/** A Schedule that names a time for two retries. */
const twiceAfter = (time: number) =>
  Schedule.makeWithState(0, (_now: number, _failure: Boom, count) =>
    Effect.succeed([
      count + 1,
      count,
      count < 2 ? ScheduleDecision.continueWith(ScheduleInterval.after(time)) : ScheduleDecision.done
    ]))

const settle = Effect.repeatN(Effect.yieldNow(), 20)

/** Moves the clock in small steps, so that every sleep on the way ends at its own time. */
const pass = (duration: Duration.DurationInput) =>
  Effect.gen(function*() {
    yield* settle
    const whole = Duration.toMillis(duration)
    const step = Math.max(100, whole / 60)
    for (let left = whole; left > 0; left -= step) {
      yield* TestClock.adjust(Math.min(step, left))
      yield* settle
    }
  })

/** Runs in an engine whose process then dies without a word: its fiber hangs for ever, and its lock is gone. */
const inProcessThatDies = <A, E>(
  store: TaskIO.Encoded,
  program: Effect.Effect<A, E, CheckMateEngine.CheckMateEngine>,
  after: Duration.DurationInput
) =>
  Effect.gen(function*() {
    const process = { dead: false }
    const hang = <B, E2>(effect: Effect.Effect<B, E2>) =>
      Effect.suspend(() => process.dead ? Effect.uninterruptible(Effect.never) : effect)
    const mortal = withAppends(store, hang)
    yield* Effect.forkDaemon(Effect.provide(program, engineOver(mortal)))
    yield* pass(after)
    process.dead = true
  })

/** A failure of which the journal keeps only a likeness. */
class Rich extends Data.TaggedError("Rich")<{
  readonly cause: { readonly code: string }
  readonly tags: ReadonlySet<string>
  readonly at: Date
  readonly hint: Option.Option<string>
}> {}

const rich = () =>
  new Rich({
    cause: Object.assign(new Error("reset"), { code: "ECONNRESET" }),
    tags: new Set(["network"]),
    at: new Date(0),
    hint: Option.some("again")
  })

const fourTimes = Schedule.spaced("100 millis").pipe(Schedule.intersect(Schedule.recurs(3)))

/** Runs a task of one stage. */
type Run = (taskId: string) => Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>

/** A stage that fails for ever. */
const failsFor = <E>(ledger: Ledger, looks: (error: E) => boolean, failure: () => E): Run => {
  const stage = Stage.make(Numbers, "fails", {
    retry: Schedule.whileInput(fourTimes, looks),
    execute: () => Effect.zipRight(ledger.note("run"), Effect.failSync(failure))
  })
  const definition = CheckMate.make("fails", { state: Numbers, input: [], stages: [stage] })
  return (taskId) => CheckMateEngine.run(definition, { taskId, input: {} })
}

/** A stage that dies for ever, or interrupts itself. */
const diesFor = (ledger: Ledger, looks: (error: StageDefectError) => boolean, death: Effect.Effect<never>): Run => {
  const stage = Stage.make(Numbers, "dies", {
    retryDefects: true,
    retry: Schedule.whileInput(fourTimes, looks),
    execute: () => Effect.zipRight(ledger.note("run"), death)
  })
  const definition = CheckMate.make("dies", { state: Numbers, input: [], stages: [stage] })
  return (taskId) => CheckMateEngine.run(definition, { taskId, input: {} })
}

const typeError = Effect.die(new TypeError("not a function"))

describe("retry", () => {
  it.effect("follows the stage's own Schedule, and rolls each failed attempt back before the next", () =>
    inMemory(Effect.gen(function*() {
      const { at, definition, ledger } = flaky(
        3,
        Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(5))),
        { rollback: true }
      )
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* pass("1 second")
      expect(yield* Fiber.join(fiber)).toEqual({ a: 4 })
      expect(at).toEqual([0, 100, 300, 700])
      expect(ledger.entries).toEqual(["undo", "undo", "undo"])
    })))

  it.effect("logs what failed and when it is tried again, and nothing of what is given up", () =>
    Effect.gen(function*() {
      const { definition } = flaky(9, Schedule.spaced("1 minute").pipe(Schedule.intersect(Schedule.recurs(1))))
      const lines = yield* logged(inMemory(Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} })))
        yield* pass("1 minute")
        yield* Fiber.join(fiber)
      })))
      expect(lines).toEqual([
        expect.stringMatching(
          /^WARN attempt=1 stage=flaky task=t flaky failed and is tried again at 1970-01-01T00:01:00.000Z: Boom {"stage":"flaky","status":501}$/
        )
      ])
    }))

  it.effect("is due at once, and no earlier, where a Schedule names a time that is past", () =>
    inMemory(Effect.gen(function*() {
      const past = twiceAfter(0)
      yield* TestClock.adjust("1 minute")
      const { at, definition } = flaky(2, past)
      yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })
      expect(at).toEqual([60_000, 60_000, 60_000])
      const { history } = yield* CheckMateEngine.get("t")
      const next = history.flatMap((event) => event._tag === "AttemptFailed" ? [event.next] : [])
      expect(next).toMatchObject([
        { _tag: "Retry", dueAt: { epochMillis: 60_000 } },
        { _tag: "Retry", dueAt: { epochMillis: 60_000 } }
      ])
    })))

  it.effect("is due at once, also that of a rollback, where a Schedule names what is no time", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const { at, definition } = flaky(2, twiceAfter(Number.NaN))
      yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })
      expect(at).toEqual([0, 0, 0])
      const undone = CheckMate.make("undone", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "undone", {
            execute: () => Effect.void,
            rollback: () =>
              Effect.zipRight(
                ledger.note("undo"),
                Effect.suspend(() =>
                  ledger.count("undo") < 3 ? new Boom({ stage: "undone", status: 503 }) : Effect.void
                )
              ),
            rollbackRetry: twiceAfter(Number.NaN)
          })
        ]
      })
      yield* CheckMateEngine.run(undone, { taskId: "u", input: {} })
      yield* CheckMateEngine.rollback(undone, "u")
      expect(ledger.count("undo")).toBe(3)
    })))

  it.effect("comes no earlier than at a time between two milliseconds, which its Schedule would name again", () =>
    inMemory(Effect.gen(function*() {
      const { at, definition } = flaky(3, Schedule.fixed(Duration.millis(33.3)))
      const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* Effect.repeatN(
        Effect.zipRight(
          settle,
          Effect.flatMap(TestClock.sleeps(), (sleeps) => TestClock.setTime(Math.min(...sleeps)))
        ),
        2
      )
      yield* Fiber.join(fiber)
      expect(at).toEqual([0, 34, 67, 100])
    })))

  it.effect("gives up with the stage's own failure when the Schedule is done", () =>
    inMemory(Effect.gen(function*() {
      const { at, definition } = flaky(9, Schedule.recurs(2))
      const error = yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(error).toMatchObject({ _tag: "Boom", status: 503 })
      expect(at).toHaveLength(3)
      const { stages } = yield* CheckMateEngine.get("t")
      expect(stages[0]).toMatchObject({ attempts: 3, status: { _tag: "Failed" } })
    })))

  it.effect("shows the Schedule the typed failure", () =>
    inMemory(Effect.gen(function*() {
      const { at, definition } = flaky(9, Schedule.recurWhile((boom: Boom) => boom.status < 502))
      expect(yield* Effect.flip(CheckMateEngine.run(definition, { taskId: "t", input: {} }))).toMatchObject({
        status: 502
      })
      expect(at).toHaveLength(2)
    })))

  it.effect("starts the Schedule afresh when a task that gave up is run again", () =>
    inMemory(Effect.gen(function*() {
      const { at, definition } = flaky(4, Schedule.recurs(2))
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })).toEqual({ a: 5 })
      expect(at).toHaveLength(5)
    })))

  it.effect("journals attempts made and the next due time", () =>
    inMemory(Effect.gen(function*() {
      const { definition } = flaky(1, Schedule.spaced("1 minute"))
      yield* Effect.fork(CheckMateEngine.run(definition, { taskId: "t", input: {} }))
      yield* pass("20 millis")
      const { stages } = yield* CheckMateEngine.get("t")
      const status = stages[0]?.status ?? StageStatus.pending
      expect(status._tag === "Waiting" && status.dueAt.epochMillis).toBe(60_000)
    })))

  for (
    const [name, schedule, expected] of [
      ["exponential", Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(4))), [
        0,
        100,
        300,
        700,
        1500
      ]],
      ["bounded in number", Schedule.spaced("100 millis").pipe(Schedule.intersect(Schedule.recurs(2))), [0, 100, 200]],
      ["bounded in time", Schedule.spaced("200 millis").pipe(Schedule.upTo("500 millis")), [0, 200, 400, 600]],
      [
        "dependent on its input",
        Schedule.spaced("100 millis").pipe(Schedule.whileInput((boom: Boom) => boom.status < 504)),
        [0, 100, 200, 300]
      ],
      ["fibonacci", Schedule.fibonacci("100 millis").pipe(Schedule.intersect(Schedule.recurs(3))), [0, 100, 200, 400]]
    ] as const
  ) {
    it.effect(`promise 6: a Schedule that is ${name} goes on after a crash as if there had been none`, () =>
      Effect.gen(function*() {
        const straight = flaky(9, schedule)
        yield* Effect.fork(Effect.exit(inMemory(CheckMateEngine.run(straight.definition, { taskId: "t", input: {} }))))
        yield* pass("3 seconds")
        expect(straight.at).toEqual(expected)

        // The same again, in a process that dies while it waits, and another that takes over.
        for (const death of [50, 150, 250].filter((time) => time < (expected.at(-1) ?? 0))) {
          const start = yield* Clock.currentTimeMillis
          const crashed = flaky(9, schedule)
          const store = yield* makeStore
          const program = CheckMateEngine.run(crashed.definition, { taskId: "t", input: {} })
          yield* inProcessThatDies(store, program, death)
          yield* Effect.fork(Effect.exit(Effect.provide(program, engineOver(store, BindLock.layerMemory))))
          yield* pass("3 seconds")
          expect(crashed.at.map((time) => time - start)).toEqual(expected)
        }
      }))
  }

  it.effect("promise 6: a Schedule that takes its time to answer goes on after a restart as if there had been none", () =>
    Effect.forEach(
      [[], ["500 millis"], ["500 millis", "1300 millis"]] as const,
      (lives) =>
        inMemory(Effect.gen(function*() {
          const start = yield* Clock.currentTimeMillis
          const { at, definition } = flaky(
            3,
            Schedule.fixed("1 second").pipe(Schedule.tapInput(() => Effect.sleep("300 millis")))
          )
          const run = Effect.fork(Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: {} })))
          for (const life of lives) {
            const process = yield* run
            yield* pass(life)
            yield* Fiber.interrupt(process)
          }
          yield* run
          yield* pass("4 seconds")
          expect(at.map((time) => time - start)).toEqual([0, 1_000, 2_000, 3_000])
        }))
    ))

  it.effect("promise 6: a jittered Schedule keeps the due time it drew, and its number of attempts", () =>
    Effect.gen(function*() {
      const schedule = Schedule.spaced("1 second").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(2)))
      const { at, definition } = flaky(9, schedule)
      const store = yield* makeStore
      const program = CheckMateEngine.run(definition, { taskId: "t", input: {} })
      yield* Effect.withRandom(inProcessThatDies(store, program, "100 millis"), Random.make("one seed"))
      const due = yield* Effect.provide(
        Effect.map(CheckMateEngine.get("t"), ({ stages }) => {
          const status = stages[0]?.status ?? StageStatus.pending
          return status._tag === "Waiting" ? status.dueAt.epochMillis : 0
        }),
        engineOver(store)
      )
      expect(due).toBeGreaterThanOrEqual(800)
      const fiber = yield* Effect.fork(
        Effect.exit(Effect.withRandom(Effect.provide(program, engineOver(store)), Random.make("another seed")))
      )
      yield* pass("4 seconds")
      expect(Exit.isFailure(yield* Fiber.join(fiber))).toBe(true)
      expect(at).toHaveLength(3)
      expect(at[1]).toBeGreaterThanOrEqual(due)
      expect(at[1]).toBeLessThan(due + 101)
    }))

  it.effect("a retry does not wait for a clock that was ahead of this one: for no longer than its whole delay", () =>
    Effect.gen(function*() {
      const { at, definition } = flaky(1, Schedule.spaced("1 minute"))
      const store = yield* makeStore
      const program = CheckMateEngine.run(definition, { taskId: "t", input: {} })
      yield* TestClock.setTime(Duration.toMillis("3 hours"))
      yield* inProcessThatDies(store, program, "10 seconds")
      yield* TestClock.setTime(0)
      const fiber = yield* Effect.fork(Effect.exit(Effect.provide(program, engineOver(store))))
      yield* pass("2 minutes")
      expect(Option.isSome(yield* Fiber.poll(fiber))).toBe(true)
      expect(at).toEqual([Duration.toMillis("3 hours"), Duration.toMillis("1 minute")])
    }))

  for (const fails of [0, 1]) {
    it.effect(`an attempt that was cut off, after ${fails} that failed, is made again at once, though the clock was ahead as it was undone`, () =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const fail = failing({ a: fails })
        const run = (work: Effect.Effect<void>) => {
          const stage = Stage.make(Numbers, "slow to undo", {
            execute: () => Effect.zipRight(fail("a"), Effect.zipRight(ledger.note("run"), work)),
            rollback: () =>
              Effect.when(
                Effect.zipRight(ledger.note("undo"), Effect.sleep("1 minute")),
                () => ledger.count("run") > 0
              ),
            retry: Schedule.recurs(1)
          })
          return CheckMateEngine.run(CheckMate.make("cut off", { state: Numbers, input: [], stages: [stage] }), {
            taskId: "t",
            input: {}
          })
        }
        const store = yield* makeStore
        yield* TestClock.setTime(Duration.toMillis("3 hours"))
        const cutOff = yield* Effect.fork(Effect.provide(run(Effect.never), engineOver(store)))
        yield* until(() => ledger.count("run") === 1)
        const ending = yield* Effect.fork(Fiber.interrupt(cutOff))
        yield* until(() => ledger.count("undo") === 1)
        yield* Effect.repeatN(Effect.yieldNow(), 50)
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(ending)
        yield* TestClock.setTime(0)
        const again = yield* Effect.fork(Effect.provide(run(Effect.void), engineOver(store)))
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        expect(ledger.count("run")).toBe(2)
        expect(Exit.isSuccess(yield* Fiber.await(again))).toBe(true)
      }))
  }

  it.effect("a Schedule is shown of a failure whose process is gone all that was kept: name, stack, every cause, and no Error of what was none", () =>
    inMemory(Effect.gen(function*() {
      const cause = new Error("middle", { cause: Object.assign(new Error("inner"), { code: "ECONNRESET" }) })
      const failures = {
        error: Object.assign(new Error("outer", { cause }), { _tag: "Odd", name: "Own" }),
        plain: { _tag: "Plain", name: "own" }
      }
      for (const [taskId, failure] of Object.entries(failures)) {
        const seen: Array<unknown> = []
        const shown = Schedule.tapInput(Schedule.spaced("1 minute"), (input) => Effect.sync(() => seen.push(input)))
        const stage = Stage.make(Numbers, "fails", { retry: shown, execute: () => Effect.fail(failure) })
        const definition = CheckMate.make("shown", { state: Numbers, input: [], stages: [stage] })
        for (const minutes of [0, 1]) {
          const fiber = yield* Effect.fork(CheckMateEngine.run(definition, { taskId, input: {} }))
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          yield* TestClock.adjust(`${minutes} minutes`)
          yield* Effect.repeatN(Effect.yieldNow(), 100)
          yield* Fiber.interrupt(fiber)
        }
        expect(seen[1] instanceof Error).toBe(failure instanceof Error)
        expect(seen[1]).toMatchObject(
          failure instanceof Error
            ? {
              name: "Own",
              stack: failure.stack,
              cause: { message: "middle", cause: { message: "inner", code: "ECONNRESET" } }
            }
            : failure
        )
      }
    })))

  for (
    const [name, make] of [
      ["an error's cause", (ledger) => failsFor(ledger, (error) => error.cause.code === "ECONNRESET", rich)],
      ["a Set", (ledger) => failsFor(ledger, (error) => error.tags.has("network"), rich)],
      ["a Date", (ledger) => failsFor(ledger, (error) => error.at.getTime() === 0, rich)],
      ["an Option", (ledger) => failsFor(ledger, (error) => Option.isSome(error.hint), rich)],
      ["a bigint", (ledger) => failsFor(ledger, (error) => error % 2n === 0n, () => 4n)],
      ["an instance", (ledger) => failsFor(ledger, (error) => error instanceof Rich, rich)],
      [
        "what an error does",
        (ledger) => failsFor(ledger, (error) => error.isTransient(), () => ({ isTransient: () => true }))
      ],
      [
        "a defect",
        (ledger) =>
          diesFor(ledger, ({ defect }) => defect instanceof Error && defect.message.includes("function"), typeError)
      ],
      [
        "what a defect does",
        (ledger) => diesFor(ledger, ({ defect }) => (defect as URL).searchParams.has("x"), Effect.die(new URL("x:?x")))
      ],
      ["an interruption", (ledger) => diesFor(ledger, ({ message }) => message.includes("died"), Effect.interrupt)]
    ] satisfies ReadonlyArray<readonly [string, (ledger: Ledger) => Run]>
  ) {
    it.effect(`promise 6: a Schedule that looks at ${name} counts on after each of three restarts`, () =>
      inMemory(Effect.gen(function*() {
        const straight = new Ledger()
        yield* Effect.fork(Effect.exit(make(straight)("straight")))
        yield* pass("1 second")
        expect(straight.entries).toHaveLength(4)

        const ledger = new Ledger()
        const program = make(ledger)("t")
        for (const restart of [1, 2, 3]) {
          const process = yield* Effect.fork(program)
          yield* pass(restart === 1 ? "50 millis" : "100 millis")
          expect(ledger.entries).toHaveLength(restart)
          yield* Fiber.interrupt(process)
        }
        const last = yield* Effect.fork(Effect.exit(program))
        yield* pass("1 second")
        expect(Exit.isFailure(yield* Fiber.join(last))).toBe(true)
        expect(ledger.entries).toHaveLength(4)
      })))
  }

  for (
    const [name, make, shown] of [
      ...["text", "", 503, -1.5, Number.POSITIVE_INFINITY, 12n, true, false, null, undefined].map((failure) =>
        [
          `a ${typeof failure}, ${String(failure)},`,
          (looks: (error: unknown) => boolean) => failsFor<unknown>(new Ledger(), looks, () => failure),
          failure
        ] as const
      ),
      [
        "an error with its cause",
        (looks: (error: unknown) => boolean) => failsFor<unknown>(new Ledger(), looks, rich),
        expect.objectContaining({
          _tag: "Rich",
          name: "Rich",
          stack: expect.stringContaining("Rich"),
          cause: expect.objectContaining({ code: "ECONNRESET", message: "reset" })
        })
      ],
      [
        "a defect",
        (looks: (error: unknown) => boolean) => diesFor(new Ledger(), looks, typeError),
        expect.objectContaining({
          _tag: "StageDefectError",
          taskId: "t",
          stage: "dies",
          attempt: 1,
          message: expect.stringContaining("not a function"),
          defect: expect.objectContaining({ name: "TypeError" })
        })
      ],
      [
        "an interruption",
        (looks: (error: unknown) => boolean) => diesFor(new Ledger(), looks, Effect.interrupt),
        expect.objectContaining({
          _tag: "StageDefectError",
          defect: expect.objectContaining({ _tag: "InterruptedException" })
        })
      ]
    ] as const
  ) {
    it.effect(`shows the Schedule ${name} of an earlier process as it was`, () =>
      inMemory(Effect.gen(function*() {
        const seen: Array<unknown> = []
        const looks = (error: unknown) => seen.push(error) > 0
        const program = make(looks)("t")
        const process = yield* Effect.fork(program)
        yield* pass("50 millis")
        yield* Fiber.interrupt(process)
        yield* Effect.fork(Effect.exit(program))
        yield* pass("100 millis")
        // In the first process, of that one in the second, and there.
        expect(seen).toEqual([shown, shown, name === "a defect" ? expect.objectContaining({ attempt: 2 }) : shown])
      })))
  }

  it.effect("gives up where the Schedule dies over a failure of an earlier process and over the one at hand", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      let looked = 0
      const program = failsFor(ledger, () => {
        if (++looked > 1) throw new Error("a bug")
        return true
      }, rich)("t")
      const process = yield* Effect.fork(program)
      yield* pass("50 millis")
      yield* Fiber.interrupt(process)
      const run = yield* Effect.fork(Effect.flip(program))
      yield* pass("1 second")
      expect(yield* Fiber.join(run)).toMatchObject({ _tag: "Rich" })
      expect(ledger.entries).toHaveLength(2)
    })))

  it.effect("a defect is not retried, unless the stage asks for it", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const seen: Array<string> = []
      const dying = (retryDefects: boolean) =>
        CheckMate.make("dying", {
          state: Numbers,
          input: [],
          stages: [
            Stage.make(Numbers, "dies", {
              retryDefects,
              retry: Schedule.recurs(2).pipe(Schedule.tapInput((error: { readonly _tag: string }) =>
                Effect.sync(() => {
                  seen.push(error._tag)
                })
              )),
              execute: () => Effect.zipRight(ledger.note("run"), Effect.die(new Error("a bug")))
            })
          ]
        })
      const once = yield* Effect.exit(CheckMateEngine.run(dying(false), { taskId: "once", input: {} }))
      expect(Exit.isFailure(once) && once.cause.toString()).toContain("a bug")
      expect(ledger.entries).toHaveLength(1)
      yield* Effect.exit(CheckMateEngine.run(dying(true), { taskId: "thrice", input: {} }))
      expect(ledger.entries).toHaveLength(4)
      expect(seen).toEqual(["StageDefectError", "StageDefectError", "StageDefectError"])
    })))

  it.effect("a time-out interrupts the attempt, and is a typed failure the Schedule sees", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const seen: Array<unknown> = []
      const slow = CheckMate.make("slow", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "slow", {
            timeout: "1 second",
            retry: Schedule.recurs(1).pipe(Schedule.tapInput((error: { readonly _tag: string }) =>
              Effect.sync(() => {
                seen.push(error._tag)
              })
            )),
            execute: () => Effect.onInterrupt(Effect.never, () => ledger.note("interrupted"))
          })
        ]
      })
      const fiber = yield* Effect.fork(Effect.flip(CheckMateEngine.run(slow, { taskId: "t", input: {} })))
      yield* pass("2500 millis")
      const error = yield* Fiber.join(fiber)
      expect(error).toMatchObject({ _tag: "StageTimeoutError", taskId: "t", stage: "slow", attempt: 2 })
      expect(String(error)).toContain("1s")
      expect(ledger.entries).toEqual(["interrupted", "interrupted"])
      expect(seen).toEqual(["StageTimeoutError", "StageTimeoutError"])
    })))

  it.effect("a time-out may be longer than a timer can, or for ever", () =>
    inMemory(Effect.gen(function*() {
      for (const timeout of [Duration.days(30), Duration.infinity]) {
        const ledger = new Ledger()
        const gate = yield* Effect.makeLatch()
        const slow = CheckMate.make("slow", {
          state: Numbers,
          input: [],
          stages: [
            Stage.make(Numbers, "slow", {
              timeout,
              execute: () =>
                Effect.zipRight(ledger.note("run"), Effect.onInterrupt(gate.await, () => ledger.note("interrupted")))
            })
          ]
        })
        const taskId = `t${String(Duration.isFinite(timeout))}`
        const run = () => CheckMateEngine.run(slow, { taskId, input: {} })
        const fiber = yield* Effect.fork(Effect.exit(run()))
        yield* until(() => ledger.count("run") === 1)
        yield* settle
        const now = yield* Clock.currentTimeMillis
        const timers = Chunk.map(yield* TestClock.sleeps(), (due) => due - now)
        expect(Math.max(...timers)).toBeLessThanOrEqual(2 ** 31 - 1)
        yield* TestClock.adjust("29 days")
        expect(ledger.entries).toEqual(["run"])
        if (Duration.isFinite(timeout)) {
          yield* TestClock.adjust("1 day")
          expect(yield* Effect.flip(Effect.flatten(Fiber.join(fiber)))).toMatchObject({ _tag: "StageTimeoutError" })
          expect(ledger.entries).toEqual(["run", "interrupted"])
        } else {
          yield* Fiber.interrupt(fiber)
          expect(ledger.entries).toEqual(["run", "interrupted"])
        }
        yield* gate.open
        expect(yield* run()).toEqual({})
      }
    })))

  it.effect("the idempotency key is stable over attempts, and new once a rollback has run", () =>
    inMemory(Effect.gen(function*() {
      const keys: Array<string> = []
      const attempts: Array<number> = []
      const keyed = (rollback?: () => Effect.Effect<void>) =>
        CheckMate.make("keyed", {
          state: Numbers,
          input: [],
          stages: [
            Stage.make(Numbers, "keyed", {
              retry: Schedule.recurs(1),
              execute: () =>
                Effect.gen(function*() {
                  const { attempt, idempotencyKey } = yield* Stage.Context
                  keys.push(idempotencyKey)
                  attempts.push(attempt)
                  if (attempts.length === 1) return yield* new Boom({ stage: "keyed", status: 500 })
                }),
              ...(rollback === undefined ? {} : { rollback })
            })
          ]
        })
      yield* CheckMateEngine.run(keyed(), { taskId: "t", input: {} })
      yield* CheckMateEngine.rollback(keyed(), "t")
      yield* CheckMateEngine.run(keyed(), { taskId: "t", input: {} })
      expect(attempts).toEqual([1, 2, 3])
      expect(keys).toEqual(["t/keyed", "t/keyed", "t/keyed/1"])
      attempts.length = 0
      keys.length = 0
      yield* CheckMateEngine.run(keyed(() => Effect.void), { taskId: "u", input: {} })
      expect(keys).toEqual(["u/keyed", "u/keyed/1"])
    })))

  it.effect("the idempotency key of no stage is another one's, whatever their names", () =>
    inMemory(Effect.gen(function*() {
      const keys: Array<string> = []
      const noted = Effect.map(Stage.Context, ({ idempotencyKey }) => {
        keys.push(idempotencyKey)
      })
      const failsOnce = failing({ a: 1 })
      const definition = CheckMate.make("named", {
        state: Numbers,
        input: [],
        stages: [
          Stage.make(Numbers, "a", {
            retry: Schedule.recurs(1),
            execute: () => Effect.zipRight(noted, failsOnce("a")),
            rollback: () => Effect.void
          }),
          Stage.make(Numbers, "a/1", { execute: () => noted }),
          Stage.make(Numbers, "a%2F1", { execute: () => noted })
        ]
      })
      yield* CheckMateEngine.run(definition, { taskId: "t", input: {} })
      expect(keys).toEqual(["t/a", "t/a/1", "t/a%2F1", "t/a%252F1"])
    })))
})
