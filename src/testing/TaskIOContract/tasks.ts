/** Rules for stores: lists and removal. */

import * as Effect from "effect/Effect"
import type { Encoded, EncodedQuery } from "../../TaskIO/Encoded.ts"
import type { Rule } from "../Contract.ts"
import {
  type Capability,
  claim,
  list,
  listed,
  manyIds,
  messages,
  record,
  rule,
  summaryOf,
  waiting,
  write
} from "./support.ts"

/** Tasks: lists, removal, and ids. */
export const tasks: ReadonlyArray<Rule<Encoded, Capability>> = [
  rule("a list shows the summary of each task's latest append", (io, expect) =>
    Effect.gen(function*() {
      const last = { status: "Succeeded", succeeded: 1, stage: "s", tags: ["x", "ü"], memo: "m\n" } as const
      for (const taskId of ["a", "b"]) {
        const journal = yield* claim(io, taskId)
        yield* journal.append(0, ["first"])
        yield* journal.append(1, ["second"], last)
        yield* journal.close
      }
      yield* expect.same("the list", yield* list(io), [summaryOf("a", last), summaryOf("b", last)])
    })),

  rule("a task stands once in a list, however often it was taken up", (io, expect) =>
    Effect.gen(function*() {
      for (const position of [0, 1, 2]) yield* write(io, "t", position, [position])
      yield* expect.same("the listed tasks", yield* listed(io), ["t"])
    })),

  rule("a list has every task, however many there are", (io, expect) =>
    Effect.gen(function*() {
      yield* Effect.forEach(manyIds, (id) => write(io, id, 0, [id]), { concurrency: 16 })
      yield* expect.same("the listed tasks", yield* listed(io), manyIds)
    })),

  rule("a list with a query has every task that fits it", (io, expect) =>
    Effect.gen(function*() {
      const noon = "2026-01-02T12:00:00.000Z"
      yield* write(io, "a", 0, ["a"], { status: "Failed", tags: ["x", "y"], updatedAt: noon })
      yield* write(io, "b", 0, ["b"], { status: "Paused", tags: ["y"], updatedAt: "2026-01-03T00:00:00.000Z" })
      yield* write(io, "c", 0, ["c"], { checkMate: "another" })
      const queries: ReadonlyArray<readonly [query: EncodedQuery, fits: ReadonlyArray<string>]> = [
        [{}, ["a", "b", "c"]],
        [{ status: ["Failed", "Paused"] }, ["a", "b"]],
        [{ checkMate: "another" }, ["c"]],
        [{ tags: ["y"] }, ["a", "b"]],
        [{ tags: ["y", "x"] }, ["a"]],
        [{ since: noon }, ["a", "b"]],
        [{ since: noon, status: ["Failed"], checkMate: "contract", tags: ["x"] }, ["a"]]
      ]
      // It may have others too: what a driver yields is filtered again.
      for (const [query, fits] of queries) {
        const found = (yield* listed(io, query)).filter((taskId) => fits.includes(taskId))
        yield* expect.same(`of ${fits.join(", ")} what is listed for ${JSON.stringify(query)}`, found, fits)
      }
    })),

  rule("a removed task is gone from reads and lists", (io, expect) =>
    Effect.gen(function*() {
      for (const position of [0, 1]) yield* write(io, "t", position, [position])
      yield* io.remove("t")
      yield* expect.same("its records", yield* io.read("t", 0), [])
      yield* expect.same("the list", yield* list(io), [])
    })),

  rule("a removed task's mail is gone with it", (io, expect) =>
    Effect.gen(function*() {
      yield* write(io, "t", 0, ["first"])
      yield* io.send("t", record("mail"))
      yield* io.remove("t")
      yield* expect.same("its mail", yield* messages(io, "t"), [])
      yield* expect.same("the tasks with mail", yield* waiting(io), [])
    })),

  rule("a removed task's id begins anew at nothing", (io, expect) =>
    Effect.gen(function*() {
      for (const position of [0, 1]) yield* write(io, "t", position, ["old"])
      yield* io.remove("t")
      const anew = yield* claim(io, "t")
      yield* expect.same("the records of the first claim after the removal", anew.records, [])
      yield* anew.append(0, ["anew"])
      yield* anew.close
      yield* expect.same("the records", yield* io.read("t", 0), [record("anew")])
    })),

  rule("a task that was begun anew is listed as what it is now", (io, expect) =>
    Effect.gen(function*() {
      for (const status of ["Failed", "Running", "Succeeded"] as const) {
        yield* write(io, "t", 0, [status], { status, memo: status })
        yield* expect.same("the list", yield* list(io), [summaryOf("t", { status, memo: status })])
        yield* io.remove("t")
      }
    })),

  rule("tasks whose ids look alike do not see each other", (io, expect) =>
    Effect.gen(function*() {
      const removed = ["a", "a.1"]
      const kept = ["1", "A2", "a-1", "a.1.2", "a_1", "x".repeat(199), "x".repeat(200)]
      for (const id of [...removed, ...kept]) {
        yield* write(io, id, 0, [id])
        yield* io.send(id, record(id))
      }
      for (const id of removed) yield* io.remove(id)
      for (const id of kept) yield* expect.same(`the records of "${id}"`, yield* io.read(id, 0), [record(id)])
      const left = (ids: ReadonlyArray<string>) => ids.filter((id) => !removed.includes(id))
      yield* expect.same("the listed tasks that were not removed", left(yield* listed(io)), kept)
      yield* expect.same("the tasks with mail that were not removed", left(yield* waiting(io)), kept)
    })),

  rule("task ids of every allowed character can be used", (io, expect) =>
    Effect.gen(function*() {
      const ids = ["0123456789._-@+=", "9=", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"]
      for (const id of ids) {
        yield* write(io, id, 0, [id])
        yield* expect.same(`the records of "${id}"`, yield* io.read(id, 0), [record(id)])
        yield* io.send(id, record(id))
        const letters = yield* messages(io, id)
        yield* expect.that(letters.includes(record(id)), `the mail of "${id}" to hold its message`, letters)
      }
      yield* expect.same("the listed tasks", yield* listed(io), ids)
      yield* expect.same("the tasks with mail", yield* waiting(io), ids)
    }))
]
