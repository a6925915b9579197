/** Rules for stores: messages. */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Encoded } from "../../TaskIO/Encoded.ts"
import type { Rule } from "../Contract.ts"
import { anyTexts, type Capability, claim, list, manyIds, messages, record, rule, waiting, write } from "./support.ts"

/** Mail: messages for whoever runs a task. */
export const mail: ReadonlyArray<Rule<Encoded, Capability>> = [
  rule("a message waits until it is acknowledged, however often it is read", (io, expect) =>
    Effect.gen(function*() {
      yield* io.send("t", record("mail"))
      for (const reading of [1, 2, 3, 4]) {
        yield* expect.same(`the mail at reading ${reading}`, yield* messages(io, "t"), [record("mail")])
      }
    })),

  rule("a message is for its own task only", (io, expect) =>
    Effect.gen(function*() {
      const ids = ["a", "a.1", "a.1.2", "a-1", "b"]
      for (const id of ids) yield* io.send(id, record(id))
      for (const id of ids) yield* expect.same(`the mail of "${id}"`, yield* messages(io, id), [record(id)])
    })),

  rule(
    "a message can be left for a task that is yet to come, and creates none",
    (io, expect) =>
      Effect.gen(function*() {
        yield* io.send("t", record("mail"))
        yield* expect.same("the list", yield* list(io), [])
        yield* write(io, "t", 0, ["first"])
        yield* expect.same("the mail once there is a task", yield* messages(io, "t"), [record("mail")])
      })
  ),

  rule("messages wait while their task is taken up, written to and let go of", (io, expect) =>
    Effect.gen(function*() {
      yield* write(io, "t", 0, ["first"])
      yield* io.send("t", record("mail"))
      const mail = (when: string) =>
        Effect.flatMap(messages(io, "t"), (found) => expect.same(`the mail after ${when}`, found, [record("mail")]))
      const journal = yield* claim(io, "t")
      yield* mail("a claim")
      yield* journal.append(1, ["second"])
      yield* mail("an append")
      yield* journal.close
      yield* mail("the journal was closed")
    })),

  rule("a message sent after a removal is for the next task of that id", (io, expect) =>
    Effect.gen(function*() {
      yield* write(io, "t", 0, ["first"])
      yield* io.remove("t")
      yield* io.send("t", record("mail"))
      yield* write(io, "t", 0, ["anew"])
      yield* expect.same("the mail", yield* messages(io, "t"), [record("mail")])
    })),

  rule("messages that are sent at once all arrive", (io, expect) =>
    Effect.gen(function*() {
      const texts = Array.from({ length: 20 }, (_, number) => record(number)).toSorted()
      yield* Effect.forEach(texts, (text) => io.send("t", text), { concurrency: "unbounded", discard: true })
      yield* expect.same("the mail, sorted", (yield* messages(io, "t")).toSorted(), texts)
    })),

  rule("a message that is sent while another is acknowledged stays", (io, expect) =>
    Effect.gen(function*() {
      yield* io.send("t", record(0))
      for (let round = 1; round <= 10; round++) {
        const ids = (yield* io.receive("t")).map(({ id }) => id)
        yield* Effect.all([io.acknowledge("t", ids), io.send("t", record(round))], { concurrency: "unbounded" })
        yield* expect.same(`the mail after round ${round}`, yield* messages(io, "t"), [record(round)])
      }
    })),

  rule("messages are read oldest first", (io, expect) =>
    Effect.gen(function*() {
      const numbers = Array.from({ length: 12 }, (_, index) => index)
      for (const number of numbers) {
        yield* io.send("t", record(number))
        // Stores may order what they are sent by the clock.
        yield* TestClock.adjust("1 second")
      }
      yield* expect.same("the mail", yield* messages(io, "t"), numbers.map(record))
    })),

  rule("messages of any text survive", (io, expect) =>
    Effect.gen(function*() {
      const texts = [...new Set((yield* anyTexts(10)).map(record))]
      for (const text of texts) yield* io.send("t", text)
      yield* expect.same("the mail, sorted", (yield* messages(io, "t")).toSorted(), texts.toSorted())
    })),

  rule("the same message sent twice is two letters", (io, expect) =>
    Effect.gen(function*() {
      for (let time = 0; time < 2; time++) yield* io.send("t", record("mail"))
      const ids = (yield* io.receive("t")).map(({ id }) => id)
      yield* expect.that(new Set(ids).size === 2, "two letters of different ids", ids)
    })),

  rule("acknowledging removes the letters it names, and no others", (io, expect) =>
    Effect.gen(function*() {
      for (const number of [1, 2, 3]) yield* io.send("t", record(number))
      const named = (yield* io.receive("t")).filter(({ message }) => message === record(2)).map(({ id }) => id)
      yield* io.acknowledge("t", named)
      yield* expect.same("the mail left, sorted", (yield* messages(io, "t")).toSorted(), [1, 3].map(record))
    })),

  rule("acknowledging no letter removes none", (io, expect) =>
    Effect.gen(function*() {
      yield* io.send("t", record("mail"))
      yield* io.acknowledge("t", [])
      yield* expect.same("the mail", yield* messages(io, "t"), [record("mail")])
    })),

  rule("acknowledging what is gone is nothing", (io, expect) =>
    Effect.gen(function*() {
      yield* io.send("t", record("mail"))
      const named = (yield* io.receive("t")).map(({ id }) => id)
      yield* io.acknowledge("t", named)
      const again = yield* Effect.exit(io.acknowledge("t", named))
      yield* expect.that(Exit.isSuccess(again), "acknowledging a letter for a second time to succeed", again)
    })),

  rule("acknowledging what is gone removes no later letter", (io, expect) =>
    Effect.gen(function*() {
      yield* io.send("t", record(1))
      const named = (yield* io.receive("t")).map(({ id }) => id)
      yield* io.acknowledge("t", named)
      yield* io.send("t", record(2))
      yield* Effect.exit(io.acknowledge("t", named))
      yield* expect.same("the mail", yield* messages(io, "t"), [record(2)])
    })),

  rule("a task has mail waiting until its last letter is acknowledged", (io, expect) =>
    Effect.gen(function*() {
      for (const taskId of ["a", "a", "b"]) yield* io.send(taskId, record("mail"))
      yield* expect.same("the tasks with mail", yield* waiting(io), ["a", "b"])
      for (const [index, { id }] of (yield* io.receive("a")).entries()) {
        yield* io.acknowledge("a", [id])
        const left = index === 0 ? ["a", "b"] : ["b"]
        yield* expect.same(`the tasks with mail after ${index + 1} of 2 letters`, yield* waiting(io), left)
      }
    })),

  rule("of every task that has mail waiting is told, however many there are", (io, expect) =>
    Effect.gen(function*() {
      yield* Effect.forEach(manyIds, (id) => io.send(id, record(id)), { concurrency: 16, discard: true })
      yield* expect.same("the tasks with mail", yield* waiting(io), manyIds)
    })),

  rule("arrivals tell of new mail", (io, expect) =>
    Effect.gen(function*() {
      if (io.arrivals === undefined) {
        return yield* expect.that(false, "a stream of arrivals, or \"arrivals\" among what the store lacks", "neither")
      }
      const told = new Set<string>()
      const fiber = yield* Effect.fork(Stream.runForEach(io.arrivals, (taskId) => Effect.sync(() => told.add(taskId))))
      // It takes a store some time to listen, and nothing says when it does.
      for (let round = 0; round < 200 && told.size < 2; round++) {
        for (const taskId of ["a", "b"]) yield* io.send(taskId, record(round))
        yield* Effect.yieldNow()
      }
      yield* Effect.flatMap(Fiber.poll(fiber), Option.match({ onNone: () => Effect.void, onSome: (exit) => exit }))
      yield* expect.same("the tasks it told of", [...told].toSorted(), ["a", "b"])
    }), ["arrivals"])
]
