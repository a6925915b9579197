/**
 * Money that is moved exactly once. Each transfer is a task whose stage `move` is transactional: its updates and its
 * checkpoint commit together. A worker process makes thirty of them and is killed with SIGKILL in the middle, again and
 * again; what it had not committed is not there, what it had is not done again, and the sum is right at every moment.
 *
 *     node --import tsx examples/transfer_cm.ts
 */
import { Command, FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Console, Effect, Layer, Random, Schema, Stream } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { fileURLToPath } from "node:url"
import { isMain } from "./isMain.ts"

const accounts = 10
const opening = 10_000
const transfers = Array.from({ length: 30 }, (_, number) => ({
  taskId: `transfer-${number}`,
  input: { from: number % accounts, to: (number + 1 + number % (accounts - 1)) % accounts, cents: 1 + number * 7 }
}))

const Transfer = State.make({ from: Schema.Int, to: Schema.Int, cents: Schema.Int, left: Schema.Int })

const move = Stage.make(Transfer, "move", {
  requires: ["from", "to", "cents"],
  provides: ["left"],
  execute: ({ cents, from, to }) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { taskId } = yield* Stage.Context
      yield* sql`insert into moves (task_id) values (${taskId})`
      yield* sql`update accounts set cents = cents - ${cents} where id = ${from}`
      yield* sql`update accounts set cents = cents + ${cents} where id = ${to}`
      const [account] = yield* sql<{ cents: number }>`select cents from accounts where id = ${from}`
      return { left: account?.cents ?? 0 }
    })
}).pipe(Stage.transactional)

/** Mail cannot be taken back, so it comes after the money is moved, in a stage of its own. */
const notify = Stage.make(Transfer, "notify", {
  requires: ["from", "cents", "left"],
  execute: ({ cents, from, left }) => Console.log(`moved ${cents} from account ${from}, which has ${left} left`)
})

export const cm_factory_transfer = () =>
  CheckMate.make("transfer", { state: Transfer, input: ["from", "to", "cents"], stages: [move, notify] })

const database = (filename: string) => SqliteClient.layer({ filename })

/** Makes all transfers that are not made yet. */
const work = (filename: string) =>
  Effect.forEach(transfers, (transfer) => CheckMateEngine.run(cm_factory_transfer(), transfer), {
    concurrency: 4,
    discard: true
  }).pipe(
    Effect.provide(Layer.provideMerge(Sql.layer(), database(filename)))
  )

const prepare = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table accounts (id integer primary key, cents integer not null)`
  yield* sql`create table moves (task_id text not null)`
  yield* sql`insert into accounts ${sql.insert(Array.from({ length: accounts }, (_, id) => ({ id, cents: opening })))}`
})

const look = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [money] = yield* sql<{ sum: number }>`select sum(cents) as sum from accounts`
  const [moves] = yield* sql<{ all: number; different: number }>`
    select count(*) as "all", count(distinct task_id) as different from moves`
  return { sum: money?.sum, moves: moves?.all ?? 0, different: moves?.different ?? 0 }
})

/** Starts a worker, lets it make a few transfers, and kills it; says whether it was killed before it was done. */
const workAndDie = (filename: string) =>
  Effect.gen(function*() {
    const few = yield* Random.nextIntBetween(4, 12)
    const worker = yield* Command.start(
      Command.make(process.execPath, "--import", "tsx", fileURLToPath(import.meta.url), "--work", filename)
    )
    const last = yield* worker.stdout.pipe(Stream.decodeText(), Stream.splitLines, Stream.take(few), Stream.runCount)
    if (last < few) return false
    yield* worker.kill("SIGKILL").pipe(Effect.ignore)
    return true
  }).pipe(Effect.scoped)

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const filename = `${yield* fs.makeTempDirectoryScoped()}/bank.db`
  yield* Effect.provide(prepare, database(filename))
  for (let kills = 0;; kills++) {
    const killed = yield* workAndDie(filename)
    const { different, moves, sum } = yield* Effect.provide(look, database(filename))
    yield* Console.log(
      `${killed ? `Kill ${kills + 1}` : "Done"}: ${moves} of ${transfers.length} transfers are made, `
        + `${different === moves ? "each once" : "SOME TWICE"}; the accounts hold ${sum} cents`
    )
    if (sum !== accounts * opening || moves !== different) return yield* Effect.dieMessage("the books are wrong")
    if (!killed) return
  }
}).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

if (isMain(import.meta.url)) {
  const [, , flag, filename = ""] = process.argv
  const main: Effect.Effect<void, unknown> = flag === "--work"
    ? Effect.provide(work(filename), NodeContext.layer)
    : program
  NodeRuntime.runMain(main)
}
