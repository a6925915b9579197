/** Rules for stores: what is written, and read. */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Encoded } from "../../TaskIO/Encoded.ts"
import type { Rule } from "../Contract.ts"
import { anyTexts, type Capability, claim, list, record, rule, write } from "./support.ts"

/** Journals: what is written, and read. */
export const journals: ReadonlyArray<Rule<Encoded, Capability>> = [
  rule(
    "a task that does not exist has no records, no summary, no mail, and removing it is nothing",
    (io, expect) =>
      Effect.gen(function*() {
        yield* expect.same("its records", yield* io.read("none", 0), [])
        yield* expect.same("the list", yield* list(io), [])
        yield* expect.same("its mail", yield* io.receive("none"), [])
        yield* expect.same("the tasks with mail", yield* io.waiting, [])
        yield* io.remove("none")
      })
  ),

  rule("a journal that was opened and not written to leaves no trace in lists", (io, expect) =>
    Effect.gen(function*() {
      const journal = yield* claim(io, "t")
      yield* expect.same("the records of a new journal", journal.records, [])
      yield* journal.close
      yield* expect.same("its records", yield* io.read("t", 0), [])
      yield* expect.same("the list", yield* list(io), [])
    })),

  rule("records come back in order, whole, and from a position on", (io, expect) =>
    Effect.gen(function*() {
      const journal = yield* claim(io, "t")
      yield* journal.append(0, [0, 1])
      yield* journal.append(2, [2])
      yield* journal.close
      for (const from of [0, 1, 2, 3, 4]) {
        const expected = [0, 1, 2].slice(from).map(record)
        yield* expect.same(`the records from ${from} on`, yield* io.read("t", from), expected)
      }
    })),

  rule("records from a position on come back, whoever wrote them", (io, expect) =>
    Effect.gen(function*() {
      yield* write(io, "t", 0, [0, 1])
      yield* write(io, "t", 2, [2])
      yield* write(io, "t", 3, [3, 4])
      for (const from of [0, 1, 2, 3, 4, 5, 6]) {
        const expected = [0, 1, 2, 3, 4].slice(from).map(record)
        yield* expect.same(`the records from ${from} on`, yield* io.read("t", from), expected)
      }
    })),

  rule(
    "what was acknowledged can be read at once, without the journal being closed",
    (io, expect) =>
      Effect.gen(function*() {
        const journal = yield* claim(io, "t")
        yield* journal.append(0, [0])
        yield* expect.same("the records after the first append", yield* io.read("t", 0), [record(0)])
        yield* journal.append(1, [1])
        yield* expect.same("the records after the second append", yield* io.read("t", 0), [record(0), record(1)])
      })
  ),

  rule("opening again returns all that was acknowledged before", (io, expect) =>
    Effect.gen(function*() {
      yield* write(io, "t", 0, [0, 1])
      yield* write(io, "t", 2, [2])
      const third = yield* claim(io, "t")
      yield* expect.same("the records of the third claim", third.records, [0, 1, 2].map(record))
    })),

  rule("a journal that was taken up a dozen times comes back in order", (io, expect) =>
    Effect.gen(function*() {
      const values = Array.from({ length: 12 }, (_, index) => index)
      for (const value of values) yield* write(io, "t", value, [value])
      yield* expect.same("the records", yield* io.read("t", 0), values.map(record))
    })),

  rule("each claim has a greater epoch than every earlier one", (io, expect) =>
    Effect.gen(function*() {
      let last = 0
      for (let number = 1; number <= 4; number++) {
        const journal = yield* claim(io, "t")
        yield* journal.close
        yield* expect.that(journal.epoch > last, `claim ${number} to have a greater epoch than ${last}`, journal.epoch)
        last = journal.epoch
      }
    })),

  rule(
    "epochs that claims are asked for are less than those of the claims that follow",
    (io, expect) =>
      Effect.gen(function*() {
        let last = 0
        // A store may leave out what it is asked for, and is claimed again then.
        for (const [index, atLeast] of [undefined, 1_000, undefined, 1, undefined].entries()) {
          const journal = yield* claim(io, "t", atLeast)
          yield* journal.append(index, [index])
          yield* journal.close
          const asked = atLeast === undefined ? "" : `, which is asked for ${atLeast},`
          const expected = `claim ${index + 1}${asked} to have a greater epoch than ${last}`
          yield* expect.that(journal.epoch > last, expected, journal.epoch)
          last = journal.epoch
        }
      })
  ),

  rule(
    "an epoch that a claim was asked for is less than the next one's also where that claim wrote nothing",
    (io, expect) =>
      Effect.gen(function*() {
        for (const taskId of ["empty", "begun"]) {
          if (taskId === "begun") yield* write(io, taskId, 0, ["first"])
          const asked = yield* claim(io, taskId, 1_000)
          yield* asked.close
          const { epoch } = yield* claim(io, taskId)
          yield* expect.that(epoch > asked.epoch, `the next claim to have a greater epoch than ${asked.epoch}`, epoch)
        }
      })
  ),

  rule("a claim that is interrupted is in nobody's way", (io, expect) =>
    Effect.gen(function*() {
      for (let step = 0; step < 20; step++) {
        const taskId = `t-${step}`
        const fiber = yield* Effect.fork(Effect.scoped(io.open(taskId)))
        yield* Effect.repeatN(Effect.yieldNow(), step)
        yield* Fiber.interrupt(fiber)
        const written = yield* Effect.exit(write(io, taskId, 0, ["first"]))
        yield* expect.that(Exit.isSuccess(written), "the next claim and its append to succeed", written)
        yield* expect.same("the records", yield* io.read(taskId, 0), [record("first")])
      }
    })),

  rule("an append at another position than the end is refused", (io, expect) =>
    Effect.gen(function*() {
      for (const position of [0, 2]) {
        const taskId = `t-${position}`
        const journal = yield* claim(io, taskId)
        yield* journal.append(0, ["first"])
        const what = `an append at ${position} to one record`
        const refusal = yield* expect.failure(what, journal.append(position, ["wrong"]), "StaleWriterError")
        yield* expect.same("the refusal's taskId", refusal.taskId, taskId)
      }
    })),

  rule("a journal that was opened again is appended to at its end only", (io, expect) =>
    Effect.gen(function*() {
      for (const position of [0, 1, 3]) {
        const taskId = `t-${position}`
        yield* write(io, taskId, 0, [0, 1])
        const journal = yield* claim(io, taskId)
        const what = `an append at ${position} to two records`
        yield* expect.failure(what, journal.append(position, ["wrong"]), "StaleWriterError")
        yield* journal.close
        yield* expect.same("the records", yield* io.read(taskId, 0), [0, 1].map(record))
      }
    })),

  rule(
    "an append that was tried at another position than the end changes nothing",
    (io, expect) =>
      Effect.gen(function*() {
        for (const position of [0, 2]) {
          const taskId = `t-${position}`
          const journal = yield* claim(io, taskId)
          yield* journal.append(0, ["first"])
          yield* Effect.exit(journal.append(position, ["wrong"], { status: "Succeeded" }))
          yield* journal.close
          yield* expect.same("the records", yield* io.read(taskId, 0), [record("first")])
          const status = (yield* list(io)).find((summary) => summary.taskId === taskId)?.status
          yield* expect.same("the status in the list", status, "Running")
        }
      })
  ),

  rule("an append that is interrupted is there as a whole or not at all", (io, expect) =>
    Effect.gen(function*() {
      const batch = [1, 2, 3] as const
      for (let step = 0; step < 20; step++) {
        const taskId = `t-${step}`
        const journal = yield* claim(io, taskId)
        const fiber = yield* Effect.fork(journal.append(0, batch))
        yield* Effect.repeatN(Effect.yieldNow(), step)
        yield* Fiber.interrupt(fiber)
        yield* journal.close
        const found = yield* io.read(taskId, 0)
        if (found.length > 0) yield* expect.same("the records, of which there are some,", found, batch.map(record))
      }
    })),

  rule("records of any text survive", (io, expect) =>
    Effect.gen(function*() {
      const texts = yield* anyTexts(50)
      const journal = yield* claim(io, "t")
      for (const [index, text] of texts.entries()) yield* journal.append(index, [text])
      yield* journal.close
      yield* expect.same("the records", yield* io.read("t", 0), texts.map(record))
    })),

  rule("records of megabytes survive", (io, expect) =>
    Effect.gen(function*() {
      const texts = ["x".repeat(1_000_000), "short", "ü€🎉".repeat(300_000)] as const
      yield* write(io, "t", 0, texts)
      yield* write(io, "t", 3, ["x".repeat(3_000_000)], { status: "Failed" })
      yield* expect.same("the records", yield* io.read("t", 0), [...texts, "x".repeat(3_000_000)].map(record))
      const statuses = new Set((yield* list(io)).map(({ status }) => status))
      yield* expect.same("the status in the list", [...statuses], ["Failed"])
    })),

  rule("a journal of thousands of records comes back whole", (io, expect) =>
    Effect.gen(function*() {
      const rest = Array.from({ length: 4_999 }, (_, index) => index + 1)
      yield* write(io, "t", 0, [0, ...rest])
      yield* expect.same("the records", yield* io.read("t", 0), [0, ...rest].map(record))
    })),

  rule("many tasks are written at once without mixing", (io, expect) =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 30 }, (_, index) => `t-${index}`)
      const textsOf = (id: string) => [0, 1, 2, 3, 4].map((position) => `${id} ${position}`)
      const writeAll = (id: string) =>
        Effect.gen(function*() {
          const journal = yield* claim(io, id)
          for (const [position, text] of textsOf(id).entries()) yield* journal.append(position, [text])
          yield* journal.close
        })
      yield* Effect.forEach(ids, writeAll, { concurrency: "unbounded" })
      for (const id of ids) {
        yield* expect.same(`the records of ${id}`, yield* io.read(id, 0), textsOf(id).map(record))
      }
    }))
]
