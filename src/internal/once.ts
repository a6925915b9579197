/** A value that comes once, for as many as wait for it. */
import * as Effect from "effect/Effect"

/**
 * What a Deferred is, at a fraction of its cost: V8 gives every Deferred of effect 3 a hidden class of its own, and with
 * it keeps all that hangs on it until the next full collection of garbage. One that nobody waits for is two fields.
 */
export class Once<A> {
  private settled: Effect.Effect<A> | undefined = undefined
  private waiting: Set<(value: Effect.Effect<A>) => void> | undefined = undefined

  /** Gives the value; the first one stays. */
  settle(value: A): void {
    if (this.settled !== undefined) return
    this.settled = Effect.succeed(value)
    const { waiting } = this
    this.waiting = undefined
    waiting?.forEach((resume) => resume(Effect.succeed(value)))
  }

  get isSettled(): boolean {
    return this.settled !== undefined
  }

  /** Waits for the value. */
  get await(): Effect.Effect<A> {
    return Effect.suspend(() =>
      this.settled ?? Effect.async((resume) => {
        this.waiting ??= new Set()
        this.waiting.add(resume)
        return Effect.sync(() => this.waiting?.delete(resume))
      })
    )
  }
}
