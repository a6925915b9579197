import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer } from "effect"
import { BindLock, CheckMateEngine } from "effect-checkmate"
import { duration } from "../../src/internal/options.ts"
import { abc, engineOver, inMemory, Ledger, makeStore } from "../support/pipelines.ts"

/** How an effect died. */
const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.exit(effect),
    (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause) ? Cause.pretty(exit.cause) : "it did not die"
  )

const untyped = (value: unknown) => value as never

describe("an option that is a duration", () => {
  it.effect("is read as Effect reads it, and is its default where it is left out", () =>
    Effect.gen(function*() {
      expect(yield* duration("lease", "3 minutes", "1 second")).toEqual(Duration.minutes(3))
      expect(yield* duration("lease", 20, "1 second")).toEqual(Duration.millis(20))
      expect(yield* duration("lease", undefined, "1 second")).toEqual(Duration.seconds(1))
    }))

  it.effect("names itself where it is none, NaN included, which Effect takes for no time at all", () =>
    Effect.gen(function*() {
      for (const [given, shown] of [["soon", "soon"], [Number.NaN, "NaN"], [true, "true"], [{}, "{}"]] as const) {
        const told = yield* defectOf(duration("lease", untyped(given), "1 second"))
        expect(told).toContain(`The option "lease" is ${shown}, which is no duration`)
      }
    }))
})

describe("an engine that is given what is no duration dies with the option's name, and removes nothing:", () => {
  const dies = (option: string, options: CheckMateEngine.Options) =>
    it.effect(option, () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const run = CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
        yield* Effect.provide(run, engineOver(store))
        const told = yield* defectOf(Effect.scoped(Layer.build(engineOver(store, BindLock.layerMemory, options))))
        expect(told).toContain(`The option "${option}" is`)
        expect((yield* Effect.provide(CheckMateEngine.get("t"), engineOver(store))).task.status._tag).toBe("Succeeded")
      }))

  dies("pollInterval", { pollInterval: untyped("soon") })
  dies("retention.keep.Succeeded", { retention: { keep: { Succeeded: Number.NaN } } })
  dies("retention.every", { retention: { keep: { Succeeded: "1 day" }, every: untyped("now and then") } })
  dies("retention.keep", { retention: untyped({}) })

  it.effect("olderThan of clean", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      expect(yield* defectOf(CheckMateEngine.clean({ olderThan: Number.NaN }))).toContain(
        `The option "olderThan" is NaN`
      )
      expect(yield* CheckMateEngine.find()).toHaveLength(1)
    })))

  it.scoped("lease", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
      const told = yield* defectOf(Layer.build(BindLock.layerFileSystem(directory, { lease: Number.NaN })))
      expect(told).toContain(`The option "lease" is NaN`)
    }).pipe(Effect.provide(NodeContext.layer)))
})
