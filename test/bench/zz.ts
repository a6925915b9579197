import { Effect } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as bench from "./support.ts"
const definition = bench.pipeline(10)
await bench.inMemory(Effect.gen(function*() {
  for (let i = 0; i < 3000; i++) yield* CheckMateEngine.run(definition, { taskId: `t${i}`, input: {} })
}))
