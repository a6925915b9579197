/**
 * A small CheckMate for the other examples: it gathers a month's sales page by page, sums them up, and sends a report.
 * Its services stand in for what a real one would call.
 */
import { Context, Effect, Layer, Schedule, Schema } from "effect"
import { CheckMate, Stage, State } from "effect-checkmate"

export class ShopUnavailable extends Schema.TaggedError<ShopUnavailable>()("ShopUnavailable", {
  month: Schema.String
}) {}

export class Shop extends Context.Tag("report/Shop")<Shop, {
  /** The amounts sold, of one page of a month's list. */
  readonly sales: (month: string, page: number) => Effect.Effect<ReadonlyArray<number>, ShopUnavailable>
}>() {}

export class Mailer extends Context.Tag("report/Mailer")<Mailer, {
  /** Sends a mail once, however often it is called with the same key. */
  readonly send: (text: string, key: string) => Effect.Effect<void>
}>() {}

export const Report = State.make({
  month: Schema.String,
  pages: Schema.Int,
  sales: Schema.Array(Schema.Number),
  text: Schema.String
})

const gather = Stage.make(Report, "gather", {
  requires: ["month", "pages"],
  provides: ["sales"],
  retry: Schedule.exponential("1 second").pipe(Schedule.intersect(Schedule.recurs(3))),
  execute: ({ month, pages }) =>
    Effect.gen(function*() {
      const shop = yield* Shop
      const { progress } = yield* Stage.Context
      const found = yield* Effect.forEach(Array.from({ length: pages }).keys(), (page) =>
        Effect.tap(shop.sales(month, page), progress({ done: page + 1, total: pages, message: "pages" })))
      return { sales: found.flat() }
    })
})

const write = Stage.make(Report, "write", {
  requires: ["month", "sales"],
  provides: ["text"],
  execute: ({ month, sales }) => {
    const total = sales.reduce((sum, amount) => sum + amount, 0)
    return Effect.succeed({ text: `${month}: ${sales.length} sales, ${total} euros` })
  }
})

const send = Stage.make(Report, "send", {
  requires: ["text"],
  execute: ({ text }) =>
    Effect.gen(function*() {
      const mailer = yield* Mailer
      // The same in every attempt: a crash after the mail and before the checkpoint does not send it twice.
      const { idempotencyKey } = yield* Stage.Context
      yield* mailer.send(text, idempotencyKey)
    })
})

export const cm_factory_report = () =>
  CheckMate.make("report", {
    description: "Mails the sales of a month",
    state: Report,
    input: ["month", "pages"],
    stages: [gather, write, send]
  })

/** A shop that takes a moment for each page, and a mailer that keeps its mails to itself. */
export const layerServices = Layer.merge(
  Layer.succeed(Shop, {
    sales: (_, page) => Effect.delay(Effect.succeed([page + 10, page + 20]), "20 millis")
  }),
  Layer.succeed(Mailer, { send: () => Effect.void })
)
