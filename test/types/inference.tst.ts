/** The inferred types of pipelines of 1, 3 and 30 stages. */
import { Context, Data, Effect, Layer, Schedule, Schema } from "effect"
import { CheckMate, CheckMateEngine, type CheckMateError, Stage, State } from "effect-checkmate"
import type * as Sql from "effect-checkmate/sql"
import { describe, expect, test } from "tstyche"

class Boom extends Data.TaggedError("Boom")<{ readonly n: number }> {}
class Bang extends Data.TaggedError("Bang")<{ readonly n: number }> {}
class Files extends Context.Tag("Files")<Files, { readonly list: Effect.Effect<ReadonlyArray<string>, Boom> }>() {}

const Docs = State.make({ folder: Schema.String, files: Schema.Array(Schema.String), count: Schema.Number })

const scan = Stage.make(Docs, "scan", {
  requires: ["folder"],
  provides: ["files"],
  execute: ({ folder }) =>
    Effect.flatMap(Files, ({ list }) => Effect.map(list, (files) => ({ files: [folder, ...files] })))
})

const count = Stage.make(Docs, "count", {
  requires: ["files"],
  provides: ["count"],
  timeout: "1 second",
  execute: ({ files }) => files.length > 9 ? Effect.fail(new Bang({ n: 1 })) : Effect.succeed({ count: files.length })
})

const report = Stage.make(Docs, "report", {
  requires: ["count"],
  execute: ({ count }) =>
    Effect.gen(function*() {
      yield* Stage.Context
      yield* Effect.addFinalizer(() => Effect.void)
      yield* Effect.log(count)
    })
})

describe("a pipeline of one stage", () => {
  const one = CheckMate.make("one", { state: Docs, input: ["folder"], stages: [scan] })

  test("takes its input, and any other attribute", () => {
    expect<CheckMate.Input<typeof one>>().type.toBe<
      { readonly folder: string; readonly files?: ReadonlyArray<string>; readonly count?: number }
    >()
  })
  test("returns input and provided attributes present, the others optional", () => {
    expect<CheckMate.Output<typeof one>>().type.toBe<
      { readonly folder: string; readonly files: ReadonlyArray<string>; readonly count?: number }
    >()
  })
  test("fails with its stage's errors and uses its stage's services", () => {
    expect<CheckMate.Error<typeof one>>().type.toBe<Boom>()
    expect<CheckMate.Services<typeof one>>().type.toBe<Files>()
  })
  test("run has them all, and the engine's own", () => {
    const running = CheckMateEngine.run(one, { input: { folder: "." } })
    expect<Effect.Effect.Success<typeof running>>().type.toBe<
      { readonly folder: string; readonly files: ReadonlyArray<string>; readonly count?: number }
    >()
    expect<Effect.Effect.Error<typeof running>>().type.toBe<Boom | CheckMateEngine.RunError>()
    expect<Effect.Effect.Context<typeof running>>().type.toBe<Files | CheckMateEngine.CheckMateEngine>()
  })
  test("what the engine's own are is what its documentation lists", () => {
    expect<CheckMateEngine.RunError["_tag"]>().type.toBe<
      | "AttributeError"
      | "BindLockError"
      | "BindingLostError"
      | "DecryptionError"
      | "DefinitionChangedError"
      | "InvalidDefinitionError"
      | "InvalidOptionError"
      | "InvalidTaskIdError"
      | "InvalidTransitionError"
      | "JournalDamagedError"
      | "JournalVersionError"
      | "MissingStateError"
      | "RollbackFailedError"
      | "StageOutputError"
      | "StaleWriterError"
      | "TaskBoundError"
      | "TaskCancelledError"
      | "TaskIOError"
      | "TaskPausedError"
      | "TaskPoisonedError"
      | "TaskRolledBackError"
      | "TransactionUnsupportedError"
      | "UnknownAttributeError"
      | "WrongCheckMateError"
    >()
    expect<CheckMateEngine.HoldError["_tag"]>().type.toBe<
      | "BindLockError"
      | "BindingLostError"
      | "DecryptionError"
      | "InvalidTaskIdError"
      | "InvalidTransitionError"
      | "JournalDamagedError"
      | "JournalVersionError"
      | "StaleWriterError"
      | "TaskBoundError"
      | "TaskIOError"
    >()
  })
  test("the union of all errors has every class of them", () => {
    type Exported = (typeof CheckMateError)[keyof typeof CheckMateError]
    type Classes = Exported extends infer C ? C extends new(...args: never) => infer Made ? Made : never : never
    expect<CheckMateError.CheckMateError["_tag"]>().type.toBe<Extract<Classes, { readonly _tag: string }>["_tag"]>()
  })
  test("run demands the input", () => {
    expect(CheckMateEngine.run).type.not.toBeCallableWith(one, { input: {} })
    expect(CheckMateEngine.run).type.not.toBeCallableWith(one, { input: { folder: 1 } })
  })
  test("an input that is misspelt is refused by all that take one", () => {
    expect(CheckMateEngine.run).type.not.toBeCallableWith(one, { input: { folder: "", flies: [""] } })
    expect(CheckMateEngine.start).type.not.toBeCallableWith(one, { input: { folder: "", flies: [""] } })
    expect(CheckMateEngine.resume).type.not.toBeCallableWith(one, "t", { input: { flies: [""] } })
  })
})

describe("a pipeline of three stages", () => {
  const three = CheckMate.make("three", { state: Docs, input: ["folder"], stages: [scan, count, report] })

  test("a time-out adds StageTimeoutError; Stage.Context and Scope are provided", () => {
    expect<CheckMate.Output<typeof three>>().type.toBe<
      { readonly folder: string; readonly files: ReadonlyArray<string>; readonly count: number }
    >()
    expect<CheckMate.Error<typeof three>["_tag"]>().type.toBe<"Boom" | "Bang" | "StageTimeoutError">()
    expect<CheckMate.Services<typeof three>>().type.toBe<Files>()
  })
  test("a list made at run time is checked there", () => {
    const stages = [1, 2].map(() => scan)
    expect<CheckMate.Error<ReturnType<typeof dynamic>>>().type.toBe<Boom>()
    function dynamic() {
      return CheckMate.make("dynamic", { state: Docs, input: ["folder"], stages })
    }
  })
})

describe("what is written for CheckMates of any kind", () => {
  const submit = <Input extends object, Output, E, R>(
    checkMate: CheckMateEngine.Of<Input, Output, E, R>,
    input: Input
  ) => CheckMateEngine.start(checkMate, { input })

  test("takes one, and starts it", () => {
    const started = submit(CheckMate.make("one", { state: Docs, input: ["folder"], stages: [scan] }), {
      folder: "docs"
    })
    expect<Effect.Effect.Context<typeof started>>().type.toBe<Files | CheckMateEngine.CheckMateEngine>()
  })

  test("resumes those of different services and errors together", () => {
    class Indices extends Context.Tag("Indices")<Indices, { readonly add: Effect.Effect<void, Bang> }>() {}
    const index = Stage.make(Docs, "index", { execute: () => Effect.flatMap(Indices, ({ add }) => add) })
    const one = CheckMate.make("one", { state: Docs, input: ["folder"], stages: [scan] })
    const other = CheckMate.make("other", { state: Docs, input: ["folder"], stages: [index] })
    const resumed = CheckMateEngine.resumeAll([one, other])
    expect<Effect.Effect.Context<typeof resumed>>().type.toBe<Files | Indices | CheckMateEngine.CheckMateEngine>()
    const withAnother = <R>(another: CheckMateEngine.Of<never, unknown, unknown, R>) =>
      CheckMateEngine.resumeAll([one, another])
    expect(withAnother(other)).type.toBe<typeof resumed>()
  })

  test("names the statuses it may ask about", () => {
    expect<NonNullable<CheckMateEngine.CleanOptions["status"]>>().type.toBe<ReadonlyArray<CheckMateEngine.SettledTag>>()
    expect<NonNullable<CheckMateEngine.ResumeAllOptions["status"]>>().type
      .toBe<ReadonlyArray<CheckMateEngine.ResumableTag>>()
    expect<CheckMateEngine.CheckMateEngine["Type"]>().type.toBe<CheckMateEngine.Service>()
  })
})

describe("combinators", () => {
  const errorOf = <E, R>(_: Stage.Any<E, R>): E => null as never
  const servicesOf = <E, R>(_: Stage.Any<E, R>): R => null as never

  test("provide removes services, and adds the layer's errors", () => {
    const provided = Stage.provide(scan, Layer.fail(new Bang({ n: 1 })) as Layer.Layer<Files, Bang>)
    expect(errorOf(provided)).type.toBe<Boom | Bang>()
    expect<CheckMate.Services<ReturnType<typeof piped>>>().type.toBe<never>()
    function piped() {
      return CheckMate.make("p", { state: Docs, input: ["folder"], stages: [provided] })
    }
  })
  test("transactional demands a store that has transactions", () => {
    expect(servicesOf(Stage.transactional(scan))).type.toBe<Files | Stage.Transactions>()
    expect(servicesOf(scan.pipe(Stage.transactional))).type.toBe<Files | Stage.Transactions>()
    expect(errorOf(Stage.transactional(scan))).type.toBe<Boom>()
    expect<Layer.Layer.Success<typeof CheckMateEngine.layerMemory>>().type.toBe<CheckMateEngine.CheckMateEngine>()
    expect<Layer.Layer.Success<ReturnType<typeof Sql.layer>>>().type.toBe<
      CheckMateEngine.CheckMateEngine | Stage.Transactions
    >()
  })
  test("mapError and catchTag", () => {
    expect(errorOf(Stage.mapError(scan, (boom) => new Bang({ n: boom.n })))).type.toBe<Bang>()
    expect(servicesOf(Stage.mapError(scan, (boom) => new Bang({ n: boom.n })))).type.toBe<Files>()
    expect<CheckMate.Error<ReturnType<typeof caught>>>().type.toBe<never>()
    function caught() {
      const stage = Stage.catchTag(
        scan,
        "Boom",
        (boom, { folder }) => Effect.succeed({ files: [folder, String(boom.n)] })
      )
      return CheckMate.make("c", { state: Docs, input: ["folder"], stages: [stage] })
    }
  })
  test("a Schedule that inspects errors gets the typed one, and the time-out where there is one", () => {
    Stage.make(Docs, "x", {
      retry: Schedule.recurs(1).pipe(Schedule.whileInput((boom: Boom) => boom.n > 1)),
      execute: () => Effect.fail(new Boom({ n: 1 })).pipe(Effect.asVoid)
    })
    expect(Stage.make).type.not.toBeCallableWith(Docs, "x", {
      timeout: "1 second",
      retry: Schedule.recurs(1).pipe(Schedule.whileInput((boom: Boom) => boom.n > 1)),
      execute: (): Effect.Effect<void, Boom> => Effect.fail(new Boom({ n: 1 }))
    })
  })
  test("an option that is undefined is one that is not given", () => {
    const none = undefined
    const stage = Stage.make(Docs, "x", {
      description: none,
      tags: none,
      retry: none,
      retryDefects: none,
      rollback: none,
      rollbackRetry: none,
      execute: () => Effect.asVoid(Files)
    })
    expect(errorOf(stage)).type.toBe<never>()
    expect(servicesOf(stage)).type.toBe<Files>()
    const timeout = Math.random() > 0.5 ? "1 second" : none
    const timed = Stage.make(Docs, "x", { timeout, execute: () => Effect.void })
    expect(errorOf(timed)).type.toBe<CheckMateError.StageTimeoutError>()
    const options = { state: Docs, onFailure: none, description: none, tags: none }
    CheckMate.make("x", { ...options, input: ["folder"], stages: [stage] })
  })
})

const Long = State.make({
  a0: Schema.Number,
  a1: Schema.Number,
  a2: Schema.Number,
  a3: Schema.Number,
  a4: Schema.Number,
  a5: Schema.Number,
  a6: Schema.Number,
  a7: Schema.Number,
  a8: Schema.Number,
  a9: Schema.Number,
  a10: Schema.Number,
  a11: Schema.Number,
  a12: Schema.Number,
  a13: Schema.Number,
  a14: Schema.Number,
  a15: Schema.Number,
  a16: Schema.Number,
  a17: Schema.Number,
  a18: Schema.Number,
  a19: Schema.Number,
  a20: Schema.Number,
  a21: Schema.Number,
  a22: Schema.Number,
  a23: Schema.Number,
  a24: Schema.Number,
  a25: Schema.Number,
  a26: Schema.Number,
  a27: Schema.Number,
  a28: Schema.Number,
  a29: Schema.Number,
  a30: Schema.Number
})
const s1 = Stage.make(Long, "s1", {
  requires: ["a0"],
  provides: ["a1"],
  execute: ({ a0 }) => Effect.succeed({ a1: a0 + 1 })
})
const s2 = Stage.make(Long, "s2", {
  requires: ["a1"],
  provides: ["a2"],
  execute: ({ a1 }) => Effect.succeed({ a2: a1 + 1 })
})
const s3 = Stage.make(Long, "s3", {
  requires: ["a2"],
  provides: ["a3"],
  execute: ({ a2 }) => Effect.succeed({ a3: a2 + 1 })
})
const s4 = Stage.make(Long, "s4", {
  requires: ["a3"],
  provides: ["a4"],
  execute: ({ a3 }) => Effect.succeed({ a4: a3 + 1 })
})
const s5 = Stage.make(Long, "s5", {
  requires: ["a4"],
  provides: ["a5"],
  execute: ({ a4 }) => Effect.succeed({ a5: a4 + 1 })
})
const s6 = Stage.make(Long, "s6", {
  requires: ["a5"],
  provides: ["a6"],
  execute: ({ a5 }) => Effect.succeed({ a6: a5 + 1 })
})
const s7 = Stage.make(Long, "s7", {
  requires: ["a6"],
  provides: ["a7"],
  execute: ({ a6 }) => Effect.succeed({ a7: a6 + 1 })
})
const s8 = Stage.make(Long, "s8", {
  requires: ["a7"],
  provides: ["a8"],
  execute: ({ a7 }) => Effect.succeed({ a8: a7 + 1 })
})
const s9 = Stage.make(Long, "s9", {
  requires: ["a8"],
  provides: ["a9"],
  execute: ({ a8 }) => Effect.succeed({ a9: a8 + 1 })
})
const s10 = Stage.make(Long, "s10", {
  requires: ["a9"],
  provides: ["a10"],
  execute: ({ a9 }) => Effect.succeed({ a10: a9 + 1 })
})
const s11 = Stage.make(Long, "s11", {
  requires: ["a10"],
  provides: ["a11"],
  execute: ({ a10 }) => Effect.succeed({ a11: a10 + 1 })
})
const s12 = Stage.make(Long, "s12", {
  requires: ["a11"],
  provides: ["a12"],
  execute: ({ a11 }) => Effect.succeed({ a12: a11 + 1 })
})
const s13 = Stage.make(Long, "s13", {
  requires: ["a12"],
  provides: ["a13"],
  execute: ({ a12 }) => Effect.succeed({ a13: a12 + 1 })
})
const s14 = Stage.make(Long, "s14", {
  requires: ["a13"],
  provides: ["a14"],
  execute: ({ a13 }) => Effect.succeed({ a14: a13 + 1 })
})
const s15 = Stage.make(Long, "s15", {
  requires: ["a14"],
  provides: ["a15"],
  execute: ({ a14 }) => Effect.succeed({ a15: a14 + 1 })
})
const s16 = Stage.make(Long, "s16", {
  requires: ["a15"],
  provides: ["a16"],
  execute: ({ a15 }) => Effect.succeed({ a16: a15 + 1 })
})
const s17 = Stage.make(Long, "s17", {
  requires: ["a16"],
  provides: ["a17"],
  execute: ({ a16 }) => Effect.succeed({ a17: a16 + 1 })
})
const s18 = Stage.make(Long, "s18", {
  requires: ["a17"],
  provides: ["a18"],
  execute: ({ a17 }) => Effect.succeed({ a18: a17 + 1 })
})
const s19 = Stage.make(Long, "s19", {
  requires: ["a18"],
  provides: ["a19"],
  execute: ({ a18 }) => Effect.succeed({ a19: a18 + 1 })
})
const s20 = Stage.make(Long, "s20", {
  requires: ["a19"],
  provides: ["a20"],
  execute: ({ a19 }) => Effect.succeed({ a20: a19 + 1 })
})
const s21 = Stage.make(Long, "s21", {
  requires: ["a20"],
  provides: ["a21"],
  execute: ({ a20 }) => Effect.succeed({ a21: a20 + 1 })
})
const s22 = Stage.make(Long, "s22", {
  requires: ["a21"],
  provides: ["a22"],
  execute: ({ a21 }) => Effect.succeed({ a22: a21 + 1 })
})
const s23 = Stage.make(Long, "s23", {
  requires: ["a22"],
  provides: ["a23"],
  execute: ({ a22 }) => Effect.succeed({ a23: a22 + 1 })
})
const s24 = Stage.make(Long, "s24", {
  requires: ["a23"],
  provides: ["a24"],
  execute: ({ a23 }) => Effect.succeed({ a24: a23 + 1 })
})
const s25 = Stage.make(Long, "s25", {
  requires: ["a24"],
  provides: ["a25"],
  execute: ({ a24 }) => Effect.succeed({ a25: a24 + 1 })
})
const s26 = Stage.make(Long, "s26", {
  requires: ["a25"],
  provides: ["a26"],
  execute: ({ a25 }) => Effect.succeed({ a26: a25 + 1 })
})
const s27 = Stage.make(Long, "s27", {
  requires: ["a26"],
  provides: ["a27"],
  execute: ({ a26 }) => Effect.succeed({ a27: a26 + 1 })
})
const s28 = Stage.make(Long, "s28", {
  requires: ["a27"],
  provides: ["a28"],
  execute: ({ a27 }) => Effect.succeed({ a28: a27 + 1 })
})
const s29 = Stage.make(Long, "s29", {
  requires: ["a28"],
  provides: ["a29"],
  execute: ({ a28 }) => Effect.succeed({ a29: a28 + 1 })
})
const s30 = Stage.make(Long, "s30", {
  requires: ["a29"],
  provides: ["a30"],
  execute: ({ a29 }) => Effect.succeed({ a30: a29 + 1 })
})

describe("a pipeline of thirty stages", () => {
  const long = CheckMate.make("long", {
    state: Long,
    input: ["a0"],
    stages: [
      s1,
      s2,
      s3,
      s4,
      s5,
      s6,
      s7,
      s8,
      s9,
      s10,
      s11,
      s12,
      s13,
      s14,
      s15,
      s16,
      s17,
      s18,
      s19,
      s20,
      s21,
      s22,
      s23,
      s24,
      s25,
      s26,
      s27,
      s28,
      s29,
      s30
    ]
  })

  test("is checked like a short one", () => {
    expect<CheckMate.Output<typeof long>>().type.toBe<
      {
        readonly a0: number
        readonly a1: number
        readonly a2: number
        readonly a3: number
        readonly a4: number
        readonly a5: number
        readonly a6: number
        readonly a7: number
        readonly a8: number
        readonly a9: number
        readonly a10: number
        readonly a11: number
        readonly a12: number
        readonly a13: number
        readonly a14: number
        readonly a15: number
        readonly a16: number
        readonly a17: number
        readonly a18: number
        readonly a19: number
        readonly a20: number
        readonly a21: number
        readonly a22: number
        readonly a23: number
        readonly a24: number
        readonly a25: number
        readonly a26: number
        readonly a27: number
        readonly a28: number
        readonly a29: number
        readonly a30: number
      }
    >()
    expect<CheckMate.Error<typeof long>>().type.toBe<never>()
    expect<CheckMate.Services<typeof long>>().type.toBe<never>()
  })
})

describe("what is made at run time", () => {
  const named = (name: string) => Stage.make(Docs, name, { execute: () => Effect.void })
  const oneOf = (name: "a" | "b") => Stage.make(Docs, name, { execute: () => Effect.void })
  const numbered = (index: number) => Stage.make(Docs, `stage-${index}`, { execute: () => Effect.void })

  test("names that the compiler cannot tell apart are not taken for the same", () => {
    CheckMate.make("names", {
      state: Docs,
      input: [],
      stages: [named("x"), named("y"), oneOf("a"), oneOf("b"), numbered(1), numbered(2)]
    })
  })
  test("a state model made at run time", () => {
    const Dynamic = State.make(Object.fromEntries([["a", Schema.String]]))
    Stage.make(Dynamic, "one", { provides: ["a"], execute: () => Effect.succeed({ ["a".trim()]: "" }) })
  })
})
