/** Rules for stores: who may write. */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Encoded } from "../../TaskIO/Encoded.ts"
import type { Rule } from "../Contract.ts"
import { type Capability, claim, list, record, rule, summaryOf, write } from "./support.ts"

/** Writers: of those that claim a journal only the newest writes. */
export const writers: ReadonlyArray<Rule<Encoded, Capability>> = [
  rule(
    "a stale writer is refused as soon as another has opened, and stays refused",
    (io, expect) =>
      Effect.gen(function*() {
        const stale = yield* claim(io, "t")
        yield* stale.append(0, ["before"])
        const current = yield* claim(io, "t")
        const refusal = yield* expect.failure("the stale append", stale.append(1, ["stale"]), "StaleWriterError")
        yield* expect.same("the refusal's taskId", refusal.taskId, "t")
        yield* current.append(1, ["after"])
        yield* expect.failure("the stale append after the other's", stale.append(1, ["again"]), "StaleWriterError")
        yield* expect.failure("the stale append at the end", stale.append(2, ["again"]), "StaleWriterError")
      }),
    ["secondWriter"]
  ),

  rule("a stale append leaves the journal as it was", (io, expect) =>
    Effect.gen(function*() {
      const stale = yield* claim(io, "t")
      yield* stale.append(0, ["before"])
      const current = yield* claim(io, "t")
      yield* Effect.exit(stale.append(1, ["stale"]))
      yield* current.append(1, ["after"])
      yield* Effect.exit(stale.append(1, ["again"]))
      yield* Effect.exit(stale.append(2, ["again"]))
      yield* stale.close
      yield* current.close
      yield* expect.same("the records", yield* io.read("t", 0), [record("before"), record("after")])
    }), ["secondWriter"]),

  rule("a stale append leaves the list as it was", (io, expect) =>
    Effect.gen(function*() {
      const stale = yield* claim(io, "t")
      yield* stale.append(0, ["before"])
      yield* claim(io, "t")
      yield* Effect.exit(stale.append(1, ["stale"], { status: "Succeeded" }))
      yield* expect.same("the list", yield* list(io), [summaryOf("t")])
    }), ["secondWriter"]),

  rule("a writer that was overtaken before its first append is refused too", (io, expect) =>
    Effect.gen(function*() {
      const stale = yield* claim(io, "t")
      const current = yield* claim(io, "t")
      yield* current.append(0, ["current"])
      yield* expect.failure("the stale append", stale.append(0, ["stale"]), "StaleWriterError")
      yield* stale.close
      yield* current.close
      yield* expect.same("the records", yield* io.read("t", 0), [record("current")])
    }), ["secondWriter"]),

  rule("a stale writer that closes its journal leaves the newest one's claim", (io, expect) =>
    Effect.gen(function*() {
      const stale = yield* claim(io, "t")
      yield* stale.append(0, ["stale"])
      const current = yield* claim(io, "t")
      yield* stale.close
      const written = yield* Effect.exit(current.append(1, ["current"]))
      yield* expect.that(Exit.isSuccess(written), "the newest writer's append to succeed", written)
    })),

  rule("of many that open at once each has its own epoch", (io, expect) =>
    Effect.gen(function*() {
      const claims = yield* Effect.all(Array.from({ length: 8 }, () => claim(io, "t")), { concurrency: "unbounded" })
      const epochs = claims.map(({ epoch }) => epoch)
      yield* expect.that(new Set(epochs).size === 8, "8 different epochs", epochs)
    }), ["concurrentClaims"]),

  rule("of many that open at once only the one of the greatest epoch writes", (io, expect) =>
    Effect.gen(function*() {
      const claims = yield* Effect.all(Array.from({ length: 12 }, () => claim(io, "t")), { concurrency: "unbounded" })
      const tries = yield* Effect.forEach(
        claims,
        ({ append, epoch }) => Effect.map(Effect.exit(append(0, [epoch])), (exit) => ({ epoch, exit })),
        { concurrency: "unbounded" }
      )
      yield* Effect.forEach(claims, ({ close }) => close)
      const greatest = Math.max(...claims.map(({ epoch }) => epoch))
      const wrote = tries.flatMap(({ epoch, exit }) => Exit.isSuccess(exit) ? [epoch] : [])
      yield* expect.same("the epochs whose append was acknowledged", wrote, [greatest])
      yield* expect.same("the records", yield* io.read("t", 0), [record(greatest)])
    }), ["secondWriter", "concurrentClaims"]),

  rule("a writer whose task was removed is refused", (io, expect) =>
    Effect.gen(function*() {
      yield* write(io, "t", 0, ["first"])
      const late = yield* claim(io, "t")
      yield* late.append(1, ["second"])
      yield* io.remove("t")
      yield* expect.failure("the append after the removal", late.append(2, ["late"]), "StaleWriterError")
      yield* write(io, "t", 0, ["anew"])
      yield* expect.failure("the append to the new task of that id", late.append(1, ["late"]), "StaleWriterError")
      yield* late.close
      yield* expect.same("the records of the new task", yield* io.read("t", 0), [record("anew")])
    }), ["secondWriter"]),

  rule(
    "a writer whose task was removed is refused also where the new task of that id was claimed as often",
    (io, expect) =>
      Effect.gen(function*() {
        for (const times of [1, 2, 3]) {
          const taskId = `t-${times}`
          for (let time = 1; time < times; time++) yield* write(io, taskId, time - 1, ["old"])
          const late = yield* claim(io, taskId)
          yield* late.append(times - 1, ["old"])
          yield* io.remove(taskId)
          for (let time = 0; time < times; time++) yield* (yield* claim(io, taskId)).append(time, [time])
          const what = `the append of claim ${times} to a new task that was claimed ${times} times`
          yield* expect.failure(what, late.append(times, ["late"]), "StaleWriterError")
          yield* late.close
          const anew = Array.from({ length: times }, (_, time) => record(time))
          yield* expect.same("the records of the new task", yield* io.read(taskId, 0), anew)
        }
      }),
    ["secondWriter"]
  ),

  rule(
    "a writer whose task was removed before its first append is refused too",
    (io, expect) =>
      Effect.gen(function*() {
        const late = yield* claim(io, "t")
        yield* io.remove("t")
        yield* expect.failure("the append after the removal", late.append(0, ["late"]), "StaleWriterError")
        yield* late.close
        yield* expect.same("the records", yield* io.read("t", 0), [])
      }),
    ["secondWriter"]
  )
]
