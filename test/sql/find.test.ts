/** What a database finds first is what is first of all, whatever is asked. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, LogLevel, Random, Stream } from "effect"
import { CheckMateEngine, Stage, type TaskIO, type TaskStatus } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { engineOver } from "../support/pipelines.ts"
import { clients } from "../support/saidInTurn.ts"
import { sharedServer } from "../support/sqlContracts.ts"
import { summaryOf } from "../support/summary.ts"

const server = sharedServer()

const oneOf = <const A>(...values: readonly [A, ...ReadonlyArray<A>]): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, values.length), (index) => values[index] ?? values[0])

/** With that part of a hundred, an option. */
const perhaps = <const Name extends string, A>(percent: number, name: Name, value: Effect.Effect<A>) =>
  Effect.flatMap(
    Random.nextIntBetween(0, 100),
    (drawn): Effect.Effect<{ readonly [Key in Name]?: A }> =>
      drawn < percent ? Effect.map(value, (given) => ({ [name]: given }) as { [Key in Name]: A }) : Effect.succeed({})
  )

const times = [
  "2026-01-01T00:00:00.000Z",
  "2026-01-01T00:00:00.001Z",
  "2026-01-01T00:59:59.999Z",
  "2026-01-01T01:00:00.000Z",
  "2026-03-01T01:00:00.000Z"
] as const
const long = "ü".repeat(499)
// More than an index holds, and alike in what it holds.
const names = ["one", "One", "it's %_\"", "nul\0", `${long}ab`, `${long}ac`, `${long}a`] as const
const tags = ["a", "b", "c", "d", "e", "f", "A", "", "nul\0", "\ud800", `${long}ab`, `${long}ac`] as const
const statuses = ["Running", "Succeeded", "Failed", "Cancelled"] as const

const someTags = Effect.flatMap(Random.nextIntBetween(0, 9), (count) => Effect.replicateEffect(oneOf(...tags), count))

const someSummary = (taskId: string) =>
  Effect.gen(function*() {
    return summaryOf(taskId, {
      status: yield* oneOf(...statuses),
      checkMate: yield* oneOf(...names),
      // Most tasks have most of the tags, so that many of them find something.
      tags: (yield* Random.nextBoolean) ? tags : yield* someTags,
      createdAt: yield* oneOf(...times),
      updatedAt: yield* oneOf(...times)
    })
  })

/** What another version may have written in place of some of a summary. */
const others: ReadonlyArray<object> = [
  { status: "Dormant" },
  { tags: undefined },
  { stages: "three" },
  { checkMate: undefined }
]

const someQuestion = Effect.gen(function*() {
  return {
    ...(yield* perhaps(40, "status", oneOf<ReadonlyArray<TaskStatus.Tag>>(["Succeeded"], ["Failed", "Running"], []))),
    ...(yield* perhaps(25, "checkMate", oneOf(...names, "none"))),
    ...(yield* perhaps(50, "tags", someTags)),
    ...(yield* perhaps(40, "since", oneOf(...times, "2026-01-01T00:00:00.002Z", "2027-01-01T00:00:00Z"))),
    ...(yield* perhaps(60, "sort", oneOf("createdAt", "updatedAt"))),
    ...(yield* perhaps(60, "order", oneOf("ascending", "descending"))),
    ...(yield* perhaps(80, "limit", oneOf(0, 1, 2, 3, 7, 20, 59, 60, 200, 1_000, 1_001))),
    ...(yield* perhaps(50, "offset", oneOf(0, 1, 2, 5, 30, 119, 120, 1_000))),
    ...(yield* perhaps(5, "held", Random.nextBoolean))
  }
})

const finds = (prefix: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [own, inMemory] = [yield* Sql.makeTaskIO({ prefix }), yield* MemoryDriver.make]
    const written: Array<TaskIO.EncodedSummary> = []
    for (let index = 0; index < 120; index++) {
      // Some are another one's beginning.
      const taskId = `t${index % 40}${".x".repeat(index / 40)}`
      const [before, summary] = [yield* someSummary(taskId), yield* someSummary(taskId)]
      for (const driver of [own, inMemory]) {
        const journal = yield* driver.open(taskId)
        yield* journal.append(0, ["{}"], before)
        yield* journal.append(1, ["{}"], summary)
      }
      const other = index % 10 === 0 ? others[index / 10 % others.length] : undefined
      written.push({ ...summary, ...other })
      if (other === undefined) continue
      const text = JSON.stringify({ ...summary, ...other })
      yield* sql`update ${sql(`${prefix}tasks`)} set summary = ${text} where task_id = ${taskId}`
    }
    const other: TaskIO.Encoded = { ...inMemory, list: () => Stream.fromIterable(written) }
    const questions = yield* Effect.replicateEffect(someQuestion, 300)
    const answers = (driver: TaskIO.Encoded) =>
      Effect.provide(Effect.forEach(questions, CheckMateEngine.find), engineOver(driver))
    const [found, expected] = [yield* answers(own), yield* answers(other)]
    for (const [index, question] of questions.entries()) {
      expect(found[index], JSON.stringify(question)).toEqual(expected[index])
    }
    expect(expected.filter((answer) => answer.length > 0).length).toBeGreaterThan(60)
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

describe("find, with any query, order, offset and limit, finds what it finds in memory:", () => {
  for (const seed of ["one", "two"]) {
    const test = <E>(client: Layer.Layer<SqlClient.SqlClient, E>, prefix: string) =>
      finds(prefix).pipe(
        Effect.scoped,
        Effect.provide(client),
        Effect.withRandom(Random.make(`find ${seed}`))
      )
    it.effect(`SQLite, ${seed}`, () => test(Layer.fresh(SqliteClient.layer({ filename: ":memory:" })), "find_"))
    it.effect(`Postgres, ${seed}`, () => test(server, `find_${seed}_`))
  }
})

describe("a long list", () => {
  it.effect("is looked for by what is asked no more often the longer it is, and shows what has changed by then", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      let looks = 0
      const counted = (yield* clients)((text) => (operation) =>
        Effect.suspend(() => {
          if (text.startsWith("select") && text.includes("status in")) looks += 1
          return operation
        })
      )
      const driver = yield* Effect.provideService(Sql.makeTaskIO(), SqlClient.SqlClient, counted)
      const many = 5_500
      const summary = JSON.stringify(summaryOf("#", { status: "Succeeded" }))
      yield* sql`with recursive numbers (number) as (
          select 1 union all select number + 1 from numbers where number < ${many}
        )
        insert into checkmate_tasks (task_id, epoch, owner, records, summary, status)
          select 't' || number, 1, '', 1, replace(${summary}, '#', 't' || number), 'Succeeded' from numbers`
      let turns = 0
      const turn = Effect.zipRight(Stage.yieldToEventLoop, Effect.sync(() => turns += 1))
      const counting = yield* Effect.fork(Effect.forever(turn))
      let changed = false
      const listed = yield* driver.list({ status: ["Succeeded", "Cancelled"] }).pipe(
        Stream.tap(() => {
          if (changed) return Effect.void
          changed = true
          return Effect.zipRight(
            sql`update checkmate_tasks set summary = replace(summary, 'Succeeded', 'Cancelled') where task_id = 't999'`,
            driver.remove("t998")
          )
        }),
        Stream.runCollect
      )
      expect(new Set([...listed].map(({ taskId }) => taskId)).size).toBe(many - 1)
      expect([...listed].length).toBe(many - 1)
      expect([...listed].find(({ taskId }) => taskId === "t999")?.status).toBe("Cancelled")
      expect(looks).toBeLessThanOrEqual(2)
      // All else has its turn between two thousands.
      expect(turns).toBeGreaterThanOrEqual(4)
      yield* Fiber.interrupt(counting)
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
})
