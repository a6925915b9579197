/**
 * A saga: an order reserves its goods, charges the card, and ships. No courier takes the parcel, so everything that was
 * done is undone in reverse order, and each step is in the journal.
 *
 *     node --import tsx examples/saga_cm.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Context, DateTime, Effect, Layer, Schedule, Schema } from "effect"
import { CheckMate, CheckMateEngine, Failure, Stage, State } from "effect-checkmate"
import { isMain } from "./isMain.ts"

class NoCourier extends Schema.TaggedError<NoCourier>()("NoCourier", { city: Schema.String }) {
  override get message(): string {
    return `No courier goes to ${this.city}`
  }
}

/** Keys make each call safe to repeat, and name what is to be undone. */
class Shop extends Context.Tag("saga/Shop")<Shop, {
  readonly reserve: (goods: string, key: string) => Effect.Effect<string>
  readonly release: (key: string) => Effect.Effect<void>
  readonly charge: (euros: number, key: string) => Effect.Effect<string>
  readonly refund: (key: string) => Effect.Effect<void>
  readonly ship: (goods: string, city: string, key: string) => Effect.Effect<string, NoCourier>
}>() {}

const Order = State.make({
  goods: Schema.String,
  euros: Schema.Number,
  city: Schema.String,
  reservation: Schema.String,
  receipt: Schema.String,
  parcel: Schema.String
})

/** Calls the shop with the key of the stage that runs: the same in its every attempt, and in its rollback. */
const ask = <A, E>(call: (shop: typeof Shop.Service, key: string) => Effect.Effect<A, E>) =>
  Effect.flatMap(Effect.all([Shop, Stage.Context]), ([shop, { idempotencyKey }]) => call(shop, idempotencyKey))

const reserve = Stage.make(Order, "reserve", {
  requires: ["goods"],
  provides: ["reservation"],
  execute: ({ goods }) => ask((shop, key) => Effect.map(shop.reserve(goods, key), (reservation) => ({ reservation }))),
  rollback: () => ask((shop, key) => shop.release(key))
})

const charge = Stage.make(Order, "charge", {
  requires: ["euros"],
  provides: ["receipt"],
  execute: ({ euros }) => ask((shop, key) => Effect.map(shop.charge(euros, key), (receipt) => ({ receipt }))),
  rollback: () => ask((shop, key) => shop.refund(key))
})

const ship = Stage.make(Order, "ship", {
  requires: ["goods", "city"],
  provides: ["parcel"],
  retry: Schedule.recurs(1),
  execute: ({ city, goods }) => ask((shop, key) => Effect.map(shop.ship(goods, city, key), (parcel) => ({ parcel })))
})

export const cm_factory_saga = () =>
  CheckMate.make("saga", {
    description: "Takes an order, or leaves no trace of it",
    state: Order,
    input: ["goods", "euros", "city"],
    stages: [reserve, charge, ship],
    onFailure: "rollback"
  })

const layerShop = Layer.succeed(Shop, {
  reserve: (goods, key) => Effect.as(Console.log(`  reserves ${goods}  [${key}]`), "shelf 7"),
  release: (key) => Console.log(`  releases the goods  [${key}]`),
  charge: (euros, key) => Effect.as(Console.log(`  charges ${euros} euros  [${key}]`), "receipt 42"),
  refund: (key) => Console.log(`  refunds the money  [${key}]`),
  ship: (goods, city, key) =>
    Effect.zipRight(Console.log(`  ships ${goods} to ${city}  [${key}]`), new NoCourier({ city }))
})

const program = Effect.gen(function*() {
  yield* Console.log("The shop:")
  const error = yield* Effect.flip(
    CheckMateEngine.run(cm_factory_saga(), {
      taskId: "order-17",
      input: { goods: "a piano", euros: 4200, city: "Longyearbyen" }
    })
  )
  yield* Console.log(`\nThe caller: ${error.message}`)

  const { history, stages, task } = yield* CheckMateEngine.get("order-17")
  yield* Console.log(
    `\nThe task is ${task.status._tag}: ${stages.map(({ name, status }) => `${name} ${status._tag}`).join(", ")}`
  )
  yield* Console.log("\nIts history:")
  yield* Effect.forEach(history, (event) => {
    const stage = "stage" in event ? event.stage : ""
    const failure = "failure" in event ? Failure.format(event.failure) : ""
    return Console.log(
      `  ${DateTime.formatIso(event.at)} ${event._tag.padEnd(20)} ${stage.padEnd(8)} ${failure}`.trimEnd()
    )
  })
})

if (isMain(import.meta.url)) {
  program.pipe(
    Effect.provide(Layer.merge(CheckMateEngine.layerMemory, layerShop)),
    NodeRuntime.runMain
  )
}
