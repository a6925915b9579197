/** Which tasks there are: by status, name, tags and time, some at a time, or the first of them. */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { afterTurn } from "../internal/eventLoop.ts"
import { SummarySchema } from "../internal/journalCodec.ts"
import { logWarning } from "../internal/log.ts"
import type { Encoded, EncodedQuery, First } from "../TaskIO/Encoded.ts"
import * as TaskStatus from "../TaskStatus.ts"
import type { Database } from "./database.ts"
import { everIndexed } from "./indexed.ts"
import { Ids, questionsTo } from "./questions.ts"

/** How many summaries are read at a time. */
const pageSize = 1000

/** How many tags are looked up: each is a join, and the more there are the longer it takes to plan. The rest is filtered. */
const mostTags = 4

const Summaries = Schema.Array(Schema.Struct({ task_id: Schema.String, summary: Schema.String }))

const decodeSummary = Schema.decodeEither(Schema.parseJson(SummarySchema))

export const listOf = (database: Database): Encoded["list"] => {
  const { dialect, names } = database
  const [tasks, tags] = [names.of("tasks"), names.of("tags")]
  const { ask } = questionsTo(database)

  const isOneOf = (column: string, values: ReadonlyArray<string>) =>
    `${column} in (${values.map(() => "?").join(", ")})`
  /** With the time alone, all statuses are named: the index begins with them. */
  const statusesOf = ({ since, status }: EncodedQuery) =>
    status === undefined && since === undefined
      ? undefined
      : TaskStatus.Tag.literals.filter((tag) => status?.includes(tag) ?? true)
  const conditionsOf = (
    { checkMate, since, tags: wanted }: EncodedQuery,
    among: ReadonlyArray<TaskStatus.Tag> | undefined
  ) => {
    const conditions: Array<string> = ["summary is not null"]
    const parameters: Array<unknown> = []
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
    for (const tag of (wanted ?? []).slice(0, mostTags)) {
      const values = everIndexed(tag)
      conditions.push(`task_id in (select task_id from ${tags} where ${isOneOf("tag", values)})`)
      parameters.push(...values)
    }
    return { condition: conditions.join(" and "), parameters }
  }

  const summaryOf = ({ summary, task_id }: typeof Summaries.Type[number]) =>
    Either.match(decodeSummary(summary), {
      onLeft: () => Effect.as(logWarning(`Task ${task_id} is left out of the list: its summary is damaged`), []),
      onRight: (found) => Effect.succeed([found])
    })

  const columns: Readonly<Record<First["sort"], string>> = { createdAt: "created_at", updatedAt: "updated_at" }
  const directions: Readonly<Record<First["order"], string>> = { ascending: "asc", descending: "desc" }

  const ofIds = `select task_id, summary from ${tasks} where summary is not null and ${dialect.among("task_id")}`

  return ({ first, ...query }) => {
    const among = statusesOf(query)
    if (among?.length === 0) return Stream.empty
    const { condition, parameters } = conditionsOf(query, among)
    const selected = (columns: string, rest: string) => `select ${columns} from ${tasks} where ${condition} ${rest}`
    const page = (rest: string, values: ReadonlyArray<unknown>) =>
      ask("list tasks", Summaries, selected("task_id, summary", rest), [...parameters, ...values])
    // Not page by page, each of which would look again at all that fit, where they are found by anything but their ids.
    const behind = (after: string) =>
      Stream.fromIterableEffect(ask("list tasks", Ids, selected("task_id", "and task_id > ?"), [...parameters, after]))
        .pipe(
          Stream.rechunk(pageSize),
          Stream.chunks,
          Stream.mapEffect((some) =>
            afterTurn(ask("list tasks", Summaries, ofIds, [JSON.stringify([...some].map(({ task_id }) => task_id))]))
          ),
          Stream.flattenIterables
        )
    const rows = first === undefined
      ? Stream.unwrap(Effect.map(page(`order by task_id limit ${pageSize}`, []), (some) => {
        const last = some[pageSize - 1]
        return last === undefined
          ? Stream.fromIterable(some)
          : Stream.concat(Stream.fromIterable(some), behind(last.task_id))
      }))
      : Stream.fromIterableEffect(Effect.suspend(() => {
        const direction = directions[first.order]
        return page(`order by ${columns[first.sort]} ${direction}, task_id ${direction} limit ?`, [first.limit])
      }))
    return rows.pipe(
      Stream.mapEffect(summaryOf),
      Stream.mapConcat((found) => found)
    )
  }
}
