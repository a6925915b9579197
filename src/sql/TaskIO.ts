/**
 * Journals in an SQL database.
 *
 * ```text
 * <prefix>tasks     one row a task: its epoch, who may write, how many records count, and its summary
 * <prefix>batches   one row an append: its records, one a line
 * <prefix>tags      the tags of tasks, to find them by
 * <prefix>mail      messages for whoever runs a task
 * ```
 *
 * An append is one statement: it goes through only where the row of the task still names the writer's own claim and as
 * many records as the writer has seen, so a statement whose answer was lost can be said again. Appends of different tasks
 * that wait at the same time go together.
 *
 * @since 0.1.0
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { JournalDamagedError, StaleWriterError, TaskIOError } from "../CheckMateError.ts"
import * as group from "../internal/group.ts"
import { SummarySchema } from "../internal/journalCodec.ts"
import { nonce } from "../internal/nonce.ts"
import type { Encoded, EncodedQuery, EncodedSummary } from "../TaskIO/Encoded.ts"
import * as TaskStatus from "../TaskStatus.ts"
import { arrivalsOf } from "./arrivals.ts"
import type { Database, Rows } from "./database.ts"
import type * as Dialect from "./dialect.ts"
import { staleWriter } from "./dialect.ts"
import { isSaid, storeError } from "./failure.ts"

/** How many appends go into one statement at most. */
const groupLimit = 128
/** How many characters the records of a group have at most, where there is more than one append in it. */
const groupSize = 16_000_000
/** How many journals are read by one statement at most. */
const journalLimit = 16
/** How many summaries are read at a time. */
const pageSize = 1000

interface Append {
  readonly taskId: string
  readonly epoch: number
  /** Another one for every claim. */
  readonly owner: string
  readonly position: number
  readonly records: ReadonlyArray<string>
  readonly summary: EncodedSummary
  /** None where they are as they were. */
  readonly tags: ReadonlyArray<string> | undefined
}

/** What a database takes as text anywhere: Postgres takes no NUL, and no half of a surrogate pair. Filters are applied again to what it finds. */
const plain = (text: string): string => text.replace(unwritable, "")
const unwritable = /[\0\ud800-\udfff]/gu

/** How much of a name or a tag is indexed: Postgres has no room for more than 2,700 bytes, a task's id among them. */
const indexedLength = 500
const indexed = (text: string): string => plain(text.slice(0, indexedLength))
/** What a name or a tag may be indexed as: whole, if it was written before long ones were cut. */
const everIndexed = (text: string): ReadonlyArray<string> =>
  text.length > indexedLength ? [indexed(text), plain(text)] : [indexed(text)]

const encodeAppend = ({ epoch, owner, position, records, summary, tags, taskId }: Append): Dialect.Append => [
  taskId,
  owner,
  position,
  records.length,
  records.join("\n"),
  summary.status,
  indexed(summary.checkMate),
  summary.createdAt,
  summary.updatedAt,
  JSON.stringify(summary),
  tags === undefined ? null : JSON.stringify([...new Set(tags.map(indexed))]),
  epoch
]

// --- what statements answer ---------------------------------------------------------

const Journal = Schema.Array(Schema.Struct({
  task_id: Schema.String,
  epoch: Schema.NumberFromString,
  owner: Schema.String,
  count: Schema.Number,
  position: Schema.NullOr(Schema.Number),
  records: Schema.NullOr(Schema.String)
}))
type Journal = typeof Journal.Type
/** Which task a row of a journal is about, before it is decoded. */
const taskOf = (row: unknown): string => Predicate.hasProperty(row, "task_id") ? String(row.task_id) : ""
const Owner = Schema.Array(Schema.Struct({
  epoch: Schema.NumberFromString,
  owner: Schema.String,
  records: Schema.Number
}))
const Ids = Schema.Array(Schema.Struct({ task_id: Schema.String }))
const Letters = Schema.Array(Schema.Struct({ id: Schema.String, message: Schema.String }))
const Summaries = Schema.Array(Schema.Struct({ task_id: Schema.String, summary: Schema.String }))

const decodeSummary = Schema.decodeEither(Schema.parseJson(SummarySchema))

/**
 * The driver over a database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(database: Database) {
  const { dialect, location, names } = database
  const [tasks, tags, mail] = [names.of("tasks"), names.of("tags"), names.of("mail")]
  const failure = (operation: string, taskId?: string) => storeError(operation, location, taskId)

  const decode = <A, I>(operation: string, schema: Schema.Schema<A, I>, taskId?: string) => {
    const decodeRows = Schema.decodeUnknownEither(schema)
    return (rows: Rows): Either.Either<A, TaskIOError> =>
      Either.mapLeft(decodeRows(rows), (issue) =>
        new TaskIOError({
          operation,
          taskId,
          location,
          problem: `the rows are not what was written: ${issue.message}`
        }))
  }

  /** One statement that may be said again, and what it answers. */
  const ask = <A, I>(
    operation: string,
    schema: Schema.Schema<A, I>,
    text: string,
    parameters: ReadonlyArray<unknown>,
    taskId?: string
  ): Effect.Effect<A, TaskIOError> =>
    Effect.flatMap(
      Effect.mapError(database.patiently(database.once(text, parameters)), failure(operation, taskId)),
      decode(operation, schema, taskId)
    )

  const tell = (operation: string, text: string, parameters: ReadonlyArray<unknown>, taskId: string) =>
    Effect.asVoid(Effect.mapError(database.patiently(database.once(text, parameters)), failure(operation, taskId)))

  // --- appending -------------------------------------------------------------------

  const appendStatement = dialect.append(names)
  const operation = "append to the journal"
  const stale = ({ epoch, taskId }: Pick<Append, "epoch" | "taskId">, problem: string) =>
    new StaleWriterError({ taskId, epoch, problem })

  const statementOf = (appends: ReadonlyArray<Append>) =>
    // In one order for all, so that no two statements wait for each other.
    appendStatement([...appends].sort((left, right) => left.taskId < right.taskId ? -1 : 1).map(encodeAppend))
  const appendAll = (appends: ReadonlyArray<Append>) => database.once(...statementOf(appends))

  const ownerText = `select cast(epoch as text) as epoch, owner, records from ${tasks} where task_id = ?`
  /** Why an append was refused; nothing where it had gone through before, and only its answer was lost. */
  const refusal = ({ epoch, owner, position, records, taskId }: Append) =>
    Effect.map(
      ask(operation, Owner, ownerText, [taskId], taskId),
      ([row]) =>
        row === undefined
          ? "the task was removed"
          : row.owner !== owner || row.epoch !== epoch
          ? "a newer epoch has taken it over"
          : row.records === position + records.length
          ? undefined
          : `it holds ${row.records} records, not ${position}`
    )

  /** `said` is how often it was said before without an answer. */
  const appendOne = (append: Append, said: number): Effect.Effect<void, TaskIOError | StaleWriterError> => {
    let tries = said
    const once = Effect.suspend(() => {
      tries += 1
      return appendAll([append])
    })
    return Effect.catchAll(Effect.asVoid(database.patiently(once)), (error) =>
      isSaid(error, staleWriter)
        ? Effect.flatMap(refusal(append), (problem) =>
          problem === undefined && tries > 1
            ? Effect.void
            : Effect.fail(stale(append, problem ?? `it is not ${append.position} records long`)))
        : Effect.fail(failure(operation, append.taskId)(error)))
  }

  /** How many journals are open for writing. */
  let writers = 0
  const isAlone = () => writers <= 1
  const writing = Effect.acquireRelease(
    Effect.sync(() => {
      writers += 1
    }),
    () =>
      Effect.sync(() => {
        writers -= 1
      })
  )
  const submit = yield* group.make<Append, void, TaskIOError | StaleWriterError>({
    limit: groupLimit,
    size: { limit: groupSize, of: ({ records }) => records.reduce((sum, record) => sum + record.length, 0) },
    isAlone,
    keyOf: ({ taskId }) => taskId,
    together: (appends) =>
      Effect.matchEffect(appendAll(appends), {
        onSuccess: () => Effect.succeed(appends.map(() => Effect.void)),
        // One that is refused refuses all. By itself each gets its own answer, if it has not gone through already.
        onFailure: (error) => {
          const isRefused = isSaid(error, staleWriter)
          return Effect.forEach(appends, (append) => Effect.exit(appendOne(append, isRefused ? 0 : 1)), {
            // All at once where the database is away, or each few would wait for it by themselves, one after another.
            concurrency: isRefused ? 4 : "unbounded"
          })
        }
      })
  })

  /** An append in the transaction that it is called in, or, as most are, by itself. */
  const write = (append: Append) =>
    Effect.matchEffect(database.within(...statementOf([append])), {
      onFailure: (error) =>
        Effect.fail(
          isSaid(error, staleWriter)
            ? stale(append, "a newer epoch has taken it over")
            : failure(operation, append.taskId)(error)
        ),
      onSuccess: (rows) => Option.isSome(rows) ? Effect.void : submit(append)
    })

  // --- journals --------------------------------------------------------------------

  const damaged = (taskId: string, problem: string) =>
    new JournalDamagedError({ taskId, location: `${location}, task "${taskId}"`, problem })

  /** The records of batches, which must follow each other and be as many as were written. */
  const joined = (
    taskId: string,
    rows: Journal
  ): Either.Either<ReadonlyArray<string>, JournalDamagedError> => {
    const found: Array<string> = []
    for (const { position, records } of rows) {
      if (position === null || records === null) continue
      if (position !== found.length) {
        return Either.left(damaged(taskId, `the records from ${found.length} to ${position} are not there`))
      }
      for (const record of records.split("\n")) found.push(record)
    }
    const count = rows[0]?.count ?? 0
    return count === found.length
      ? Either.right(found)
      : Either.left(damaged(taskId, `it holds ${found.length} records, and ${count} were written`))
  }

  const claimText = dialect.claim(names)
  const journalText = dialect.journals(names)

  const readRows = (taskIds: ReadonlyArray<string>) => database.once(journalText, [JSON.stringify(taskIds)])
  /** A journal, read together with those of other tasks that are asked for at the same time. */
  const readJournal = yield* group.make<string, Rows, SqlError>({
    limit: journalLimit,
    isAlone,
    together: (taskIds) =>
      Effect.map(readRows(taskIds), (rows) => {
        if (taskIds.length === 1) return [Effect.succeed(rows)]
        const byTask = Arr.groupBy(rows, taskOf)
        return taskIds.map((taskId) => Effect.succeed(byTask[taskId] ?? []))
      })
  })
  // Each by itself: one whose row is locked, by an engine that is frozen in a transaction, must not keep others waiting,
  // and who is interrupted before the claim must not claim later.
  const claim = (taskId: string, owner: string) => {
    const parameters = [JSON.stringify([[taskId, owner]])]
    return dialect.claimReads
      ? database.once(claimText, parameters)
      : Effect.zipRight(database.lightly(claimText, parameters), readRows([taskId]))
  }

  const advanceText = dialect.advance(names)
  const open: Encoded["open"] = Effect.fnUntraced(function*(taskId, atLeast) {
    const owner = yield* nonce
    const claimed = atLeast === undefined
      ? claim(taskId, owner)
      : Effect.zipRight(database.once(advanceText, [atLeast]), claim(taskId, owner))
    const rows = yield* database.patiently(claimed).pipe(
      Effect.mapError(failure("open the journal", taskId)),
      Effect.flatMap(decode("open the journal", Journal, taskId))
    )
    const [first] = rows
    if (first?.owner !== owner) {
      return yield* stale({ taskId, epoch: first?.epoch ?? 0 }, "another engine claimed it at the same moment")
    }
    const records = yield* joined(taskId, rows)
    const { epoch } = first
    yield* writing
    let known: ReadonlyArray<string> | undefined
    let broken: string | undefined

    return {
      epoch,
      records,
      append: (position, batch, summary) =>
        Effect.suspend(() => {
          if (broken !== undefined) return stale({ taskId, epoch }, `an earlier append failed: ${broken}`)
          const same = known !== undefined && known.length === summary.tags.length
            && known.every((tag, index) => tag === summary.tags[index])
          const append: Append = {
            taskId,
            epoch,
            owner,
            position,
            records: batch,
            summary,
            tags: same ? undefined : summary.tags
          }
          return Effect.tapBoth(write(append), {
            onFailure: (error) =>
              Effect.sync(() => {
                if (error._tag === "TaskIOError") broken ??= error.message
              }),
            onSuccess: () =>
              Effect.sync(() => {
                known = summary.tags
              })
          })
        })
    }
  })

  const read: Encoded["read"] = (taskId, from) =>
    Effect.flatMap(
      Effect.flatMap(
        Effect.mapError(database.patiently(readJournal(taskId)), failure("read the journal", taskId)),
        decode("read the journal", Journal, taskId)
      ),
      (rows) => Either.map(joined(taskId, rows), (records) => from === 0 ? records : records.slice(from))
    )

  // --- lists -------------------------------------------------------------------------

  const isOneOf = (column: string, values: ReadonlyArray<string>) =>
    `${column} in (${values.map(() => "?").join(", ")})`
  const conditionsOf = ({ checkMate, since, status, tags: wanted }: EncodedQuery) => {
    const conditions: Array<string> = ["summary is not null"]
    const parameters: Array<unknown> = []
    // With the time alone, all statuses are named: the index begins with them.
    const among = status ?? (since === undefined ? undefined : TaskStatus.Tag.literals)
    if (among !== undefined) {
      conditions.push(isOneOf("status", among))
      parameters.push(...among)
    }
    if (since !== undefined) {
      conditions.push("updated_hour >= ?", "updated_at >= ?")
      parameters.push(since.slice(0, 13), since)
    }
    if (checkMate !== undefined) {
      const values = everIndexed(checkMate)
      conditions.push(isOneOf("check_mate", values))
      parameters.push(...values)
    }
    for (const tag of wanted ?? []) {
      const values = everIndexed(tag)
      conditions.push(`task_id in (select task_id from ${tags} where ${isOneOf("tag", values)})`)
      parameters.push(...values)
    }
    return { condition: conditions.join(" and "), parameters }
  }

  const summaryOf = ({ summary, task_id }: typeof Summaries.Type[number]) =>
    Either.match(decodeSummary(summary), {
      onLeft: () => Effect.as(Effect.logWarning(`Task ${task_id} is left out of the list: its summary is damaged`), []),
      onRight: (found) => Effect.succeed([found])
    })

  const list: Encoded["list"] = (query) => {
    if (query.status?.length === 0) return Stream.empty
    const { condition, parameters } = conditionsOf(query)
    const text = `select task_id, summary from ${tasks} where ${condition} and task_id > ?
        order by task_id limit ${pageSize}`
    return Stream.paginateChunkEffect(
      "",
      (after) =>
        Effect.map(ask("list tasks", Summaries, text, [...parameters, after]), (rows) => [
          Chunk.unsafeFromArray(rows),
          rows.length < pageSize ? Option.none() : Option.map(Arr.last(rows), ({ task_id }) => task_id)
        ])
    ).pipe(
      Stream.mapEffect(summaryOf),
      Stream.mapConcat((found) => found)
    )
  }

  // --- mail --------------------------------------------------------------------------

  const waitingText = `select distinct task_id from ${mail}`
  const waiting = Effect.map(
    ask("look for messages", Ids, waitingText, []),
    (rows) => rows.map(({ task_id }) => task_id)
  )
  const arrivals = arrivalsOf(database, waiting)

  const driver: Encoded = {
    open,
    read,
    list,
    remove: (taskId) => tell("remove the task", dialect.remove(names), [taskId], taskId),
    send: (taskId, message) =>
      Effect.flatMap(nonce, (id) => tell("send a message", dialect.send(names), [id, taskId, message], taskId)),
    receive: (taskId) =>
      ask(
        "read messages",
        Letters,
        `select id, message from ${mail} where task_id = ? order by number`,
        [taskId],
        taskId
      ),
    acknowledge: (taskId, ids) =>
      ids.length === 0
        ? Effect.void
        : tell(
          "acknowledge messages",
          `delete from ${mail} where task_id = ? and ${dialect.among("id")}`,
          [taskId, JSON.stringify(ids)],
          taskId
        ),
    waiting,
    transaction: database.transaction,
    outside: database.outside,
    ...(arrivals === undefined ? {} : { arrivals })
  }
  return driver
})
