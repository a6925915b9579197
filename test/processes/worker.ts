/** A process that runs a task of 20 stages and notes in a file of its own, outside the engine, what really happened. */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Schema } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import * as fs from "node:fs"

const [, , directory = "", ledger = ""] = process.argv

const note = (entry: string) => Effect.sync(() => fs.appendFileSync(ledger, `${entry}\n`))

const Total = State.make({ total: Schema.Number })

const stages = Array.from({ length: 20 }, (_, index) =>
  Stage.make(Total, `stage-${index}`, {
    requires: ["total"],
    provides: ["total"],
    execute: ({ total }) =>
      Effect.gen(function*() {
        yield* note(`run ${index}`)
        yield* Effect.sleep("5 millis")
        yield* note(`ran ${index}`)
        return { total: total + index }
      }),
    rollback: () => note(`undo ${index}`)
  }))

const definition = CheckMate.make("worker", { state: Total, input: ["total"], stages })

CheckMateEngine.run(definition, { taskId: "t", input: { total: 0 } }).pipe(
  Effect.flatMap(({ total }) => note(`total ${total}`)),
  Effect.provide(Layer.provide(CheckMateEngine.layerFileSystem(directory), NodeContext.layer)),
  NodeRuntime.runMain
)
