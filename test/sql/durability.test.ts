/** Whether an acknowledged append was really synced: counted where the system or the server counts, not assumed. */
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schedule, Schema } from "effect"
import * as Sql from "effect-checkmate/sql"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { clientOf, postgres } from "../support/postgres.ts"
import { program } from "../support/program.ts"
import { summaryOf } from "../support/summary.ts"

const appender = program(new URL("appender.ts", import.meta.url))

/** The requests to write their caches out that the disks have had, all together; none where Linux does not tell. */
const flushes = (): number | undefined => {
  if (!fs.existsSync("/proc/diskstats")) return undefined
  const fields = fs.readFileSync("/proc/diskstats", "utf8").trim().split("\n").map((line) => line.trim().split(/\s+/))
  return fields.every((field) => field.length >= 19)
    ? fields.reduce((sum, field) => sum + Number(field[18]), 0)
    : undefined
}

const hasStrace = spawnSync("strace", ["-V"]).status === 0

/** Runs so many appends in a process of its own, and counts its syncs: exactly, or at most all disks' together. */
const syncsOf = (appends: number, durability: "full" | "relaxed") => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-durability-"))
  const command = [appender, `${directory}/work.db`, String(appends), durability]
  const before = flushes() ?? 0
  const trace = `${directory}/trace`
  const { status, stderr } = hasStrace
    ? spawnSync("strace", ["-f", "-e", "trace=fsync,fdatasync", "-o", trace, process.execPath, ...command])
    : spawnSync(process.execPath, command)
  if (status !== 0) throw new Error(String(stderr))
  const syncs = hasStrace
    ? fs.readFileSync(trace, "utf8").split("\n").filter((line) => /f(data)?sync\(/.test(line)).length
    : (flushes() ?? Infinity) - before
  fs.rmSync(directory, { recursive: true })
  return syncs
}

describe("SQLite", () => {
  it("syncs once for each append that stands alone, and as it is set where it is told to relax", () => {
    const appends = 300
    const full = syncsOf(appends, "full")
    expect(full).toBeGreaterThanOrEqual(appends)
    if (!hasStrace) return
    // And some for the tables, and for moving the log into the file.
    expect(full).toBeLessThan(appends + 60)
    expect(syncsOf(appends, "relaxed")).toBeLessThan(60)
  }, 300_000)

  it.effect("is set to full even on a connection that was not", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`pragma synchronous = normal`
      yield* Effect.scoped(Sql.makeTaskIO())
      expect(yield* sql`pragma synchronous`).toEqual([{ synchronous: 2 }])
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))

  it.scoped("is full again after what a lock writes, which need not last, also where that failed", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { acquire } = yield* Sql.makeBindLock()
      yield* acquire("t")
      expect(yield* sql`pragma synchronous`).toEqual([{ synchronous: 2 }])
      yield* sql`drop table checkmate_locks`
      expect(yield* Effect.flip(acquire("u"))).toMatchObject({ _tag: "BindLockError" })
      expect(yield* sql`pragma synchronous`).toEqual([{ synchronous: 2 }])
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
})

const Syncs = Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ syncs: Schema.NumberFromString })))

describe("Postgres", () => {
  it.live(
    "syncs its log for each append, though the server's default is not to wait for it",
    () =>
      Effect.gen(function*() {
        const server = yield* postgres({ synchronous_commit: "off", wal_writer_delay: "10s" })
        const appends = 100
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const syncs = sql`select cast(sum(fsyncs) as text) as syncs from pg_stat_io where object = 'wal'`.pipe(
            Effect.flatMap(Syncs),
            Effect.map(([row]) => row.syncs)
          )
          const store = yield* Sql.makeTaskIO()
          const before = yield* syncs
          const journal = yield* store.open("t")
          for (let position = 0; position < appends; position++) {
            yield* journal.append(position, [`{"at":${position}}`], summary)
          }
          // Each server process reports its figures a little later.
          const counted = yield* Effect.repeat(syncs, {
            until: (count) => count - before >= appends,
            schedule: Schedule.intersect(Schedule.spaced("100 millis"), Schedule.recurs(100))
          }).pipe(Effect.zipRight(syncs))
          expect(counted - before).toBeGreaterThanOrEqual(appends)
        }).pipe(Effect.scoped, Effect.provide(clientOf(server)))
      }).pipe(Effect.scoped),
    300_000
  )

  it.live(
    "keeps mail and removals through a crash, though the server's default is not to wait for its log",
    () =>
      Effect.gen(function*() {
        const server = yield* postgres({ synchronous_commit: "off", wal_writer_delay: "10s" })
        yield* Effect.gen(function*() {
          const store = yield* Sql.makeTaskIO()
          const journal = yield* store.open("t")
          yield* journal.append(0, ["{}"], summary)
          const crash = Effect.zipRight(server.kill, server.start)
          yield* store.remove("t")
          yield* crash
          expect(yield* store.read("t", 0)).toEqual([])
          yield* store.send("t", "{}")
          yield* crash
          expect(yield* store.receive("t")).toHaveLength(1)
        }).pipe(Effect.scoped, Effect.provide(clientOf(server)))
      }).pipe(Effect.scoped),
    300_000
  )

  it.live("is refused where the server never syncs, unless that is asked for", () =>
    Effect.gen(function*() {
      const server = yield* postgres({ fsync: "off" })
      const error = yield* Effect.flip(Layer.build(Layer.provide(Sql.layer(), clientOf(server))))
      expect(String(error)).toContain(
        `fsync = off, so a commit may be lost; switch it on, or say durability: "relaxed"`
      )
      yield* Layer.build(Layer.provide(Sql.layer({ durability: "relaxed" }), clientOf(server)))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)), 300_000)
})

const summary = summaryOf("t")
