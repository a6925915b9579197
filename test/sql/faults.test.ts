/** Databases that are killed, cut off, exhausted, locked, read-only or full, under tasks that run. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Either, Exit, Fiber, Layer, Option, Ref, Schedule, Schema, Scope } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { fight } from "../processes/fight.ts"
import { clientOf, type Postgres, postgres } from "../support/postgres.ts"
import { summaryOf } from "../support/summary.ts"

const Walk = State.make({ start: Schema.Int, at: Schema.Int, ballast: Schema.String })
const ballast = "x".repeat(5_000)
const stages = 8

/** Eight steps, each noted outside, of which `before` is what happens in each. */
const walk = (ledger: Array<string>, before: Effect.Effect<void> = Effect.sleep("20 millis")) =>
  CheckMate.make("walk", {
    state: Walk,
    input: ["start", "at"],
    stages: Array.from({ length: stages }, (_, index) =>
      Stage.make(Walk, `step-${index}`, {
        requires: ["at"],
        provides: ["at", "ballast"],
        execute: ({ at }) =>
          Effect.gen(function*() {
            const { stage, taskId } = yield* Stage.Context
            yield* Effect.sync(() => ledger.push(`${taskId} ${stage}`))
            yield* before
            return { at: at + 1, ballast }
          })
      }))
  })

/** What a task whose database is away may end with: typed, and to be taken up again. */
const resumable = ["TaskIOError", "BindingLostError", "StaleWriterError", "BindLockError"]

/** Runs a task until it has succeeded; how often it had to be taken up again. */
const runToTheEnd = (definition: ReturnType<typeof walk>, number: number) => {
  let again = -1
  return Effect.suspend(() => {
    again += 1
    return CheckMateEngine.run(definition, { taskId: `walk-${number}`, input: { start: number, at: number } })
  }).pipe(
    Effect.retry({
      while: (error) => error._tag === "TaskBoundError" || resumable.includes(error._tag),
      schedule: Schedule.spaced("100 millis")
    }),
    Effect.map((output) => ({ output, again }))
  )
}

/** Runs 32 tasks, while something is done to their database; each must do every stage once, but for those taken up again. */
const disturbed = <R>(disturb: Effect.Effect<void, never, R>, before?: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const ledger: Array<string> = []
    const definition = walk(ledger, before)
    const disturbing = yield* Effect.fork(disturb)
    const ended = yield* Effect.forEach(Array.from({ length: 32 }, (_, number) => number), (number) =>
      Effect.map(runToTheEnd(definition, number), (result) => ({ number, ...result })), { concurrency: "unbounded" })
    yield* Fiber.interrupt(disturbing)
    for (const { again, number, output } of ended) {
      expect(output.at).toBe(number + stages)
      const own = ledger.filter((entry) =>
        entry.startsWith(`walk-${number} `)
      )
      // Whatever was cut off was one stage, and what was acknowledged is not among what ran again.
      expect(own.length).toBeLessThanOrEqual(stages + again)
      expect(new Set(own).size).toBe(stages)
      expect([...own].sort()).toEqual(own)
    }
    return { again: ended.reduce((sum, { again }) => sum + again, 0) }
  })

const limit = 300_000

describe("Postgres", () => {
  it.live("killed with -9 and restarted under 32 running tasks: they wait and go on", () =>
    Effect.gen(function*() {
      const server = yield* postgres()
      const restarts = yield* Ref.make(0)
      const kill = Effect.zipRight(server.kill, server.start).pipe(
        Effect.zipRight(Ref.update(restarts, (count) => count + 1)),
        Effect.delay("600 millis"),
        Effect.uninterruptible
      )
      yield* disturbed(Effect.repeatN(kill, 4), Effect.sleep("400 millis")).pipe(
        Effect.provide(Layer.provide(Sql.layer(), clientOf(server)))
      )
      expect(yield* restarts).toBeGreaterThan(2)
    }).pipe(Effect.scoped), limit)

  it.live(
    "dropping its connections again and again: nothing is lost, and nothing runs twice",
    () =>
      Effect.gen(function*() {
        const server = yield* postgres()
        const others = yield* Layer.build(clientOf(server, { maxConnections: 1 }))
        const drops = yield* Ref.make(0)
        const drop = Effect.flatMap(SqlClient.SqlClient, (sql) =>
          sql`select pg_terminate_backend(pid) from pg_stat_activity
          where pid <> pg_backend_pid() and backend_type = 'client backend'`).pipe(
            Effect.zipRight(Ref.update(drops, (count) =>
              count + 1)),
            Effect.orDie,
            Effect.provide(others)
          )
        // By what was done, not by the clock: a slow machine would never get from one drop to the next.
        const entered = yield* Ref.make(0)
        const everyFew = Effect.flatMap(
          Ref.updateAndGet(entered, (count) =>
            count + 1),
          (count) => count % 6 === 0 ? drop : Effect.sleep("20 millis")
        )
        yield* disturbed(Effect.void, everyFew).pipe(Effect.provide(Layer.provide(Sql.layer(), clientOf(server))))
        expect(yield* Ref.get(drops)).toBeGreaterThanOrEqual(Math.floor((32 * stages) / 6))
      }).pipe(Effect.scoped),
    limit
  )

  it.live("with one connection for 32 tasks, which is taken away for a while: they wait", () =>
    Effect.gen(function*() {
      const server = yield* postgres()
      const client = clientOf(server, { maxConnections: 1 })
      const take = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.scoped(Effect.zipRight(sql.reserve, Effect.sleep("500 millis")))).pipe(
          Effect.delay("100 millis"),
          Effect.orDie
        )
      const { again } = yield* disturbed(take).pipe(Effect.provide(Layer.provideMerge(Sql.layer(), client)))
      expect(again).toBe(0)
    }).pipe(Effect.scoped), limit)

  it.live(
    "that may only be read for a while, as after a failover: they wait; for long: an error to go on from",
    () =>
      Effect.gen(function*() {
        const server = yield* postgres()
        const client = clientOf(server)
        const readOnly = (setting: "on" | "off") =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            yield* sql`set default_transaction_read_only = off`
            yield* sql`alter system set default_transaction_read_only = ${sql.literal(setting)}`
            yield* sql`select pg_reload_conf()`
          }).pipe(Effect.provide(clientOf(server, { maxConnections: 1 })), Effect.orDie)
        const failover = Effect.sleep("50 millis").pipe(
          Effect.zipRight(readOnly("on")),
          Effect.zipRight(Effect.sleep("700 millis")),
          Effect.zipRight(readOnly("off")),
          Effect.uninterruptible
        )
        const { again } = yield* disturbed(failover).pipe(Effect.provide(Layer.provide(Sql.layer(), client)))
        expect(again).toBe(0)

        const ledger: Array<string> = []
        const impatient = Layer.provide(Sql.layer({ patience: "500 millis", lease: "4 seconds" }), client)
        const turned = yield* Deferred.make<void>()
        const run = CheckMateEngine.run(
          walk(ledger, Effect.zipRight(Effect.ignore(readOnly("on")), Deferred.succeed(turned, undefined))),
          { taskId: "left", input: { start: 0, at: 0 } }
        )
        const error = yield* Effect.flip(Effect.provide(run, impatient))
        expect(String(error)).toMatch(/^TaskIOError: The store could not append to the journal[^]*read-only/)
        yield* readOnly("off")
        const output = yield* Effect.provide(
          CheckMateEngine.resume(walk(ledger), "left", { whenBound: "wait" }),
          impatient
        )
        expect(output.at).toBe(stages)
        // The stage whose checkpoint was refused, whichever that was.
        expect([ledger.length, new Set(ledger).size]).toEqual([stages + 1, stages])
      }).pipe(Effect.scoped),
    limit
  )
})

// At the same time, each on a server of its own: they wait most of the time.
for (const setting of ["lock_timeout", "statement_timeout"]) {
  describe.concurrent(`Postgres that gives little time (${setting})`, () => {
    it.live("is asked again, for as long as the store's patience", () =>
      Effect.gen(function*() {
        const server = yield* postgres({ [setting]: "100ms" })
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const { open } = yield* Sql.makeTaskIO()
          const { epoch } = yield* open("t")
          const locked = yield* Effect.makeLatch()
          const other = yield* Effect.fork(sql.withTransaction(
            sql`select 1 from checkmate_tasks where task_id = 't' for update`.pipe(
              Effect.zipRight(locked.open),
              Effect.zipRight(Effect.sleep("500 millis"))
            )
          ))
          yield* locked.await
          expect((yield* open("t")).epoch).toBeGreaterThan(epoch)
          yield* Fiber.join(other)
        }).pipe(Effect.scoped, Effect.provide(clientOf(server)))
      }).pipe(Effect.scoped), limit)
  })
}

const signalTo = (server: Postgres) => (name: "SIGSTOP" | "SIGCONT") =>
  Effect.flatMap(server.processes, (pids) =>
    Effect.sync(() => {
      for (const pid of pids) process.kill(pid, name)
    }))

describe.concurrent("Postgres that is frozen", () => {
  it.live(
    "ends a task with an error within its patience, to go on from once it answers again",
    () =>
      Effect.gen(function*() {
        const server = yield* postgres()
        const ledger: Array<string> = []
        const frozen = yield* Effect.makeSemaphore(1)
        const signal = signalTo(server)
        const engine = Layer.provide(Sql.layer({ patience: "500 millis", lease: "4 seconds" }), clientOf(server))
        const definition = walk(ledger, frozen.withPermits(1)(signal("SIGSTOP")))
        const error = yield* Effect.flip(
          CheckMateEngine.run(definition, { taskId: "t", input: { start: 0, at: 0 } }).pipe(
            Effect.ensuring(signal("SIGCONT")),
            Effect.provide(engine)
          )
        )
        expect(["TaskIOError", "BindingLostError"]).toContain(error._tag)
        const output = yield* Effect.provide(
          CheckMateEngine.resume(walk(ledger), "t", { whenBound: "wait" }),
          engine
        )
        expect(output.at).toBe(stages)
      }).pipe(Effect.scoped),
    limit
  )

  it.live("does not keep an engine from ending", () =>
    Effect.gen(function*() {
      const server = yield* postgres()
      const signal = signalTo(server)
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Layer.provide(Sql.layer({ patience: "500 millis" }), clientOf(server)), scope)
      // It has begun to listen for messages by then.
      yield* Effect.sleep("500 millis")
      yield* signal("SIGSTOP")
      const ending = yield* Effect.fork(Scope.close(scope, Exit.void))
      const ended = yield* Effect.timeoutOption(Fiber.await(ending), "8 seconds").pipe(
        Effect.ensuring(signal("SIGCONT"))
      )
      expect(Option.isSome(ended)).toBe(true)
    }).pipe(Effect.scoped), limit)

  it.live(
    "fails all appends that wait for it within its patience, and not one after another",
    () =>
      Effect.gen(function*() {
        const server = yield* postgres()
        const signal = signalTo(server)
        yield* Effect.gen(function*() {
          const store = yield* Sql.makeTaskIO({ patience: "1 second" })
          const journals = yield* Effect.forEach(
            Array.from({ length: 32 }, (_, index) => `t${index}`),
            (taskId) => Effect.map(store.open(taskId), (journal) => ({ taskId, journal }))
          )
          const append = (position: number) =>
            Effect.forEach(
              journals,
              ({ journal, taskId }) => Effect.either(journal.append(position, ["{}"], summaryOf(taskId))),
              { concurrency: "unbounded" }
            )
          yield* append(0)
          yield* signal("SIGSTOP")
          const [took, answers] = yield* Effect.timed(append(1)).pipe(Effect.ensuring(signal("SIGCONT")))
          expect(answers.filter(Either.isRight)).toEqual([])
          // One after another they would take 32 seconds at least.
          expect(Duration.toMillis(took)).toBeLessThan(20_000)
        }).pipe(Effect.scoped, Effect.provide(clientOf(server)))
      }).pipe(Effect.scoped),
    limit
  )
})

describe.concurrent("Postgres that is frozen in a transaction", () => {
  for (const [where, operation] of [["append", "append to the journal"], ["commit", "commit a transaction"]] as const) {
    it.live(
      `at its ${where}: it fails within the store's patience, and its connection is there again afterwards`,
      () =>
        Effect.gen(function*() {
          const server = yield* postgres()
          const signal = signalTo(server)
          yield* Effect.gen(function*() {
            const { open, read, transaction } = yield* Sql.makeTaskIO({ patience: "500 millis" })
            const together = Option.getOrThrow(Option.fromNullable(transaction))
            const journal = yield* open("t")
            const append = journal.append(0, ["{}"], summaryOf("t"))
            const freeze = signal("SIGSTOP")
            const error = yield* Effect.flip(
              together(where === "append" ? Effect.zipRight(freeze, append) : Effect.zipRight(append, freeze))
            ).pipe(Effect.ensuring(signal("SIGCONT")))
            expect(error).toMatchObject({ _tag: "TaskIOError", operation, problem: "it did not answer within 500ms" })
            const anew = yield* Effect.retry(open("t"), Schedule.spaced("50 millis"))
            // Whether it was committed nobody knows who was not told; the journal does.
            expect([[], ["{}"]]).toContainEqual(anew.records)
            yield* together(anew.append(anew.records.length, ["{}"], summaryOf("t")))
            expect(yield* read("t", 0)).toHaveLength(anew.records.length + 1)
          }).pipe(Effect.scoped, Effect.provide(clientOf(server, { maxConnections: 1 })))
        }).pipe(Effect.scoped),
      limit
    )
  }
})

const onSqlite = <A, E>(use: (filename: string) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()).pipe(
    Effect.flatMap((directory) => use(`${directory}/work.db`)),
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

describe("SQLite", () => {
  it.live("written to by six processes: every task once, to its end", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
      const report = yield* fight(directory, { processes: 6, tasks: 30, seed: "six", every: Infinity, store: "sqlite" })
      expect(report.violations).toEqual([])
      expect([report.kills, report.stages]).toEqual([0, 150])
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)), limit)

  it.live(
    "locked by another connection: tasks wait, and everything else goes on meanwhile",
    () =>
      onSqlite((filename) =>
        Effect.gen(function*() {
          const other = Effect.flatMap(SqlClient.SqlClient, (sql) =>
            Effect.scoped(Effect.gen(function*() {
              const connection = yield* sql.reserve
              yield* connection.executeUnprepared("begin exclusive", [], undefined)
              // Held until others have had their turn often, which they have not where a lock blocks them.
              yield* Effect.repeatN(Effect.sleep("1 millis"), 20)
              yield* connection.executeUnprepared("commit", [], undefined)
            }))).pipe(Effect.provide(SqliteClient.layer({ filename })), Effect.orDie, Effect.delay("50 millis"))
          const { again } = yield* disturbed(Effect.repeatN(other, 3)).pipe(
            Effect.provide(Layer.provide(Sql.layer({ busyTimeout: "10 millis" }), SqliteClient.layer({ filename })))
          )
          expect(again).toBe(0)
        })
      ),
    limit
  )

  it.live(
    "locked for longer than the store's patience: an error that says so, to go on from",
    () =>
      onSqlite((filename) =>
        Effect.gen(function*() {
          const ledger: Array<string> = []
          const client = SqliteClient.layer({ filename })
          const engine = Layer.provide(
            Sql.layer({ busyTimeout: "10 millis", patience: "300 millis", lease: "1 second" }),
            client
          )
          const locked = yield* Effect.makeSemaphore(1)
          const error = yield* Effect.flatMap(SqlClient.SqlClient, (sql) =>
            Effect.scoped(Effect.gen(function*() {
              const connection = yield* sql.reserve
              const lock = locked.withPermits(1)(
                Effect.ignore(connection.executeUnprepared("begin exclusive", [], undefined))
              )
              const run = CheckMateEngine.run(walk(ledger, lock), { taskId: "t", input: { start: 0, at: 0 } })
              return yield* Effect.flip(Effect.provide(run, engine))
            }))).pipe(Effect.provide(SqliteClient.layer({ filename })))
          expect(error).toMatchObject({ _tag: "TaskIOError" })
          expect(String(error)).toContain("SQLITE_BUSY")
          const output = yield* Effect.provide(
            CheckMateEngine.resume(walk(ledger), "t", { whenBound: "wait" }),
            engine
          )
          expect(output.at).toBe(stages)
        })
      ),
    limit
  )

  /** Without a WAL readers and writers keep each other out. */
  const withoutWal = (filename: string) => SqliteClient.layer({ filename, disableWAL: true })
  /** Another connection that has a lock by what it says first, for half a second from then. */
  const lockedBy = (filename: string, texts: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const locked = yield* Effect.makeLatch()
      yield* Effect.fork(
        Effect.flatMap(SqlClient.SqlClient, (sql) =>
          Effect.scoped(Effect.gen(function*() {
            const connection = yield* sql.reserve
            yield* Effect.forEach(texts, (text) => connection.executeUnprepared(text, [], undefined))
            yield* locked.open
            yield* Effect.sleep("500 millis")
            yield* connection.executeUnprepared("commit", [], undefined)
          }))).pipe(Effect.provide(withoutWal(filename)))
      )
      yield* locked.await
    })

  it.live(
    "locked while the store is made: it is made once the lock is gone",
    () =>
      onSqlite((filename) =>
        Effect.gen(function*() {
          yield* lockedBy(filename, ["create table already (there)", "begin exclusive"])
          const store = yield* Sql.makeTaskIO({ patience: "5 seconds" })
          expect(yield* store.read("t", 0)).toEqual([])
        }).pipe(Effect.scoped, Effect.provide(withoutWal(filename)))
      ),
    limit
  )

  it.live(
    "that is being read: a transaction is committed once that is over",
    () =>
      onSqlite((filename) =>
        Effect.gen(function*() {
          const { open, read, transaction } = yield* Sql.makeTaskIO()
          const journal = yield* open("t")
          yield* lockedBy(filename, ["begin", "select * from checkmate_tasks"])
          const together = Option.getOrThrow(Option.fromNullable(transaction))
          yield* together(journal.append(0, ["{}"], summaryOf("t")))
          expect(yield* read("t", 0)).toEqual(["{}"])
        }).pipe(Effect.scoped, Effect.provide(withoutWal(filename)))
      ),
    limit
  )

  it.live(
    "whose disk is full: an error that says so; with room again the task goes on",
    () =>
      onSqlite((filename) =>
        Effect.gen(function*() {
          const ledger: Array<string> = []
          const sql = yield* SqlClient.SqlClient
          const engine = Sql.layer({ lease: "1 second" })
          const pages = (count: number) => sql.unsafe(`pragma max_page_count = ${count}`)
          yield* Effect.provide(CheckMateEngine.find(), engine)
          const fill = Effect.gen(function*() {
            // No page is free from here on.
            const [row] = yield* sql<{ page_count: number }>`pragma page_count`
            yield* pages(row?.page_count ?? 0)
          }).pipe(Effect.orDie)
          const run = CheckMateEngine.run(walk(ledger, fill), { taskId: "t", input: { start: 0, at: 0 } })
          const error = yield* Effect.flip(Effect.provide(run, engine))
          expect(error).toMatchObject({ _tag: "TaskIOError", operation: "append to the journal" })
          expect(String(error)).toContain("full")
          yield* pages(1_000_000)
          const output = yield* Effect.provide(
            CheckMateEngine.resume(walk(ledger, Effect.void), "t", { whenBound: "wait" }),
            engine
          )
          expect(output.at).toBe(stages)
          expect(new Set(ledger).size).toBe(stages)
        }).pipe(Effect.provide(SqliteClient.layer({ filename })))
      ),
    limit
  )
})
