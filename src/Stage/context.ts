/**
 * What a stage can use while it runs. All of it is in `Stage`.
 *
 * @since 0.1.0
 */

import * as Ctx from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as eventLoop from "../internal/eventLoop.ts"

/**
 * How far a running attempt has come, as its stage reports it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** Units done so far, in the stage's own unit. */
  readonly done: number
  /** Units there are, where the stage knows it. */
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/**
 * What a stage can know about the attempt it runs in. Available in `execute` and `rollback`:
 *
 * ```ts
 * execute: ({ order }) =>
 *   Effect.gen(function*() {
 *     const { idempotencyKey } = yield* Stage.Context
 *     return { receipt: yield* Payments.charge(order, { idempotencyKey }) }
 *   })
 * ```
 *
 * @since 0.1.0
 * @category context
 */
export class Context extends Ctx.Tag("checkmate/Stage/Context")<Context, {
  readonly taskId: string
  readonly stage: string
  /** Counts from 1 over the whole life of the task. */
  readonly attempt: number
  /**
   * Stable over attempts; new only once a rollback has run, because what was done under the old one is undone then, and
   * an outside system that remembers it would answer as if it were not. It is `task id/stage`, with `/n` behind it after the
   * nth rollback; a `/` or `%` in the stage's name is encoded as in a URL.
   */
  readonly idempotencyKey: string
  /** Grows with every engine that takes the task up, so that an outside system can refuse a stale one. */
  readonly fencingToken: number
  /**
   * Shows progress to whoever watches the task through this engine. Costs no write. Like all that runs beside the stage it
   * gets through where the stage lets it: between chunks of computing, see {@link yieldToEventLoop}.
   */
  readonly progress: (progress: Progress) => Effect.Effect<void>
}>() {}

/**
 * Lets the event loop turn once. For a stage that computes, between two chunks of work, which is when signals, sockets,
 * timers, progress and its engine's signs of life get through. `Effect.yieldNow()` lets none of these through, and
 * `Effect.sleep(0)` keeps signals and sockets waiting while several fibers compute.
 *
 * ```ts
 * Effect.forEach(chunks, (chunk) => Effect.zipLeft(Effect.sync(() => embed(chunk)), Stage.yieldToEventLoop))
 * ```
 *
 * @since 0.1.0
 * @category context
 */
export const yieldToEventLoop: Effect.Effect<void> = Effect.suspend(eventLoop.turn)

/**
 * Says that the store is one for `Stage.transactional`. Layers of stores that commit a stage's own writes together with its
 * checkpoint provide it, so that a program with any other store does not compile.
 *
 * @since 0.1.0
 * @category context
 */
export class Transactions extends Ctx.Tag("checkmate/Stage/Transactions")<Transactions, true>() {}

/**
 * What the engine provides to every stage.
 *
 * @since 0.1.0
 * @category context
 */
export type Provided = Context | Scope.Scope
