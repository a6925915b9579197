/** The rows of a lock, as one engine reads and writes them. */

import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Database, Rows } from "./database.ts"
import { Ids } from "./questions.ts"

/** Who an engine is, as its row says. */
export interface Engine {
  readonly id: string
  /** For people. */
  readonly name: string
  /** What tells whether it lives, for who can look. */
  readonly process: string | null
}

const Found = Schema.Array(Schema.Struct({
  engine: Schema.String,
  since: Schema.NumberFromString,
  name: Schema.NullOr(Schema.String),
  process: Schema.NullOr(Schema.String),
  beat: Schema.NullOr(Schema.Number),
  expired: Schema.NumberFromString
}))
/** Who holds a task. Of an engine whose row is gone nothing is known but its id. */
export type Found = typeof Found.Type[number]

const decode = <A, I>(schema: Schema.Schema<A, I>) => {
  const decodeRows = Schema.decodeUnknown(schema)
  return (rows: Rows) =>
    Effect.mapError(
      decodeRows(rows),
      (issue) => new SqlError({ message: `the rows are not what was written: ${issue.message}` })
    )
}
const decodeFound = decode(Found)
const decodeTaskIds = decode(Ids)
const idsIn = (rows: Rows) =>
  Effect.map(decodeTaskIds(rows), (found): ReadonlySet<string> => new Set(found.map(({ task_id }) => task_id)))

export type LockRows = ReturnType<typeof lockRowsOf>

export const lockRowsOf = (database: Database, { id, name, process }: Engine, lease: Duration.Duration) => {
  const { dialect, names } = database
  const [engines, locks] = [names.of("engines"), names.of("locks")]
  const leaseMillis = Math.round(Duration.toMillis(lease))

  const lookText = `select l.engine, cast(l.since as text) as since, e.name, e.process, e.beat,
      cast(case when e.expires >= ${dialect.now} then 0 else 1 end as text) as expired
      from ${locks} l left join ${engines} e on e.id = l.engine where l.task_id = ?`
  const takeOverText = `update ${locks} set engine = ?, since = ${dialect.now} where task_id = ? and engine = ?
      and not exists (
        select 1 from (select beat from ${engines} where id = ? ${dialect.asTheyAre}) as holder where beat <> ?
      ) returning 1`
  const signText = `insert into ${engines} (id, name, process, beat, expires)
      select ?, ?, ?, 1, ${dialect.now} + ${leaseMillis} where true on conflict (id) do update set
      beat = ${engines}.beat + 1, expires = excluded.expires returning 1`
  const heldText = `select task_id from ${locks} where engine = ?`
  const leaveText = `delete from ${engines} where id = ? returning 1`
  const sweepText = `delete from ${engines} where expires < ${dialect.now} - ${leaseMillis} - 86400000 returning 1`

  /** A write that ends in `returning`, and whether it found anything to write. */
  const wrote = (text: string, parameters: ReadonlyArray<unknown>) =>
    Effect.map(database.lightly(dialect.lightly(text), parameters), (rows) => rows.length > 0)
  const sign = wrote(signText, [id, name, process])

  /** Writes for many tasks, and says for which a row was written. In one order for all, so that no two wait for each other. */
  const together = (text: string) => (taskIds: ReadonlyArray<string>) =>
    Effect.flatMap(database.lightly(text, [id, JSON.stringify([...taskIds].sort())]), idsIn)

  return {
    /** Who holds a task, if its lock is there. */
    look: (taskId: string): Effect.Effect<Option.Option<Found>, SqlError> =>
      Effect.map(
        Effect.flatMap(database.patiently(database.once(lookText, [taskId])), decodeFound),
        ([row]) => Option.fromNullable(row)
      ),
    /** The tasks that this engine holds. */
    held: Effect.flatMap(database.once(heldText, [id]), idsIn),
    /** A sign of life. */
    sign,
    bind: together(dialect.bind(names)),
    release: together(dialect.release(names)),
    /** Takes a task from who has given no sign since it was found, if it holds the task still. */
    takeOver: (taskId: string, { beat, engine }: Found) => wrote(takeOverText, [id, taskId, engine, engine, beat ?? 0]),
    /** Takes this engine's own row away. */
    leave: database.lightly(dialect.lightly(leaveText), [id]),
    /** Takes away engines long gone. Their tasks, if any, are free for whoever asks: the engine of the lock is not there. */
    sweep: database.lightly(dialect.lightly(sweepText), [])
  }
}
