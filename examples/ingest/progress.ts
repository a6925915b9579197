/** How a stage tells how far it has come. */
import { Effect, Stream } from "effect"
import { Stage } from "effect-checkmate"

const every = 32

/** Reports how many items have come through: to whoever watches the task, and now and then, for it is not for free. */
export const reporting =
  (message: string, total: number) =>
  <A, E, R>(items: Stream.Stream<A, E, R>): Stream.Stream<A, E, R | Stage.Context> =>
    Stream.unwrap(Effect.map(Stage.Context, ({ progress }) =>
      Stream.zipWithIndex(items).pipe(
        Stream.tap(([, index]) =>
          (index + 1) % every === 0 ? progress({ done: index + 1, total, message }) : Effect.void
        ),
        Stream.map(([item]) => item)
      )))
