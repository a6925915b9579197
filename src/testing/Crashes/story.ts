/** What the processes of one run did, and how it is told. */

import type * as Cause from "effect/Cause"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Failure from "../../Failure.ts"
import * as TaskEvent from "../../TaskEvent.ts"
import type { Cut } from "./Exploration.ts"

/** One append: to the journal of the task that is explored, or of one that it runs. */
export interface Write {
  readonly taskId: string
  readonly records: ReadonlyArray<string>
}

/** What one process did: its writes and how it ended; none where it died. */
export interface Life {
  readonly cut: Cut | undefined
  readonly writes: ReadonlyArray<Write>
  readonly exit: Option.Option<Exit.Exit<unknown, unknown>>
}

/** What is wrong with a run, and what it should have been. */
export interface Problem {
  readonly problem: string
  readonly expected: string
  readonly found: string
  readonly hint?: string
}

/** The events of one write, by name and stage: `StageSucceeded b`, `TaskSucceeded`. */
export const eventsOf = ({ records, taskId }: Write): ReadonlyArray<string> =>
  records.map((record, index) =>
    Either.match(TaskEvent.decode(taskId, index, record), {
      onLeft: () => "an unreadable record",
      onRight: (event) => "stage" in event ? `${event._tag} ${event.stage}` : event._tag
    })
  )

const endOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.match(exit, {
    onFailure: (cause) => `failed with ${Failure.format(Failure.fromCause(cause))}`,
    onSuccess: () => "returned"
  })

const tellLife = (taskId: string) => (life: Life, index: number): ReadonlyArray<string> => {
  const { cut, exit, writes } = life
  const died = Option.isNone(exit)
  const lines = writes.map((write, position) => {
    const whose = write.taskId === taskId ? "" : ` of task ${write.taskId}`
    const when = died && position === writes.length - 1 ? ` (died ${cut?.when ?? "during"} it)` : ""
    return `  write ${position + 1}${whose}: ${eventsOf(write).join(", ")}${when}`
  })
  return [
    `Process ${index + 1}${index === 0 ? "" : " went on"}:`,
    ...lines,
    ...Option.match(exit, { onNone: () => [], onSome: (ended) => [`  and ${endOf(ended)}`] })
  ]
}

/** The whole story, for people. */
export const tell = (
  checkMate: string,
  taskId: string,
  lives: ReadonlyArray<Life>,
  { expected, found, hint, problem }: Problem
): string => {
  const deaths = lives.filter(({ exit }) => Option.isNone(exit)).length
  const condition = deaths === 0
    ? "even when nothing is cut"
    : deaths === 1
    ? "when its process dies once"
    : `when its processes die ${deaths} times in a row`
  return [
    `CheckMate "${checkMate}": ${problem}, ${condition}.`,
    ...lives.flatMap(tellLife(taskId)),
    `Expected: ${expected}`,
    `Found:    ${found}`,
    ...(hint === undefined ? [] : [hint])
  ].join("\n")
}

/** A cause as one line. */
export const causeOf = (cause: Cause.Cause<unknown>): string => Failure.format(Failure.fromCause(cause))
