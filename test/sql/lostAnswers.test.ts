/** Stories of two stores over the same tables, of which answers are lost at random, against what must come of them. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Random, type Scope } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { answering } from "../support/answering.ts"
import { summaryOf } from "../support/summary.ts"

/** A lost connection, of which it is asked again, or something that it is not asked again of. */
const lost = (code: "08006" | "XX000") => new SqlError({ message: "lost", cause: { code, message: "lost" } })

const memory = SqliteClient.layer({ filename: ":memory:" })

const story = Effect.fnUntraced(function*(seed: number): Effect.fn.Return<void, unknown, Scope.Scope> {
  const random = Random.make(`lost answers ${seed}`)
  const oneOf = <A>(items: ReadonlyArray<A>) =>
    Effect.map(random.nextIntBetween(0, items.length), (index) => items[index])
  let isFaulty = false
  const client = answering(
    memory,
    () =>
      Effect.flatMap(
        random.next,
        (at) => !isFaulty || at > 0.2 ? Effect.void : Effect.fail(lost(at > 0.05 ? "08006" : "XX000"))
      )
  )
  yield* Effect.gen(function*() {
    const one = yield* Sql.makeTaskIO({ durability: "relaxed" })
    const other = yield* Sql.makeTaskIO({ durability: "relaxed" })
    isFaulty = true
    const told: Array<string> = []
    const journals: Array<TaskIO.EncodedJournal> = []
    let acknowledged: ReadonlyArray<string> = []
    /** What may have been written, and was not acknowledged. */
    let inDoubt: ReadonlyArray<string> = []
    /** Whether nobody may have claimed it since the last one that was opened. */
    let isLast = true
    const follows = (records: ReadonlyArray<string>) => {
      const both = [...acknowledged, ...inDoubt]
      expect([acknowledged, both], told.join("\n")).toContainEqual(records)
    }
    const claims = (store: TaskIO.Encoded) =>
      Effect.map(Effect.exit(store.open("t")), (exit) => {
        told.push(`claim: ${exit._tag}`)
        isLast = Exit.isSuccess(exit)
        if (Exit.isFailure(exit)) return
        follows(exit.value.records)
        acknowledged = exit.value.records
        inDoubt = []
        expect(exit.value.epoch).toBeGreaterThan(journals.at(-1)?.epoch ?? 0)
        journals.push(exit.value)
      })
    const appends = (journal: TaskIO.EncodedJournal, record: string) =>
      Effect.map(Effect.exit(journal.append(acknowledged.length, [record, record], summaryOf("t"))), (exit) => {
        const isOvertaken = journal !== journals.at(-1)
        told.push(`append ${record}${isOvertaken ? " by one overtaken" : ""}: ${exit._tag}`)
        if (Exit.isSuccess(exit)) {
          expect(isOvertaken, told.join("\n")).toBe(false)
          acknowledged = [...acknowledged, record, record]
        } else if (!isOvertaken && inDoubt.length === 0) {
          if (isLast) expect(exit.cause, told.join("\n")).toMatchObject({ error: { _tag: "TaskIOError" } })
          inDoubt = [record, record]
        }
      })
    const reads = (store: TaskIO.Encoded) =>
      Effect.map(Effect.exit(store.read("t", 0)), (exit) => {
        told.push(`read: ${exit._tag}`)
        if (Exit.isSuccess(exit)) follows(exit.value)
      })
    for (let step = 0; step < 40; step++) {
      const store = (yield* random.nextBoolean) ? one : other
      const at = yield* random.next
      if (at < 0.2) yield* claims(store)
      else if (at < 0.4) yield* reads(store)
      else {
        const writer = at < 0.5 ? yield* oneOf(journals) : journals.at(-1)
        if (writer !== undefined) yield* appends(writer, String(step))
      }
    }
    isFaulty = false
    yield* reads(one)
  }).pipe(Effect.provide(client))
})

describe("SQLite: journals of which answers are lost at random", () => {
  it.scopedLive("hold what was acknowledged, once and in order, and take nothing from who was overtaken", () =>
    Effect.forEach(Array.from({ length: 15 }, (_, seed) => seed), story, { discard: true }))
})

describe("SQLite: where one answer is lost", () => {
  /** Uses a store of which, once `lose` was called, the answers to the next statements with these words are lost, one each. */
  const losing = <A>(
    words: ReadonlyArray<string>,
    error: SqlError,
    use: (store: TaskIO.Encoded, lose: () => void) => Effect.Effect<A, unknown, Scope.Scope | SqlClient.SqlClient>,
    meanwhile: (parameters: ReadonlyArray<unknown>) => Effect.Effect<unknown, SqlError> = () => Effect.void
  ) => {
    let left: ReadonlyArray<string> = []
    const client = answering(memory, (text, parameters) => {
      const [next, ...later] = left
      if (next === undefined || !text.includes(next)) return Effect.void
      left = later
      return Effect.zipRight(meanwhile(parameters), Effect.fail(error))
    })
    const used = Effect.flatMap(Sql.makeTaskIO(), (store) =>
      use(store, () => {
        left = words
      }))
    return Effect.provide(used, client)
  }
  const append = "into \"checkmate_appends_by_epoch\""

  it.scopedLive("a message comes once", () =>
    losing(["into \"checkmate_mail\""], lost("08006"), (store, lose) =>
      Effect.gen(function*() {
        lose()
        yield* store.send("t", "{}")
        expect((yield* store.receive("t")).map(({ message }) => message)).toEqual(["{}"])
      })))

  it.scopedLive("and cannot be asked for again, the journal takes no more writes behind what may have been done", () =>
    losing([append, "select cast(epoch as text)"], lost("XX000"), (store, lose) =>
      Effect.gen(function*() {
        const journal = yield* store.open("t")
        lose()
        expect(yield* Effect.flip(journal.append(0, ["1"], summaryOf("t")))).toMatchObject({ _tag: "TaskIOError" })
        for (const position of [0, 1]) {
          expect(yield* Effect.flip(journal.append(position, ["2"], summaryOf("t")))).toMatchObject({
            _tag: "StaleWriterError",
            problem: expect.stringContaining("an earlier append failed")
          })
        }
        expect(yield* store.read("t", 0)).toEqual(["1"])
      })))

  it.scopedLive("an append is not taken for that of a later claim, were it one of the same name", () => {
    let connection: Connection | undefined
    const say = (view: string, ...parameters: ReadonlyArray<unknown>) =>
      Effect.suspend(() =>
        connection === undefined ? Effect.void : connection.executeUnprepared(
          `insert into checkmate_${view} values (${parameters.map(() => "?").join(", ")})`,
          parameters,
          undefined
        )
      )
    return losing(
      [append],
      lost("08006"),
      (store, lose) =>
        Effect.gen(function*() {
          connection = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.scoped(sql.reserve))
          const journal = yield* store.open("t")
          lose()
          expect(yield* Effect.flip(journal.append(0, ["1"], summaryOf("t")))).toMatchObject({
            _tag: "StaleWriterError",
            problem: "a newer epoch has taken it over"
          })
          expect(yield* store.read("t", 0)).toEqual(["2"])
        }),
      ([taskId, owner, position, count, , ...summary]) =>
        say("removals", taskId).pipe(
          Effect.zipRight(say("claims", taskId, owner)),
          Effect.zipRight(say("appends_by_epoch", taskId, owner, position, count, "2", ...summary.slice(0, -1), 2))
        )
    )
  })
})
