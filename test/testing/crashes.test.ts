import { describe, expect, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Data,
  DateTime,
  Deferred,
  Effect,
  Fiber,
  Layer,
  Option,
  Ref,
  Schedule,
  Schema,
  Stream
} from "effect"
import { CheckMate, CheckMateEngine, Stage, State, type TaskIO } from "effect-checkmate"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { Crashes, Faults } from "effect-checkmate/testing"
import { abc, Boom, failing, Ledger, Numbers } from "../support/pipelines.ts"

const Order = State.make({ item: Schema.String, reserved: Schema.Boolean, total: Schema.Number })

/** What is outside: a bank that charges again when it is asked again. */
class Bank {
  charged = 0
  refunded = 0
  static readonly open = Effect.sync(() => new Bank())
}

const reserve = Stage.make(Order, "reserve", {
  requires: ["item"],
  provides: ["reserved"],
  execute: () => Effect.succeed({ reserved: true })
})

const order = (bank: Bank, undo: boolean) =>
  CheckMate.make("order", {
    state: Order,
    input: ["item"],
    stages: [
      reserve,
      Stage.make(Order, "charge", {
        requires: ["reserved"],
        provides: ["total"],
        execute: () =>
          Effect.sync(() => {
            bank.charged += 1
            return { total: bank.charged - bank.refunded }
          }),
        ...(undo
          ? {
            rollback: () =>
              Effect.sync(() => {
                bank.refunded = bank.charged
              })
          }
          : {})
      })
    ]
  })

const input = { item: "tea" }

describe("Crashes.explore", () => {
  it.effect("finds nothing wrong with a pipeline that undoes what it did", () =>
    Effect.gen(function*() {
      const explored = yield* Crashes.explore((bank: Bank) => order(bank, true), {
        input,
        before: Bank.open,
        invariant: ({ world: bank }) => Effect.sync(() => expect(bank.charged - bank.refunded).toBe(1)),
        random: { count: 20, seed: "tea", most: 5 }
      })
      expect(explored.smallest).toEqual(Option.none())
      // Three writes: six cuts, and as many as there are writes left for each of those.
      expect(explored.runs).toBeGreaterThan(1 + 6 + 20 + 6)
    }))

  it.effect("finds the smallest story of one that does not, and tells it", () =>
    Effect.gen(function*() {
      const { cuts, runs, smallest } = yield* Crashes.explore((bank: Bank) => order(bank, false), {
        input,
        before: Bank.open
      })
      const story = Option.getOrThrow(smallest)
      expect(story.cuts).toEqual([
        { write: 3, when: "before", events: ["StageSucceeded charge", "TaskSucceeded"] }
      ])
      expect([cuts, runs]).toEqual([5, 6])
      expect(story.text).toBe([
        "CheckMate \"order\": it ends otherwise in state.total, when its process dies once.",
        "Process 1:",
        "  write 1: TaskStarted, StageStarted reserve",
        "  write 2: StageSucceeded reserve, StageStarted charge",
        "  write 3: StageSucceeded charge, TaskSucceeded (died before it)",
        "Process 2 went on:",
        "  write 1: TaskResumed, AttemptFailed charge, AttemptUndone charge, StageStarted charge",
        "  write 2: StageSucceeded charge, TaskSucceeded",
        "  and returned",
        "Expected: {\"program\":\"returned\",\"status\":\"Succeeded\",\"state\":{\"item\":\"tea\",\"reserved\":true,\"total\":1}}",
        "Found:    {\"program\":\"returned\",\"status\":\"Succeeded\",\"state\":{\"item\":\"tea\",\"reserved\":true,\"total\":2}}",
        "If that is another each time, as a time or a random number is, leave it out by outcome: (ending) => "
        + "Crashes.outcomeOf(ending, { without: [\"total\"] })"
      ].join("\n"))
    }))

  it.effect("a story tells whose writes those of another task are", () =>
    Effect.gen(function*() {
      const inner = CheckMate.make("inner", {
        state: Numbers,
        input: ["seed"],
        stages: [Stage.make(Numbers, "in", { execute: () => Effect.void })]
      })
      const outer = CheckMate.make("outer", {
        state: Numbers,
        input: ["seed"],
        stages: [
          Stage.make(Numbers, "out", {
            execute: () =>
              Effect.asVoid(CheckMateEngine.run(inner, { taskId: "inside", input: { seed: 1 }, whenBound: "wait" }))
          })
        ]
      })
      const { smallest } = yield* Crashes.explore(outer, { input: { seed: 1 }, invariant: () => Effect.succeed(false) })
      expect(Option.getOrThrow(smallest).text).toContain([
        "  write 1: TaskStarted, StageStarted out",
        "  write 2 of task inside: TaskStarted, StageStarted in",
        "  write 3 of task inside: StageSucceeded in, TaskSucceeded",
        "  write 4: StageSucceeded out, TaskSucceeded"
      ].join("\n"))
    }))

  it.effect("finds a story that takes two deaths, and one that takes more by making it smaller", () =>
    Effect.gen(function*() {
      // Begins to do harm with its nth attempt.
      const fragile = (patience: number) => (ledger: Ledger) =>
        CheckMate.make("fragile", {
          state: Numbers,
          input: ["seed"],
          stages: [
            Stage.make(Numbers, "a", {
              requires: ["seed"],
              provides: ["a"],
              execute: () => Effect.map(ledger.note("run a"), () => ({ a: ledger.count("run a") > patience ? 666 : 1 }))
            })
          ]
        })
      const options = { input: { seed: 1 }, before: Effect.sync(() => new Ledger()) }
      const twice = yield* Crashes.explore(fragile(2), options)
      expect(Option.getOrThrow(twice.smallest).cuts.map(({ when, write }) => `${when} ${write}`)).toEqual([
        "before 2",
        "before 2"
      ])
      const random = { count: 200, seed: 7, most: 10 }
      const often = yield* Crashes.explore(fragile(3), { ...options, random })
      const { cuts, text } = Option.getOrThrow(often.smallest)
      expect(cuts.map(({ when, write }) => `${when} ${write}`)).toEqual(Array.from({ length: 3 }, () => "before 2"))
      expect(text).toContain("when its processes die 3 times in a row")
      // The same seed tells the same.
      expect(yield* Crashes.explore(fragile(3), { ...options, random })).toEqual(often)
      expect((yield* Crashes.explore(fragile(2), { ...options, pairs: false })).smallest).toEqual(Option.none())
    }))

  it.effect("waits for backoffs and time-outs by a clock of its own, where the earlier comes first", () =>
    Effect.gen(function*() {
      const slow = (ledger: Ledger) =>
        CheckMate.make("slow", {
          state: Numbers,
          input: ["seed"],
          stages: [
            Stage.make(Numbers, "a", {
              requires: ["seed"],
              provides: ["a"],
              timeout: "1 minute",
              retry: Schedule.exponential("10 seconds").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(9))),
              execute: ({ seed }) =>
                Effect.gen(function*() {
                  yield* ledger.note("run a")
                  // The first takes too long, the second fails, all others take nearly as long as they may.
                  if (ledger.count("run a") === 1) return yield* Effect.never
                  if (ledger.count("run a") === 2) return yield* new Boom({ stage: "a", status: 503 })
                  yield* Effect.sleep("59 seconds")
                  return { a: seed + 1 }
                })
            }),
            Stage.make(Numbers, "b", {
              provides: ["b"],
              execute: () => Effect.map(Clock.currentTimeMillis, (now) => ({ b: now > 60_000 + 59_000 ? 1 : 0 }))
            })
          ]
        })
      const { runs } = yield* Crashes.verify(slow, {
        input: { seed: 1 },
        before: Effect.sync(() => new Ledger()),
        outcome: ({ exit, task }) => [exit._tag, task.status._tag],
        invariant: ({ world: ledger }) => Effect.sync(() => expect(ledger.count("run a")).toBeLessThan(6))
      })
      expect(runs).toBeGreaterThan(30)
    }))

  it.effect("leaves out of what is compared what is another after each death", () =>
    Effect.gen(function*() {
      const runs = (calls: Ref.Ref<number>) =>
        CheckMate.make("stamped", {
          state: Numbers,
          input: ["seed"],
          stages: [
            Stage.make(Numbers, "a", {
              provides: ["a"],
              execute: () => Effect.map(Ref.updateAndGet(calls, (n) => n + 1), (a) => ({ a }))
            }),
            Stage.make(Numbers, "b", { provides: ["b"], execute: () => Effect.succeed({ b: 2 }) })
          ]
        })
      const options = { input: { seed: 1 }, before: Ref.make(0) }
      expect(yield* Effect.flip(Crashes.verify(runs, options))).toMatchObject({
        problem: "it ends otherwise in state.a"
      })
      const { cuts } = yield* Crashes.verify(runs, {
        ...options,
        outcome: (ending) => Crashes.outcomeOf(ending, { without: ["a"] })
      })
      expect(cuts).toBeGreaterThan(10)
      // What is left still counts.
      const lost = yield* Effect.flip(Crashes.verify(runs, {
        ...options,
        outcome: (ending) => Crashes.outcomeOf(ending, { without: ["b"] })
      }))
      expect(lost).toMatchObject({ problem: "it ends otherwise in state.a" })
    }))

  it.effect("follows a rollback through, with onFailure: \"rollback\"", () =>
    Crashes.verify((ledger: Ledger) => abc(ledger, { onFailure: "rollback", fail: failing({ c: 100 }) }), {
      input: { seed: 1 },
      before: Effect.sync(() => new Ledger()),
      invariant: ({ task, world: ledger }) =>
        Effect.sync(() => {
          expect(task.status._tag).toBe("RolledBack")
          for (const stage of ["a", "b", "c"]) {
            expect(ledger.entries.filter((entry) => entry.endsWith(stage)).at(-1)).toBe(`undo ${stage}`)
          }
        })
    }))

  it.effect("takes an invariant that answers false for broken", () =>
    Effect.gen(function*() {
      const { smallest } = yield* Crashes.explore((ledger: Ledger) => abc(ledger), {
        input: { seed: 1 },
        before: Effect.sync(() => new Ledger()),
        invariant: ({ world: ledger }) => Effect.succeed(ledger.count("run b") === 1)
      })
      expect(Option.getOrThrow(smallest)).toMatchObject({
        problem: "its invariant is broken",
        found: "it answered false"
      })
    }))

  class Mint extends Context.Tag("test/Mint")<Mint, { readonly coin: Effect.Effect<number> }>() {}
  class Torn extends Data.TaggedError("Torn")<{ readonly why: string }> {}

  const minted = CheckMate.make("minted", {
    state: Numbers,
    input: ["seed"],
    stages: [
      Stage.make(Numbers, "a", {
        requires: ["seed"],
        provides: ["a"],
        execute: () => Effect.flatMap(Mint, ({ coin }) => Effect.map(coin, (a) => ({ a })))
      })
    ]
  })

  it.effect("gives stages their services, from a layer built anew in each process or from outside", () =>
    Effect.gen(function*() {
      let built = 0
      let released = 0
      const layer = Layer.scoped(
        Mint,
        Effect.acquireRelease(
          Effect.sync(() => {
            built += 1
            return { coin: Effect.succeed(1) }
          }),
          () =>
            Effect.sync(() => {
              released += 1
            })
        )
      )
      const { cuts, runs } = yield* Crashes.verify(minted, { input: { seed: 1 }, layer })
      // The dead run no finalizers.
      expect([built, released]).toEqual([cuts + runs, runs])
      const outside = Crashes.verify(minted, { input: { seed: 1 } })
      expect(yield* Effect.provideService(outside, Mint, { coin: Effect.succeed(2) })).toEqual({ cuts, runs })
    }))

  it.effect("makes services and the program of each run's own world", () =>
    Effect.gen(function*() {
      const bank = (ledger: Ledger) => Layer.succeed(Mint, { coin: Effect.as(ledger.note("coin"), 1) })
      const ended: Array<Ledger> = []
      const { runs } = yield* Crashes.verify(minted, {
        input: { seed: 1 },
        before: Effect.sync(() => new Ledger()),
        layer: bank,
        program: (definition, ledger) =>
          Effect.ensuring(
            CheckMateEngine.run(definition, { taskId: "task", input: { seed: 1 } }),
            ledger.note("program")
          ),
        invariant: ({ cuts, world }) =>
          Effect.sync(() => {
            ended.push(world)
            expect(world.count("coin")).toBeGreaterThan(0)
            expect(world.count("coin")).toBeLessThanOrEqual(1 + cuts.length)
            // The dead run no finalizers.
            expect(world.count("program")).toBe(1)
          })
      })
      expect(new Set(ended).size).toBe(runs)
    }))

  it.effect("stops all that runs in a process when it dies", () =>
    Effect.gen(function*() {
      const beating = (ledger: Ledger) =>
        CheckMate.make("beating", {
          state: Numbers,
          input: ["seed"],
          stages: [
            Stage.make(Numbers, "a", {
              requires: ["seed"],
              provides: ["a"],
              execute: ({ seed }) =>
                Effect.as(
                  Effect.forkDaemon(
                    ledger.note("beat").pipe(
                      Effect.repeat(Schedule.spaced("1 second")),
                      Effect.ensuring(ledger.note("end"))
                    )
                  ),
                  { a: seed }
                )
            }),
            Stage.make(Numbers, "b", {
              provides: ["b"],
              execute: () => Effect.as(Effect.sleep("10 seconds"), { b: 1 })
            })
          ]
        })
      yield* Crashes.verify(beating, {
        input: { seed: 1 },
        pairs: false,
        before: Effect.sync(() => new Ledger()),
        invariant: ({ cuts: [cut], world: ledger }) =>
          Effect.sync(() => {
            expect(ledger.count("end")).toBe(0)
            // Whoever died after b had begun was heard of no more.
            if (cut?.write === 2 && cut.when === "after") expect(ledger.count("beat")).toBeLessThanOrEqual(1)
          })
      })
    }))

  it.effect("lets the rest of the real process have its turns", () =>
    Effect.gen(function*() {
      let turns = 0
      const other = setInterval(() => turns++, 1)
      yield* Effect.ensuring(
        Crashes.verify((ledger: Ledger) => abc(ledger), {
          input: { seed: 1 },
          before: Effect.sync(() => new Ledger())
        }),
        Effect.sync(() => clearInterval(other))
      )
      expect(turns).toBeGreaterThan(0)
    }))

  it.effect("can be interrupted also where what a process writes then is what kills it", () =>
    Effect.gen(function*() {
      const ledger = new Ledger()
      // The first process that gets so far with its second write ahead.
      const hanging = Effect.suspend(() => ledger.count("run") === 4 ? Effect.never : Effect.void)
      const definition = CheckMate.make("hanging", {
        state: Numbers,
        input: ["seed"],
        stages: [Stage.make(Numbers, "a", { execute: () => Effect.zipRight(ledger.note("run"), hanging) })]
      })
      const fiber = yield* Effect.fork(Crashes.explore(definition, { input: { seed: 1 } }))
      yield* Effect.repeat(Effect.yieldNow(), { until: () => ledger.count("run") === 4 })
      yield* Fiber.interrupt(fiber)
      expect(ledger.count("run")).toBe(4)
    }))

  it.effect("interrupts what runs in a process when it is interrupted itself", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const ledger = new Ledger()
      const stuck = abc(ledger, {
        fail: () =>
          Effect.zipRight(
            Deferred.succeed(begun, undefined),
            Effect.onInterrupt(Effect.async<never>(() => undefined), () => ledger.note("interrupted"))
          )
      })
      const fiber = yield* Effect.fork(Crashes.explore(stuck, { input: { seed: 1 } }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      expect(ledger.count("interrupted")).toBe(1)
      expect(ledger.count("undo a")).toBe(1)
    }))

  it.effect("uses the store, the program and the options it is given", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.make([])
      const explored = yield* Crashes.explore(abc(new Ledger()), {
        input: { seed: 1 },
        taskId: "mine",
        engine: { maxRecoveries: 0 },
        store: Effect.map(MemoryDriver.make, faults.taskIO),
        program: (definition) => CheckMateEngine.run(definition, { taskId: "mine", input: { seed: 2 } })
      })
      // Without recoveries, the first stage that is cut off is the end of it.
      const story = Option.getOrThrow(explored.smallest)
      expect(story.cuts).toEqual([{ write: 1, when: "after", events: ["TaskStarted", "StageStarted a"] }])
      expect(story.found).toContain("\"status\":\"Poisoned\"")
      expect(story.found).toContain("\"seed\":2")
      expect(yield* faults.count("append")).toBeGreaterThan(4)
    }))

  it.effect("lets no time pass in a process that waits for a store which is elsewhere", () =>
    Effect.gen(function*() {
      const aMoment = Effect.async<void>((resume) => {
        setImmediate(() => resume(Effect.void))
      })
      const store = Effect.map(MemoryDriver.make, (driver): TaskIO.Encoded => ({
        ...driver,
        open: (taskId) =>
          Effect.map(Effect.zipRight(aMoment, driver.open(taskId)), (journal) => ({
            ...journal,
            append: (...args) => Effect.zipRight(aMoment, journal.append(...args))
          })),
        read: (taskId, from) => Effect.zipRight(aMoment, driver.read(taskId, from)),
        list: (query) => Stream.zipRight(Stream.fromEffect(aMoment), driver.list(query))
      }))
      const { cuts } = yield* Crashes.verify(abc(new Ledger()), {
        input: { seed: 1 },
        store,
        pairs: false,
        program: (definition) =>
          Effect.timeout(
            Effect.zipRight(
              CheckMateEngine.run(definition, { taskId: "task", input: { seed: 1 } }),
              CheckMateEngine.find()
            ),
            "1 second"
          ),
        invariant: ({ exit }) => exit
      })
      expect(cuts).toBeGreaterThan(4)
    }))

  it.effect("tells of an invariant that is broken, also if nothing is cut", () =>
    Effect.gen(function*() {
      const { cuts, runs, smallest } = yield* Crashes.explore(abc(new Ledger()), {
        input: { seed: 1 },
        invariant: ({ cuts }) => cuts.some(({ write }) => write === 2) ? new Torn({ why: "at write 2" }) : Effect.void
      })
      const story = Option.getOrThrow(smallest)
      expect([cuts, runs, story.cuts.length]).toEqual([3, 4, 1])
      expect(story).toMatchObject({
        checkMate: "abc",
        problem: "its invariant is broken",
        found: "Torn {\"why\":\"at write 2\"}"
      })
      const never = yield* Crashes.explore(abc(new Ledger()), {
        input: { seed: 1 },
        invariant: () => Effect.sync(() => expect(1).toBe(2))
      })
      expect(Option.getOrThrow(never.smallest)).toMatchObject({ cuts: [] })
      expect(Option.getOrThrow(never.smallest).text).toContain("its invariant is broken, even when nothing is cut.")
    }))

  it.effect("tells of a journal that does not fold, and of a program that writes none", () =>
    Effect.gen(function*() {
      // A store that forgets the first record of a task that is claimed a second time.
      const forgetful = Effect.map(MemoryDriver.make, (store) => {
        let claims = 0
        return {
          ...store,
          open: (taskId: string) => Effect.tap(store.open(taskId), () => Effect.sync(() => claims += 1)),
          read: (taskId: string, from: number) =>
            Effect.map(store.read(taskId, from), (records) => claims > 1 ? records.slice(1) : records)
        }
      })
      const broken = Option.getOrThrow(
        (yield* Crashes.explore(abc(new Ledger()), { input: { seed: 1 }, store: forgetful })).smallest
      )
      expect(broken).toMatchObject({ problem: "its journal is broken", cuts: [{ write: 1, when: "before" }] })
      expect(broken.found).toContain("InvalidTransitionError")
      const silent = yield* Crashes.explore(abc(new Ledger()), { input: { seed: 1 }, program: () => Effect.void })
      expect(Option.getOrThrow(silent.smallest)).toMatchObject({
        problem: "it wrote nothing",
        expected: "a journal of task \"task\""
      })
    }))

  it.effect("lets time be the world's, where a layer says so", () =>
    Effect.gen(function*() {
      const dated = CheckMate.make("dated", {
        state: Numbers,
        input: ["seed"],
        stages: [
          Stage.make(Numbers, "a", {
            provides: ["a"],
            execute: () => Effect.map(DateTime.now, (now) => ({ a: DateTime.toEpochMillis(now) }))
          })
        ]
      })
      const frozen: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        currentTimeMillis: Effect.succeed(42),
        unsafeCurrentTimeMillis: () => 42,
        currentTimeNanos: Effect.succeed(0n),
        unsafeCurrentTimeNanos: () => 0n,
        sleep: () => Effect.void
      }
      yield* Crashes.verify(dated, {
        input: { seed: 1 },
        layer: Layer.setClock(frozen),
        invariant: ({ task }) => Effect.sync(() => expect(DateTime.toEpochMillis(task.createdAt)).toBe(42))
      })
    }))
})

describe("a pipeline within a pipeline", () => {
  const Part = State.make({ part: Schema.Number, double: Schema.Number })
  const part = CheckMate.make("part", {
    state: Part,
    input: ["part"],
    stages: [
      Stage.make(Part, "double", {
        requires: ["part"],
        provides: ["double"],
        execute: ({ part }) => Effect.as(Effect.sleep("1 second"), { double: 2 * part })
      })
    ]
  })
  const Whole = State.make({ parts: Schema.Array(Schema.Number), sum: Schema.Number })
  const whole = CheckMate.make("whole", {
    state: Whole,
    input: ["parts"],
    stages: [
      Stage.make(Whole, "sum", {
        requires: ["parts"],
        provides: ["sum"],
        execute: ({ parts }) =>
          Effect.gen(function*() {
            const { taskId } = yield* Stage.Context
            const outputs = yield* Effect.forEach(
              parts,
              (number) =>
                CheckMateEngine.run(part, {
                  taskId: `${taskId}.${number}`,
                  input: { part: number },
                  whenBound: "wait"
                }),
              { concurrency: "unbounded" }
            )
            return { sum: outputs.reduce((sum, { double }) => sum + double, 0) }
          })
      })
    ]
  })

  it.effect("survives, also where resumeAll takes up the inner tasks by itself", () =>
    Effect.gen(function*() {
      const input = { parts: [1, 2] }
      const { cuts } = yield* Crashes.verify(whole, {
        input,
        program: (checkMate) =>
          Effect.zipRight(
            CheckMateEngine.resumeAll([part, checkMate], { concurrency: 8 }),
            CheckMateEngine.run(checkMate, { taskId: "task", input })
          )
      })
      expect(cuts).toBeGreaterThan(20)
    }))
})

describe("Crashes.verify", () => {
  it.effect("fails with the story as its message", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Crashes.verify((bank: Bank) => order(bank, false), { input, before: Bank.open }))
      expect(error).toBeInstanceOf(Crashes.CrashFoundError)
      expect(error._tag).toBe("CrashFoundError")
      expect(error.message).toBe(error.text)
      expect(error.message).toContain("write 3: StageSucceeded charge, TaskSucceeded (died before it)")
    }))
})
