/** Stages that commit together with their checkpoint: what they write happens exactly once. */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Schedule, Schema, Scope } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, TaskIO } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { Faults } from "effect-checkmate/testing"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { answering } from "../support/answering.ts"
import { clientOf, postgres } from "../support/postgres.ts"
import { sharedServer } from "../support/sqlContracts.ts"
import { summaryOf } from "../support/summary.ts"

const Transfer = State.make({ cents: Schema.Int, moved: Schema.Int, noted: Schema.Boolean })

class Refused extends Schema.TaggedError<Refused>()("Refused", { attempt: Schema.Int }) {}

/** Moves money from account 1 to account 2, then notes it. `during` runs between the two updates. */
const transfer = (during: Effect.Effect<void, Refused, Stage.Context> = Effect.void, undoing = during) =>
  CheckMate.make("transfer", {
    state: Transfer,
    input: ["cents"],
    stages: [
      Stage.make(Transfer, "move", {
        requires: ["cents"],
        provides: ["moved"],
        retry: Schedule.recurs(2),
        execute: ({ cents }) =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            yield* Effect.orDie(sql`update accounts set cents = cents - ${cents} where id = 1`)
            yield* during
            yield* Effect.orDie(sql`update accounts set cents = cents + ${cents} where id = 2`)
            return { moved: cents }
          }),
        rollbackRetry: Schedule.recurs(2),
        rollback: ({ cents }) =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            yield* Effect.orDie(sql`update accounts set cents = cents + ${cents} where id = 1`)
            yield* undoing
            yield* Effect.orDie(sql`update accounts set cents = cents - ${cents} where id = 2`)
          })
      }).pipe(Stage.transactional),
      Stage.make(Transfer, "note", {
        requires: ["moved"],
        provides: ["noted"],
        execute: () => Effect.succeed({ noted: true })
      })
    ]
  })

/** Takes money from account 1, and does something after it. */
const taking = (after: Effect.Effect<void, never, SqlClient.SqlClient>) =>
  CheckMate.make("taking", {
    state: Transfer,
    input: ["cents"],
    stages: [
      Stage.make(Transfer, "take", {
        requires: ["cents"],
        provides: ["moved"],
        execute: ({ cents }) =>
          Effect.flatMap(SqlClient.SqlClient, (sql) =>
            Effect.orDie(sql`update accounts set cents = cents - ${cents} where id = 1`)).pipe(
              Effect.zipRight(after),
              Effect.as({ moved: cents })
            )
      }).pipe(Stage.transactional)
    ]
  })

/** Fails so many times, then lets pass. */
const refusing = (times: number) => {
  let left = times
  return Effect.flatMap(
    Stage.Context,
    ({ attempt }) => Effect.suspend(() => left-- > 0 ? Effect.fail(new Refused({ attempt })) : Effect.void)
  )
}

const balances = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ cents: number }>`select cents from accounts order by id`
  return rows.map(({ cents }) => cents)
})

const accounts = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table if not exists accounts (id integer primary key, cents integer not null)`
  yield* sql`delete from accounts`
  yield* sql`insert into accounts (id, cents) values (1, 1000), (2, 0)`
})

const input = { cents: 300 }

const suite = (
  name: string,
  client: () => Layer.Layer<SqlClient.SqlClient, unknown>,
  prefix: () => string
) =>
  describe(`transactional stages on ${name}`, () => {
    /** A database with two accounts, and engines over it. */
    const withAccounts = <A, E>(
      use: (
        engine: Layer.Layer<CheckMateEngine.CheckMateEngine | Stage.Transactions, unknown, SqlClient.SqlClient>,
        prefix: string
      ) => Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>
    ) =>
      Effect.suspend(() => {
        const own = prefix()
        return Effect.zipRight(accounts, use(Sql.layer({ prefix: own }), own)).pipe(
          Effect.scoped,
          Effect.provide(client())
        )
      })

    it.effect("write and are checkpointed together", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const output = yield* Effect.provide(CheckMateEngine.run(transfer(), { taskId: "t", input }), engine)
          expect(output).toEqual({ cents: 300, moved: 300, noted: true })
          expect(yield* balances).toEqual([700, 300])
        })
      ))

    it.effect("leave nothing of a failed attempt, ask for no rollback of it, and are tried again", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const run = CheckMateEngine.run(transfer(refusing(2), Effect.die("not to be asked")), { taskId: "t", input })
          yield* Effect.provide(run, engine)
          expect(yield* balances).toEqual([700, 300])
          const failed = CheckMateEngine.run(transfer(refusing(9)), { taskId: "other", input })
          expect(yield* Effect.flip(Effect.provide(failed, engine))).toEqual(new Refused({ attempt: 3 }))
          expect(yield* balances).toEqual([700, 300])
          const { history } = yield* Effect.provide(CheckMateEngine.get("t"), engine)
          expect(history.map(({ _tag }) => _tag).filter((tag) => tag.startsWith("Attempt"))).toEqual([
            "AttemptFailed",
            "AttemptUndone",
            "AttemptFailed",
            "AttemptUndone"
          ])
        })
      ))

    it.effect("are not told what a layer that is provided later failed with, but their Schedule is", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const down = new Refused({ attempt: 0 })
          const definition = CheckMate.make("down", {
            state: Transfer,
            input: [],
            stages: [
              Stage.make(Transfer, "move", {
                retry: Schedule.recurs(1).pipe(Schedule.tapInput((error) => Effect.sync(() => seen.push(error)))),
                execute: () => Effect.void
              }).pipe(Stage.mapError(() => "lost"), Stage.provide(Layer.fail(down)), Stage.transactional)
            ]
          })
          const run = CheckMateEngine.run(definition, { taskId: "t", input: {} })
          expect(yield* Effect.flip(Effect.provide(run, engine))).toEqual(down)
          expect(seen).toEqual([down, down])
        })
      ))

    it.effect("are undone by an interruption, and run again when the task goes on", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const begun = yield* Effect.makeLatch()
          const hanging = transfer(Effect.zipRight(begun.open, Effect.never))
          const fiber = yield* Effect.fork(
            Effect.provide(CheckMateEngine.run(hanging, { taskId: "t", input }), engine)
          )
          yield* begun.await
          yield* Fiber.interrupt(fiber)
          expect(yield* balances).toEqual([1000, 0])
          yield* Effect.provide(CheckMateEngine.resume(transfer(), "t"), engine)
          expect(yield* balances).toEqual([700, 300])
        })
      ))

    it.effect("leave nothing of what failed where a fallback answers it, which commits by itself", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const move = Stage.make(Transfer, "move", {
            requires: ["cents"],
            provides: ["moved"],
            execute: ({ cents }) =>
              Effect.gen(function*() {
                const sql = yield* SqlClient.SqlClient
                yield* sql`update accounts set cents = cents - ${cents} where id = 1`
                yield* sql`update nowhere set cents = cents + ${cents} where id = 2`
                return { moved: cents }
              })
          })
          const definition = CheckMate.make("caught", {
            state: Transfer,
            input: ["cents"],
            stages: [
              move.pipe(
                Stage.catchTag("SqlError", () =>
                  Effect.flatMap(
                    SqlClient.SqlClient,
                    (sql) => Effect.orDie(sql`update accounts set cents = 7 where id = 2`)
                  ).pipe(Effect.as({ moved: 0 }))),
                Stage.transactional
              )
            ]
          })
          const output = yield* Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input }), engine)
          expect(output).toEqual({ cents: 300, moved: 0 })
          expect(yield* balances).toEqual([1000, 7])
        })
      ))

    it.effect("let go of what they have acquired, also where what maps their failure throws", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const note = (text: string) => Effect.sync(() => log.push(text))
          const definition = CheckMate.make("thrower", {
            state: Transfer,
            input: [],
            stages: [
              Stage.make(Transfer, "move", {
                execute: () =>
                  Effect.zipRight(
                    Effect.acquireRelease(note("acquired"), () => note("released")),
                    Effect.fail(new Refused({ attempt: 1 }))
                  )
              }).pipe(
                Stage.mapError((): Refused => {
                  throw new Error("a mapping that throws")
                }),
                Stage.catchTag("Refused", () => Effect.succeed({})),
                Stage.transactional
              )
            ]
          })
          const run = CheckMateEngine.run(definition, { taskId: "t", input: {} })
          expect(yield* Effect.sandbox(Effect.provide(run, engine)).pipe(Effect.flip, Effect.map(String))).toContain(
            "a mapping that throws"
          )
          expect(log).toEqual(["acquired", "released"])
        })
      ))

    it.live("are cancelled while they hang, also where they have the only connection", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const begun = yield* Effect.makeLatch()
          const hanging = transfer(Effect.zipRight(begun.open, Effect.never))
          yield* CheckMateEngine.start(hanging, { taskId: "t", input })
          yield* begun.await
          yield* Effect.disconnect(CheckMateEngine.cancel("t")).pipe(Effect.timeout("10 seconds"))
          expect((yield* CheckMateEngine.get("t")).task.status._tag).toBe("Cancelled")
          expect(yield* balances).toEqual([1000, 0])
        }).pipe(Effect.provide(engine))
      ), 300_000)

    it.effect("are rolled back in a transaction too, once, however often the rollback fails", () =>
      withAccounts((engine) =>
        Effect.gen(function*() {
          const definition = transfer(Effect.void, refusing(2))
          yield* Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input }), engine)
          yield* Effect.provide(CheckMateEngine.rollback(definition, "t"), engine)
          expect(yield* balances).toEqual([1000, 0])

          const stubborn = transfer(Effect.void, refusing(9))
          yield* Effect.provide(CheckMateEngine.run(stubborn, { taskId: "other", input }), engine)
          const failed = yield* Effect.flip(Effect.provide(CheckMateEngine.rollback(stubborn, "other"), engine))
          expect(failed).toMatchObject({ _tag: "RollbackFailedError", stage: "move" })
          expect(yield* balances).toEqual([700, 300])
          yield* Effect.provide(CheckMateEngine.rollback(transfer(), "other"), engine)
          expect(yield* balances).toEqual([1000, 0])
        })
      ))

    it.effect("move the money once, whichever write the store fails at, before or after it is done", () =>
      withAccounts((_, prefix) =>
        Effect.gen(function*() {
          let cuts = 0
          for (const fault of [Faults.fail, Faults.dropAcknowledgement]) {
            for (let nth = 1;; nth++) {
              yield* accounts
              const taskId = `cut-${cuts++}`
              const engine = CheckMateEngine.layer.pipe(
                Layer.provideMerge(Faults.layer([fault("append", { nth })])),
                Layer.provideMerge(Layer.merge(Sql.layerTaskIO({ prefix }), BindLock.layerMemory))
              )
              const definition = transfer()
              const first = yield* Effect.exit(
                Effect.provide(CheckMateEngine.run(definition, { taskId, input }), engine)
              )
              const sound = Sql.layer({ prefix })
              yield* Effect.provide(CheckMateEngine.run(definition, { taskId, input }), sound)
              expect(yield* balances, taskId).toEqual([700, 300])
              yield* Effect.provide(CheckMateEngine.rollback(definition, taskId), sound)
              expect(yield* balances, taskId).toEqual([1000, 0])
              if (Exit.isSuccess(first)) {
                break
              }
            }
          }
          expect(cuts).toBeGreaterThan(6)
        })
      ))

    it.effect("are refused by a store that has no transactions, before anything runs", () =>
      withAccounts((_, prefix) =>
        Effect.gen(function*() {
          const run = CheckMateEngine.run(transfer(Effect.die("not to be run")), { taskId: "t", input })
          const error = yield* Effect.flip(run).pipe(
            Effect.provide(Layer.merge(CheckMateEngine.layerMemory, Sql.layerTaskIO({ prefix })))
          )
          expect(error).toMatchObject({ _tag: "TransactionUnsupportedError", stage: "move", taskId: "t" })
          expect(String(error)).toContain("effect-checkmate/sql")
        })
      ))
  })

describe("a commit that SQLite refuses", () => {
  it.scoped("takes no append with it that is acknowledged after it, as another connection sees", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-sqlite-"))),
        (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
      )
      const filename = path.join(directory, "work.db")
      const sql = yield* Effect.map(Layer.build(SqliteClient.layer({ filename })), Context.get(SqlClient.SqlClient))
      const other = yield* Effect.map(
        Layer.build(Layer.fresh(SqliteClient.layer({ filename }))),
        Context.get(SqlClient.SqlClient)
      )
      yield* sql`create table parents (id integer primary key)`
      yield* sql`create table children (parent integer references parents (id) deferrable initially deferred)`
      const orphan = Effect.flatMap(SqlClient.SqlClient, (own) => Effect.orDie(own`insert into children values (7)`))
      const begun = yield* Effect.makeLatch()
      const goOn = yield* Effect.makeLatch()
      const noted = (name: string, work: Effect.Effect<unknown, never, SqlClient.SqlClient>) =>
        Stage.make(Transfer, name, {
          requires: ["cents"],
          provides: ["noted"],
          execute: () => Effect.as(work, { noted: true })
        })
      const only = { state: Transfer, input: ["cents"] } as const
      const wait = noted("wait", Effect.zipRight(begun.open, goOn.await))
      const waiting = CheckMate.make("waiting", { ...only, stages: [wait] })
      const refused = CheckMate.make("refused", { ...only, stages: [Stage.transactional(noted("orphan", orphan))] })
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.fork(CheckMateEngine.run(waiting, { taskId: "bound-before", input }))
        yield* begun.await
        const error = yield* Effect.flip(CheckMateEngine.run(refused, { taskId: "refused", input }))
        expect(String(error)).toContain("FOREIGN KEY")
        yield* goOn.open
        yield* Fiber.join(fiber)
        expect(yield* other`select task_id, status from checkmate_tasks order by task_id`).toEqual([
          { task_id: "bound-before", status: "Succeeded" },
          { task_id: "refused", status: "Running" }
        ])
        expect(yield* other`select * from children`).toEqual([])
      }).pipe(Effect.provide(Sql.layer()), Effect.provideService(SqlClient.SqlClient, sql))
    }))
})

suite("SQLite", () => SqliteClient.layer({ filename: ":memory:" }), () => "checkmate_")

const server = sharedServer()
let number = 0

suite("Postgres", () => server, () => `transfer${++number}_`)

describe("a transaction that SQLite ends by itself", () => {
  it.effect("takes no append that would stand without what was written before it", () =>
    Effect.gen(function*() {
      yield* accounts
      const refused = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.ignore(sql`insert or rollback into accounts (id, cents) values (1, 0)`))
      const engine = Sql.layer()
      const run = (during: Effect.Effect<void, never, SqlClient.SqlClient>) =>
        Effect.provide(CheckMateEngine.run(taking(during), { taskId: "t", input }), engine)
      expect(yield* Effect.flip(run(refused))).toMatchObject({
        operation: "append to the journal",
        problem: "it was rolled back, because a statement in it had failed"
      })
      expect(yield* balances).toEqual([1000, 0])
      yield* run(Effect.void)
      expect(yield* balances).toEqual([700, 0])
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
})

describe("a transaction in which a statement fails after the append", () => {
  it.effect("fails on Postgres, where nothing of it is written", () =>
    Effect.gen(function*() {
      const { open, read, transaction } = yield* Sql.makeTaskIO({ prefix: "aborted_" })
      const journal = yield* open("t")
      const append = journal.append(0, ["{}"], summaryOf("t"))
      const broken = Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.ignore(sql`select 1 / 0`))
      const both = Option.getOrThrow(Option.fromNullable(transaction))(Effect.zipRight(append, broken))
      expect(yield* Effect.flip(both)).toMatchObject({
        operation: "commit a transaction",
        problem: "it was rolled back, because a statement in it had failed"
      })
      expect(yield* read("t", 0)).toEqual([])
    }).pipe(Effect.scoped, (self) => Effect.suspend(() => Effect.provide(self, server))))
})

describe("a transaction whose beginning is not waited for to the end", () => {
  for (const [how, patience] of [["interrupted", "30 seconds"], ["given up", "1 second"]] as const) {
    it.live(`leaves its connection to others, who get it later: ${how}`, () =>
      Effect.gen(function*() {
        const own = yield* postgres()
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const { read, transaction } = yield* Sql.makeTaskIO({ patience })
          const only = yield* Scope.make()
          yield* Scope.extend(sql.reserve, only)
          const waiting = yield* Effect.fork(Option.getOrThrow(Option.fromNullable(transaction))(Effect.void))
          yield* Effect.repeatN(Effect.yieldNow(), 50)
          if (how === "interrupted") yield* Fiber.interrupt(waiting)
          expect(Exit.isFailure(yield* Fiber.await(waiting))).toBe(true)
          yield* Scope.close(only, Exit.void)
          expect(yield* read("t", 0)).toEqual([])
        }).pipe(Effect.scoped, Effect.provide(clientOf(own, { maxConnections: 1 })))
      }).pipe(Effect.scoped), 300_000)
  }

  it.scoped("is rolled back, where it was begun and its answer was on its way", () =>
    Effect.gen(function*() {
      const begun = yield* Effect.makeLatch()
      const goOn = yield* Effect.makeLatch(true)
      const client = answering(SqliteClient.layer({ filename: ":memory:" }), (text) =>
        text.startsWith("begin") ? Effect.zipRight(begun.open, goOn.await) : Effect.void)
      yield* Effect.gen(function*() {
        const store = yield* Sql.makeTaskIO()
        const transaction = Option.getOrThrow(Option.fromNullable(store.transaction))
        yield* Effect.all([goOn.close, begun.close])
        const fiber = yield* Effect.fork(transaction(Effect.void))
        yield* begun.await
        yield* Fiber.interrupt(fiber)
        yield* goOn.open
        expect(yield* transaction(Effect.succeed("begun anew"))).toBe("begun anew")
      }).pipe(Effect.scoped, Effect.provide(client))
    }))
})

describe("a transaction that is over", () => {
  it.effect("is no more to a fiber that was begun in it and goes on: what that asks for is done by itself", () =>
    Effect.gen(function*() {
      const { open, read, transaction } = yield* Sql.makeTaskIO()
      const { append } = yield* open("t")
      const over = yield* Effect.makeLatch()
      const later = over.await.pipe(
        Effect.zipRight(append(0, ["{}"], summaryOf("t"))),
        Effect.zipRight(read("t", 0))
      )
      const fiber = yield* Option.getOrThrow(Option.fromNullable(transaction))(Effect.forkDaemon(later))
      yield* over.open
      expect(yield* Fiber.join(fiber)).toEqual(["{}"])
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))

  it.effect("takes one question to begin and one to commit it on Postgres, and none to give its connection back", () => {
    const said: Array<string> = []
    const noting = (self: typeof server) =>
      answering(self, (text) =>
        Effect.sync(() => {
          said.push(text)
        }))
    return Effect.gen(function*() {
      const { transaction } = yield* Sql.makeTaskIO({ prefix: "counted_" })
      said.length = 0
      yield* Option.getOrThrow(Option.fromNullable(transaction))(Effect.void)
      // The commit is said in a way of its own, which is not noted.
      expect(said).toEqual(["begin"])
    }).pipe(Effect.scoped, (self) => Effect.suspend(() => Effect.provide(self, noting(server))))
  })
})

describe("a transaction of the caller's own", () => {
  it.effect("takes no part in what the engine writes, and cannot undo it", () =>
    Effect.gen(function*() {
      yield* accounts
      const sql = yield* SqlClient.SqlClient
      const engine = Sql.layer({ prefix: "outer_" })
      yield* CheckMateEngine.run(transfer(), { taskId: "t", input }).pipe(
        Effect.provide(engine),
        Effect.zipRight(Effect.fail("roll it back")),
        sql.withTransaction,
        Effect.ignore
      )
      const { task } = yield* Effect.provide(CheckMateEngine.get("t"), engine)
      expect(task.status._tag).toBe("Succeeded")
      expect(yield* balances).toEqual([700, 300])
    }).pipe((self) => Effect.suspend(() => Effect.provide(self, server))))

  it.effect("takes no part in what a task's stages write, and neither does whoever has its connection later", () =>
    Effect.gen(function*() {
      yield* accounts
      const sql = yield* SqlClient.SqlClient
      yield* Effect.gen(function*() {
        const goOn = yield* Effect.makeLatch()
        const definition = CheckMate.make("late", {
          state: Transfer,
          input: ["cents"],
          stages: [Stage.make(Transfer, "set", {
            requires: ["cents"],
            execute: ({ cents }) =>
              goOn.await.pipe(
                Effect.zipRight(sql`update accounts set cents = ${cents} where id = 2`),
                Effect.orDie,
                Effect.asVoid
              )
          })]
        })
        const handle = yield* sql.withTransaction(CheckMateEngine.start(definition, { taskId: "started", input }))
        yield* goOn.open.pipe(
          Effect.zipRight(handle.await),
          Effect.zipRight(Effect.fail("roll it back")),
          sql.withTransaction,
          Effect.ignore
        )
        expect(yield* balances).toEqual([1000, 300])
        yield* CheckMateEngine.run(definition, { taskId: "run", input: { cents: 400 } }).pipe(
          Effect.zipRight(Effect.fail("roll it back")),
          sql.withTransaction,
          Effect.ignore
        )
        expect(yield* balances).toEqual([1000, 400])
      }).pipe(Effect.provide(Sql.layer({ prefix: "started_" })))
    }).pipe((self) => Effect.suspend(() => Effect.provide(self, server))))

  it.live(
    "is told so on SQLite also while others are at work, who go on then",
    () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.gen(function*() {
          const store = yield* TaskIO.TaskIO
          const goOn = yield* Effect.makeLatch()
          const busy = CheckMate.make("busy", {
            state: Transfer,
            input: [],
            stages: [Stage.make(Transfer, "wait", { execute: () => goOn.await })]
          })
          const handles = yield* Effect.forEach(
            ["a", "b", "c"],
            (taskId) => CheckMateEngine.start(busy, { taskId, input: {} })
          )
          const run = CheckMateEngine.run(busy, { taskId: "t", input: {} })
          for (const ask of [Effect.asVoid(run), Effect.asVoid(Effect.scoped(store.open("t")))]) {
            expect(yield* Effect.flip(sql.withTransaction(ask))).toMatchObject({
              _tag: "TaskIOError",
              problem: expect.stringContaining("ask outside of yours")
            })
          }
          yield* goOn.open
          for (const { await: end } of handles) yield* end
        }).pipe(Effect.provide(
          Layer.provideMerge(
            CheckMateEngine.layer,
            Layer.merge(Sql.layerTaskIO({ patience: "1 second" }), Sql.layerBindLock({ patience: "1 second" }))
          )
        ))
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))),
    300_000
  )

  it.live(
    "is told on SQLite that what it asks for waits for it, and can be interrupted meanwhile",
    () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.gen(function*() {
          const run = CheckMateEngine.run(transfer(), { taskId: "t", input })
          expect(yield* Effect.flip(sql.withTransaction(run))).toMatchObject({
            _tag: "TaskIOError",
            problem: expect.stringContaining("ask outside of yours")
          })
          const ended = yield* Effect.timeoutOption(sql.withTransaction(CheckMateEngine.find()), "100 millis")
          expect(ended).toEqual(Option.none())
          expect(yield* CheckMateEngine.find()).toEqual([])
        }).pipe(Effect.provide(Sql.layer({ patience: "1 second" })))
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" }))),
    300_000
  )

  it.effect("keeps nobody on SQLite who waits for its end and is interrupted", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { read } = yield* Sql.makeTaskIO()
      const begun = yield* Effect.makeLatch()
      const end = yield* Effect.makeLatch()
      const transaction = yield* Effect.fork(sql.withTransaction(Effect.zipRight(begun.open, end.await)))
      yield* begun.await
      const reading = yield* Effect.fork(read("t", 0))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      yield* Fiber.interruptFork(reading)
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      const ended = yield* Fiber.poll(reading)
      yield* end.open
      yield* Fiber.join(transaction)
      expect(Option.isSome(ended)).toBe(true)
      // The connection is there for whoever asks next.
      expect(yield* read("t", 0)).toEqual([])
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" }))))
})

describe("a transactional stage that runs another task", () => {
  const only = { state: Transfer, input: ["cents"] } as const
  const note = <R>(work: Effect.Effect<unknown, Refused, R>) =>
    Stage.make(Transfer, "note", {
      requires: ["cents"],
      provides: ["noted"],
      execute: () => Effect.as(work, { noted: true })
    })

  it.live("takes no part in what that writes, and does not undo it: on Postgres", () =>
    Effect.gen(function*() {
      yield* accounts
      const definition = CheckMate.make("other", {
        ...only,
        stages: [
          note(
            Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.orDie(sql`update accounts set cents = 1 where id = 2`))
          )
        ]
      })
      yield* Effect.gen(function*() {
        const goOn = yield* Effect.makeLatch()
        const late = CheckMate.make("late", { ...only, stages: [note(goOn.await)] })
        const handles: Array<CheckMateEngine.Handle<unknown, unknown>> = []
        const both = Effect.gen(function*() {
          yield* CheckMateEngine.run(definition, { taskId: "run", input })
          handles.push(yield* CheckMateEngine.start(late, { taskId: "started", input }))
        }).pipe(Effect.orDie)
        const refused = Stage.transactional(note(Effect.zipRight(both, new Refused({ attempt: 1 }))))
        const parent = CheckMate.make("parent", { ...only, stages: [refused] })
        const error = yield* Effect.flip(CheckMateEngine.run(parent, { taskId: "parent", input }))
        expect(error).toEqual(new Refused({ attempt: 1 }))
        yield* goOn.open
        yield* Effect.forEach(handles, (handle) => handle.await)
        for (const taskId of ["run", "started"]) {
          expect((yield* CheckMateEngine.get(taskId)).task.status._tag).toBe("Succeeded")
        }
        expect(yield* balances).toEqual([1000, 1])
      }).pipe(Effect.provide(Sql.layer({ prefix: "nested_" })))
    }).pipe(Effect.scoped, (self) => Effect.suspend(() => Effect.provide(self, server))), 300_000)

  it.live(
    "or asks for one, is told that it cannot on SQLite, where it would wait for itself",
    () =>
      Effect.gen(function*() {
        const other = CheckMate.make("other", { ...only, stages: [note(Effect.void)] })
        const asks = {
          run: Effect.asVoid(CheckMateEngine.run(other, { taskId: "t", input })),
          get: Effect.asVoid(CheckMateEngine.get("t")),
          find: Effect.asVoid(CheckMateEngine.find())
        }
        for (const [name, ask] of Object.entries<Effect.Effect<void, unknown, CheckMateEngine.CheckMateEngine>>(asks)) {
          const stage = Stage.transactional(note(Effect.orDie(ask)))
          const parent = CheckMate.make("parent", { ...only, stages: [stage] })
          const cause = yield* Effect.flip(Effect.sandbox(CheckMateEngine.run(parent, { taskId: name, input })))
          expect(String(cause)).toContain("ask in another stage")
        }
        yield* CheckMateEngine.run(other, { taskId: "t", input })
      }).pipe(Effect.provide(Layer.provide(Sql.layer(), SqliteClient.layer({ filename: ":memory:" })))),
    300_000
  )
})
