/**
 * The sentences that mistakes of the dataflow do not compile with. Each text stands behind its `@ts-expect-error`, and is
 * checked against what the compiler says.
 */
import { Data, type DateTime, Effect, Predicate, Schedule, Schema } from "effect"
import {
  CheckMate,
  CheckMateEngine,
  type CheckMateError,
  Stage,
  StageStatus,
  State,
  TaskStatus
} from "effect-checkmate"
import { describe, expect, test } from "tstyche"

const Docs = State.make({ folder: Schema.String, files: Schema.Array(Schema.String), count: Schema.Number })
const Other = State.make({ folder: Schema.String })

const scan = Stage.make(Docs, "scan", {
  requires: ["folder"],
  provides: ["files"],
  execute: ({ folder }) => Effect.succeed({ files: [folder] })
})

const chunk = Stage.make(Docs, "chunk", {
  requires: ["files"],
  provides: ["count"],
  execute: ({ files }) => Effect.succeed({ count: files.length })
})

const other = Stage.make(Other, "other", { execute: () => Effect.void })

describe("State.make", () => {
  test("an attribute that is declared as optional", () => {
    // @ts-expect-error "attribute \"text\" is optional, which every attribute is until it is provided; give its schema alone, or Schema.NullOr of it"
    State.make({ text: Schema.optional(Schema.String) })
    // @ts-expect-error "attribute \"text\" is optional, which every attribute is until it is provided; give its schema alone, or Schema.NullOr of it"
    State.make({ text: Schema.optionalWith(Schema.String, { default: () => "" }) })
  })

  test("what is no schema of an attribute", () => {
    // @ts-expect-error "attribute \"text\" is no schema; give one, such as Schema.String"
    State.make({ text: String })
    const needy = Schema.make<string, string, "Service">(Schema.String.ast)
    // @ts-expect-error "attribute \"text\" has a schema that needs services, and a journal is read without any"
    State.make({ text: needy })
    // @ts-expect-error "attribute \"text\" has a schema of no values"
    State.make({ text: Schema.Never })
    // @ts-expect-error "this is one schema; give those of the attributes, as its fields are"
    State.make(Schema.Struct({ text: Schema.String }))
  })

  test("a name that every object has, or that is a symbol", () => {
    // @ts-expect-error "attribute \"constructor\" is named as what every object has; give it another name"
    State.make({ folder: Schema.String, constructor: Schema.String })
    // @ts-expect-error "attribute \"toString\" is named as what every object has; give it another name"
    State.make({ toString: Schema.Unknown })
    // @ts-expect-error "this attribute is named by a symbol; name it by a text"
    State.make({ [Schema.TypeId]: Schema.String })
  })

  test("attributes that only a caller knows are checked when the program runs", () => {
    const of = <F extends State.Fields>(fields: F) => State.make(fields)
    expect(of(Docs.fields)).type.toBe<typeof Docs>()
    expect(of<State.Fields>(Docs.fields)).type.toBe<State.State<State.Fields>>()
  })
})

describe("CheckMate.make", () => {
  test("a requirement nobody provides", () => {
    // @ts-expect-error "stage \"chunk\" requires \"files\", which neither the input nor an earlier stage provides"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [chunk, scan] })
  })
  test("a duplicate stage name", () => {
    // @ts-expect-error "stage \"scan\" is defined twice"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [scan, chunk, scan] })
  })
  test("a stage of another state model", () => {
    // @ts-expect-error "stage \"other\" is a stage of another state model"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [scan, other] })
  })
  test("a stage that is one of several", () => {
    // @ts-expect-error "this is one of several stages; spread a list of one or none instead"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [scan, Math.random() > 0.5 ? chunk : scan] })
    CheckMate.make("good", { state: Docs, input: ["folder"], stages: [scan, ...(Math.random() > 0.5 ? [chunk] : [])] })
  })
  test("no stages", () => {
    // @ts-expect-error "a CheckMate has at least one stage"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [] })
    // @ts-expect-error "a CheckMate has at least one stage"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [] as const })
    CheckMate.make("good", { state: Docs, input: ["folder"], stages: [...(Math.random() > 0.5 ? [scan] : [])] })
  })
  test("an input the state model does not declare", () => {
    // @ts-expect-error Type '"foldr"' is not assignable to type
    CheckMate.make("bad", { state: Docs, input: ["foldr"], stages: [scan] })
  })
})

describe("what runs a CheckMate", () => {
  test("a factory that is not called, of which the compiler adds: Did you mean to call this expression?", () => {
    const cm_factory_docs = () => CheckMate.make("docs", { state: Docs, input: ["folder"], stages: [scan] })
    const input = { folder: "." }
    const engine = CheckMateEngine.CheckMateEngine
    // It only asks where what the call returns would do, for which Input must be never.
    // @ts-expect-error is not assignable to parameter of type 'Of<never, unknown, unknown, unknown>'
    const run = CheckMateEngine.run(cm_factory_docs, { input })
    // @ts-expect-error is not assignable to parameter of type 'Of<never, unknown, unknown, unknown>'
    const start = CheckMateEngine.start(cm_factory_docs, { input })
    // @ts-expect-error is not assignable to parameter of type 'Of<never, unknown, unknown, unknown>'
    const resume = CheckMateEngine.resume(cm_factory_docs, "docs")
    // @ts-expect-error is not assignable to parameter of type 'Of<never, unknown, unknown, unknown>'
    const retryFrom = CheckMateEngine.retryFrom(cm_factory_docs, "docs", "scan")
    // @ts-expect-error is not assignable to parameter of type 'Of<never, unknown, unknown, unknown>'
    const ofService = Effect.flatMap(engine, ({ run }) => run(cm_factory_docs, { input }))
    expect([run, start, resume, retryFrom, ofService]).type.toBe<Array<Effect.Effect<unknown, unknown, unknown>>>()
  })
})

describe("Stage.make", () => {
  test("an execute that returns no Effect", () => {
    // @ts-expect-error "stage \"async\" has an execute that returns a Promise and not an Effect; wrap that in Effect.tryPromise"
    Stage.make(Docs, "async", { requires: ["files"], provides: ["count"], execute: async ({ files }) => files.length })
    // @ts-expect-error "stage \"plain\" has an execute that returns a value that is no Effect; wrap it in Effect.succeed"
    Stage.make(Docs, "plain", {
      requires: ["files"],
      provides: ["count"],
      execute: ({ files }) => ({ count: files.length })
    })
    const star = function*() {
      yield* Effect.void
    }
    // @ts-expect-error "stage \"star\" has an execute that is a generator function; wrap its generator in Effect.gen"
    Stage.make(Docs, "star", { execute: star })
    // @ts-expect-error "stage \"bare\" has an execute that comes to a value without a name; end it with Effect.asVoid, or return an object of what it provides"
    Stage.make(Docs, "bare", { requires: ["files"], execute: ({ files }) => Effect.succeed(files.length) })
    // @ts-expect-error Property 'execute' is missing
    Stage.make(Docs, "none", { provides: ["count"] })
  })
  test("a retry that does not take what it is shown beside the stage's own failures", () => {
    class HttpError extends Data.TaggedError("HttpError")<{ readonly status: number }> {}
    const execute = (): Effect.Effect<void, HttpError> => new HttpError({ status: 503 })
    const narrow = Schedule.recurs(3).pipe(Schedule.whileInput((error: HttpError) => error.status === 503))
    Stage.make(Docs, "calm", { retry: narrow, execute })
    // @ts-expect-error "stage \"late\" has a timeout, so its retry is shown StageTimeoutError, too; let its Schedule take that beside what execute fails with"
    Stage.make(Docs, "late", { timeout: "1 second", retry: narrow, execute })
    // @ts-expect-error "stage \"buggy\" has retryDefects, so its retry is shown StageDefectError, too; let its Schedule take that beside what execute fails with"
    Stage.make(Docs, "buggy", { retryDefects: true, retry: narrow, execute })
    const wider = Schedule.recurs(3).pipe(
      Schedule.whileInput((error: HttpError | CheckMateError.StageTimeoutError) => error._tag === "HttpError")
    )
    Stage.make(Docs, "late", { timeout: "1 second", retry: wider, execute })
    // @ts-expect-error "stage \"both\" has retryDefects, so its retry is shown StageDefectError, too; let its Schedule take that beside what execute fails with"
    Stage.make(Docs, "both", { timeout: "1 second", retryDefects: true, retry: wider, execute })
    const wide = Schedule.recurs(3).pipe(Schedule.whileInput(Predicate.isTagged("HttpError")))
    Stage.make(Docs, "both", { timeout: "1 second", retryDefects: true, retry: wide, execute })
  })
  test("a retry whose function does not say what it looks at", () => {
    const execute = (): Effect.Effect<void, { readonly status: number }> => Effect.fail({ status: 503 })
    // @ts-expect-error 'error' is of type 'unknown'
    Stage.make(Docs, "bare", { retry: Schedule.recurWhile((error) => error.status === 503), execute })
  })
  test("a stage of what a function is given", () => {
    const of = <Name extends string, E, R>(name: Name, execute: Effect.Effect<void, E, R>) =>
      Stage.make(Docs, name, { timeout: "1 second", retry: Schedule.recurs(3), execute: () => execute })
    expect(of("given", Effect.fail(404))).type.toBe<
      Stage.Stage<"given", typeof Docs.fields, never, never, number | CheckMateError.StageTimeoutError, never>
    >()
  })
  test("an attribute that is returned and not declared", () => {
    // @ts-expect-error "stage \"extra\" returns \"count\", which it does not list in provides"
    Stage.make(Docs, "extra", { provides: ["files"], execute: () => Effect.succeed({ files: [""], count: 1 }) })
  })
  test("an attribute that is declared and not returned", () => {
    // @ts-expect-error "stage \"less\" provides \"count\", which its execute does not return"
    Stage.make(Docs, "less", { provides: ["files", "count"], execute: () => Effect.succeed({ files: [""] }) })
  })
  test("an attribute that is misspelt, whatever else is returned", () => {
    // @ts-expect-error "stage \"typo\" provides \"files\", which its execute does not return"
    Stage.make(Docs, "typo", { provides: ["files"], execute: () => Effect.succeed({ flies: [""] }) })
    // @ts-expect-error "stage \"typo\" provides \"files\", which its execute does not return"
    Stage.make(Docs, "typo", { provides: ["files", "count"], execute: () => Effect.succeed({ flies: [""], count: 1 }) })
    // @ts-expect-error "stage \"typo\" provides nothing, so its execute must return nothing; end it with Effect.asVoid
    Stage.make(Docs, "typo", { execute: () => Effect.succeed({ flies: [""] }) })
  })
  test("a provided attribute that is misspelt", () => {
    // @ts-expect-error "stage \"typo\" provides \"flies\", which the state model does not declare"
    Stage.make(Docs, "typo", { provides: ["flies"], execute: () => Effect.succeed({ files: [""] }) })
    // @ts-expect-error "stage \"typo\" provides \"cuont\", which the state model does not declare"
    Stage.make(Docs, "typo", { provides: ["files", "cuont"], execute: () => Effect.succeed({ files: [""], count: 1 }) })
    // @ts-expect-error "stage \"one\" provides \"folder\", which its execute does not return"
    Stage.make(Other, "one", { provides: ["folder"], execute: () => Effect.void })
  })
  test("names to provide that only the running program knows", () => {
    const names = ["files"]
    // @ts-expect-error gives provides a list whose names the compiler does not know; write them in place
    Stage.make(Docs, "unknown", { provides: names, execute: () => Effect.succeed({ files: [""] }) })
    const known = ["files"] as const
    Stage.make(Docs, "known", { provides: known, execute: () => Effect.succeed({ files: [""] }) })
  })
  test("one name to provide that is not in an array", () => {
    // @ts-expect-error end it with Effect.asVoid, or list what it returns in provides, an array"
    Stage.make(Docs, "bare", { provides: "files", execute: () => Effect.succeed({ files: [""] }) })
  })
  test("an output where nothing is provided", () => {
    // @ts-expect-error "stage \"none\" provides nothing, so its execute must return nothing; end it with Effect.asVoid
    Stage.make(Docs, "none", { execute: () => Effect.succeed({ files: [""] }) })
  })
  test("nothing where something is provided", () => {
    // @ts-expect-error "stage \"void\" provides \"files\", which its execute does not return"
    Stage.make(Docs, "void", { provides: ["files"], execute: () => Effect.void })
  })
  test("an attribute of the wrong type", () => {
    // @ts-expect-error Type 'string' is not assignable to type 'readonly string[]'
    Stage.make(Docs, "wrong", { provides: ["files"], execute: () => Effect.succeed({ files: "" }) })
  })
  test("an attribute that is used and not required", () => {
    // @ts-expect-error 'files' is possibly 'undefined'
    Stage.make(Docs, "absent", { provides: ["count"], execute: ({ files }) => Effect.succeed({ count: files.length }) })
  })
  test("a requirement the state model does not declare", () => {
    // @ts-expect-error Type '"foldr"' is not assignable to type
    Stage.make(Docs, "unknown", { requires: ["foldr"], execute: () => Effect.void })
  })
})

declare const at: DateTime.Utc
const started = { _tag: "StageStarted", at, stage: "s", attempt: 1 } as const
const succeeded = { _tag: "StageSucceeded", at, stage: "s", output: {} } as const
const resumed = { _tag: "TaskResumed", at, stages: [], recovered: false } as const

describe("transition", () => {
  test("an event that is illegal in a stage's status", () => {
    StageStatus.transition(StageStatus.transition(StageStatus.pending, started), succeeded)
    // @ts-expect-error Argument of type
    StageStatus.transition(StageStatus.pending, succeeded)
    // @ts-expect-error Argument of type
    StageStatus.transition(StageStatus.transition(StageStatus.pending, started), started)
  })
  test("an event that is legal only in some of the statuses it may be", () => {
    // @ts-expect-error Argument of type
    StageStatus.transition(StageStatus.pending as StageStatus.StageStatus, started)
  })
  test("an event that is illegal in a task's status", () => {
    const finished = TaskStatus.transition(TaskStatus.running, { _tag: "TaskSucceeded", at })
    // @ts-expect-error Argument of type
    TaskStatus.transition(finished, resumed)
  })
})
