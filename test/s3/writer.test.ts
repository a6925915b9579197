/** Who writes a journal in a bucket while requests fail, or take their time. These need no server. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import * as S3 from "effect-checkmate/s3"
import { rest } from "../support/pipelines.ts"
import { summaryOf } from "../support/summary.ts"
import { append, type Asked, listed, make, options, refusal } from "./madeUpStore.ts"

const writes = ({ key, method }: Asked) => method === "PUT" && key.startsWith("p/journal/")

describe("S3: the writer of a journal", () => {
  it.scopedLive("writes no more once an append has failed, as nobody knows what became of that", () =>
    Effect.gen(function*() {
      let fails = false
      const store = make((asked) => Effect.succeed(fails && writes(asked) ? refusal(403, "AccessDenied") : undefined))
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      const journal = yield* driver.open("t")
      fails = true
      expect(yield* Effect.flip(journal.append(0, ["1"], summaryOf("t")))).toMatchObject({ _tag: "TaskIOError" })
      fails = false
      for (const position of [0, 1]) {
        expect(yield* Effect.flip(journal.append(position, ["2"], summaryOf("t")))).toMatchObject({
          _tag: "StaleWriterError",
          problem: expect.stringContaining("an earlier append failed")
        })
      }
      expect(yield* driver.read("t", 0)).toEqual([])
    }))

  it.scopedLive("has written what says that its task rests, also where that cannot be told to the register", () =>
    Effect.gen(function*() {
      let fails = false
      const store = make(({ key, method }) =>
        Effect.succeed(
          fails && method === "PUT" && key.startsWith("p/task/") ? refusal(403, "AccessDenied") : undefined
        )
      )
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      const journal = yield* driver.open("t")
      yield* journal.append(0, ["1"], summaryOf("t"))
      fails = true
      yield* journal.append(1, ["2"], summaryOf("t", { status: "Failed" }))
      expect(yield* listed(driver)).toEqual(["t Failed"])
    }))

  it.scopedLive("puts no task in the register that is removed before it is told there that it rests", () =>
    Effect.gen(function*() {
      const removed = yield* Effect.makeLatch()
      let told = Infinity
      const store = make(({ key }) =>
        Effect.suspend(() => key.startsWith("p/task/") && ++told === 1 ? removed.await : Effect.void)
      )
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      yield* append(driver, "t", "1")
      const journal = yield* driver.open("t")
      told = 0
      const appending = yield* Effect.fork(journal.append(1, ["2"], summaryOf("t", { status: "Failed" })))
      yield* Effect.repeat(rest, { until: () => told > 0 })
      yield* driver.remove("t")
      yield* removed.open
      yield* Fiber.join(appending)
      expect([...store.objects.keys()].filter((key) => key.startsWith("p/task/"))).toEqual([])
    }))

  it.scopedLive("stays in the register where the task is begun anew before its removal has come to that", () =>
    Effect.gen(function*() {
      const begun = yield* Effect.makeLatch()
      let marked: boolean | undefined
      let waits = false
      const store = make((request) =>
        Effect.suspend(() => {
          if (marked === false) marked = writes(request)
          else if (marked === true && request.key === "") {
            marked = undefined
            waits = true
            return begun.await
          }
          return Effect.void
        })
      )
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      yield* append(driver, "t", "1")
      marked = false
      const removing = yield* Effect.fork(driver.remove("t"))
      yield* Effect.repeat(rest, { until: () => waits })
      yield* append(driver, "t", "2")
      yield* begun.open
      yield* Fiber.join(removing)
      expect([yield* driver.read("t", 0), yield* listed(driver)]).toEqual([["2"], ["t Running"]])
    }))

  it.scopedLive("waits for a claim and an append that are under way where it is interrupted, so that none comes later", () =>
    Effect.gen(function*() {
      const answers = yield* Effect.makeLatch(true)
      let asked = 0
      const store = make((request) =>
        Effect.suspend(() => {
          if (!writes(request)) return Effect.void
          asked++
          return answers.await
        })
      )
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      const journal = yield* driver.open("t")
      const other = Effect.flatMap(Effect.provide(S3.makeTaskIO(options), store.layer), (io) => io.open("u"))
      for (const work of [other, journal.append(0, ["1"], summaryOf("t"))]) {
        const before = asked
        yield* answers.close
        const working = yield* Effect.fork(Effect.scoped(Effect.asVoid(work)))
        yield* Effect.repeat(rest, { until: () => asked > before })
        const ending = yield* Effect.fork(Fiber.interrupt(working))
        yield* rest
        expect(Option.isNone(yield* Fiber.poll(ending))).toBe(true)
        yield* answers.open
        yield* Fiber.join(ending)
        expect(asked).toBe(before + 1)
      }
      expect(yield* driver.read("t", 0)).toEqual(["1"])
    }))
})
