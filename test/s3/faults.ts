/** Whole pipelines over a real server while requests go wrong: the same result, the same ledger, nothing run again. */
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Effect, Exit, Layer, Redacted } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { abc, eventsOf, failing, Ledger } from "../support/pipelines.ts"
import { freshPrefix, optionsFor, type Server } from "../support/s3.ts"
import { keysUnder, readKey } from "../support/s3keys.ts"
import { type Fault, passing, type Plan, type Seen, shaky } from "../support/shakyHttp.ts"
import { summaryOf } from "../support/summary.ts"

const atOnce = { concurrency: 24 } as const

// A lease that no machine is too busy for.
const engine = (options: Parameters<typeof S3.layer>[0], plan: Plan = () => undefined, seen: Array<Seen> = []) =>
  S3.layer({ lease: "20 seconds", requestTimeout: "1 second", pollInterval: "1 hour", ...options }).pipe(
    Layer.provide(Layer.merge(NodeContext.layer, shaky(plan, seen)))
  )

/** A run whose last stage fails once and is tried again by hand: stages, a rollback, a rest, and going on. */
const story = (ledger: Ledger) => {
  const definition = abc(ledger, { fail: failing({ c: 1 }) })
  const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 }, whenBound: "wait" })
  return Effect.gen(function*() {
    const output = yield* Effect.retry(run, { times: 1, while: (error) => error._tag === "Boom" })
    return { output, events: yield* eventsOf("t"), ledger: ledger.entries }
  })
}

const undisturbed = {
  output: { seed: 1, a: 2, b: 3, c: 4 },
  ledger: ["run a", "run b", "run c", "undo c", "run c"]
}

/** The time outside, so many milliseconds off. */
const clockOff = (offset: number): Clock.Clock => {
  const live = Clock.make()
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => live.unsafeCurrentTimeMillis() + offset,
    unsafeCurrentTimeNanos: () => live.unsafeCurrentTimeNanos(),
    currentTimeMillis: Effect.map(live.currentTimeMillis, (time) => time + offset),
    currentTimeNanos: live.currentTimeNanos,
    sleep: (duration) => live.sleep(duration)
  }
}

/** The stages whose checkpoint is written, as the journal tells. */
const checkpointed = CheckMateEngine.get("t").pipe(
  Effect.map(({ history }) => history.flatMap((event) => event._tag === "StageSucceeded" ? [event.stage] : [])),
  Effect.catchTag("TaskNotFoundError", () => Effect.succeed([]))
)

/** What was asked is done, and the answer does not say so. */
const inDoubt: ReadonlyArray<Fault> = ["lost", "stuck", "twice", "done-500", "done-200-error"]

const lasting: ReadonlyArray<Fault> = ["unreachable", "503", "lost", "done-500"]

export const faults = (server: Server): void => {
  const options = () => optionsFor(server, freshPrefix())

  describe("S3, when requests go wrong", () => {
    it.live(
      "whatever befalls any one request, the task comes to the same end, and no stage runs again",
      () =>
        Effect.gen(function*() {
          const seen: Array<Seen> = []
          const reference = yield* Effect.provide(story(new Ledger()), engine(options(), () => undefined, seen))
          expect(reference).toMatchObject(undisturbed)
          expect(seen.length).toBeGreaterThan(20)
          // Each request meets one of them in turn; those that decide who holds and who writes, all that leave it open.
          const cases = seen.flatMap(({ method, path }, index) =>
            passing
              .filter((fault, number) =>
                number === index % passing.length
                || (method === "PUT" && /\/(?:journal|lock)\//.test(path) && inDoubt.includes(fault))
              )
              .map((fault) => ({ fault, nth: index + 1 }))
          )
          const ends = yield* Effect.forEach(cases, ({ fault, nth }) =>
            Effect.map(
              Effect.exit(
                Effect.provide(story(new Ledger()), engine(options(), (now) => now === nth ? fault : undefined))
              ),
              (exit) => ({ fault, nth, exit })
            ), atOnce)
          expect(ends.filter(({ exit }) => !Exit.isSuccess(exit))).toEqual([])
          for (const { exit, ...at } of ends) expect({ at, exit }).toEqual({ at, exit: Exit.succeed(reference) })
        }),
      300_000
    )

    it.live(
      "whatever befalls any one request of a removal, nothing is left but the marks of it",
      () =>
        Effect.gen(function*() {
          /** What is left once one request of the removal has met a fault, and how many there were. */
          const removed = Effect.fnUntraced(function*(plan: (nth: number) => Fault | undefined) {
            const seen: Array<Seen> = []
            const reached = { ...options(), requestTimeout: "1 second" } as const
            let begun = Infinity
            const io = yield* Effect.provide(S3.makeTaskIO(reached), shaky((nth) => plan(nth - begun), seen))
            for (const position of [0, 1, 2]) {
              const journal = yield* Effect.scoped(io.open("t"))
              yield* journal.append(position, ["1"], summaryOf("t", { status: "Failed" }))
              yield* io.send("t", "mail")
            }
            begun = seen.length
            yield* io.remove("t")
            const left = yield* Effect.promise(() => keysUnder(server, reached.prefix))
            const contents = yield* Effect.promise(() => Promise.all(left.map((key) => readKey(server, key))))
            const marks = contents.filter((content) => content.includes(`"removed"`))
            return { left: left.length, marks: marks.length, requests: seen.length - begun }
          })
          // Of two claims that took over, and of the removal itself.
          const marks = { left: 3, marks: 3 }
          const { requests, ...undisturbed } = yield* removed(() => undefined)
          expect(undisturbed).toEqual(marks)
          const cases = Array.from({ length: requests }, (_, index) =>
            passing
              .filter((_, number) => (number - index) % 4 === 0)
              .map((fault) => ({ fault, nth: index + 1 }))).flat()
          yield* Effect.forEach(cases, ({ fault, nth }) =>
            Effect.map(
              removed((now) => now === nth ? fault : undefined),
              (end) => expect({ fault, nth, ...end }).toMatchObject({ fault, nth, ...marks })
            ), atOnce)
        }),
      300_000
    )

    it.live(
      "of requests that go wrong at random, a fifth of all, nothing is to be seen in the end",
      () =>
        Effect.gen(function*() {
          const ends = yield* Effect.forEach(Array.from({ length: 12 }, (_, seed) => seed), (seed) => {
            let state = seed + 1
            const random = (below: number) => {
              state = (state * 48_271) % 2_147_483_647
              return state % below
            }
            const plan: Plan = () => random(5) === 0 ? passing[random(passing.length)] : undefined
            return Effect.provide(story(new Ledger()), engine({ ...options(), requestTimeout: "500 millis" }, plan))
          }, atOnce)
          for (const end of ends) expect(end).toMatchObject(undisturbed)
        }),
      300_000
    )

    it.live(
      "a store that is gone for good is a typed error within the bound, and the task goes on once it is back",
      () =>
        Effect.gen(function*() {
          const seen: Array<Seen> = []
          yield* Effect.provide(story(new Ledger()), engine(options(), () => undefined, seen))
          const first = seen.findIndex(({ method, path }) => method === "PUT" && path.includes("/journal/"))
          const last = seen.findLastIndex(({ method, path }) => method === "PUT" && path.includes("/task/"))
          expect([first > 0, last > first]).toEqual([true, true])
          const moments = Array.from({ length: last + 1 - first }, (_, index) => first + index + 1)
          yield* Effect.forEach(moments, (moment) =>
            Effect.gen(function*() {
              const ledger = new Ledger()
              // What a dead store was asked last is waited for, for a lease.
              const reached = { ...options(), lease: "4 seconds" } as const
              const quick = { ...reached, retryFor: "200 millis" } as const
              const fault = lasting[moment % lasting.length]
              const before = yield* Clock.currentTimeMillis
              const exit = yield* Effect.exit(
                Effect.provide(story(ledger), engine(quick, (now) => now >= moment ? fault : undefined))
              )
              const took = (yield* Clock.currentTimeMillis) - before
              if (Exit.isFailure(exit)) {
                expect(exit.cause).toMatchObject({
                  _tag: "Fail",
                  error: { _tag: expect.stringMatching(/^(TaskIO|BindLock|StaleWriter)Error$/) }
                })
              }
              // A handful of operations, each for its 200 milliseconds, one pause, and one more try.
              expect(took).toBeLessThan(30_000)
              const good = engine(reached)
              const ran = ledger.entries.length
              const done = yield* Effect.provide(checkpointed, good)
              // A machine that is too busy to say in time that it lives loses its lock, and runs the task again.
              const end = yield* Effect.retry(Effect.provide(story(ledger), good), {
                while: (error) => error._tag === "BindingLostError"
              })
              expect(end.output).toEqual(undisturbed.output)
              for (const stage of done) expect(ledger.entries.slice(ran)).not.toContain(`run ${stage}`)
              for (const stage of ["a", "b", "c"]) {
                const mine = ledger.entries.filter((entry) => entry.endsWith(stage)).join()
                expect({ moment, mine, twice: /run .,run/.test(mine) }).toMatchObject({ twice: false })
              }
            }), atOnce)
        }),
      300_000
    )

    it.live("a clock that is an hour off is no hindrance", () =>
      Effect.gen(function*() {
        for (const offset of [3_600_000, -3_600_000]) {
          const end = yield* Effect.provide(story(new Ledger()), engine(options())).pipe(
            Effect.withClock(clockOff(offset))
          )
          expect(end).toMatchObject(undisturbed)
        }
      }))

    it.live("credentials that are not valid any more are asked for again", () =>
      Effect.gen(function*() {
        for (const accessKeyId of ["unknown", server.accessKeyId]) {
          const given = options()
          const wrong: S3.Credentials = {
            accessKeyId: Redacted.make(accessKeyId),
            secretAccessKey: Redacted.make("of no use")
          }
          let asked = 0
          const rotating = Effect.sync(() => asked++ === 0 ? wrong : given.credentials)
          const end = yield* Effect.provide(story(new Ledger()), engine({ ...given, credentials: rotating }))
          expect(end).toMatchObject(undisturbed)
          expect(asked).toBe(2)
        }
      }))

    it.live("credentials that have expired and are not renewed are an error that says so, and the task goes on later", () =>
      Effect.gen(function*() {
        const ledger = new Ledger()
        const given = options()
        const expired: Plan = (_, { method, path }) =>
          ledger.count("run b") > 0 && method === "PUT" && path.includes("/journal/") ? "expired" : undefined
        const error = yield* Effect.flip(Effect.provide(story(ledger), engine(given, expired)))
        expect(error).toMatchObject({ _tag: "TaskIOError" })
        expect(String(error)).toContain("ExpiredToken: injected. There were no other credentials to be had; renew them")
        const end = yield* Effect.provide(story(ledger), engine(given))
        expect(end.output).toEqual(undisturbed.output)
        expect(ledger.count("run a")).toBe(1)
      }))
  })
}
