/** A process that is in the middle of so many tasks when it is killed. Says so on its standard output. */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { recoverable } from "./support.ts"

const [, , directory = "", prefix = "", count = "1"] = process.argv

let begun = 0
const definition = recoverable(() =>
  Effect.suspend(() => {
    begun += 1
    if (begun === Number(count)) process.stdout.write("ready\n")
    return Effect.never
  })
)

Effect.forEach(
  Array.from({ length: Number(count) }, (_, index) => `${prefix}-${index}`),
  (taskId) => CheckMateEngine.run(definition, { taskId, input: { count: 0 } }),
  { concurrency: "unbounded", discard: true }
).pipe(
  Effect.provide(Layer.provide(CheckMateEngine.layerFileSystem(directory), NodeContext.layer)),
  NodeRuntime.runMain
)
