/** What stages, their Schedules and combinators, and the state machines infer. */
import { Context, Data, type DateTime, Effect, Layer, Schedule, Schema, type Scope } from "effect"
import { CheckMate, type CheckMateError, Stage, StageStatus, State, TaskStatus } from "effect-checkmate"
import { describe, expect, test } from "tstyche"

class Boom extends Data.TaggedError("Boom")<{ readonly n: number }> {}
class Bang extends Data.TaggedError("Bang")<{ readonly m: string }> {}
class Files extends Context.Tag("Files")<Files, { readonly list: Effect.Effect<ReadonlyArray<string>> }>() {}
class Bin extends Context.Tag("Bin")<Bin, { readonly empty: Effect.Effect<void, Bang> }>() {}
class Clock extends Context.Tag("Clock")<Clock, { readonly tick: Effect.Effect<void> }>() {}
class Pool extends Context.Tag("Pool")<Pool, { readonly size: number }>() {}

const Docs = State.make({ folder: Schema.String, files: Schema.Array(Schema.String), count: Schema.NumberFromString })

const errorOf = <E, R>(_: Stage.Any<E, R>): E => null as never
const servicesOf = <E, R>(_: Stage.Any<E, R>): R => null as never

type Timeout = CheckMateError.StageTimeoutError
type Defect = CheckMateError.StageDefectError

/** A Schedule that looks at what it is given. */
const looksAt = <E>(predicate: (error: E) => boolean) => Schedule.recurs(3).pipe(Schedule.whileInput(predicate))
const failing: Effect.Effect<void, Boom> = Effect.void

describe("what a stage sees", () => {
  test("required attributes are present and all others optional, in execute and in rollback", () => {
    Stage.make(Docs, "one", {
      requires: ["folder", "count"],
      execute: (state) => {
        expect(state).type.toBe<
          { readonly folder: string; readonly count: number; readonly files?: ReadonlyArray<string> }
        >()
        return Effect.void
      },
      rollback: (state) => {
        expect(state).type.toBe<
          { readonly folder: string; readonly count: number; readonly files?: ReadonlyArray<string> }
        >()
        return Effect.void
      }
    })
  })
  test("without requires everything is optional", () => {
    Stage.make(Docs, "one", {
      execute: (state) => {
        expect(state).type.toBe<
          { readonly folder?: string; readonly files?: ReadonlyArray<string>; readonly count?: number }
        >()
        return Effect.void
      }
    })
  })
  test("the state cannot be changed in place", () => {
    Stage.make(Docs, "one", {
      requires: ["folder"],
      execute: (state) => {
        // @ts-expect-error Cannot assign to 'folder' because it is a read-only property.
        state.folder = "elsewhere"
        return Effect.void
      }
    })
  })
})

describe("where a stage of any kind is expected", () => {
  test("one that provides nothing can be made in place", () => {
    const idle: Stage.Any = Stage.make(Docs, "idle", { execute: () => Effect.void })
    const list: ReadonlyArray<Stage.Any> = [idle, Stage.make(Docs, "idle too", { execute: () => Effect.void })]
    expect(list).type.toBe<ReadonlyArray<Stage.Any>>()
  })
  test("one that provides something can be made in place", () => {
    const scan: Stage.Any = Stage.make(Docs, "scan", {
      provides: ["files"],
      execute: () => Effect.succeed({ files: [] })
    })
    expect(scan).type.toBe<Stage.Any>()
  })
  test("stages can be made in place in a CheckMate", () => {
    const made = CheckMate.make("made", {
      state: Docs,
      input: ["folder"],
      stages: [
        Stage.make(Docs, "idle", { execute: () => Effect.void }),
        Stage.make(Docs, "scan", {
          requires: ["folder"],
          provides: ["files"],
          execute: ({ folder }) => Effect.succeed({ files: [folder] })
        }),
        Stage.make(Docs, "log", { requires: ["files"], execute: ({ files }) => Effect.log(files.length) })
      ]
    })
    expect<CheckMate.Output<typeof made>>().type.toBe<
      { readonly folder: string; readonly files: ReadonlyArray<string>; readonly count?: number }
    >()
    expect<CheckMate.Services<typeof made>>().type.toBe<never>()
  })
})

describe("what execute may return", () => {
  test("the output in any branch, or a union of them", () => {
    Stage.make(Docs, "one", {
      provides: ["files", "count"],
      execute: () => Effect.sync(() => Math.random() > 0.5 ? { files: [], count: 1 } : { files: ["a"], count: 2 })
    })
  })
  test("an attribute that is perhaps absent is not provided", () => {
    // @ts-expect-error "stage \"one\" returns an attribute it provides as another type, or perhaps not at all"
    Stage.make(Docs, "one", {
      provides: ["files"],
      execute: () => Effect.succeed<{ readonly files?: ReadonlyArray<string> }>({})
    })
  })
  test("an attribute that only one branch returns is not provided", () => {
    // @ts-expect-error "stage \"one\" returns an attribute it provides as another type, or perhaps not at all"
    Stage.make(Docs, "one", {
      provides: ["files", "count"],
      execute: () => Effect.sync(() => Math.random() > 0.5 ? { files: [], count: 1 } : { files: ["a"] })
    })
  })
  test("each attribute that is missing has its sentence", () => {
    // @ts-expect-error "stage \"one\" provides \"count\", which its execute does not return"
    Stage.make(Docs, "one", { provides: ["files", "count", "folder"], execute: () => Effect.succeed({ files: [] }) })
    // @ts-expect-error "stage \"one\" provides \"folder\", which its execute does not return"
    Stage.make(Docs, "one", { provides: ["files", "count", "folder"], execute: () => Effect.succeed({ files: [] }) })
  })
})

describe("what retry sees", () => {
  test("the typed failure, which is the stage's error", () => {
    const stage = Stage.make(Docs, "one", { retry: looksAt((error: Boom) => error.n > 1), execute: () => failing })
    expect(errorOf(stage)).type.toBe<Boom>()
    expect(Stage.make).type.not.toBeCallableWith(Docs, "one", {
      retry: looksAt((error: Bang) => error.m === ""),
      execute: () => failing
    })
  })
  test("with a timeout also StageTimeoutError, which is added to the stage's error", () => {
    const stage = Stage.make(Docs, "one", {
      timeout: "1 second",
      retry: looksAt((error: Boom | Timeout) => error._tag === "Boom"),
      execute: () => failing
    })
    expect(errorOf(stage)).type.toBe<Boom | Timeout>()
    expect(Stage.make).type.not.toBeCallableWith(Docs, "one", {
      timeout: "1 second",
      retry: looksAt((error: Boom) => error.n > 1),
      execute: () => failing
    })
  })
  test("a timeout of any kind of duration, on a stage that cannot fail otherwise", () => {
    expect(errorOf(Stage.make(Docs, "one", { timeout: 5, execute: () => Effect.void }))).type.toBe<Timeout>()
    expect(errorOf(Stage.make(Docs, "one", { execute: () => Effect.void }))).type.toBe<never>()
  })
  test("with retryDefects also StageDefectError, which is not added to the stage's error", () => {
    const stage = Stage.make(Docs, "one", {
      retryDefects: true,
      retry: looksAt((error: Boom | Defect) => error._tag === "StageDefectError"),
      execute: () => failing
    })
    expect(errorOf(stage)).type.toBe<Boom>()
    expect(Stage.make).type.not.toBeCallableWith(Docs, "one", {
      retryDefects: true,
      retry: looksAt((error: Boom) => error.n > 1),
      execute: () => failing
    })
  })
  test("without retryDefects no StageDefectError", () => {
    Stage.make(Docs, "one", {
      retryDefects: false,
      retry: looksAt((error: Boom) => error.n > 1),
      execute: () => failing
    })
  })
  test("all three at once", () => {
    Stage.make(Docs, "one", {
      timeout: "1 second",
      retryDefects: true,
      retry: looksAt((error: Boom | Timeout | Defect) => error._tag !== "StageDefectError"),
      execute: () => failing
    })
  })
  test("a rollback's Schedule sees the rollback's failure, which is not the stage's error", () => {
    const stage = Stage.make(Docs, "one", {
      execute: () => failing,
      rollback: () => Effect.fail(new Bang({ m: "" })),
      rollbackRetry: looksAt((error: Bang) => error.m === "")
    })
    expect(errorOf(stage)).type.toBe<Boom>()
  })
})

describe("the services of a stage", () => {
  test("are those of execute, rollback and both Schedules, without what the engine provides", () => {
    const ticking = Schedule.recurs(3).pipe(Schedule.tapOutput(() => Effect.flatMap(Clock, ({ tick }) => tick)))
    const pooled = Schedule.recurs(3).pipe(Schedule.tapOutput(() => Effect.asVoid(Pool)))
    const stage = Stage.make(Docs, "one", {
      provides: ["files"],
      retry: ticking,
      rollbackRetry: pooled,
      execute: () =>
        Effect.gen(function*() {
          yield* Stage.Context
          yield* Effect.acquireRelease(Effect.void, () => Effect.void)
          const { list } = yield* Files
          return { files: yield* list }
        }),
      rollback: () =>
        Effect.gen(function*() {
          yield* Stage.Context
          yield* (yield* Bin).empty
        })
    })
    expect(servicesOf(stage)).type.toBe<Files | Bin | Clock | Pool>()
  })
})

describe("combinators", () => {
  const stage = Stage.make(Docs, "one", {
    requires: ["folder"],
    provides: ["files"],
    execute: ({ folder }) =>
      Effect.gen(function*() {
        if (folder === "") return yield* new Boom({ n: 1 })
        if (folder === ".") return yield* new Bang({ m: folder })
        return { files: yield* (yield* Files).list }
      }),
    rollback: () => Effect.flatMap(Bin, ({ empty }) => empty)
  })

  test("keep name, requirements and what is provided", () => {
    const combined = stage.pipe(
      Stage.provide(Layer.succeed(Files, { list: Effect.succeed([]) })),
      Stage.mapError((error) => new Bang({ m: error._tag })),
      Stage.catchTag("Bang", () => Effect.succeed({ files: [] })),
      Stage.annotate({ tags: ["fast"] })
    )
    expect(combined).type.toBe<Stage.Stage<"one", (typeof Docs)["fields"], "folder", "files", never, Bin>>()
  })
  test("provide removes what the layer builds, and adds what it needs and fails with", () => {
    const layer: Layer.Layer<Files, "no disk", Pool | Scope.Scope | Stage.Context> = Layer.die("unused")
    expect(servicesOf(Stage.provide(stage, layer))).type.toBe<Bin | Pool>()
    expect(errorOf(Stage.provide(stage, layer))).type.toBe<Boom | Bang | "no disk">()
    const both = Layer.merge(layer, Layer.succeed(Bin, { empty: Effect.void }))
    expect(servicesOf(stage.pipe(Stage.provide(both)))).type.toBe<Pool>()
  })
  test("mapError replaces the error", () => {
    expect(errorOf(Stage.mapError(stage, (error) => `${error._tag}!` as const))).type.toBe<"Boom!" | "Bang!">()
    expect(errorOf(stage.pipe(Stage.mapError((error) => error._tag)))).type.toBe<"Boom" | "Bang">()
  })
  test("catchTag sees the error of that tag and the state, and takes that error away", () => {
    const caught = Stage.catchTag(stage, "Boom", (error, state) => {
      expect(error).type.toBe<Boom>()
      expect(state).type.toBe<
        { readonly folder: string; readonly files?: ReadonlyArray<string>; readonly count?: number }
      >()
      return Effect.as(Stage.Context, { files: [state.folder] })
    })
    expect(errorOf(caught)).type.toBe<Bang>()
    expect(servicesOf(caught)).type.toBe<Files | Bin>()
  })
  test("catchTag takes a time-out away too", () => {
    const slow = Stage.make(Docs, "slow", { timeout: "1 second", execute: () => failing })
    expect(errorOf(Stage.catchTag(slow, "StageTimeoutError", () => Effect.succeed({})))).type.toBe<Boom>()
  })
  test("catchTag's fallback returns what execute may: nothing, where the stage provides nothing", () => {
    const idle = Stage.make(Docs, "idle", { execute: () => failing })
    expect(errorOf(idle.pipe(Stage.catchTag("Boom", () => Effect.void)))).type.toBe<never>()
    expect(errorOf(Stage.catchTag(idle, "Boom", ({ n }) => Effect.log(n)))).type.toBe<never>()
    // @ts-expect-error Type 'void' is not assignable to type
    Stage.catchTag(stage, "Boom", () => Effect.void)
  })
  test("catchTag adds the services of its fallback", () => {
    const caught = Stage.catchTag(stage, "Boom", () => Effect.as(Pool, { files: [] }))
    expect(servicesOf(caught)).type.toBe<Files | Bin | Pool>()
  })
  test("catchTag knows the tags there are, and what the stage provides", () => {
    // @ts-expect-error Argument of type '"Bomb"' is not assignable to parameter of type '"Boom" | "Bang"'
    Stage.catchTag(stage, "Bomb", () => Effect.succeed({ files: [] }))
    // @ts-expect-error Property 'files' is missing in type '{ count: number; }'
    Stage.catchTag(stage, "Boom", () => Effect.succeed({ count: 1 }))
  })
})

describe("CheckMate.make", () => {
  const chunk = Stage.make(Docs, "chunk", { requires: ["files", "count"], execute: () => Effect.void })
  const scan = Stage.make(Docs, "scan", { provides: ["files"], execute: () => Effect.succeed({ files: [] }) })

  test("has a sentence for each requirement that nobody provides", () => {
    // @ts-expect-error "stage \"chunk\" requires \"files\", which neither the input nor an earlier stage provides"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [chunk] })
    // @ts-expect-error "stage \"chunk\" requires \"count\", which neither the input nor an earlier stage provides"
    CheckMate.make("bad", { state: Docs, input: ["folder"], stages: [chunk] })
  })
  test("tells the requirement that only a later stage provides", () => {
    // @ts-expect-error "stage \"chunk\" requires \"files\", which neither the input nor an earlier stage provides"
    CheckMate.make("bad", { state: Docs, input: ["count"], stages: [chunk, scan] })
  })
  test("says what is no stage", () => {
    // @ts-expect-error Type '{ name: "scan"; }' is not assignable to type '"this is not a stage; make stages with Stage.make"'
    CheckMate.make("bad", { state: Docs, input: ["count"], stages: [scan, { name: "scan" }] })
    // @ts-expect-error "this is a function and not a stage; call it"
    CheckMate.make("bad", { state: Docs, input: ["count"], stages: [scan, () => chunk] })
  })
  test("takes a list that is readonly, and checks it", () => {
    const stages = [scan, chunk] as const
    const made = CheckMate.make("good", { state: Docs, input: ["count"], stages })
    const inPlace = CheckMate.make("good", { state: Docs, input: ["count"], stages: [scan, chunk] })
    expect(made).type.toBe<typeof inPlace>()
    const options = { state: Docs, input: ["count"], stages: [scan, chunk] } as const
    expect(CheckMate.make("good", options)).type.toBe<typeof inPlace>()
    const wrong = [chunk, scan] as const
    // @ts-expect-error "stage \"chunk\" requires \"files\", which neither the input nor an earlier stage provides"
    CheckMate.make("bad", { state: Docs, input: ["count"], stages: wrong })
  })
  test("keeps its types through annotate", () => {
    const made = CheckMate.make("good", { state: Docs, input: ["count"], stages: [scan, chunk] })
    expect(made.pipe(CheckMate.annotate({ description: "good" }))).type.toBe<typeof made>()
    expect(made.name).type.toBe<"good">()
  })
  test("a definition of more input is none of less", () => {
    const made = CheckMate.make("good", { state: Docs, input: ["count"], stages: [scan, chunk] })
    expect<CheckMate.Input<typeof made>>().type.toBe<
      { readonly count: number; readonly folder?: string; readonly files?: ReadonlyArray<string> }
    >()
    expect<typeof made>().type.not.toBeAssignableTo<CheckMate.CheckMate<"good", object, object, never, never>>()
  })
})

declare const at: DateTime.Utc
declare const failure: (typeof StageStatus.Failed.Type)["failure"]
const started = { _tag: "StageStarted", at, stage: "s", attempt: 1 } as const
const undone = { _tag: "AttemptUndone", at, stage: "s" } as const
const rollbackStarted = { _tag: "StageRollbackStarted", at, stage: "s" } as const
const stageRollbackFailed = { _tag: "StageRollbackFailed", at, stage: "s", failure } as const
const rolledBack = { _tag: "TaskRolledBack", at } as const
const resumed = { _tag: "TaskResumed", at, stages: [], recovered: false } as const
const cancelled = { _tag: "TaskCancelled", at } as const

describe("transition", () => {
  test("knows the status that follows", () => {
    expect(StageStatus.transition(StageStatus.pending, started)).type.toBe<typeof StageStatus.Running.Type>()
    const undoing = null as never as typeof StageStatus.Undoing.Type
    expect(StageStatus.transition(undoing, undone)).type.toBe<
      typeof StageStatus.Waiting.Type | typeof StageStatus.Failed.Type
    >()
    const broken = StageStatus.transition(undoing, stageRollbackFailed)
    expect(broken).type.toBe<typeof StageStatus.RollbackFailed.Type>()
    expect(StageStatus.transition(broken, rollbackStarted)).type.toBe<
      typeof StageStatus.Undoing.Type | typeof StageStatus.RollingBack.Type
    >()
    const rollingBack = null as never as typeof TaskStatus.RollingBack.Type
    expect(TaskStatus.transition(rollingBack, rolledBack)).type.toBe<
      typeof TaskStatus.RolledBack.Type | typeof TaskStatus.Cancelled.Type | typeof TaskStatus.Running.Type
    >()
  })
  test("takes an event that is legal in every status that it may be", () => {
    const either = null as never as typeof TaskStatus.Running.Type | typeof TaskStatus.RollingBack.Type
    expect(TaskStatus.transition(either, resumed)).type.toBe<
      typeof TaskStatus.Running.Type | typeof TaskStatus.RollingBack.Type
    >()
    // @ts-expect-error Argument of type ... is not assignable to parameter of type
    TaskStatus.transition(either, cancelled)
  })
  test("takes no event of the other machine, and none in a status that it leaves for good", () => {
    // @ts-expect-error Argument of type ... is not assignable to parameter of type
    TaskStatus.transition(TaskStatus.running, started)
    const ended = null as never as typeof TaskStatus.Cancelled.Type
    // @ts-expect-error Argument of type ... is not assignable to parameter of type
    TaskStatus.transition(ended, resumed)
    const succeeded = null as never as typeof StageStatus.Succeeded.Type
    // @ts-expect-error Argument of type ... is not assignable to parameter of type
    StageStatus.transition(succeeded, started)
  })
})
