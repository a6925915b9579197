/** Stories of two stores over the same tables, of which answers are lost at random, against what must come of them. */
import { SqliteClient } from "@effect/sql-sqlite-node"
import { SqlError } from "@effect/sql/SqlError"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Random, type Scope } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { answering } from "../support/answering.ts"
import { summaryOf } from "../support/summary.ts"

/** A lost connection, of which it is asked again, or something that it is not asked again of. */
const lost = (code: "08006" | "XX000") => new SqlError({ message: "lost", cause: { code, message: "lost" } })

const story = Effect.fnUntraced(function*(seed: number): Effect.fn.Return<void, unknown, Scope.Scope> {
  const random = Random.make(`lost answers ${seed}`)
  const oneOf = <A>(items: ReadonlyArray<A>) =>
    Effect.map(random.nextIntBetween(0, items.length), (index) => items[index])
  let isFaulty = false
  const client = answering(
    SqliteClient.layer({ filename: ":memory:" }),
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
