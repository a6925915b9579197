import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { pipeline } from "./bench/support.ts"

describe("CheckMateEngine", () => {
  it.effect("runs a pipeline to its end, and answers a second run from the journal", () =>
    Effect.gen(function*() {
      const definition = pipeline(3)
      const output = yield* CheckMateEngine.run(definition, { taskId: "one", input: {} })
      expect(Object.keys(output)).toEqual(["a0", "a1", "a2"])
      expect(yield* CheckMateEngine.run(definition, { taskId: "one", input: {} })).toEqual(output)
      const { history } = yield* CheckMateEngine.get("one")
      expect(history.filter((event) => event._tag === "StageStarted")).toHaveLength(3)
    }).pipe(Effect.provide(CheckMateEngine.layerMemory)))
})
