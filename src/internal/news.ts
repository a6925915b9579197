/** News for whoever listens, which is mostly nobody. */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

export interface News<A> {
  /** What is told from now on. */
  readonly listen: Effect.Effect<Queue.Dequeue<A>, never, Scope.Scope>
  readonly tell: (item: A) => Effect.Effect<unknown>
}

/** News over a hub that is made for the first who listens: to make one costs more than to tell. */
export const make = <A>(hub: Effect.Effect<PubSub.PubSub<A>>): News<A> => {
  let made: PubSub.PubSub<A> | undefined
  const listenedTo = Effect.suspend(() =>
    made === undefined ? Effect.map(hub, (hub) => made ??= hub) : Effect.succeed(made)
  )
  return {
    listen: Effect.flatMap(listenedTo, PubSub.subscribe),
    tell: (item) => made === undefined ? Effect.void : PubSub.publish(made, item)
  }
}
