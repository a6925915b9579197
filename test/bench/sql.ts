/** SQLite and Postgres against bare loops on the same databases: one commit a step, with the same bytes. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import Sqlite from "better-sqlite3"
import { Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { performance } from "node:perf_hooks"
import { Pool } from "pg"
import { clientOf, postgres } from "../support/postgres.ts"
import { againOn, type Statement } from "./statements.ts"
import * as bench from "./support.ts"

const rounds = 5
const steps = 10

export type Row = (what: string, figure: string, limit?: string) => void

const us = (milliseconds: number) => `${(milliseconds * 1000).toFixed(0)} µs`
const perSecond = (milliseconds: number) => `${Math.round(1000 / milliseconds).toLocaleString("en")} a second`

interface Loop {
  /** Ten steps of a task, each committed. */
  readonly task: (name: string) => Promise<void>
  /** The same, where steps of different tasks that wait at once may share a commit. */
  readonly atOnce: (name: string) => Promise<void>
}

const body = (step: number) =>
  JSON.stringify({ _tag: "StageSucceeded", stage: `stage-${step}`, output: "x".repeat(500) })

const runTasks = (prefix: string, tasks: number, atOnce: number) =>
  Effect.gen(function*() {
    const definition = bench.pipeline(steps)
    const start = performance.now()
    yield* Effect.forEach(
      Array.from({ length: tasks }, (_, index) => `${prefix}-${index}`),
      (taskId) => CheckMateEngine.run(definition, { taskId, input: {} }),
      { concurrency: atOnce, discard: true }
    )
    return performance.now() - start
  })

interface Store {
  readonly name: string
  readonly loop: Loop
  readonly client: Layer.Layer<SqlClient.SqlClient, unknown>
  /** Says statements one after another, with nothing between. */
  readonly say: (statements: ReadonlyArray<Statement>) => Promise<void>
}

const bareLoop = ({ loop }: Store, prefix: string, tasks: number, atOnce: number) =>
  Effect.promise(() =>
    bench.time(() =>
      bench.inTurns(
        tasks,
        atOnce,
        (index) => (atOnce === 1 ? loop.task : loop.atOnce)(`${prefix}-${index}`)
      )
    )
  )

/** Medians of what one stage takes, in milliseconds, and of their ratio. */
const compared = (own: ReadonlyArray<number>, bare: ReadonlyArray<number>, stages: number) => ({
  mine: bench.median(own) / stages,
  theirs: bench.median(bare) / stages,
  ratio: bench.median(own.map((value, index) => value / bare[index]!))
})

const against = (
  store: Store,
  row: Row,
  tasks: number,
  atOnce: number,
  limits: readonly [string, string]
) =>
  Effect.gen(function*() {
    const engine: Array<number> = []
    const bare: Array<number> = []
    for (let round = -2; round < rounds; round++) {
      const prefix = `${store.name}-${atOnce}-${round}`
      const own = yield* runTasks(prefix, tasks, atOnce)
      const other = yield* bareLoop(store, prefix, tasks, atOnce)
      if (round < 0) continue
      engine.push(own)
      bare.push(other)
    }
    const { mine, ratio, theirs } = compared(engine, bare, tasks * steps)
    row(
      `${store.name}, ${tasks} tasks of ${steps} stages, ${atOnce} at a time`,
      atOnce === 1
        ? `${us(mine)} a stage, bare loop ${us(theirs)}, ratio ${ratio.toFixed(2)}`
        : `${perSecond(mine)}, bare loop ${perSecond(theirs)}, ${(1 / ratio).toFixed(2)} of it`,
      limits[atOnce === 1 ? 0 : 1]
    )
  })

/** What the same statements take without an engine. */
const withoutEngine = (store: Store, row: Row, tasks: number, atOnce: number) =>
  Effect.gen(function*() {
    const again: Array<number> = []
    const bare: Array<number> = []
    for (let round = -1; round < rounds; round++) {
      const own = yield* againOn(store.client, { round: round + 1, tasks, atOnce, say: store.say })
      const other = yield* bareLoop(store, `${store.name}-again-${atOnce}-${round}`, tasks, atOnce)
      if (round < 0) continue
      again.push(own)
      bare.push(other)
    }
    const { mine, ratio } = compared(again, bare, tasks * steps)
    row(
      `${store.name}, the statements of these by the driver alone`,
      atOnce === 1 ? `${us(mine)} a stage, ratio ${ratio.toFixed(2)}` : perSecond(mine)
    )
  })

const sqlite = (row: Row) =>
  bench.withDirectory(async (directory) => {
    const database = new Sqlite(`${directory}/bare.db`)
    database.pragma("journal_mode = WAL")
    database.pragma("synchronous = FULL")
    database.exec("create table steps (task text, step integer, body text, primary key (task, step)) without rowid")
    const insert = database.prepare("insert into steps values (?, ?, ?)")
    const loop: Loop = {
      task: async (name) => {
        for (let step = 0; step < steps; step++) insert.run(name, step, body(step))
      },
      atOnce: async (name) => {
        for (let step = 0; step < steps; step++) {
          insert.run(name, step, body(step))
          await Promise.resolve()
        }
      }
    }
    const again = new Sqlite(`${directory}/again.db`)
    again.pragma("journal_mode = WAL")
    again.pragma("synchronous = FULL")
    const store: Store = {
      name: "SQLite",
      loop,
      client: SqliteClient.layer({ filename: `${directory}/again.db` }),
      say: async (statements) => {
        const prepared = new Map<string, Sqlite.Statement>()
        for (const { parameters, text } of statements) {
          const statement = prepared.get(text) ?? again.prepare(text)
          prepared.set(text, statement)
          if (statement.reader) statement.all(...parameters)
          else statement.run(...parameters)
        }
      }
    }
    const layer = Sql.layer().pipe(Layer.provide(SqliteClient.layer({ filename: `${directory}/engine.db` })))
    await Effect.runPromise(
      Effect.gen(function*() {
        yield* Effect.provide(against(store, row, 200, 1, ["1.5", ""]), layer)
        yield* withoutEngine(store, row, 200, 1)
        yield* Effect.provide(against(store, row, 1000, 32, ["", "20,000 a second"]), layer)
        yield* withoutEngine(store, row, 1000, 32)
      })
    )
    again.close()
    database.close()
  })

const onPostgres = (row: Row) =>
  Effect.gen(function*() {
    const server = yield* postgres()
    const pool = new Pool({ host: "127.0.0.1", port: server.port, user: "postgres", password: "checkmate", max: 32 })
    pool.on("error", () => {})
    yield* Effect.promise(() =>
      pool.query("create table steps (task text, step integer, body text, primary key (task, step))")
    )
    const task = async (name: string) => {
      for (let step = 0; step < steps; step++) {
        await pool.query("insert into steps values ($1, $2, $3)", [name, step, body(step)])
      }
    }
    const client = clientOf(server, { maxConnections: 32 })
    const store: Store = {
      name: "Postgres",
      loop: { task, atOnce: task },
      client,
      say: async (statements) => {
        const connection = await pool.connect()
        for (const { parameters, text } of statements) await connection.query(text, [...parameters])
        connection.release()
      }
    }
    const layer = Layer.provide(Sql.layer(), client)
    yield* Effect.provide(against(store, row, 100, 1, ["1.5", ""]), layer)
    yield* withoutEngine(store, row, 100, 1)
    yield* Effect.provide(against(store, row, 1000, 32, ["", "0.7 of it"]), layer)
    yield* Effect.promise(() => pool.end())
  })

const fill = (count: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const at = new Date(Date.UTC(2026, 0, 1)).toISOString()
    const statusOf = (index: number) => index % 1000 === 0 ? "Failed" : "Succeeded"
    for (let from = 0; from < count; from += 1000) {
      const rows = Array.from({ length: 1000 }, (_, index) => {
        const taskId = `task-${from + index}`
        const status = statusOf(from + index)
        const summary = {
          taskId,
          checkMate: "bench",
          status,
          succeeded: 10,
          stages: 10,
          tags: [],
          createdAt: at,
          updatedAt: at
        }
        return {
          task_id: taskId,
          epoch: 1,
          owner: "o",
          records: 0,
          status,
          check_mate: "bench",
          created_at: at,
          updated_at: at,
          updated_hour: at.slice(0, 13),
          summary: JSON.stringify(summary)
        }
      })
      yield* sql`insert into checkmate_tasks ${sql.insert(rows)}`
    }
    const times: Array<number> = []
    let found = 0
    for (let round = 0; round < 20; round++) {
      const start = performance.now()
      found = (yield* CheckMateEngine.find({ status: ["Failed"] })).length
      times.push(performance.now() - start)
    }
    return { found, median: bench.median(times) }
  })

const find = (name: string, row: Row, client: Layer.Layer<SqlClient.SqlClient, unknown>) =>
  Effect.map(
    Effect.provide(fill(100_000), Layer.provideMerge(Sql.layer(), client)),
    ({ found, median }) =>
      row(`${name}, find of ${found} failed tasks among 100,000`, `${median.toFixed(1)} ms`, "20 ms")
  )

export const sql = async (row: Row): Promise<void> => {
  await sqlite(row)
  await Effect.runPromise(Effect.scoped(onPostgres(row)))
  await bench.withDirectory((directory) =>
    Effect.runPromise(find("SQLite", row, SqliteClient.layer({ filename: `${directory}/find.db` })))
  )
  await Effect.runPromise(
    Effect.scoped(Effect.flatMap(postgres(), (server) => find("Postgres", row, clientOf(server))))
  )
}
