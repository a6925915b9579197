import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Stream } from "effect"
import { BindLock, type CheckMate, CheckMateEngine, TaskIO } from "effect-checkmate"
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

  dies("maxRecoveries", { maxRecoveries: untyped("often") })
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

  it.effect("status of clean, which is no duration either", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      expect(yield* defectOf(CheckMateEngine.clean({ status: untyped("Succeeded") }))).toContain(
        `The option "status" is`
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

describe("what tasks cannot be found by is told with the option's name, and not taken for what finds none, or all:", () => {
  const questions: ReadonlyArray<readonly [option: keyof TaskIO.Query, given: unknown, told: string]> = [
    ["since", "garbage", "is garbage: give a time"],
    ["since", null, "is null: give a time"],
    ["since", new Date(Number.NaN), "is \"Invalid Date\": give a time"],
    ["status", "RollbackFailed", "is RollbackFailed: give a list of statuses"],
    ["status", ["failed"], "is [\"failed\"]: give a list of statuses"],
    ["tags", "red", "is red: give a list of strings"],
    ["tags", [1], "is [1]: give a list of strings"],
    ["checkMate", null, "is null: give the name of one"]
  ]
  it.effect.each(questions)(
    "%s of find, of watchAll, and of the list of a store: %j",
    ([option, given, told]) =>
      inMemory(Effect.gen(function*() {
        const query: TaskIO.Query = untyped({ [option]: given })
        const expected = `The option "${option}" ${told}`
        expect(yield* defectOf(CheckMateEngine.find(query))).toContain(expected)
        expect(yield* defectOf(Stream.runHead(CheckMateEngine.watchAll(query)))).toContain(expected)
        const list = Effect.flatMap(TaskIO.TaskIO, (store) => Stream.runHead(store.list(query)))
        expect(yield* defectOf(Effect.provide(list, TaskIO.layerMemory))).toContain(expected)
      }))
  )

  const orders: ReadonlyArray<readonly [option: keyof CheckMateEngine.FindOptions, given: unknown, told: string]> = [
    ["sort", "memo", "is memo: give \"createdAt\" or \"updatedAt\""],
    ["order", "up", "is up: give \"ascending\" or \"descending\""],
    ["held", null, "is null: give true or false"],
    ["failure", "Boom", "is Boom: give a list of errors' tags"],
    ["failure", [1], "is [1]: give a list of errors' tags"],
    ["limit", "few", "is few: give a number"],
    ["limit", null, "is null: give a number"],
    ["offset", "3", "is 3: give a number"]
  ]
  it.effect.each(orders)("%s of find: %j", ([option, given, told]) =>
    inMemory(Effect.gen(function*() {
      const options: CheckMateEngine.FindOptions = untyped({ [option]: given })
      expect(yield* defectOf(CheckMateEngine.find(options))).toContain(`The option "${option}" ${told}`)
    })))

  it.effect("what resumeAll is given in place of a list of CheckMates, whether or not there are tasks", () =>
    inMemory(Effect.gen(function*() {
      const cm_factory_abc = () => abc(new Ledger())
      const cases = [
        [undefined, "The option \"checkMates\" is undefined: give resumeAll a list"],
        [cm_factory_abc(), "give resumeAll a list, as [cm_factory_ingest()]"],
        [[cm_factory_abc], "this is a function and not a CheckMate; call it"],
        [[cm_factory_abc(), undefined], "this is not a CheckMate; make it with CheckMate.make"]
      ] as const
      for (const [given, told] of cases) {
        const all: ReadonlyArray<CheckMate.Any<never, never>> = untyped(given)
        expect(yield* defectOf(CheckMateEngine.resumeAll(all))).toContain(told)
      }
    })))

  it.effect("nothing is found since a year of five digits", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      expect(yield* CheckMateEngine.find({ since: new Date(8_640_000_000_000_000) })).toEqual([])
    })))
})
