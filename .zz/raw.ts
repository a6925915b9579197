import Sqlite from "better-sqlite3"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer } from "effect"
import * as Sql from "effect-checkmate/sql"
import * as fs from "node:fs"
import * as store from "../dist/sql/TaskIO.js"
import { performance } from "node:perf_hooks"
const dir = fs.mkdtempSync("/tmp/raw-")
const summary = (i:number) => ({ taskId: "a", checkMate: "c", status: "Running" as const, stage: "stage-1", succeeded: i, stages: 10, tags: [], createdAt: "2020-01-01T00:00:00.000Z", updatedAt: new Date().toISOString() })
await Effect.gen(function*() {
  const t = yield* Sql.makeTaskIO()
  for (let round = 0; round < 3; round++) {
    const N = 500
    let s = performance.now()
    const j = yield* t.open("a" + round)
    for (let i = 0; i < N; i++) yield* j.append(i, [JSON.stringify({ x: "y".repeat(500) })], summary(i))
    console.log("driver append", ((performance.now() - s) / N * 1000).toFixed(0), "µs")
    const db = new Sqlite(dir + "/x.db"); db.pragma("synchronous=FULL")
    const st = db.prepare(`insert into "checkmate_appends" select value->>0,value->>1,value->>2,value->>3,value->>4,value->>5,value->>6,value->>7,value->>8,value->>9,value->>10 from json_each(?)`)
    const row = db.prepare("select owner from checkmate_tasks where task_id=?").get("a" + round) as any
    s = performance.now()
    for (let i = N; i < 2*N; i++) { const sm = summary(i); st.run(JSON.stringify([["a"+round, row.owner, i, 1, JSON.stringify({ x: "y".repeat(500) }), "Running", "c", sm.createdAt, sm.updatedAt, JSON.stringify(sm), null]])) }
    console.log("raw same statement", ((performance.now() - s) / N * 1000).toFixed(0), "µs")
    db.pragma("synchronous=NORMAL")
    s = performance.now()
    for (let i = 2*N; i < 3*N; i++) { const sm = summary(i); st.run(JSON.stringify([["a"+round, row.owner, i, 1, JSON.stringify({ x: "y".repeat(500) }), "Running", "c", sm.createdAt, sm.updatedAt, JSON.stringify(sm), null]])) }
    console.log("raw without sync", ((performance.now() - s) / N * 1000).toFixed(0), "µs")
    db.close()
    const b = new Sqlite(dir + "/b.db"); b.pragma("journal_mode=WAL"); b.pragma("synchronous=FULL")
    b.exec("create table if not exists s (t text, n integer, body text, primary key(t,n)) without rowid")
    const ins = b.prepare("insert into s values (?,?,?)")
    s = performance.now()
    for (let i = 0; i < N; i++) ins.run("a" + round, i, JSON.stringify({ x: "y".repeat(500) }))
    console.log("bare", ((performance.now() - s) / N * 1000).toFixed(0), "µs")
    b.close()
  }
}).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: dir + "/x.db" })), Effect.runPromise)
