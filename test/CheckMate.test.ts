import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Data, Duration, Effect, Either, Exit, Fiber, Layer, Schedule, Schema, TestClock } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import type { InvalidDefinitionError } from "effect-checkmate/CheckMateError"
import { showValue } from "../src/internal/json.ts"
import { recordSpans } from "./support/tracer.ts"

const Ingest = State.make({
  folder: Schema.String,
  files: Schema.Array(Schema.String),
  chunks: Schema.Number
})

const scan = Stage.make(Ingest, "scan", {
  requires: ["folder"],
  provides: ["files"],
  execute: ({ folder }) => Effect.succeed({ files: [folder] })
})
const chunk = Stage.make(Ingest, "chunk", {
  requires: ["files"],
  provides: ["chunks"],
  execute: ({ files }) => Effect.succeed({ chunks: files.length })
})

// --- callers the compiler cannot check --------------------------------------------

type Loose = (...args: ReadonlyArray<unknown>) => never
const looseMake = CheckMate.make as unknown as (name: unknown, options: unknown) => CheckMate.Any
const looseStage = Stage.make as unknown as Loose

const ingest = (options: Record<string, unknown>, name: unknown = "ingest") =>
  looseMake(name, { state: Ingest, input: ["folder"], stages: [scan, chunk], ...options })

const refusal = (checkMate: CheckMate.Any): InvalidDefinitionError =>
  Either.getOrThrow(Either.flip(CheckMate.validate(checkMate)))

/** The problems, and that the message tells them all. */
const problemsOf = (checkMate: CheckMate.Any) => {
  const error = refusal(checkMate)
  expect(error._tag).toBe("InvalidDefinitionError")
  for (const { problem } of error.problems) expect(error.message).toContain(problem)
  return error.problems
}

const stageOf = (name: unknown, options: Record<string, unknown> = {}) =>
  looseStage(Ingest, name, { execute: () => Effect.void, ...options })

describe("CheckMate", () => {
  describe("make", () => {
    it("makes a value that says all there is to say of a definition", () => {
      const checkMate = CheckMate.make("ingest", {
        state: Ingest,
        input: ["folder"],
        stages: [scan, chunk],
        description: "Builds the index",
        tags: ["nightly"]
      })
      expect(CheckMate.isCheckMate(checkMate)).toBe(true)
      expect(checkMate).toMatchObject({
        name: "ingest",
        state: Ingest,
        input: ["folder"],
        stages: [scan, chunk],
        onFailure: "halt",
        description: "Builds the index",
        tags: ["nightly"],
        problems: []
      })
      expect(CheckMate.validate(checkMate)).toEqual(Either.right(checkMate))
      for (const other of [undefined, null, {}, "ingest", scan, Ingest]) {
        expect(CheckMate.isCheckMate(other)).toBe(false)
      }
    })

    it("takes the policy it is given", () => {
      const checkMate = CheckMate.make("ingest", {
        state: Ingest,
        input: ["folder"],
        stages: [scan],
        onFailure: "rollback"
      })
      expect(checkMate.onFailure).toBe("rollback")
    })
  })

  describe("validate, for callers the compiler could not check", () => {
    it("refuses two stages of one name", () => {
      expect(problemsOf(ingest({ stages: [scan, chunk, scan] }))).toEqual([
        { stage: "scan", problem: "stage \"scan\" is defined twice" }
      ])
    })

    it("refuses a requirement that nobody provides", () => {
      expect(problemsOf(ingest({ stages: [chunk] }))).toEqual([{
        stage: "chunk",
        attribute: "files",
        problem: "stage \"chunk\" requires \"files\", which neither the input nor an earlier stage provides"
      }])
    })

    it("refuses a requirement that only a later stage provides, or the stage itself", () => {
      expect(problemsOf(ingest({ stages: [chunk, scan] })).map(({ attribute, stage }) => [stage, attribute])).toEqual([
        ["chunk", "files"]
      ])
      const own = stageOf("own", { requires: ["chunks"], provides: ["chunks"] })
      expect(problemsOf(ingest({ stages: [own] }))).toMatchObject([{ stage: "own", attribute: "chunks" }])
    })

    it("refuses a stage of another state model, also one with the same attributes", () => {
      const Other = State.make({ folder: Schema.String })
      const Twin = State.make(Ingest.fields)
      for (const state of [Other, Twin]) {
        const other = Stage.make(state, "other", { requires: ["folder"], execute: () => Effect.void })
        expect(problemsOf(ingest({ stages: [scan, other] }))).toEqual([
          { stage: "other", problem: "stage \"other\" is a stage of another state model" }
        ])
      }
    })

    it("refuses an attribute that the state model does not declare: in requires, in provides, in the input", () => {
      expect(problemsOf(ingest({ stages: [stageOf("one", { requires: ["foldr"] })] }))).toEqual([{
        stage: "one",
        attribute: "foldr",
        problem: "stage \"one\" names \"foldr\", which the state model does not declare"
      }])
      expect(problemsOf(ingest({ stages: [stageOf("one", { provides: ["fils"] })] }))).toEqual([{
        stage: "one",
        attribute: "fils",
        problem: "stage \"one\" names \"fils\", which the state model does not declare"
      }])
      const [problem, ...others] = problemsOf(ingest({ input: ["folder", "foldr"] }))
      expect(others).toEqual([])
      expect(problem).toEqual({
        attribute: "foldr",
        problem: "the input names \"foldr\", which the state model does not declare; "
          + "it declares \"folder\", \"files\", \"chunks\""
      })
    })

    it("refuses names that are empty, too long, or no text, and takes one of 150 characters", () => {
      for (const name of ["", 3, null]) {
        expect(problemsOf(ingest({}, name))).toEqual([
          { problem: "the CheckMate must have a name of at least 1 character" }
        ])
        const [problem] = problemsOf(ingest({ stages: [stageOf(name)] }))
        expect(problem.problem).toContain("must have a name of at least 1 character")
      }
      expect(problemsOf(ingest({}, "x".repeat(151)))).toEqual([
        { problem: "the CheckMate has a name of 151 characters; 150 are the most" }
      ])
      expect(problemsOf(ingest({ stages: [stageOf("x".repeat(151))] }))).toMatchObject([{ stage: "x".repeat(151) }])
      expect(ingest({ stages: [stageOf("x".repeat(150))] }, "x".repeat(150)).problems).toEqual([])
    })

    it("refuses a definition without stages", () => {
      expect(problemsOf(ingest({ stages: [] }))).toEqual([{ problem: "the CheckMate has no stages" }])
    })

    it("refuses a retry that is no Schedule", () => {
      for (const option of ["retry", "rollbackRetry"]) {
        expect(problemsOf(ingest({ stages: [stageOf("slow", { [option]: 3 })] }))).toEqual([
          { stage: "slow", problem: `stage "slow" has a ${option} that is not a Schedule, such as Schedule.recurs(3)` }
        ])
        expect(ingest({ stages: [stageOf("slow", { [option]: Schedule.recurs(3) })] }).problems).toEqual([])
      }
    })

    it("refuses tags of a stage that are none, also where annotate adds them", () => {
      const told = [{ stage: "slow", problem: `stage "slow" has tags that are not a list of strings` }]
      for (const tags of ["gpu", 5, [1], Array(1)]) {
        const slow = stageOf("slow", { tags })
        expect(problemsOf(ingest({ stages: [slow] }))).toEqual(told)
        expect(problemsOf(ingest({ stages: [Stage.annotate(slow, { tags: ["more"] })] }))).toEqual(told)
        const annotated = Stage.annotate(stageOf("slow", {}), { tags: tags as never })
        expect(problemsOf(ingest({ stages: [annotated] }))).toEqual(told)
      }
    })

    it("refuses what combinators are given that does not fit, whatever is done to the stage after that", () => {
      const loose = (combinator: unknown) => combinator as Loose
      const slow = stageOf("slow")
      const told = (stage: Stage.Any) =>
        problemsOf(ingest({ stages: [Stage.annotate(stage, {})] })).map(({ problem }) => problem)
      for (const given of [undefined, {}, Stage.Context]) {
        expect(told(loose(Stage.provide)(slow, given))).toEqual([`stage "slow" is provided with what is not a Layer`])
      }
      for (const given of [undefined, {}, Effect.void]) {
        const mapped = loose(Stage.mapError)(slow, given)
        expect(told(mapped)).toEqual([`stage "slow" has a mapError that is not given a function`])
        expect(told(loose(Stage.catchTag)(mapped, "Failed", given))).toEqual([
          `stage "slow" has a mapError that is not given a function`,
          `stage "slow" has a catchTag that is not given a function`
        ])
      }
    })

    it("refuses a timeout that is none, and takes every Duration of more than zero", () => {
      for (const timeout of ["soon", "10 minuets", 0, -5, Number.NaN, {}, null, Duration.zero, "0 seconds"]) {
        expect(problemsOf(ingest({ stages: [stageOf("slow", { timeout })] })), showValue(timeout)).toEqual([
          { stage: "slow", problem: "stage \"slow\" has a timeout that is not a Duration of more than zero" }
        ])
      }
      for (const timeout of ["10 minutes", 5, 5n, Duration.hours(1), [1, 0], Duration.infinity, undefined]) {
        expect(ingest({ stages: [stageOf("slow", { timeout })] }).problems, showValue(timeout)).toEqual([])
      }
    })

    it("refuses a stage without an execute function", () => {
      for (const execute of [undefined, Effect.void, "run"]) {
        expect(problemsOf(ingest({ stages: [stageOf("idle", { execute })] }))).toEqual([
          { stage: "idle", problem: "stage \"idle\" has no execute function" }
        ])
      }
    })

    it("refuses a rollback that is no function", () => {
      expect(problemsOf(ingest({ stages: [stageOf("idle", { rollback: Effect.void })] }))).toEqual([
        { stage: "idle", problem: "stage \"idle\" has a rollback that is not a function" }
      ])
    })

    it("refuses what is no list, instead of throwing", () => {
      for (const option of ["requires", "provides"]) {
        expect(problemsOf(ingest({ stages: [stageOf("bare", { [option]: "folder" })] }))).toEqual([
          {
            stage: "bare",
            problem: `stage "bare" has a ${option} that is not a list; write the attributes' names in an array`
          }
        ])
      }
      for (const option of ["input", "stages"]) {
        for (const given of [undefined, "folder", {}]) {
          expect(problemsOf(ingest({ [option]: given }))[0].problem).toContain(`option ${option} that is not a list`)
        }
      }
      for (const tags of ["nightly", [1], Array(1)]) {
        expect(problemsOf(ingest({ tags }))[0].problem).toContain("the tags of the CheckMate")
        const annotated = CheckMate.annotate(ingest({}), { tags: tags as never })
        expect(problemsOf(annotated)[0].problem).toContain("the tags of the CheckMate")
      }
    })

    it("refuses a state model that is none, and an attribute without a schema, instead of throwing", () => {
      expect(problemsOf(ingest({ state: { folder: Schema.String } }))).toEqual([
        { problem: "the state of the CheckMate is not a state model; make it with State.make" }
      ])
      for (const schema of [String, undefined, "string"]) {
        const state = (State.make as unknown as Loose)({ folder: schema })
        expect(problemsOf(looseMake("bare", {
          state,
          input: ["folder"],
          stages: [looseStage(state, "one", {
            execute: () => Effect.void
          })]
        }))).toEqual([
          { attribute: "folder", problem: "attribute \"folder\" is not a Schema, such as Schema.String" }
        ])
      }
    })

    it("refuses options that are left out, and names that are no text, instead of throwing", () => {
      for (const given of [undefined, null]) {
        expect(problemsOf(looseMake("bare", given))).toEqual([
          { problem: "the CheckMate has no options; give it state, input and stages" }
        ])
        const idle = (Stage.make as unknown as Loose)(Ingest, "idle", given)
        expect(problemsOf(ingest({ stages: [idle] }))).toEqual([
          { stage: "idle", problem: "stage \"idle\" has no execute function" }
        ])
      }
      const nothing = (Stage.make as unknown as Loose)()
      expect(problemsOf(ingest({ stages: [nothing] })).map(({ problem }) => problem)).toEqual([
        "stage \"undefined\" must have a name of at least 1 character",
        "stage \"undefined\" is a stage of another state model",
        "stage \"undefined\" has no execute function"
      ])
      const odd = stageOf(Object.create(null), { requires: [Symbol("folder")] })
      expect(problemsOf(ingest({ stages: [odd] })).map(({ problem }) => problem)).toEqual([
        "stage \"{}\" must have a name of at least 1 character",
        "stage \"{}\" names \"Symbol(folder)\", which the state model does not declare"
      ])
    })

    it("refuses a state model that was made of no attributes, and says nothing more of what it does not declare", () => {
      const told = {
        "is undefined; give its attributes, as { name: Schema.String }": undefined,
        "is null; give its attributes, as { name: Schema.String }": null,
        "is folder; give its attributes, as { name: Schema.String }": "folder",
        "is 3; give its attributes, as { name: Schema.String }": 3,
        "is one schema; give those of its attributes, as its fields are": Schema.Struct({ folder: Schema.String })
      }
      for (const [problem, given] of Object.entries(told)) {
        const state = (State.make as unknown as Loose)(given)
        const one = looseStage(state, "one", { requires: ["folder"], execute: () => Effect.void })
        expect(problemsOf(looseMake("bare", { state, input: ["folder"], stages: [one] }))).toEqual([
          { problem: `the state model ${problem}` }
        ])
      }
    })

    it("refuses what is no CheckMate at all", () => {
      const told = (given: unknown) => refusal(given as CheckMate.Any).message
      expect(told(ingest)).toContain("this is a function and not a CheckMate; call it")
      for (const given of [undefined, null, "ingest", { name: "ingest" }]) {
        expect(told(given)).toContain("this is not a CheckMate; make it with CheckMate.make")
      }
    })

    it("refuses attributes that cannot be checkpointed", () => {
      const state = State.make({ at: Schema.DateFromSelf, password: Schema.Redacted(Schema.String) })
      const stage = looseStage(state, "one", { execute: () => Effect.void })
      expect(problemsOf(looseMake("secrets", { state, input: [], stages: [stage] }))).toMatchObject([
        { attribute: "at" },
        { attribute: "password" }
      ])
    })

    it("reports all problems at once, each by its stage and attribute, in the order of the definition", () => {
      const Other = State.make({ folder: Schema.String })
      const checkMate = ingest({
        input: ["nothing"],
        stages: [
          scan,
          stageOf("", { requires: ["chunks", "foldr"] }),
          scan,
          looseStage(Other, "other", { execute: undefined, timeout: "soon" })
        ]
      }, "")
      expect(problemsOf(checkMate).map(({ attribute, problem, stage }) => [stage, attribute, problem.slice(0, 30)]))
        .toEqual([
          [undefined, undefined, "the CheckMate must have a name"],
          [undefined, "nothing", "the input names \"nothing\", whi"],
          ["scan", "folder", "stage \"scan\" requires \"folder\""],
          ["", undefined, "stage \"\" must have a name of a"],
          ["", "foldr", "stage \"\" names \"foldr\", which "],
          ["", "chunks", "stage \"\" requires \"chunks\", wh"],
          ["scan", undefined, "stage \"scan\" is defined twice"],
          ["scan", "folder", "stage \"scan\" requires \"folder\""],
          ["other", undefined, "stage \"other\" is a stage of an"],
          ["other", undefined, "stage \"other\" has no execute f"],
          ["other", undefined, "stage \"other\" has a timeout th"]
        ])
    })

    it("says what is no stage at all, instead of throwing", () => {
      for (const other of [undefined, null, 3, "scan", {}, { name: "scan" }]) {
        const [problem] = problemsOf(ingest({ stages: [scan, other] }))
        expect(problem.problem, JSON.stringify(other)).toContain("not a stage")
      }
    })

    it("refuses an input, a name and a policy that have no text of their own, instead of throwing", () => {
      const bare: unknown = Object.create(null)
      for (const given of [undefined, null, 1, Symbol("folder"), bare]) {
        expect(problemsOf(ingest({ input: ["folder", given] }))[0].problem).toContain("the input names")
      }
      for (const given of [bare, [Symbol("x")]]) {
        expect(problemsOf(ingest({}, given))[0].problem).toContain("must have a name")
        expect(problemsOf(ingest({ onFailure: given }))[0].problem).toContain("onFailure is")
      }
    })

    it("refuses a policy there is none of", () => {
      expect(problemsOf(ingest({ onFailure: "explode" }))[0].problem).toContain("onFailure")
    })

    const { resume, retryFrom, rollback, run } = CheckMateEngine
    it.effect.each(Object.entries({ run, resume, retryFrom, rollback }))(
      "refuses what is no definition in %s, instead of dying of it",
      ([name, operation]) =>
        Effect.gen(function*() {
          yield* run(CheckMate.make("ingest", { state: Ingest, input: ["folder"], stages: [scan] }), {
            taskId: "docs",
            input: { folder: "." }
          })
          const operate = operation as unknown as (
            ...args: ReadonlyArray<unknown>
          ) => Effect.Effect<unknown, { readonly _tag: string }, CheckMateEngine.CheckMateEngine>
          for (const given of [ingest, undefined, looseMake("ingest", undefined), ingest({ stages: "scan" })]) {
            const asked = name === "run" ? [{ taskId: "docs", input: {} }] : ["docs", "scan"]
            expect((yield* Effect.flip(operate(given, ...asked)))._tag).toBe("InvalidDefinitionError")
          }
        }).pipe(Effect.provide(CheckMateEngine.layerMemory))
    )

    it.effect("refuses before anything is read or written", () =>
      Effect.gen(function*() {
        const run = CheckMateEngine.run as unknown as (
          checkMate: CheckMate.Any,
          options: object
        ) => Effect.Effect<unknown, { readonly _tag: string }, CheckMateEngine.CheckMateEngine>
        const error = yield* Effect.flip(run(ingest({ stages: [chunk] }), { taskId: "docs", input: { folder: "." } }))
        expect(error._tag).toBe("InvalidDefinitionError")
        expect(yield* Effect.flip(CheckMateEngine.get("docs"))).toMatchObject({ _tag: "TaskNotFoundError" })
      }).pipe(Effect.provide(CheckMateEngine.layerMemory)))
  })

  describe("annotate and pipe", () => {
    const checkMate = CheckMate.make("ingest", { state: Ingest, input: ["folder"], stages: [scan], tags: ["nightly"] })

    it("add a description and tags, and leave the rest and the original alone", () => {
      const annotated = checkMate.pipe(CheckMate.annotate({ description: "Builds the index", tags: ["search"] }))
      expect(annotated).toMatchObject({
        name: "ingest",
        input: ["folder"],
        stages: [scan],
        problems: [],
        description: "Builds the index",
        tags: ["nightly", "search"]
      })
      expect(CheckMate.annotate(annotated, { tags: ["more"] })).toMatchObject({
        description: "Builds the index",
        tags: ["nightly", "search", "more"]
      })
      expect(checkMate).toMatchObject({ description: undefined, tags: ["nightly"] })
    })

    it("leave a definition that is one, which can be piped on", () => {
      const annotated = CheckMate.annotate(checkMate, { description: "one" })
      expect(CheckMate.isCheckMate(annotated)).toBe(true)
      expect(annotated.pipe(CheckMate.annotate({ description: "two" })).description).toBe("two")
    })
  })
})

describe("Stage", () => {
  class Overloaded extends Data.TaggedError("Overloaded")<{ readonly load: number }> {}
  class Refused extends Data.TaggedError("Refused")<{}> {}
  class Failed extends Data.TaggedError("Failed")<{ readonly because: string }> {}
  class Session extends Context.Tag("test/Session")<Session, { readonly id: number }>() {}

  const base = Stage.make(Ingest, "embed", {
    description: "Embeds the chunks",
    tags: ["slow"],
    requires: ["files"],
    provides: ["chunks"],
    timeout: "10 minutes",
    execute: ({ files }) =>
      Effect.gen(function*() {
        if (files.length === 0) return yield* new Refused()
        if (files.length > 2) return yield* new Overloaded({ load: files.length })
        const { id } = yield* Session
        return { chunks: id }
      })
  })
  const dataflow = {
    name: "embed",
    state: Ingest,
    requires: ["files"],
    provides: ["chunks"],
    description: "Embeds the chunks",
    tags: ["slow"],
    timeout: Duration.minutes(10)
  }
  const sessionOf = (next: () => number) => Layer.sync(Session, () => ({ id: next() }))

  /** What becomes of a task of this one stage. */
  const run = <E>(
    stage: Stage.Stage<"embed", typeof Ingest.fields, "files", "chunks", E, never>,
    files: ReadonlyArray<string>
  ) =>
    Effect.exit(CheckMateEngine.run(
      CheckMate.make("embed", { state: Ingest, input: ["files"], stages: [stage] }),
      { input: { files } }
    )).pipe(Effect.map(Exit.map(({ chunks }) => chunks)), Effect.provide(CheckMateEngine.layerMemory))

  it("is recognised, and has empty dataflow where none is given", () => {
    const idle = Stage.make(Ingest, "idle", { execute: () => Effect.void })
    expect(Stage.isStage(idle)).toBe(true)
    for (const other of [undefined, null, {}, Ingest, () => Effect.void]) expect(Stage.isStage(other)).toBe(false)
    expect(idle).toMatchObject({
      name: "idle",
      requires: [],
      provides: [],
      description: undefined,
      tags: [],
      timeout: undefined,
      retryDefects: false
    })
  })

  it("keeps name, dataflow and options through every combinator, and can be piped on", () => {
    const combined = base.pipe(
      Stage.provide(sessionOf(() => 1)),
      Stage.mapError((error) => error._tag === "Refused" ? error : new Failed({ because: error._tag })),
      Stage.catchTag("Failed", () => Effect.succeed({ chunks: 0 })),
      Stage.annotate({})
    )
    for (
      const stage of [
        base,
        Stage.provide(base, sessionOf(() => 1)),
        Stage.mapError(base, () => "no"),
        Stage.catchTag(base, "Refused", () => Effect.succeed({ chunks: 0 })),
        Stage.annotate(base, {}),
        combined
      ]
    ) {
      expect(Stage.isStage(stage)).toBe(true)
      expect(stage).toMatchObject(dataflow)
      expect(stage.pipe((self) => self.name)).toBe("embed")
    }
    expect(
      CheckMate.validate(CheckMate.make("ingest", { state: Ingest, input: ["folder"], stages: [scan, combined] }))._tag
    ).toBe("Right")
  })

  it.effect("provide builds the layer afresh for each attempt and each rollback", () =>
    Effect.gen(function*() {
      let sessions = 0
      const seen: Array<string> = []
      const stage = Stage.make(Ingest, "load", {
        provides: ["chunks"],
        retry: Schedule.recurs(1),
        execute: () =>
          Effect.flatMap(Session, ({ id }) => {
            seen.push(`execute ${id}`)
            return seen.length === 1 ? Effect.fail("not yet") : Effect.succeed({ chunks: id })
          }),
        rollback: () => Effect.map(Session, ({ id }) => void seen.push(`rollback ${id}`))
      }).pipe(Stage.provide(sessionOf(() => ++sessions)))
      const checkMate = CheckMate.make("load", { state: Ingest, input: [], stages: [stage] })
      expect(yield* CheckMateEngine.run(checkMate, { taskId: "load", input: {} })).toEqual({ chunks: 3 })
      yield* CheckMateEngine.rollback(checkMate, "load")
      expect(seen).toEqual(["execute 1", "rollback 2", "execute 3", "rollback 4"])
      expect(Stage.provide(base, sessionOf(() => 1)).rollback).toBeUndefined()
    }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

  it.effect("provide makes the layer's failures the attempt's", () =>
    Effect.gen(function*() {
      const broken: Layer.Layer<Session, Failed> = Layer.fail(new Failed({ because: "no database" }))
      expect(yield* run(Stage.provide(base, broken), ["a"])).toEqual(Exit.fail(new Failed({ because: "no database" })))
    }))

  describe("what was done to a stage before provide is not told of the layer's failures", () => {
    class Db extends Data.TaggedError("Db")<{ readonly url: string }> {}
    class Pool extends Context.Tag("test/Pool")<Pool, { readonly url: string }>() {}
    const down = (url: string) => Layer.fail(new Db({ url }))
    /** Down at every other build, the first one among them. */
    const shaky = (url: string) => {
      let builds = 0
      return Layer.effect(
        Session,
        Effect.suspend(() => ++builds % 2 === 1 ? new Db({ url }) : Effect.succeed({ id: builds }))
      )
    }
    const wrapped = (by: string) => (error: { readonly _tag: string }) =>
      new Failed({ because: `${by}(${error._tag})` })

    it.effect("mapError is told of those of the layers before it alone, also where one is given twice", () =>
      Effect.gen(function*() {
        const session = Layer.effect(Session, Effect.map(Pool, ({ url }) => ({ id: url.length })))
        const both = (inner: Layer.Layer<Session, Db, Pool>, outer: Layer.Layer<Pool, Db>) =>
          base.pipe(
            Stage.mapError(wrapped("f")),
            Stage.provide(inner),
            Stage.mapError(wrapped("g")),
            Stage.provide(outer)
          )
        const pool = Layer.succeed(Pool, { url: "pool" })
        expect(yield* run(both(session, pool), ["a"])).toEqual(Exit.succeed(4))
        expect(yield* run(both(session, pool), [])).toEqual(Exit.fail(new Failed({ because: "g(Failed)" })))
        expect(yield* run(both(down("inner"), pool), ["a"])).toEqual(Exit.fail(new Failed({ because: "g(Db)" })))
        expect(yield* run(both(session, down("outer")), ["a"])).toEqual(Exit.fail(new Db({ url: "outer" })))

        // The first to be built is the one given last.
        let builds = 0
        const one = Layer.effect(
          Session,
          Effect.suspend(() => --builds > 0 ? Effect.succeed({ id: 1 }) : new Db({ url: "one" }))
        )
        const twice = base.pipe(Stage.provide(one), Stage.mapError(wrapped("g")), Stage.provide(one))
        builds = 1
        expect(yield* run(twice, ["a"])).toEqual(Exit.fail(new Db({ url: "one" })))
        builds = 2
        expect(yield* run(twice, ["a"])).toEqual(Exit.fail(new Failed({ because: "g(Db)" })))
      }))

    it.effect("catchTag answers those of the layers before it alone", () =>
      Effect.gen(function*() {
        const dbFails = Stage.make(Ingest, "embed", {
          requires: ["files"],
          provides: ["chunks"],
          execute: ({ files }) =>
            Effect.flatMap(Session, ({ id }) =>
              files.length === 0 ? Effect.fail(new Db({ url: "own" })) : Effect.succeed({ chunks: id }))
        }).pipe(Stage.catchTag("Db", () =>
          Effect.succeed({ chunks: -1 })))
        expect(yield* run(Stage.provide(dbFails, sessionOf(() => 1)), [])).toEqual(Exit.succeed(-1))
        expect(yield* run(Stage.provide(dbFails, shaky("layer")), [])).toEqual(Exit.fail(new Db({ url: "layer" })))
        const caught = dbFails.pipe(
          Stage.provide(shaky("layer")),
          Stage.catchTag("Db", ({ url }) => Effect.succeed({ chunks: url.length }))
        )
        expect(yield* run(caught, [])).toEqual(Exit.succeed(5))
      }))

    it.effect("retry, the journal, rollbacks, spans and the Scopes of other layers see them as they are", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        const stage = Stage.make(Ingest, "load", {
          retry: Schedule.recurs(1).pipe(Schedule.tapInput((error) => Effect.sync(() => seen.push(error)))),
          execute: () => Effect.asVoid(Session),
          rollback: (_, cause) => Effect.sync(() => seen.push(Cause.squash(cause)))
        }).pipe(
          Stage.mapError(() => "lost"),
          // Up again whenever an attempt is undone.
          Stage.provide(shaky("x")),
          Stage.provide(
            Layer.scopedDiscard(
              Effect.addFinalizer((exit) =>
                Effect.sync(() => Exit.isFailure(exit) && seen.push(Cause.squash(exit.cause)))
              )
            )
          )
        )
        const checkMate = CheckMate.make("load", { state: Ingest, input: [], stages: [stage] })
        const { causes, tracer } = recordSpans()
        const exit = yield* Effect.exit(
          Effect.withTracer(CheckMateEngine.run(checkMate, { taskId: "load", input: {} }), tracer)
        )
        expect(exit).toEqual(Exit.fail(new Db({ url: "x" })))
        // Of each of two attempts the layer that was built, the Schedule, and the rollback.
        expect(seen).toEqual(Array.from({ length: 6 }, () => new Db({ url: "x" })))
        // Of each attempt its own, and the operation's.
        expect(causes.map(Cause.squash)).toEqual(Array.from({ length: 3 }, () => new Db({ url: "x" })))
        const { stages } = yield* CheckMateEngine.get("load")
        expect(stages[0]?.status).toMatchObject({ _tag: "Failed", failure: { tag: "Db", fields: { url: "x" } } })
      }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

    it.effect("all that a layer failed with is kept", () =>
      Effect.gen(function*() {
        const layers: Layer.Layer<Session, Db> = Layer.merge(down("one"), down("two"))
        const exit = yield* run(base.pipe(Stage.mapError(wrapped("f")), Stage.provide(layers)), ["a"])
        const failures = Exit.isFailure(exit) ? [...Cause.failures(exit.cause)] : []
        expect(failures).toEqual([new Db({ url: "one" }), new Db({ url: "two" })])
      }))
  })

  it.effect("mapError turns the failure the stage gives up with into another, one after the other", () =>
    Effect.gen(function*() {
      const stage = base.pipe(
        Stage.provide(sessionOf(() => 1)),
        Stage.mapError((error) => error._tag),
        Stage.mapError((tag) => ({ was: tag }))
      )
      expect(yield* run(stage, [])).toEqual(Exit.fail({ was: "Refused" }))
      expect(yield* run(stage, ["a"])).toEqual(Exit.succeed(1))
    }))

  it.effect("mapError leaves to the Schedule what the stage failed with", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const stage = Stage.make(Ingest, "embed", {
        requires: ["files"],
        provides: ["chunks"],
        retry: Schedule.recurs(1).pipe(Schedule.tapInput((error) => Effect.sync(() => seen.push(error)))),
        execute: () => Effect.zipRight(new Refused(), Effect.succeed({ chunks: 1 }))
      }).pipe(Stage.mapError(() => "mapped"))
      expect(yield* run(stage, [])).toEqual(Exit.fail("mapped"))
      expect(seen).toEqual([new Refused(), new Refused()])
    }))

  it.effect("catchTag answers failures of its tag alone, and sees the error and the state", () =>
    Effect.gen(function*() {
      const stage = base.pipe(
        Stage.provide(sessionOf(() => 1)),
        Stage.catchTag("Overloaded", ({ load }, { files }) => Effect.succeed({ chunks: load * 100 + files.length }))
      )
      expect(yield* run(stage, ["a", "b", "c"])).toEqual(Exit.succeed(303))
      expect(yield* run(stage, [])).toEqual(Exit.fail(new Refused()))
      expect(yield* run(stage, ["a"])).toEqual(Exit.succeed(1))
    }))

  it.effect("catchTag's fallback may use what a later provide provides", () =>
    Effect.gen(function*() {
      let sessions = 0
      const stage = base.pipe(
        Stage.catchTag("Refused", () => Effect.map(Session, ({ id }) => ({ chunks: id * 1000 }))),
        Stage.provide(sessionOf(() => ++sessions))
      )
      expect(yield* run(stage, [])).toEqual(Exit.succeed(sessions * 1000))
      expect(sessions).toBeGreaterThan(0)
    }))

  it.effect("catchTag after mapError sees the mapped failure, and what it does not answer stays mapped", () =>
    Effect.gen(function*() {
      const stage = base.pipe(
        Stage.provide(sessionOf(() => 1)),
        Stage.mapError((error) => error._tag === "Refused" ? new Failed({ because: "refused" }) : error),
        Stage.catchTag("Failed", ({ because }) => Effect.succeed({ chunks: because.length }))
      )
      expect(yield* run(stage, [])).toEqual(Exit.succeed(7))
      expect(yield* run(stage, ["a", "b", "c"])).toEqual(Exit.fail(new Overloaded({ load: 3 })))
    }))

  it.effect("several catchTags answer each its own", () =>
    Effect.gen(function*() {
      const stage = base.pipe(
        Stage.provide(sessionOf(() => 1)),
        Stage.catchTag("Refused", () => Effect.succeed({ chunks: 10 })),
        Stage.catchTag("Overloaded", () => Effect.succeed({ chunks: 20 }))
      )
      expect(yield* run(stage, [])).toEqual(Exit.succeed(10))
      expect(yield* run(stage, ["a", "b", "c"])).toEqual(Exit.succeed(20))
    }))

  it.effect("catchTag answers a timeout as well, since its type takes it for answered", () =>
    Effect.gen(function*() {
      const slow = Stage.make(Ingest, "slow", {
        provides: ["chunks"],
        timeout: "10 minutes",
        execute: () => Effect.as(Effect.never, { chunks: 1 })
      }).pipe(Stage.catchTag("StageTimeoutError", () => Effect.succeed({ chunks: 0 })))
      const checkMate = CheckMate.make("slow", { state: Ingest, input: [], stages: [slow] })
      const fiber = yield* Effect.fork(Effect.exit(CheckMateEngine.run(checkMate, { taskId: "slow", input: {} })))
      yield* TestClock.adjust("10 minutes")
      expect(yield* Fiber.join(fiber)).toEqual(Exit.succeed({ chunks: 0 }))
    }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

  it("annotate adds a description and tags, and leaves the original alone", () => {
    const annotated = base.pipe(Stage.annotate({ description: "Embeds", tags: ["gpu"] }))
    expect(annotated).toMatchObject({ ...dataflow, description: "Embeds", tags: ["slow", "gpu"] })
    expect(base).toMatchObject(dataflow)
  })

  it("annotate adds nothing where untyped code gives nothing", () => {
    const checkMate = CheckMate.make("ingest", { state: Ingest, input: ["folder"], stages: [scan] })
    for (
      const nothing of [undefined, null, {}, { tags: undefined }, { tags: null }] as unknown as ReadonlyArray<never>
    ) {
      expect(Stage.annotate(base, nothing)).toStrictEqual(base)
      expect(base.pipe(Stage.annotate(nothing))).toStrictEqual(base)
      expect(CheckMate.annotate(checkMate, nothing)).toStrictEqual(checkMate)
      expect(checkMate.pipe(CheckMate.annotate(nothing))).toStrictEqual(checkMate)
    }
  })
})
