/**
 * Contracts as values: each rule is a plain sentence with a check, so that a backend of your own can be held to the
 * rules CheckMate counts on, in any test runner or in none.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Function from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import { clip, likeness, sameJson, showValue } from "../internal/json.ts"

/**
 * A backend breaks a rule of its contract. `problem` says what was expected and what was found.
 *
 * @since 0.1.0
 * @category errors
 */
export class RuleBrokenError extends Schema.TaggedError<RuleBrokenError>()("RuleBrokenError", {
  contract: Schema.String,
  rule: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The ${this.contract} contract's rule "${this.rule}" is broken: ${this.problem}. `
      + "Mend the backend, or, if it cannot do what the rule needs and the rule names that, declare that it lacks it"
  }
}

/**
 * One rule over what is under test. `needs` names what a backend may lack; the rule is then left out. A check may move
 * time by `TestClock`: {@link verify} and the binding to vitest give every rule a clock of its own.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule<in Subject, out Capability extends string = string> {
  readonly contract: string
  /** A plain sentence. */
  readonly name: string
  readonly needs?: ReadonlyArray<Capability>
  readonly check: (subject: Subject) => Effect.Effect<void, unknown, Scope.Scope>
}

/**
 * What a check can insist on. All of it fails with a {@link RuleBrokenError}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Expect {
  /** Two JSON-like values are the same. */
  readonly same: (what: string, found: unknown, expected: unknown) => Effect.Effect<void, RuleBrokenError>
  /** Something holds; `expected` says what, and `found` is what was seen instead. */
  readonly that: (holds: boolean, expected: string, found: unknown) => Effect.Effect<void, RuleBrokenError>
  /** An effect fails with an error of this tag, which is returned. */
  readonly failure: <A, E extends { readonly _tag: string }, R, Tag extends E["_tag"]>(
    what: string,
    effect: Effect.Effect<A, E, R>,
    tag: Tag
  ) => Effect.Effect<E & { readonly _tag: Tag }, RuleBrokenError, R>
}

const shownLength = 160

const show = (value: unknown): string =>
  value === undefined ? "nothing" : clip(JSON.stringify(likeness(value)), shownLength)

/** Where two values part, and what stands there. */
interface Difference {
  readonly path: string
  readonly found: unknown
  readonly expected: unknown
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isRecord(value) && !Array.isArray(value)

const listOf = (value: unknown): ReadonlyArray<unknown> | undefined => Array.isArray(value) ? value : undefined

const firstDifference = (found: unknown, expected: unknown, path = ""): Difference => {
  const foundList = listOf(found)
  const expectedList = listOf(expected)
  if (foundList !== undefined && expectedList !== undefined) {
    let index = 0
    while (index < foundList.length && sameJson(foundList[index], expectedList[index])) index++
    return firstDifference(foundList[index], expectedList[index], `${path}[${index}]`)
  }
  if (isRecord(found) && isRecord(expected)) {
    const key = Object.keys({ ...expected, ...found }).find((key) => !sameJson(found[key], expected[key])) ?? ""
    return firstDifference(found[key], expected[key], `${path}.${key}`)
  }
  if (typeof found === "string" && typeof expected === "string" && found.length + expected.length > shownLength) {
    let index = 0
    while (index < found.length && found[index] === expected[index]) index++
    const around = (text: string) => text.slice(Math.max(0, index - 20), index + 40)
    return { path: `${path}, around character ${index},`, found: around(found), expected: around(expected) }
  }
  return { path, found, expected }
}

/** Where all of both can be shown, all is; else where they first part. */
const differenceBetween = (found: unknown, expected: unknown): Difference =>
  [found, expected].every((value) => show(value).length < shownLength)
    ? { path: "", found, expected }
    : firstDifference(found, expected)

/** An error for people: its tag or name, and what it says. */
const showError = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : showValue(error)

const expectFor = (contract: string, rule: string): Expect => {
  const broken = (problem: string) => Effect.fail(new RuleBrokenError({ contract, rule, problem }))
  return {
    same: (what, found, expected) => {
      if (sameJson(found, expected)) return Effect.void
      const difference = differenceBetween(found, expected)
      return broken(
        `expected ${what}${difference.path} to be ${show(difference.expected)}, found ${show(difference.found)}`
      )
    },
    that: (holds, expected, found) => holds ? Effect.void : broken(`expected ${expected}, found ${show(found)}`),
    failure: (what, effect, tag) =>
      Effect.matchEffect(effect, {
        onFailure: (error) =>
          Predicate.isTagged(error, tag)
            ? Effect.succeed(error)
            : broken(`expected ${what} to fail with ${tag}, found ${showError(error)}`),
        onSuccess: () => broken(`expected ${what} to fail with ${tag}, found that it succeeded`)
      })
  }
}

/**
 * Makes the rules of one contract.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Contract } from "effect-checkmate/testing"
 *
 * const rule = Contract.rulesOf<ReadonlyArray<number>>("numbers")
 * const rules = [rule("the first number is 1", ([first], expect) => expect.same("the first number", first, 1))]
 * const report = Contract.verify(rules, Effect.succeed([2]))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const rulesOf = <Subject, Capability extends string = never>(contract: string) =>
(
  name: string,
  check: (subject: Subject, expect: Expect) => Effect.Effect<void, unknown, Scope.Scope>,
  needs: ReadonlyArray<Capability> = []
): Rule<Subject, Capability> => ({
  contract,
  name,
  needs,
  check: (subject) => check(subject, expectFor(contract, name))
})

/**
 * One rule's verdict. Whatever else its check fails or dies with also breaks the rule.
 *
 * @since 0.1.0
 * @category verifying
 */
export const judge = <Subject>(
  rule: Rule<Subject>,
  subject: Subject
): Effect.Effect<void, RuleBrokenError, Scope.Scope> =>
  Effect.catchAllCause(
    Effect.suspend(() => rule.check(subject)),
    (cause) =>
      Effect.fail(Either.match(Cause.failureOrCause(cause), {
        onLeft: (error) =>
          error instanceof RuleBrokenError ? error : unexpected(rule, `it failed with ${showError(error)}`),
        onRight: (rest) =>
          unexpected(
            rule,
            Cause.isInterruptedOnly(rest) ? "it was interrupted" : `it died with ${showError(Cause.squash(rest))}`
          )
      }))
  )

const unexpected = ({ contract, name }: Pick<Rule<never>, "contract" | "name">, found: string) =>
  new RuleBrokenError({ contract, rule: name, problem: `expected every step to succeed, found ${found}` })

/**
 * A rule that was left out, and what the backend lacks for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface LeftOut {
  readonly rule: string
  readonly lacks: ReadonlyArray<string>
}

/**
 * Which rules apply to a backend that lacks some capabilities.
 *
 * @since 0.1.0
 * @category verifying
 */
export const select = <Subject, Capability extends string>(
  rules: ReadonlyArray<Rule<Subject, Capability>>,
  lacks: ReadonlyArray<NoInfer<Capability>> = []
): { readonly apply: ReadonlyArray<Rule<Subject, Capability>>; readonly leftOut: ReadonlyArray<LeftOut> } => {
  const missing = (rule: Rule<Subject, Capability>) => (rule.needs ?? []).filter((need) => lacks.includes(need))
  return {
    apply: rules.filter((rule) => missing(rule).length === 0),
    leftOut: rules.flatMap((rule) => missing(rule).length === 0 ? [] : [{ rule: rule.name, lacks: missing(rule) }])
  }
}

/**
 * What came of verifying a backend.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly held: ReadonlyArray<string>
  readonly broken: ReadonlyArray<RuleBrokenError>
  readonly leftOut: ReadonlyArray<LeftOut>
}

/**
 * What a backend cannot do, and how long its rules may take.
 *
 * @since 0.1.0
 * @category options
 */
export interface VerifyOptions<Capability extends string> {
  /** What the backend cannot do; the rules that need it are left out, and named in the report. */
  readonly lacks?: ReadonlyArray<Capability> | undefined
  /**
   * How long one rule may take, by the caller's clock, before it counts as broken.
   *
   * @default "1 minute"
   */
  readonly limit?: Duration.DurationInput | undefined
}

/**
 * Runs an effect in a fiber that is not waited for when it cannot be interrupted, so that one check does not hold up
 * the others, and whose clock does not find its way back, as it would with `Fiber.join`.
 */
const apart = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDaemon(restore(effect)), (fiber) =>
      restore(Effect.flatten(Fiber.await(fiber))).pipe(
        Effect.onInterrupt(() => Fiber.interruptFork(fiber))
      ))
  )

/**
 * Holds a backend to rules, each over a subject made for it alone, with a `TestClock` of its own: a backend that sleeps or
 * times out in real time needs `Effect.withClock(Clock.make())` around that. Fails only where a subject cannot be made.
 *
 * @since 0.1.0
 * @category verifying
 */
export const verify = <Subject, Capability extends string, E, R>(
  rules: ReadonlyArray<Rule<Subject, Capability>>,
  makeSubject: Effect.Effect<Subject, E, R>,
  options: VerifyOptions<NoInfer<Capability>> = {}
): Effect.Effect<Report, E, Exclude<Exclude<R, Scope.Scope>, TestServices.TestServices>> =>
  Effect.gen(function*() {
    const { apply, leftOut } = select(rules, options.lacks)
    const verdicts = yield* Effect.forEach(apply, (rule) =>
      makeSubject.pipe(
        Effect.flatMap((subject) => Effect.either(Effect.as(judge(rule, subject), rule.name))),
        Effect.scoped,
        // Of a TestContext only what must be each rule's own: to build all of it takes longer than most rules.
        Effect.provide(Layer.discard(TestClock.defaultTestClock)),
        Effect.provide(TestServices.liveServices),
        apart,
        Effect.timeoutTo({
          duration: options.limit ?? "1 minute",
          onSuccess: Function.identity,
          onTimeout: () =>
            Either.left(unexpected(
              rule,
              "it did not come to an end in time; "
                + "if the backend sleeps: rules have a TestClock, and what waits in real time needs Effect.withClock(Clock.make())"
            ))
        })
      ))
    const [broken, held] = Arr.separate(verdicts)
    return { held, broken, leftOut }
  })

/**
 * A report as text, a line for each rule.
 *
 * @since 0.1.0
 * @category verifying
 */
export const format = ({ broken, held, leftOut }: Report): string =>
  [
    ...held.map((rule) => `holds     ${rule}`),
    ...leftOut.map(({ lacks, rule }) => `left out  ${rule} (lacks ${lacks.join(", ")})`),
    ...broken.map(({ problem, rule }) => `BROKEN    ${rule}: ${problem}`)
  ].join("\n")
