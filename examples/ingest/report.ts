/** What the main job prints. */
import { DateTime, Option, Schedule, Stream } from "effect"
import { CheckMateEngine, type Task } from "effect-checkmate"
import { relative } from "node:path"
import type * as SearchIndex from "./SearchIndex.ts"
import type { WorkFile } from "./WorkFile.ts"

const number = (value: number): string => value.toLocaleString("en")
const size = (bytes: number): string =>
  bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`

/** A path as it is seen from here, where it is below. */
export const short = (path: string): string => relative("", path).startsWith("..") ? path : relative("", path) || "."

const list = new Intl.ListFormat("en")

const isDone = (stage: Task.StageRecord): boolean => stage.status._tag === "Succeeded"

/** How the task stands before it goes on. */
export const standing = (view: CheckMateEngine.View): string => {
  const { id } = view.task
  const done = view.stages.filter(isDone).map(({ name }) => name)
  const next = view.stages.find((stage) => !isDone(stage))?.name
  if (next === undefined) return `Task ${id} has succeeded already, and none of it runs again.`
  const before = done.length === 0
    ? "nothing is done yet"
    : `${list.format(done)} ${done.length > 1 ? "are" : "is"} done`
  return `Going on with task ${id}: ${before}, ${next} is next.`
}

const line = ({ progress, task }: CheckMateEngine.View): ReadonlyArray<string> =>
  Option.match(Option.all([task.current, progress]), {
    onNone: () => [],
    onSome: ([stage, { done, message = "", total = done }]) => [
      `  ${stage.padEnd(8)} ${number(done)} of ${number(total)} ${message}`
    ]
  })

/** A line now and then for as long as a task runs, and whenever that begins. */
export const progress = (taskId: string) =>
  CheckMateEngine.watch(taskId).pipe(
    // A task that is not there yet is a failure, one that has not been taken up again is the end: look again.
    Stream.retry(Schedule.spaced("20 millis")),
    Stream.repeat(Schedule.spaced("20 millis")),
    Stream.groupedWithin(1000, "400 millis"),
    Stream.mapConcat((views) => [...views].slice(-1).flatMap(line)),
    Stream.changes
  )

const stage = ({ attempts, finishedAt, name, startedAt }: Task.StageRecord): string => {
  const took = Option.match(Option.all([startedAt, finishedAt]), {
    onNone: () => "",
    onSome: ([from, to]) => `${(DateTime.distance(from, to) / 1000).toFixed(2)} s`
  })
  return `  ${name.padEnd(8)} ${took}${attempts > 1 ? `, in attempt ${attempts}` : ""}`
}

/** What a task that has succeeded has made, what each stage took, and where it all is. */
export const summary = (
  view: CheckMateEngine.View,
  output: {
    readonly texts: WorkFile
    readonly chunks: WorkFile
    readonly terms: number
    readonly index: { readonly folder: string; readonly bytes: number }
    readonly verified: number
  },
  directory: string
): string => `
Documents indexed: ${number(output.texts.items)} (${size(output.texts.bytes)} of text): \
${number(output.chunks.items)} chunks, ${number(output.terms)} terms, verified with ${output.verified} questions
${view.stages.map(stage).join("\n")}
The index    ${short(output.index.folder)} (${size(output.index.bytes)})
The journal  ${short(directory)}/tasks/${view.task.id}.*.ndjson (${view.history.length} events)
To index anew, give another --task, or remove ${short(directory)}`

/** A line of a text, around the first word of the question that is in it. */
const snippet = (text: string, query: string): string => {
  const words = text.split(/\s+/)
  const asked = query.toLowerCase().split(/\W+/).filter((word) => word.length > 3)
  const found = words.findIndex((word) => asked.some((one) => word.toLowerCase().includes(one)))
  return words.slice(Math.max(0, found - 6), Math.max(0, found - 6) + 18).join(" ").slice(0, 110)
}

/** The answers to a question, best first. */
export const hits = (query: string, found: ReadonlyArray<SearchIndex.Hit>): string =>
  [
    `\nThe best chunks for "${query}":`,
    ...found.map(({ file, line, score, text }) =>
      `  ${score.toFixed(3)}  ${file}:${line}\n         ${snippet(text, query)}`
    )
  ].join("\n")
