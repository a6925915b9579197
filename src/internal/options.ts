/** Options that are checked. What is none is a mistake of the program, and dies with words that name the option. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as TaskStatus from "../TaskStatus.ts"
import { areTexts, isList, showValue } from "./json.ts"

/** `problem` says what it is not, or what to give. */
export const refuse = (option: string, given: unknown, problem: string): Effect.Effect<never> =>
  Effect.dieMessage(
    `The option "${option}" is ${
      given === undefined || Number.isNaN(given) ? String(given) : showValue(given)
    }${problem}`
  )

/**
 * The time that an option gives, or its default. `NaN`, as of a setting that is missing, is refused where effect takes it
 * for no time at all: tasks would be removed at once, or a lease be over as it begins.
 */
export const duration = (
  option: string,
  given: Duration.DurationInput | undefined,
  otherwise: Duration.DurationInput
): Effect.Effect<Duration.Duration> => {
  const time = given ?? otherwise
  return Option.match(Number.isNaN(time) ? Option.none() : Duration.decodeUnknown(time), {
    onNone: () => refuse(option, time, ", which is no duration: give one like \"30 seconds\", or leave it out"),
    onSome: Effect.succeed
  })
}

/** Refuses what does not fit where an option is given. */
const check = (
  option: string,
  given: unknown,
  fits: (given: unknown) => boolean,
  what: string
): Effect.Effect<void> =>
  given === undefined || fits(given) ? Effect.void : refuse(option, given, `: give ${what}, or leave it out`)

/** The count that an option gives, or its default, which `NaN` is, too. */
export const count = (option: string, given: number | undefined, otherwise: number): Effect.Effect<number> =>
  Effect.map(
    check(option, given, Predicate.isNumber, "a number"),
    () => given === undefined || Number.isNaN(given) ? otherwise : Math.max(0, Math.trunc(given))
  )

const isOneOf = (...values: ReadonlyArray<unknown>) => (given: unknown): boolean => values.includes(given)
const isStatus = isOneOf(...TaskStatus.Tag.literals)

type Given<Option extends string> = { readonly [Each in Option]?: unknown }

/** Refuses what no task could be found by: a status that is misspelt would find none, and a text some of another. */
export const checkQuery = (
  { checkMate, since, status, tags }: Given<"checkMate" | "status" | "tags"> & {
    readonly since?: DateTime.DateTime.Input | undefined
  }
) =>
  Effect.all([
    check("status", status, (given) => isList(given) && given.every(isStatus), "a list of statuses, as [\"Failed\"]"),
    check("checkMate", checkMate, Predicate.isString, "the name of one"),
    check("tags", tags, areTexts, "a list of strings"),
    check("since", since, () =>
      since !== undefined && Option.isSome(DateTime.make(since)), "a time like \"2026-01-31T12:00:00Z\"")
  ], { discard: true })

/** The same of the order in which tasks are found, and of what is asked of each. */
export const checkOrder = ({ failure, held, order, sort }: Given<"failure" | "held" | "order" | "sort">) =>
  Effect.all([
    check("sort", sort, isOneOf("createdAt", "updatedAt"), "\"createdAt\" or \"updatedAt\""),
    check("order", order, isOneOf("ascending", "descending"), "\"ascending\" or \"descending\""),
    check("held", held, Predicate.isBoolean, "true or false"),
    check("failure", failure, areTexts, "a list of errors' tags, as [\"HttpError\"]")
  ], { discard: true })
