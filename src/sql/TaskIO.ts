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
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { JournalDamagedError, StaleWriterError, type TaskIOError } from "../CheckMateError.ts"
import * as group from "../internal/group.ts"
import { nonce } from "../internal/nonce.ts"
import type { Encoded, EncodedSummary } from "../TaskIO/Encoded.ts"
import type { Database, Rows } from "./database.ts"
import type * as Dialect from "./dialect.ts"
import { staleWriter } from "./dialect.ts"
import { isSaid } from "./failure.ts"
import { indexed } from "./indexed.ts"
import { listOf } from "./lists.ts"
import { mailOf } from "./mail.ts"
import { questionsTo } from "./questions.ts"

/** How many appends go into one statement at most. */
const groupLimit = 128
/** How many characters the records of a group have at most, where there is more than one append in it. */
const groupSize = 16_000_000
/** How many journals are read by one statement at most. */
const journalLimit = 16

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

/** Which journal is read, and from which record on. */
interface Wanted {
  readonly taskId: string
  readonly from: number
}

/** In one order for all, so that no two statements wait for each other. */
const inOrder = <A extends { readonly taskId: string }>(items: ReadonlyArray<A>): ReadonlyArray<A> =>
  [...items].sort((left, right) => left.taskId < right.taskId ? -1 : 1)

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

/**
 * The driver over a database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*(database: Database) {
  const { dialect, location, names } = database
  const tasks = names.of("tasks")
  const { ask, decode, failure, tell } = questionsTo(database)

  // --- appending -------------------------------------------------------------------

  const appendStatement = dialect.append(names)
  const operation = "append to the journal"
  const stale = ({ epoch, taskId }: Pick<Append, "epoch" | "taskId">, problem: string) =>
    new StaleWriterError({ taskId, epoch, problem })

  const statementOf = (appends: ReadonlyArray<Append>) => appendStatement(inOrder(appends).map(encodeAppend))
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
  // Who holds what the group waits for must not wait for the group.
  const isAlone = (context: Context.Context<never>) => writers <= 1 || database.isHeldBy(context)
  // Not Effect's own finalizer, which compares all FiberRefs and takes as long as a statement.
  const writing = Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) => {
    writers += 1
    return Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        writers -= 1
      })
    )
  }))
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

  /** The records of batches from a position on, which must follow each other up to as many as were written. */
  const joined = (
    taskId: string,
    rows: Journal,
    from = 0
  ): Either.Either<ReadonlyArray<string>, JournalDamagedError> => {
    // Of what is before it, only the batch that holds it is read.
    const start = Math.min(rows[0]?.position ?? 0, from)
    const found: Array<string> = []
    let end = start
    for (const { position, records } of rows) {
      if (position === null || records === null) continue
      if (position !== end) return Either.left(damaged(taskId, `the records from ${end} to ${position} are not there`))
      for (const record of records.split("\n")) found.push(record)
      end = start + found.length
    }
    const count = rows[0]?.count ?? 0
    return count === end
      ? Either.right(from === start ? found : found.slice(from - start))
      : Either.left(damaged(taskId, `it holds ${end} records, and ${count} were written`))
  }

  const claimFree = dialect.claim(names)
  const claimLocked = dialect.claimLocked(names)
  const journalsFrom = dialect.journals(names)

  /** Where several ask for the same journal, it is read from where the first of them wants it. */
  const readRows = (wanted: ReadonlyArray<Wanted>) => {
    const starts = new Map<string, number>()
    for (const { from, taskId } of wanted) starts.set(taskId, Math.min(from, starts.get(taskId) ?? from))
    return database.once(...journalsFrom(starts))
  }
  /** A record would have a "constructor" of its own, which is a task's id like any other. */
  const byTask = (rows: Rows): ReadonlyMap<string, Rows> => {
    const found = new Map<string, Array<unknown>>()
    for (const row of rows) {
      const own = found.get(taskOf(row))
      if (own === undefined) found.set(taskOf(row), [row])
      else own.push(row)
    }
    return found
  }
  /** A journal, read together with those of other tasks that are asked for at the same time. */
  const readJournal = yield* group.make<Wanted, Rows, SqlError>({
    limit: journalLimit,
    isAlone,
    together: (wanted) =>
      Effect.map(readRows(wanted), (rows) => {
        if (wanted.length === 1) return [Effect.succeed(rows)]
        const found = byTask(rows)
        return wanted.map(({ taskId }) => Effect.succeed(found.get(taskId) ?? []))
      })
  })
  const claimWith = ([text, parameters]: Dialect.Statement, claims: ReadonlyArray<Dialect.Claim>) =>
    dialect.claimReads
      ? database.once(text, parameters)
      : Effect.zipRight(
        database.lightly(text, parameters),
        readRows(claims.map(({ taskId }) => ({ taskId, from: 0 })))
      )
  /** Claims a journal together with others, and answers with it. */
  const claim = yield* group.make<Dialect.Claim, Rows, SqlError>({
    limit: journalLimit,
    isAlone,
    keyOf: ({ taskId }) => taskId,
    // Who has gone away must not claim later, when somebody else may have the lock.
    staysToTheEnd: true,
    together: (claims) =>
      Effect.map(claimWith(claimFree(inOrder(claims)), claims), (rows) => {
        const found = byTask(rows)
        // Where a row is locked, by an engine that is frozen in a transaction, it is waited for outside of the group.
        return claims.map((one) => {
          const own = found.get(one.taskId)
          return own === undefined ? claimWith(claimLocked(one), [one]) : Effect.succeed(own)
        })
      })
  })

  const advanceText = dialect.advance(names)
  const open: Encoded["open"] = Effect.fnUntraced(function*(taskId, atLeast) {
    const owner = yield* nonce
    const claimed = atLeast === undefined
      ? claim({ taskId, owner })
      : Effect.zipRight(database.once(advanceText, [atLeast]), claim({ taskId, owner }))
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
        Effect.mapError(database.patiently(readJournal({ taskId, from })), failure("read the journal", taskId)),
        decode("read the journal", Journal, taskId)
      ),
      (rows) => joined(taskId, rows, from)
    )

  const driver: Encoded = {
    open,
    read,
    list: listOf(database),
    listsFirst: true,
    remove: (taskId) => tell("remove the task", dialect.remove(names), [taskId], taskId),
    ...mailOf(database),
    transaction: database.transaction,
    outside: database.outside
  }
  return driver
})
