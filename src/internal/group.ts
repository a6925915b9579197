/** Does things together that are asked for at the same time, because together they cost little more than one. */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as eventLoop from "./eventLoop.ts"
import { Once } from "./once.ts"

interface Waiting<A, B, E> {
  readonly item: A
  readonly key: string | undefined
  readonly size: number
  readonly resume: (result: Effect.Effect<B, E>) => void
  readonly done: Once<void>
}

interface Options<A, B, E> {
  readonly limit: number
  /** How large a group may be in all, and how large each thing is. A larger one goes alone. Without it none is. */
  readonly size?: { readonly limit: number; readonly of: (item: A) => number }
  /** What must not be done twice at a time. Without it anything may. */
  readonly keyOf?: (item: A) => string
  /** Whether somebody, by the context of who asks, would wait in vain for others to come along. */
  readonly isAlone: (context: Context.Context<never>) => boolean
  /** Whether one who is interrupted while its group is under way waits until that has ended. Without it nobody does. */
  readonly staysToTheEnd?: boolean
  /**
   * Does all, and answers for each in the same order. What it fails with itself is the answer for all; where it dies, each
   * is done by itself.
   */
  readonly together: (items: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<Effect.Effect<B, E>>, E>
}

/**
 * A function that does one thing, in a group with whatever else waits by then: one group at a time, of at most `limit`
 * things, of which no two have the same key. One that waits alone does not wait for company, and where its asker is alone it is done
 * right where it is asked for.
 */
export const make = Effect.fnUntraced(function*<A, B, E>(
  options: Options<A, B, E>
): Effect.fn.Return<(item: A) => Effect.Effect<B, E>, never, Scope.Scope> {
  let waiting: Array<Waiting<A, B, E>> = []
  let closed = false
  let turned = Effect.void
  const some = yield* Effect.makeLatch()

  const takeGroup = (): ReadonlyArray<Waiting<A, B, E>> => {
    const keys = new Set<string>()
    const group: Array<Waiting<A, B, E>> = []
    const left: Array<Waiting<A, B, E>> = []
    let size = 0
    for (const one of waiting) {
      const isFull = group.length > 0 && size + one.size > (options.size?.limit ?? Number.POSITIVE_INFINITY)
      if (isFull || group.length === options.limit || (one.key !== undefined && keys.has(one.key))) left.push(one)
      else {
        size += one.size
        group.push(one)
      }
      // Of what is left too: nothing goes before what was asked for earlier with the same key.
      if (one.key !== undefined) keys.add(one.key)
    }
    waiting = left
    if (left.length === 0) some.unsafeClose()
    return group
  }

  const byItself = (item: A) =>
    Effect.flatMap(Effect.suspend(() => options.together([item])), ([result]) => result ?? Effect.interrupt)

  const answer = (one: Waiting<A, B, E>, result: Effect.Effect<B, E>): void => {
    one.resume(result)
    one.done.settle()
  }

  const doGroup = Effect.suspend(() => {
    turned = eventLoop.turn()
    const group = takeGroup()
    return group.length === 0 ? Effect.void : Effect.flatMap(
      Effect.exit(Effect.suspend(() => options.together(group.map(({ item }) => item)))),
      (exit): Effect.Effect<void> => {
        // One of them may be what it died of.
        if (group.length > 1 && Exit.isFailure(exit) && Cause.isDie(exit.cause)) {
          return Effect.forEach(
            group,
            (one) => Effect.map(Effect.exit(byItself(one.item)), (own) => answer(one, own)),
            {
              discard: true
            }
          )
        }
        for (const [index, one] of group.entries()) {
          answer(one, Effect.flatMap(exit, (results) => results[index] ?? Effect.interrupt))
        }
        return Effect.void
      }
    )
  })

  // Whatever is ready to run gets to ask for its own before the group is closed. What is begun is finished: the fiber
  // is not interrupted, but told. A database that answers at once would keep signals and sockets waiting as long as there
  // is one more group.
  const next = some.await.pipe(
    Effect.zipRight(Effect.yieldNow()),
    Effect.zipRight(Effect.suspend(() => turned)),
    Effect.zipRight(doGroup)
  )
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
      const one = {
        item,
        key: options.keyOf?.(item),
        size: options.size?.of(item) ?? 0,
        resume,
        done: new Once<void>()
      }
      waiting.push(one)
      some.unsafeOpen()
      return Effect.suspend(() => {
        const isUnderWay = !waiting.includes(one)
        waiting = waiting.filter((other) => other !== one)
        return isUnderWay && options.staysToTheEnd === true ? one.done.await : Effect.void
      })
    })
  return (item) =>
    Effect.withFiberRuntime(({ currentContext }) =>
      closed || options.isAlone(currentContext) ? byItself(item) : inGroup(item)
    )
})

/**
 * The same, where nobody waits for company but who asks while others are at it: what is done for a group begins after all of
 * it had asked.
 */
export const whileBusy = Effect.fnUntraced(function*<A, B, E>(
  options: Omit<Options<A, B, E>, "isAlone">
): Effect.fn.Return<(item: A) => Effect.Effect<B, E>, never, Scope.Scope> {
  let atIt = 0
  return yield* make({
    ...options,
    isAlone: () => atIt === 0,
    together: (items) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          atIt += 1
        }),
        () => options.together(items),
        () =>
          Effect.sync(() => {
            atIt -= 1
          })
      )
  })
})

/** What is done once for all who ask for it while it is done for others, and answers each by what began after that one asked. */
export const shared = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>, never, Scope.Scope> =>
  Effect.map(
    whileBusy<void, A, E>({
      limit: Number.POSITIVE_INFINITY,
      together: (askers) => Effect.map(self, (answer) => askers.map(() => Effect.succeed(answer)))
    }),
    (ask) => Effect.suspend(ask)
  )
