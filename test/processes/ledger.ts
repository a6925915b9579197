/**
 * What really happened, as the stages noted it in a file of their own, outside the engine; and what must never have
 * happened. One line for each entry, appended in one write, so that many processes can note in one file.
 */
import { Effect, Schema } from "effect"
import { Stage } from "effect-checkmate"
import * as fs from "node:fs"

const Entry = Schema.Struct({
  entry: Schema.Literal("run", "ran", "fail", "undoing", "undo", "released"),
  pid: Schema.Int,
  task: Schema.String,
  stage: Schema.String,
  attempt: Schema.Int,
  /** The fencing token the stage was given. */
  token: Schema.Int
})

export type Entry = typeof Entry.Type

const decode = Schema.decodeUnknownSync(Schema.parseJson(Entry))

/** Notes what a stage does. */
export const note = (ledger: string, entry: Entry["entry"]): Effect.Effect<void, never, Stage.Context> =>
  Effect.map(Stage.Context, ({ attempt, fencingToken, stage, taskId }) => {
    const line: Entry = { entry, pid: process.pid, task: taskId, stage, attempt, token: fencingToken }
    fs.appendFileSync(ledger, `${JSON.stringify(line)}\n`)
  })

/** All that was noted, in order; a last line that is being written is left out. */
export const read = (ledger: string): ReadonlyArray<Entry> => {
  if (!fs.existsSync(ledger)) return []
  const text = fs.readFileSync(ledger, "utf8")
  return text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter((line) => line !== "").map((line) => decode(line))
}

/** How often a task was seen with a new token after its first. */
export const takeovers = (entries: ReadonlyArray<Entry>): number =>
  new Set(entries.map(({ task, token }) => `${task}/${token}`)).size - new Set(entries.map(({ task }) => task)).size

const describe = ({ attempt, entry, pid, stage, task, token }: Entry): string =>
  `${entry} of ${task}/${stage}, attempt ${attempt}, by process ${pid} with token ${token}`

export interface Verdict {
  readonly violations: ReadonlyArray<string>
  /** Entries of owners that were frozen while they were taken over. */
  readonly tails: number
}

/**
 * Holds a ledger against the promises: an attempt that did not come to its checkpoint is undone before the stage runs
 * again, a stage does not run again after its checkpoint, and never twice at once. Whoever has an older token than was
 * seen before may only do what it was at when it was frozen: one stage, which it had begun in the journal, or the
 * rollback, begun there too, of an attempt that had failed or was an earlier owner's.
 */
export const judge = (entries: ReadonlyArray<Entry>, frozen: ReadonlySet<number>): Verdict => {
  const violations: Array<string> = []
  let tails = 0
  const newest = new Map<string, number>()
  const open = new Map<string, Entry>()
  const unfinished = new Set<string>()
  const tailOf = new Map<string, string>()
  for (const entry of entries) {
    const seen = newest.get(entry.task) ?? 0
    const stage = `${entry.task}/${entry.stage}`
    const attempt = `${stage}/${entry.token}/${entry.attempt}`
    if (entry.entry === "run") unfinished.add(attempt)
    if (entry.entry === "fail") unfinished.delete(attempt)
    if (entry.token < seen) {
      const owner = `${entry.task}/${entry.token}`
      const at = tailOf.get(owner) ?? entry.stage
      tailOf.set(owner, at)
      if (!frozen.has(entry.pid)) violations.push(`a stale owner that was never frozen acted: ${describe(entry)}`)
      else if (at !== entry.stage) violations.push(`a stale owner went on to another stage: ${describe(entry)}`)
      else if (entry.entry === "undoing" && unfinished.has(attempt)) {
        violations.push(`a stale owner rolled back what had not failed: ${describe(entry)}`)
      } else tails += 1
      continue
    }
    newest.set(entry.task, entry.token)
    const before = open.get(stage)
    switch (entry.entry) {
      case "run":
        if (before !== undefined) {
          violations.push(`${describe(entry)}, though before it came ${describe(before)}, which was not undone`)
        }
        open.set(stage, entry)
        break
      case "undo":
        open.delete(stage)
        break
      case "ran":
        if (before?.attempt !== entry.attempt) violations.push(`what ended had not begun: ${describe(entry)}`)
        break
      case "fail":
      case "undoing":
      case "released":
        break
    }
  }
  return { violations, tails }
}
