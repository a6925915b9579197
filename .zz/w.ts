import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import * as fs from "node:fs"
import { performance } from "node:perf_hooks"
import * as bench from "../test/bench/support.ts"
const dir = fs.mkdtempSync("/tmp/raw-")
const C = Number(process.argv[2] ?? 32)
await Effect.gen(function*() {
  const d = bench.pipeline(10)
  for (let r = 0; r < 5; r++) {
    const c = process.cpuUsage(); const s = performance.now(); const N = 1000
    yield* Effect.forEach(Array.from({ length: N }, (_, i) => `t-${r}-${i}`), (taskId) => CheckMateEngine.run(d, { taskId, input: {} }), { concurrency: C, discard: true })
    const u = process.cpuUsage(c)
    console.log(((performance.now() - s) / N / 10 * 1000).toFixed(0), "µs/stage, cpu", ((u.user + u.system) / N / 10).toFixed(0))
  }
}).pipe(Effect.provide(Sql.layer().pipe(Layer.provide(SqliteClient.layer({ filename: dir + "/x.db" })))), Effect.runPromise)
