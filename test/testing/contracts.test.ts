/** Each rule is shown to be needed, by a backend that breaks it and no other; and what a report says of it. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { BindLockError } from "effect-checkmate/CheckMateError"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { BindLockContract, Contract, TaskIOContract, TenantContract } from "effect-checkmate/testing"
import { brokenLocks, locksWith } from "./brokenLocks.ts"
import { brokenStores } from "./brokenStores.ts"
import { brokenTenants, tenantsWith } from "./brokenTenants.ts"

/** Half of what all rules take. */
const slow = ["records of megabytes survive"]

const provesItsRules = <Subject, Capability extends string>(
  contract: string,
  rules: ReadonlyArray<Contract.Rule<Subject, Capability>>,
  sound: Effect.Effect<Subject>,
  broken: Readonly<Record<string, Effect.Effect<Subject>>>
) =>
  describe(`Each rule of the ${contract} contract`, () => {
    it("has a backend that breaks it", () => {
      expect(Object.keys(broken).sort()).toEqual(rules.map(({ name }) => name).sort())
    })

    it.effect("holds for a backend that breaks none", () =>
      Effect.gen(function*() {
        const report = yield* Contract.verify(rules, sound)
        expect(report).toEqual({ held: rules.map(({ name }) => name), broken: [], leftOut: [] })
      }))

    for (const [name, backend] of Object.entries(broken)) {
      it.effect(`alone tells: ${name}`, () =>
        Effect.gen(function*() {
          const quick = rules.filter((rule) => rule.name === name || !slow.includes(rule.name))
          const report = yield* Contract.verify(quick, backend)
          expect(report.broken.map(({ rule }) => rule)).toEqual([name])
          expect(report.held.length).toBe(quick.length - 1)
          const [error] = report.broken
          expect(error).toMatchObject({ _tag: "RuleBrokenError", contract })
          expect(error?.message).toContain(`The ${contract} contract's rule "${name}" is broken: expected `)
          expect(error?.message).toMatch(/, found ./)
          expect(error?.message.length).toBeLessThan(1_000)
        }))
    }
  })

provesItsRules("TaskIO", TaskIOContract.rules, MemoryDriver.make, brokenStores)
provesItsRules(
  "BindLock",
  BindLockContract.rules,
  locksWith(() => ({})),
  Object.fromEntries(Object.entries(brokenLocks).map(([name, make]) => [name, Effect.suspend(make)]))
)

provesItsRules("Tenant", TenantContract.rules, tenantsWith(() => ({})), brokenTenants)

describe("A report", () => {
  const rule = Contract.rulesOf<ReadonlyArray<unknown>, "order" | "sums">("numbers")
  const problemsOf = (rules: ReadonlyArray<Contract.Rule<ReadonlyArray<unknown>>>, subject: ReadonlyArray<unknown>) =>
    Effect.map(Contract.verify(rules, Effect.succeed(subject)), ({ broken }) => broken.map(({ problem }) => problem))

  it.effect("says which rules hold, which are broken and why, and which were left out for what", () =>
    Effect.gen(function*() {
      const rules = [
        rule("the first is 1", ([first], expect) => expect.same("the first", first, 1)),
        rule("the second is 2", ([, second], expect) => expect.same("the second", second, 2)),
        rule("they rise", (_, expect) => expect.that(false, "them to rise", "chaos"), ["order", "sums"])
      ]
      const report = yield* Contract.verify(rules, Effect.succeed([1, 3]), { lacks: ["order"] })
      expect(report.held).toEqual(["the first is 1"])
      expect(report.leftOut).toEqual([{ rule: "they rise", lacks: ["order"] }])
      expect(report.broken.map(({ message }) => message)).toEqual([
        "The numbers contract's rule \"the second is 2\" is broken: expected the second to be 2, found 3. Mend the "
        + "backend, or, if it cannot do what the rule needs and the rule names that, declare that it lacks it"
      ])
      expect(Contract.format(report)).toBe(
        "holds     the first is 1\nleft out  they rise (lacks order)\n"
          + "BROKEN    the second is 2: expected the second to be 2, found 3"
      )
    }))

  it.effect("takes whatever else a check fails or dies with as a broken rule too", () =>
    Effect.gen(function*() {
      const succeeds: Effect.Effect<void, BindLockError> = Effect.void
      const otherwise: Effect.Effect<void, BindLockError | { readonly _tag: "Other" }> = Effect.fail({ _tag: "Other" })
      const rules = [
        rule("fails", () =>
          Effect.fail(new BindLockError({ operation: "bind", taskId: "t", location: "x", problem: "y" }))),
        rule("fails with a text", () =>
          Effect.fail("no")),
        rule("dies", () => Effect.die(new TypeError("no such thing"))),
        rule("interrupts itself", () => Effect.interrupt),
        rule("does not fail", (_, expect) => expect.failure("a success", succeeds, "BindLockError")),
        rule("fails otherwise", (_, expect) => expect.failure("it", otherwise, "BindLockError"))
      ]
      const problems = yield* problemsOf(rules, [])
      expect(problems).toEqual([
        "expected every step to succeed, found it failed with BindLockError: The lock could not bind task \"t\" at x: y. "
        + "Mend what it needs, then try again",
        "expected every step to succeed, found it failed with no",
        "expected every step to succeed, found it died with TypeError: no such thing",
        "expected every step to succeed, found it was interrupted",
        "expected a success to fail with BindLockError, found that it succeeded",
        "expected it to fail with BindLockError, found {\"_tag\":\"Other\"}"
      ])
    }))

  it.effect("shows the place where long values part", () =>
    Effect.gen(function*() {
      const long = "x".repeat(1_000)
      const problemOf = (found: unknown, expected: unknown) =>
        problemsOf([rule("same", (_, expect) => expect.same("it", found, expected))], [])
      expect(yield* problemOf([long, `${long}y`], [long, `${long}z`])).toEqual([
        `expected it[1], around character 1000, to be "${"x".repeat(20)}z", found "${"x".repeat(20)}y"`
      ])
      expect(yield* problemOf([long], [long, "more"])).toEqual(["expected it[1] to be \"more\", found nothing"])
      expect(yield* problemOf({ a: long, b: { c: 1 } }, { a: long, b: { c: 2 } })).toEqual([
        "expected it.b.c to be 2, found 1"
      ])
      // A short text in a long value is shown as a whole.
      expect(yield* problemOf([long, "found"], [long, "fount"])).toEqual([
        "expected it[1] to be \"fount\", found \"found\""
      ])
      expect(yield* problemOf({ a: 1, b: undefined }, { a: 1 })).toEqual([])
    }))

  it.effect("gives each rule a subject and a clock of its own, and an end", () =>
    Effect.gen(function*() {
      let made = 0
      let open = 0
      const subject = Effect.acquireRelease(
        Effect.sync(() => {
          open++
          return [++made]
        }),
        () => Effect.sync(() => open--)
      )
      const isFresh = (number: number) =>
        rule(`subject ${number}`, (subject, expect) =>
          Effect.gen(function*() {
            yield* expect.same("the subject", subject, [number])
            const slept = yield* Effect.fork(Effect.sleep("1 hour"))
            yield* TestClock.adjust("1 hour")
            yield* Fiber.join(slept)
            yield* expect.same("the time", yield* TestClock.currentTimeMillis, 3_600_000)
          }))
      const stuck = yield* Effect.makeLatch()
      const rules = [
        isFresh(1),
        rule("never ends", () => Effect.uninterruptible(Effect.zipRight(stuck.open, Effect.never))),
        isFresh(3)
      ]
      const fiber = yield* Effect.fork(Contract.verify(rules, subject, { limit: "5 minutes" }))
      yield* stuck.await
      yield* TestClock.adjust("5 minutes")
      const report = yield* Fiber.join(fiber)
      expect(report.held).toEqual(["subject 1", "subject 3"])
      expect(report.broken.map(({ problem }) => problem)).toEqual([
        "expected every step to succeed, found it did not come to an end in time; if the backend sleeps: rules have a "
        + "TestClock, and what waits in real time needs Effect.withClock(Clock.make())"
      ])
    }))

  it.effect("asks to declare that a store has no arrivals", () =>
    Effect.gen(function*() {
      const store = Effect.map(MemoryDriver.make, ({ arrivals: _, ...rest }) => rest)
      const strict = yield* Contract.verify(TaskIOContract.rules, store)
      expect(strict.broken.map(({ problem }) => problem)).toEqual([
        "expected a stream of arrivals, or \"arrivals\" among what the store lacks, found \"neither\""
      ])
      const honest = yield* Contract.verify(TaskIOContract.rules, store, { lacks: ["arrivals"] })
      expect(honest.broken).toEqual([])
      expect(honest.leftOut).toEqual([{ rule: "arrivals tell of new mail", lacks: ["arrivals"] }])
    }))

  it.effect("is none where a subject cannot be made", () =>
    Effect.gen(function*() {
      const rules = [rule("holds", () => Effect.void)]
      expect(yield* Effect.flip(Contract.verify(rules, Effect.fail("no database")))).toBe("no database")
    }))
})
