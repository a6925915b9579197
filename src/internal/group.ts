/** Does things together that are asked for at the same time, because together they cost little more than one. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

interface Waiting<A, B, E> {
  readonly item: A
  readonly key: string | undefined
  readonly resume: (result: Effect.Effect<B, E>) => void
}

/**
 * A function that does one thing, in a group with whatever else waits by then: one group at a time, of at most `limit`
 * things, of which no two have the same key. One that waits alone does not wait for company, and where its asker is alone it is done
 * right where it is asked for.
 */
export const make = <A, B, E>(options: {
  readonly limit: number
  /** What must not be done twice at a time. Without it anything may. */
  readonly keyOf?: (item: A) => string
  readonly isAlone: () => boolean
  /** Does all, and answers for each in the same order. What it fails with itself is the answer for all. */
  readonly together: (items: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<Effect.Effect<B, E>>, E>
}): Effect.Effect<(item: A) => Effect.Effect<B, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    let waiting: Array<Waiting<A, B, E>> = []
    let closed = false
    const some = yield* Effect.makeLatch()

    const takeGroup = (): ReadonlyArray<Waiting<A, B, E>> => {
      const keys = new Set<string>()
      const group: Array<Waiting<A, B, E>> = []
      const left: Array<Waiting<A, B, E>> = []
      for (const one of waiting) {
        if (group.length === options.limit || (one.key !== undefined && keys.has(one.key))) left.push(one)
        else {
          if (one.key !== undefined) keys.add(one.key)
          group.push(one)
        }
      }
      waiting = left
      if (left.length === 0 && !closed) some.unsafeClose()
      return group
    }

    const doGroup = Effect.suspend(() => {
      const group = takeGroup()
      return group.length === 0 ? Effect.void : Effect.map(
        Effect.exit(options.together(group.map(({ item }) => item))),
        (exit) => {
          for (const [index, one] of group.entries()) {
            one.resume(Effect.flatMap(exit, (results) => results[index] ?? Effect.interrupt))
          }
        }
      )
    })

    // Whatever is ready to run gets to ask for its own before the group is closed. What is begun is finished: the fiber
    // is not interrupted, but told.
    const next = some.await.pipe(Effect.zipRight(Effect.yieldNow()), Effect.zipRight(doGroup))
    const fiber = yield* Effect.forkDaemon(Effect.whileLoop({
      while: () => !closed || waiting.length > 0,
      body: () => next,
      step: () => undefined
    }))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        some.unsafeOpen()
        return Fiber.await(fiber)
      })
    )

    const inGroup = (item: A) =>
      Effect.async<B, E>((resume) => {
        const one = { item, key: options.keyOf?.(item), resume }
        waiting.push(one)
        some.unsafeOpen()
        return Effect.sync(() => {
          waiting = waiting.filter((other) => other !== one)
        })
      })
    const byItself = (item: A) => Effect.flatMap(options.together([item]), ([result]) => result ?? Effect.interrupt)
    return (item) => Effect.suspend(() => closed || options.isAlone() ? byItself(item) : inGroup(item))
  })
