/**
 * What two tenants of one store must be to each other: nothing. A tenant is chosen by the layer alone, by a directory, a
 * prefix, a table; no definition and no task id says of whom it is, so the same ones are in both.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Encoded, EncodedQuery } from "../TaskIO/Encoded.ts"
import { type Rule, rulesOf } from "./Contract.ts"
import { claim, listed, messages, record, waiting, write } from "./TaskIOContract/support.ts"

/**
 * Two tenants of one store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tenants {
  readonly one: Encoded
  readonly two: Encoded
}

/**
 * What a store may be unable to do: `"arrivals"`, to tell of mail as it comes.
 *
 * @since 0.1.0
 * @category models
 */
export type Capability = "arrivals"

const rule = rulesOf<Tenants, Capability>("Tenant")

/** Names that a store may use for itself, beside those that it would not. */
const ids = ["t", "0", "1", "head", "batch", "mail", "waiting", "ids", "tasks", "trash", "a", "b", "one", "two"]

/** Either tenant with the other. */
const bothWays = ({ one, two }: Tenants): ReadonlyArray<readonly [mine: Encoded, other: Encoded, taskId: string]> => [
  [one, two, "of-one"],
  [two, one, "of-two"]
]

/**
 * The rules.
 *
 * @since 0.1.0
 * @category rules
 */
export const rules: ReadonlyArray<Rule<Tenants, Capability>> = [
  rule("a task of one tenant is none that the other can read", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        yield* write(mine, taskId, 0, ["first"])
        yield* expect.same("its records as the other tenant reads them", yield* other.read(taskId, 0), [])
      }
    })),

  rule(
    "an id that one tenant has used is a new one where the other opens it",
    (tenants, expect) =>
      Effect.gen(function*() {
        for (const [mine, other, taskId] of bothWays(tenants)) {
          yield* write(mine, taskId, 0, ["first"])
          const journal = yield* claim(other, taskId)
          yield* expect.same("the records the other tenant's claim finds", journal.records, [])
        }
      })
  ),

  rule(
    "the same task id in both is two tasks, whatever it is called",
    ({ one, two }, expect) =>
      Effect.gen(function*() {
        for (const id of ids) {
          yield* write(one, id, 0, [`one ${id}`])
          yield* write(two, id, 0, [`two ${id}`, "more"])
          yield* write(one, id, 1, ["again"])
        }
        for (const id of ids) {
          yield* expect.same(`the first's "${id}"`, yield* one.read(id, 0), [`one ${id}`, "again"].map(record))
          yield* expect.same(`the second's "${id}"`, yield* two.read(id, 0), [`two ${id}`, "more"].map(record))
        }
      })
  ),

  rule("a list shows a tenant's own tasks, and no others", ({ one, two }, expect) =>
    Effect.gen(function*() {
      for (const id of ["a", "c"]) yield* write(one, id, 0, [id])
      for (const id of ["b", "c"]) yield* write(two, id, 0, [id])
      for (const query of [{}, { checkMate: "contract" }]) {
        yield* expect.same("the first's list", yield* listed(one, query), ["a", "c"])
        yield* expect.same("the second's list", yield* listed(two, query), ["b", "c"])
      }
    })),

  rule("a list with a query shows no tasks of the other tenant", ({ one, two }, expect) =>
    Effect.gen(function*() {
      for (const [mine, id] of [[one, "c"], [two, "d"]] as const) {
        yield* write(mine, id, 0, [id], { status: "Failed", tags: ["x"], updatedAt: "2026-01-02T00:00:00.000Z" })
      }
      const queries: ReadonlyArray<EncodedQuery> = [
        { status: ["Failed"] },
        { tags: ["x"] },
        { since: "2026-01-02T00:00:00.000Z" },
        { status: ["Failed"], checkMate: "contract", tags: ["x"], since: "2026-01-01T00:00:00.000Z" }
      ]
      for (const query of queries) {
        yield* expect.same(`the first's list for ${JSON.stringify(query)}`, yield* listed(one, query), ["c"])
        yield* expect.same(`the second's list for ${JSON.stringify(query)}`, yield* listed(two, query), ["d"])
      }
    })),

  rule("removing what only the other tenant has is nothing", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        yield* write(other, taskId, 0, ["first"])
        yield* other.send(taskId, record("mail"))
        yield* mine.remove(taskId)
        yield* expect.same("its records, with the other", yield* other.read(taskId, 0), [record("first")])
        yield* expect.same("its mail, with the other", yield* messages(other, taskId), [record("mail")])
      }
    })),

  rule("a task that one tenant removes stays with the other", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        for (const io of [mine, other]) yield* write(io, taskId, 0, ["first"])
        yield* mine.remove(taskId)
        yield* expect.same("its records, with the other", yield* other.read(taskId, 0), [record("first")])
        yield* expect.same("the other's list", yield* listed(other), [taskId])
        yield* other.remove(taskId)
      }
    })),

  rule("a claim of one tenant refuses no writer of the other", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        const journal = yield* claim(mine, taskId)
        yield* journal.append(0, ["before"])
        for (let time = 0; time < 2; time++) yield* Effect.flatMap(claim(other, taskId), ({ close }) => close)
        yield* journal.append(1, ["after"])
        yield* expect.same("the records", yield* mine.read(taskId, 0), ["before", "after"].map(record))
      }
    })),

  rule("a message is for a task of its own tenant only", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        yield* mine.send(taskId, record("mail"))
        yield* expect.same("the other's mail", yield* messages(other, taskId), [])
      }
    })),

  rule("the tasks with mail are a tenant's own", ({ one, two }, expect) =>
    Effect.gen(function*() {
      for (const id of ids) yield* one.send(id, record("mail"))
      yield* expect.same("the second's, when the first has mail", yield* waiting(two), [])
      yield* two.send("t", record("mail"))
      yield* expect.same("the first's tasks with mail", yield* waiting(one), ids.toSorted())
      yield* expect.same("the second's tasks with mail", yield* waiting(two), ["t"])
    })),

  rule("acknowledging a letter takes none from the other tenant", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        for (const io of [mine, other]) yield* io.send(taskId, record("mail"))
        yield* mine.acknowledge(taskId, (yield* mine.receive(taskId)).map(({ id }) => id))
        yield* expect.same("the other's mail", yield* messages(other, taskId), [record("mail")])
      }
    })),

  rule("removing a task takes no mail from the other tenant", (tenants, expect) =>
    Effect.gen(function*() {
      for (const [mine, other, taskId] of bothWays(tenants)) {
        yield* write(mine, taskId, 0, ["first"])
        yield* other.send(taskId, record("mail"))
        yield* mine.remove(taskId)
        yield* expect.same("the other's mail", yield* messages(other, taskId), [record("mail")])
      }
    })),

  rule("arrivals tell of a tenant's own mail only", ({ one, two }, expect) =>
    Effect.gen(function*() {
      if (one.arrivals === undefined || two.arrivals === undefined) {
        const needed = "a stream of arrivals for each tenant, or \"arrivals\" among what the store lacks"
        return yield* expect.that(false, needed, "neither")
      }
      const told = new Set<string>()
      const listen = (arrivals: Stream.Stream<string, unknown>, tenant: string) =>
        Effect.fork(Stream.runForEach(arrivals, (taskId) => Effect.sync(() => told.add(`${tenant} of ${taskId}`))))
      const fibers = [yield* listen(one.arrivals, "one"), yield* listen(two.arrivals, "two")]
      // It takes a store some time to listen, and nothing says when it does.
      for (let round = 0; round < 200 && told.size < 2; round++) {
        yield* one.send("a", record(round))
        yield* two.send("b", record(round))
        yield* Effect.yieldNow()
      }
      for (const fiber of fibers) {
        yield* Effect.flatMap(Fiber.poll(fiber), Option.match({ onNone: () => Effect.void, onSome: (exit) => exit }))
      }
      yield* expect.same("who was told of what", [...told].toSorted(), ["one of a", "two of b"])
    }), ["arrivals"])
]
