/** Why a schema refused a value, in one sentence. */
import * as Arr from "effect/Array"
import type * as ParseResult from "effect/ParseResult"
import { clip } from "./json.ts"
import { at } from "./words.ts"

type Issues = ReadonlyArray<ParseResult.ArrayFormatterIssue>

/** The sentence shows the value, however long that is. */
const maximum = 1_000
const maximumMembers = 20

const expects = "Expected "

/** What stands behind what was expected. */
const actualOf = ({ message }: ParseResult.ArrayFormatterIssue): string => /, actual [^]*$/.exec(message)?.[0] ?? ""

/** What was expected at one place: by a union, any of its members. */
const expected = (issues: Issues): string => {
  const all = Arr.dedupe(issues.map(({ message }) => message))
  const messages = all.slice(0, maximumMembers)
  const more = all.length > messages.length ? [`${all.length - messages.length} more`] : []
  const [actual = "", ...others] = Arr.dedupe(issues.map(actualOf))
  const areAlike = actual !== "" && others.length === 0 && messages.every((message) => message.startsWith(expects))
  return areAlike
    ? expects + [...messages.map((message) => message.slice(expects.length, -actual.length)), ...more].join(" | ") +
      actual
    : [...messages, ...more].join(", or: ")
}

/** Each member of a union says why, and not all of the same place: the first one's place is not named. */
export const reasonOf = (issues: Issues): string =>
  clip(
    Object.entries(Arr.groupBy(issues, ({ path }) => at(path)))
      .map(([place, there], index) => index === 0 ? expected(there) : `, or${place}: ${expected(there)}`)
      .join(""),
    maximum
  )
