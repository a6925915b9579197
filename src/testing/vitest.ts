/**
 * Contracts in vitest: each rule is one test. All else in `effect-checkmate/testing` needs no test framework.
 *
 * @since 0.1.0
 */

import { describe, it } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { judge, type Rule, select } from "./Contract.ts"

/**
 * What a backend cannot do, and how long its tests may take.
 *
 * @since 0.1.0
 * @category options
 */
export interface DescribeOptions<Capability extends string> {
  /** What the backend cannot do. Rules that need it become no tests; the title names them. */
  readonly lacks?: ReadonlyArray<Capability> | undefined
  /** How long each test may take, in milliseconds; vitest's own limit otherwise. */
  readonly timeout?: number | undefined
}

/**
 * One test for each rule, over a subject that `withSubject` makes for it and takes away after it. Each has a `TestClock`: a
 * backend that sleeps or times out in real time needs `Effect.withClock(Clock.make())` around that, or its tests hang.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
 * import { TaskIOContract } from "effect-checkmate/testing"
 * import { describeContract } from "effect-checkmate/testing/vitest"
 *
 * describeContract(
 *   "TaskIO contract: memory",
 *   TaskIOContract.rules,
 *   (use) => Effect.scoped(Effect.flatMap(MemoryDriver.make, use))
 * )
 * ```
 *
 * @since 0.1.0
 * @category verifying
 */
export const describeContract = <Subject, Capability extends string>(
  name: string,
  rules: ReadonlyArray<Rule<Subject, Capability>>,
  withSubject: <A, E>(use: (subject: Subject) => Effect.Effect<A, E, Scope.Scope>) => Effect.Effect<A, unknown>,
  options: DescribeOptions<NoInfer<Capability>> = {}
): void => {
  const { apply, leftOut } = select(rules, options.lacks)
  const lacks = [...new Set(leftOut.flatMap((rule) => rule.lacks))].join(", ")
  const without = leftOut.map(({ rule }) => `"${rule}"`).join(", ")
  describe(leftOut.length === 0 ? name : `${name} (lacks ${lacks}, so without ${without})`, () => {
    for (const rule of apply) {
      it.effect(rule.name, () => withSubject((subject) => judge(rule, subject)), options.timeout)
    }
  })
}
