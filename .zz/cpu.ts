import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer } from "effect"
import * as Sql from "effect-checkmate/sql"
import * as fs from "node:fs"
import { performance } from "node:perf_hooks"
const dir = fs.mkdtempSync("/tmp/raw-")
const summary = (i:number) => ({ taskId: "a", checkMate: "c", status: "Running" as const, stage: "stage-1", succeeded: i, stages: 10, tags: [], createdAt: "2020-01-01T00:00:00.000Z", updatedAt: new Date().toISOString() })
await Effect.gen(function*() {
  const t = yield* Sql.makeTaskIO({ durability: (process.argv[2] as any) ?? "relaxed" })
  for (let round = 0; round < 6; round++) {
    const N = 2000
    const j = yield* t.open("a" + round)
    let c = process.cpuUsage()
    let s = performance.now()
    for (let i = 0; i < N; i++) yield* j.append(i, [JSON.stringify({ x: "y".repeat(500) })], summary(i))
    const u = process.cpuUsage(c)
    console.log("driver append", ((performance.now() - s) / N * 1000).toFixed(0), "µs", "cpu", ((u.user + u.system) / N).toFixed(0))
  }
}).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: dir + "/x.db" })), Effect.runPromise)
