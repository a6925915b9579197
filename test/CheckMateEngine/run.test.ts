import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FiberRef, Option, Schedule, Schema } from "effect"
import { CheckMate, CheckMateEngine, CheckMateError, Stage, State, type TaskIO } from "effect-checkmate"
import {
  abc,
  type Boom,
  engineOver,
  eventsOf,
  failing,
  inMemory,
  Ledger,
  makeStore,
  Numbers,
  withAppends
} from "../support/pipelines.ts"

/** The pipeline `abc` after its attribute `a` has become a string. */
const retyped = (undoing?: "a" | "b" | "c") => {
  const Strings = State.make({ seed: Schema.Number, a: Schema.String, b: Schema.Number, c: Schema.Number })
  const rollbackOf = (name: string) => (name === undoing ? { rollback: () => Effect.void } : {})
  const stage = (name: "b" | "c") => Stage.make(Strings, name, { execute: () => Effect.void, ...rollbackOf(name) })
  const a = Stage.make(Strings, "a", {
    provides: ["a"],
    execute: () => Effect.succeed({ a: "3" }),
    ...rollbackOf("a")
  })
  return CheckMate.make("abc", { state: Strings, input: ["seed"], stages: [a, stage("b"), stage("c")] })
}

/** Leaves a task `t` of `abc` whose stage b has failed. */
const failedInB = (store: TaskIO.Encoded) =>
  Effect.exit(
    Effect.provide(
      CheckMateEngine.run(abc(new Ledger(), { fail: failing({ b: 1 }) }), { taskId: "t", input: { seed: 1 } }),
      engineOver(store)
    )
  )

/** Leaves a task `t` of `abc` as a process does that is killed in stage b. */
const crashedInB = (store: TaskIO.Encoded) => {
  const gone = Effect.fail(new CheckMateError.TaskIOError({ operation: "append", location: "disk", problem: "gone" }))
  const ending = withAppends(
    store,
    (append, records) => records.some((record) => JSON.parse(record).stage === "c") ? gone : append
  )
  return Effect.exit(
    Effect.provide(CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }), engineOver(ending))
  )
}

describe("run", () => {
  it.effect("runs every stage once, in order, and returns the input and all that was provided", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const output = yield* CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      expect(output).toEqual({ seed: 1, a: 2, b: 3, c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "run c"])
    })))

  it.effect("promise 1: writes the end of a stage and the start of the next in one append", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const batches: Array<ReadonlyArray<string>> = []
      const spied = {
        ...store,
        open: (taskId: string) =>
          Effect.map(store.open(taskId), (journal) => ({
            ...journal,
            append: (...args: Parameters<typeof journal.append>) => {
              batches.push(args[1].map((record) => JSON.parse(record)._tag))
              return journal.append(...args)
            }
          }))
      }
      yield* Effect.provide(
        CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } }),
        engineOver(spied)
      )
      expect(batches).toEqual([
        ["TaskStarted", "StageStarted"],
        ["StageSucceeded", "StageStarted"],
        ["StageSucceeded", "StageStarted"],
        ["StageSucceeded", "TaskSucceeded"]
      ])
    }))

  it.effect("promise 1: so are the end of an attempt and the start of the next, where that is due at once", () =>
    Effect.gen(function*() {
      const batches: Array<ReadonlyArray<string>> = []
      const store = withAppends(yield* makeStore, (append, records) => {
        batches.push(records.map((record) => JSON.parse(record)._tag))
        return append
      })
      const definition = abc(new Ledger(), { fail: failing({ c: 1 }), retry: Schedule.recurs(1) })
      yield* Effect.provide(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }), engineOver(store))
      expect(batches.slice(-3)).toEqual([
        ["AttemptFailed"],
        ["AttemptUndone", "StageStarted"],
        ["StageSucceeded", "TaskSucceeded"]
      ])
    }))

  it.effect("what a stage sets for its fiber its caller has then, as of any effect it runs", () =>
    inMemory(Effect.gen(function*() {
      const mine = FiberRef.unsafeMake("before")
      const definition = abc(new Ledger(), {
        fail: (stage) => stage === "b" ? FiberRef.set(mine, "after") : Effect.void
      })
      yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
      expect(yield* FiberRef.get(mine)).toBe("after")
      const undone = abc(new Ledger(), {
        fail: failing({ b: 1 }),
        failUndo: (stage) => FiberRef.set(mine, `undo ${stage}`)
      })
      yield* Effect.exit(CheckMateEngine.run(undone, { taskId: "u", input: { seed: 1 } }))
      expect(yield* FiberRef.get(mine)).toBe("undo b")
    })))

  it.effect("promise 2: a task that has succeeded returns its output without running or writing anything", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const first = yield* CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      const before = yield* eventsOf("t")
      const second = yield* CheckMateEngine.run(abc(ledger), { taskId: "t", input: { seed: 1 } })
      expect(second).toEqual(first)
      expect(ledger.entries).toHaveLength(3)
      expect(yield* eventsOf("t")).toEqual(before)
    })))

  it.effect("makes a time-ordered id where none is given", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { input: { seed: 1 } })
      const [summary] = yield* CheckMateEngine.find()
      expect(summary?.taskId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    })))

  it.effect("keeps tags, of the definition and of the call, and the memo", () =>
    inMemory(Effect.gen(function*() {
      const definition = CheckMate.annotate(abc(new Ledger()), { tags: ["nightly"] })
      yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 }, tags: ["eu"], memo: "for Ada" })
      const { task } = yield* CheckMateEngine.get("t")
      expect(task.tags).toEqual(["nightly", "eu"])
      expect(task.memo).toEqual(Option.some("for Ada"))
    })))

  it.effect("goes on from the stage that failed, with earlier checkpoints standing", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 1 }) })
      const exit = yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(Exit.isFailure(exit) && exit.cause.toString()).toContain("Boom")
      expect((yield* CheckMateEngine.get("t")).task.status).toMatchObject({ _tag: "Failed", stage: "b" })
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })).toMatchObject({ c: 4 })
      expect(ledger.entries).toEqual(["run a", "run b", "undo b", "run b", "run c"])
    })))

  it.effect("lets attributes that are given override persisted ones, journals that, and restores absent ones", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger, { fail: failing({ b: 1, c: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1, a: 40 } }))
      expect(yield* eventsOf("t")).toContain("AttributesOverridden")
      const output = yield* CheckMateEngine.resume(definition, "t")
      expect(output).toEqual({ seed: 1, a: 40, b: 41, c: 42 })
      expect((yield* eventsOf("t")).filter((event) => event === "AttributesOverridden")).toHaveLength(1)
    })))

  it.effect("giving again what was given before overrides nothing, also where a stage has changed it since", () =>
    inMemory(Effect.gen(function*() {
      const fail = failing({ second: 1 })
      const add = (name: string, amount: number) =>
        Stage.make(Numbers, name, {
          requires: ["seed"],
          provides: ["seed"],
          execute: ({ seed }) => Effect.as(fail(name), { seed: seed + amount })
        })
      const definition = CheckMate.make("adds", {
        state: Numbers,
        input: ["seed"],
        stages: [add("first", 10), add("second", 100)]
      })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      expect(yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })).toEqual({ seed: 111 })
    })))

  it.effect("runs many tasks through one engine at once", () =>
    inMemory(Effect.gen(function*() {
      const ids = Array.from({ length: 50 }, (_, index) => `t-${index}`)
      const outputs = yield* Effect.forEach(
        ids,
        (taskId, index) => CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: index } }),
        { concurrency: 16 }
      )
      expect(outputs.map(({ c }) => c)).toEqual(ids.map((_, index) => index + 3))
    })))
})

describe("bad input is a typed error and nothing is lost", () => {
  const failure = <A, E>(effect: Effect.Effect<A, E, CheckMateEngine.CheckMateEngine>) => Effect.flip(effect)
  /** A caller the compiler could not check. */
  const untyped = (input: object) =>
    CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: input as { seed: number } })
  const nothingWritten = Effect.map(CheckMateEngine.find(), (tasks) => expect(tasks).toEqual([]))

  it.effect("an unknown attribute in the input", () =>
    inMemory(Effect.gen(function*() {
      const error = yield* failure(untyped({ seed: 1, sed: 2 }))
      expect(error).toMatchObject({ _tag: "UnknownAttributeError", attributes: ["sed"] })
      expect(String(error)).toContain(`It declares "seed", "a", "b", "c"`)
      yield* nothingWritten
    })))

  it.effect("a wrong type in the input", () =>
    inMemory(Effect.gen(function*() {
      const error = yield* failure(untyped({ seed: "one" }))
      expect(error).toMatchObject({ _tag: "AttributeError", attribute: "seed", direction: "encode" })
      expect(String(error)).toContain("Give a value that its schema turns into JSON")
      yield* nothingWritten
    })))

  it.effect("an unsafe task id, before anything is read or written", () =>
    inMemory(Effect.gen(function*() {
      for (const taskId of ["", "../etc/passwd", "a b", "x".repeat(201), "-rf", "ü", "a/b", "a\n"]) {
        const error = yield* failure(CheckMateEngine.run(abc(new Ledger()), { taskId, input: { seed: 1 } }))
        expect(error).toMatchObject({ _tag: "InvalidTaskIdError", taskId })
      }
      yield* nothingWritten
    })))

  it.effect("tags, a memo or a reason that are no text, which would make the journal unreadable; another whenBound", () =>
    inMemory(Effect.gen(function*() {
      for (
        const [option, given] of [["tags", [1]], ["tags", Array(1)], ["tags", "nightly"], ["memo", 3], ["memo", null], [
          "whenBound",
          "later"
        ]] as const
      ) {
        const options = { taskId: "t", input: { seed: 1 }, [option]: given as never }
        const error = yield* failure(CheckMateEngine.run(abc(new Ledger()), options))
        expect(error).toMatchObject({ _tag: "InvalidOptionError", taskId: "t", option })
        expect(String(error)).toContain("or leave it out")
        yield* nothingWritten
      }
      const reason = new Error("out of stock") as unknown as string
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      const whenBound = "later" as "wait"
      expect(yield* failure(CheckMateEngine.retryFrom(abc(new Ledger()), "t", "a", { whenBound })))
        .toMatchObject({ _tag: "InvalidOptionError", option: "whenBound" })
      for (
        const refused of [
          CheckMateEngine.rollback(abc(new Ledger()), "t", { reason }),
          CheckMateEngine.cancel("t", { reason })
        ]
      ) {
        expect(yield* failure(refused)).toMatchObject({ _tag: "InvalidOptionError", option: "reason" })
      }
      expect((yield* CheckMateEngine.get("t")).task.status._tag).toBe("Succeeded")
    })))

  it.effect("what untyped code leaves out altogether is told", () =>
    inMemory(Effect.gen(function*() {
      type Bare = Record<
        "run" | "start" | "resume" | "retryFrom",
        (...given: Array<unknown>) => Effect.Effect<unknown, unknown>
      >
      const bare = (yield* CheckMateEngine.CheckMateEngine) as unknown as Bare
      const failed = (run: Effect.Effect<unknown, unknown>) => Effect.map(Effect.flip(run), String)
      expect(yield* failed(bare.run(abc(new Ledger())))).toContain(`requires "seed", which is absent`)
      expect(yield* failed(bare.run())).toContain("this is not a CheckMate")
      expect(yield* failed(bare.retryFrom(undefined, "t", "a"))).toContain("this is not a CheckMate")
      expect(yield* failed(bare.resume(abc(new Ledger())))).toContain(`Task id "undefined" is no string`)
      yield* bare.start(abc(new Ledger()))
      expect(yield* CheckMateEngine.find({ status: ["Failed"] })).toHaveLength(2)
    })))

  it.effect("a definition of untyped code that breaks the dataflow", () =>
    inMemory(Effect.gen(function*() {
      const [a] = abc(new Ledger()).stages
      const twice = CheckMate.make("twice", {
        state: Numbers,
        input: [],
        stages: [a, a].flatMap((stage) => stage ?? [])
      })
      const error = yield* failure(CheckMateEngine.run(twice, { taskId: "t", input: {} }))
      expect(error).toMatchObject({ _tag: "InvalidDefinitionError", checkMate: "twice" })
      expect(String(error)).toContain(`stage "a" is defined twice`)
      expect(String(error)).toContain(
        `stage "a" requires "seed", which neither the input nor an earlier stage provides`
      )
      yield* nothingWritten
    })))

  const Values = State.make({ value: Schema.Struct({ list: Schema.Array(Schema.Struct({ n: Schema.Number })) }) })
  const providing = (value: unknown) =>
    CheckMate.make("values", {
      state: Values,
      input: [],
      stages: [
        Stage.make(Values, "make", {
          provides: ["value"],
          execute: () => Effect.succeed({ value: value as { list: [] } }),
          rollback: () => Effect.void
        })
      ]
    })

  it.effect("a value the schema cannot encode, with the path inside the value", () =>
    inMemory(Effect.gen(function*() {
      const error = yield* failure(
        CheckMateEngine.run(providing({ list: [{ n: 1 }, { n: "two" }] }), { taskId: "t", input: {} })
      )
      expect(error).toMatchObject({ _tag: "AttributeError", stage: "make", attribute: "value", path: ["list", 1, "n"] })
      expect(String(error)).toContain("at list.1.n")
      expect(String(error)).toContain("Have execute return a value that its schema turns into JSON")
      expect((yield* CheckMateEngine.get("t")).task.status).toMatchObject({ _tag: "Failed", stage: "make" })
    })))

  it.effect("a value JSON cannot hold, with the path inside the value", () =>
    inMemory(Effect.gen(function*() {
      const error = yield* failure(
        CheckMateEngine.run(providing({ list: [{ n: Number.NaN }] }), { taskId: "t", input: {} })
      )
      expect(error).toMatchObject({ _tag: "AttributeError", attribute: "value", path: ["list", 0, "n"] })
    })))

  it.effect("a stage that returns nothing where it provides something, or more than it provides", () =>
    inMemory(Effect.gen(function*() {
      const returning = (output: unknown) =>
        CheckMate.make("returning", {
          state: Numbers,
          input: [],
          stages: [
            Stage.make(Numbers, "make", { provides: ["a"], execute: () => Effect.succeed(output as { a: number }) })
          ]
        })
      expect(yield* failure(CheckMateEngine.run(returning(undefined), { taskId: "t1", input: {} }))).toMatchObject({
        _tag: "StageOutputError",
        stage: "make",
        missing: ["a"]
      })
      const absent = returning({ a: undefined, b: undefined })
      expect(yield* failure(CheckMateEngine.run(absent, { taskId: "t3", input: {} })))
        .toMatchObject({ _tag: "StageOutputError", missing: ["a"], undeclared: [] })
      expect(yield* failure(CheckMateEngine.run(returning({ a: 1, b: 2 }), { taskId: "t2", input: {} }))).toMatchObject(
        {
          _tag: "StageOutputError",
          undeclared: ["b"]
        }
      )
    })))

  it.effect("required attributes that are absent: MissingStateError with task, stage and every missing attribute", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const needs = CheckMate.make("needs", {
        state: Numbers,
        input: ["seed", "a"],
        stages: [
          Stage.make(Numbers, "sum", {
            requires: ["seed", "a"],
            provides: ["b"],
            execute: ({ a, seed }) => Effect.as(ledger.note("run sum"), { b: a + seed })
          })
        ]
      })
      const error = yield* failure(
        CheckMateEngine.run(needs, { taskId: "t", input: {} as { seed: number; a: number } })
      )
      expect(error).toMatchObject({ _tag: "MissingStateError", taskId: "t", stage: "sum", missing: ["seed", "a"] })
      expect(ledger.entries).toEqual([])
      expect(yield* CheckMateEngine.run(needs, { taskId: "t", input: { seed: 1, a: 2 } })).toMatchObject({ b: 3 })
    })))

  it.effect("promise 11: a definition that changed under a live task", () =>
    inMemory(Effect.gen(function*() {
      const definition = abc(new Ledger(), { fail: failing({ b: 1 }) })
      yield* Effect.exit(CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } }))
      const [a, b, c] = definition.stages
      const changed = (stages: ReadonlyArray<Stage.Any<Boom, never> | undefined>) =>
        CheckMate.make("abc", { state: Numbers, input: ["seed"], stages: stages.flatMap((stage) => stage ?? []) })
      const d = Stage.make(Numbers, "d", { execute: () => Effect.void })
      const removed = yield* failure(CheckMateEngine.run(changed([a, c, d]), { taskId: "t", input: { seed: 1, b: 1 } }))
      expect(removed).toMatchObject({ _tag: "InvalidDefinitionError" })
      const renamed = yield* failure(CheckMateEngine.run(changed([a, d]), { taskId: "t", input: { seed: 1 } }))
      expect(renamed).toMatchObject({ _tag: "DefinitionChangedError", recorded: ["a", "b", "c"], defined: ["a", "d"] })
      expect(String(renamed)).toContain(`stage "b" was removed or renamed`)
      const reordered = yield* failure(CheckMateEngine.run(changed([d, a, b, c]), { taskId: "t", input: { seed: 1 } }))
      expect(String(reordered)).toContain(`stage 1 was "a" and is "d" now`)
      expect(yield* CheckMateEngine.run(changed([a, b, c, d]), { taskId: "t", input: { seed: 1 } })).toMatchObject({
        c: 4
      })
    })))

  it.effect("stages that were added after the task succeeded run with retryFrom, and run says so", () =>
    inMemory(Effect.gen(function*() {
      const ledger = new Ledger()
      const definition = abc(ledger)
      yield* CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
      const more = CheckMate.make("abc", {
        state: Numbers,
        input: ["seed"],
        stages: [...definition.stages, Stage.make(Numbers, "d", { execute: () => ledger.note("run d") })]
      })
      expect(String(yield* failure(CheckMateEngine.run(more, { taskId: "t", input: { seed: 1 } })))).toContain(
        `retryFrom("d")`
      )
      yield* CheckMateEngine.retryFrom(more, "t", "d")
      expect(ledger.entries).toEqual(["run a", "run b", "run c", "run d"])
    })))

  it.effect("a stage that provides more than when it succeeded is refused until it has run again, or it is given", () =>
    Effect.gen(function*() {
      const model = { state: Numbers, input: ["seed"] } as const
      const last = (fails: boolean) =>
        Stage.make(Numbers, "b", { execute: () => (fails ? Effect.fail("no") : Effect.void) })
      const lean = Stage.make(Numbers, "a", { provides: ["a"], execute: () => Effect.succeed({ a: 7 }) })
      const then = (fails: boolean) => CheckMate.make("grown", { ...model, stages: [lean, last(fails)] })
      const rich = Stage.make(Numbers, "a", { provides: ["a", "b"], execute: () => Effect.succeed({ a: 7, b: 7 }) })
      const now = CheckMate.make("grown", { ...model, stages: [rich, last(false)] })
      const task = { taskId: "t", input: { seed: 1 } }
      const over = { taskId: "over", input: { seed: 1 } }
      const undone = { taskId: "undone", input: { seed: 1 } }
      yield* Effect.exit(CheckMateEngine.run(then(true), task))
      yield* Effect.exit(CheckMateEngine.run(then(true), undone))
      yield* CheckMateEngine.run(then(false), over)
      const before = [yield* CheckMateEngine.get("t"), yield* CheckMateEngine.get("over")]

      const refused = yield* failure(CheckMateEngine.run(now, task))
      expect(refused).toMatchObject({ _tag: "DefinitionChangedError", taskId: "t" })
      expect(String(refused)).toContain(
        `stage "a" succeeded before it provided "b". Have it run again with retryFrom("a"), or give the attribute in the input`
      )
      expect(yield* failure(CheckMateEngine.retryFrom(now, "t", "b"))).toMatchObject({ _tag: "DefinitionChangedError" })
      const ended = yield* failure(CheckMateEngine.run(now, { ...over, input: { seed: 1, b: 5 } }))
      expect(ended).toMatchObject({ _tag: "DefinitionChangedError", taskId: "over" })
      expect(String(ended)).toMatch(/retryFrom\("a"\)$/)
      expect(String(yield* failure(CheckMateEngine.retryFrom(now, "over", "b")))).toMatch(/in the input$/)
      expect([yield* CheckMateEngine.get("t"), yield* CheckMateEngine.get("over")]).toEqual(before)

      expect(yield* CheckMateEngine.resume(now, "t", { input: { b: 3 } })).toEqual({ seed: 1, a: 7, b: 3 })
      const given = yield* CheckMateEngine.retryFrom(now, "over", "b", { input: { b: 5 } })
      expect(given).toEqual({ seed: 1, a: 7, b: 5 })
      expect(yield* CheckMateEngine.retryFrom(now, "over", "a")).toEqual({ seed: 1, a: 7, b: 7 })
      // What is undone need not be whole.
      yield* CheckMateEngine.rollback(now, "undone")
      expect(yield* CheckMateEngine.run(now, undone)).toEqual({ seed: 1, a: 7, b: 7 })
    }).pipe(Effect.provide(CheckMateEngine.layerMemory)))

  it.effect("a task of another CheckMate under the same id", () =>
    inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
      const other = CheckMate.make("other", {
        state: Numbers,
        input: [],
        stages: [Stage.make(Numbers, "x", { execute: () => Effect.void })]
      })
      expect(yield* failure(CheckMateEngine.run(other, { taskId: "t", input: {} }))).toMatchObject({
        _tag: "WrongCheckMateError",
        expected: "other",
        actual: "abc"
      })
    })))

  it.effect("a persisted attribute that no longer fits its schema", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* failedInB(store)
      const changed = retyped()
      const error = yield* Effect.flip(Effect.provide(CheckMateEngine.resume(changed, "t"), engineOver(store)))
      expect(error).toMatchObject({ _tag: "AttributeError", direction: "decode", attribute: "a", stage: "a" })
      expect(String(error)).toContain(
        `give the attribute anew in the input, or have its stage run again with retryFrom("a")`
      )
      expect(yield* Effect.provide(CheckMateEngine.resume(changed, "t", { input: { a: "2" } }), engineOver(store)))
        .toMatchObject({ a: "2" })
      expect(yield* Effect.provide(CheckMateEngine.retryFrom(changed, "t", "a"), engineOver(store)))
        .toMatchObject({ a: "3" })
    }))

  it.effect("a value that no longer fits its schema leaves its task as it was found", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* failedInB(store)
      const before = yield* Effect.provide(CheckMateEngine.get("t"), engineOver(store))
      expect(yield* Effect.flip(Effect.provide(CheckMateEngine.resume(retyped(), "t"), engineOver(store))))
        .toMatchObject({ _tag: "AttributeError", attribute: "a" })
      expect((yield* Effect.provide(CheckMateEngine.get("t"), engineOver(store))).history).toEqual(before.history)
    }))

  it.effect("retryFrom takes nothing back where what it goes on with would be refused", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      const inEngine = Effect.provide(engineOver(store))
      yield* failedInB(store)
      yield* inEngine(CheckMateEngine.cancel("t"))
      const before = yield* inEngine(CheckMateEngine.get("t"))
      expect(yield* Effect.flip(inEngine(CheckMateEngine.retryFrom(retyped(), "t", "b")))).toMatchObject({
        _tag: "AttributeError",
        attribute: "a"
      })
      expect((yield* inEngine(CheckMateEngine.get("t"))).history).toEqual(before.history)
      const given = { input: { a: "2" } }
      expect(yield* inEngine(CheckMateEngine.retryFrom(retyped(), "t", "b", given))).toMatchObject({ a: "2" })
    }))

  it.effect("a crash before its schema changed is counted once, however often the value is refused", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* crashedInB(store)
      const refused = Effect.flip(Effect.provide(CheckMateEngine.resume(retyped(), "t"), engineOver(store)))
      yield* Effect.forEach(
        Array.from({ length: 7 }),
        () => Effect.map(refused, (error) => expect(error).toMatchObject({ _tag: "AttributeError", attribute: "a" }))
      )
      expect(yield* Effect.provide(CheckMateEngine.resume(retyped(), "t", { input: { a: "2" } }), engineOver(store)))
        .toMatchObject({ a: "2" })
    }))

  it.effect("the stage that provides such a value is run again, also after a crash in a later one", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* crashedInB(store)
      expect(yield* Effect.provide(CheckMateEngine.retryFrom(retyped(), "t", "a"), engineOver(store)))
        .toMatchObject({ a: "3" })
    }))

  it.effect("such a value, needed by the rollback of an attempt that crashed, is refused before anything is rolled back", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* crashedInB(store)
      const changed = retyped("b")
      const inEngine = Effect.provide(engineOver(store))
      const before = yield* inEngine(CheckMateEngine.get("t"))
      for (const operation of [CheckMateEngine.retryFrom(changed, "t", "a"), CheckMateEngine.rollback(changed, "t")]) {
        const error = yield* Effect.flip(inEngine(operation))
        expect(error).toMatchObject({ _tag: "AttributeError", attribute: "a", rollback: "b" })
      }
      expect((yield* inEngine(CheckMateEngine.get("t"))).history).toEqual(before.history)
    }))

  it.effect("such a value, needed by a rollback, is refused before that begins, and can still be given anew", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* failedInB(store)
      const changed = retyped("a")
      const inEngine = Effect.provide(engineOver(store))
      const before = yield* inEngine(CheckMateEngine.get("t"))
      const resumed = yield* Effect.flip(inEngine(CheckMateEngine.resume(changed, "t")))
      expect(String(resumed)).toMatch(/accept what was written, or give the attribute anew in the input$/)
      const refused = [
        CheckMateEngine.retryFrom(changed, "t", "a"),
        CheckMateEngine.rollback(changed, "t"),
        CheckMateEngine.cancel("t", { rollback: changed })
      ]
      for (const operation of refused) {
        const error = yield* Effect.flip(inEngine(operation))
        expect(error).toMatchObject({ _tag: "AttributeError", attribute: "a", rollback: "a" })
        expect(String(error)).toMatch(/accept what was written, since the rollback of stage "a" needs it$/)
      }
      expect((yield* inEngine(CheckMateEngine.get("t"))).history).toEqual(before.history)
      // Of what is not rolled back nothing is asked.
      expect(yield* inEngine(CheckMateEngine.retryFrom(changed, "t", "b", { input: { a: "2" } }))).toMatchObject({
        a: "2"
      })
      expect(yield* inEngine(CheckMateEngine.rollback(retyped("c"), "t"))).toBeUndefined()
    }))

  it.effect("nor is anything asked of the stage that failed, and is undone already", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* failedInB(store)
      const again = CheckMateEngine.retryFrom(retyped("b"), "t", "b", { input: { a: "2" } })
      expect(yield* Effect.provide(again, engineOver(store))).toMatchObject({ a: "2" })
    }))

  describe("where a rollback is to be finished first", () => {
    /** Leaves a task `t` of `abc` in a rollback that has failed at its first stage, which is c. */
    const stuck = (
      store: TaskIO.Encoded,
      goBack: (definition: ReturnType<typeof abc>) => Effect.Effect<unknown, unknown, CheckMateEngine.CheckMateEngine>
    ) => {
      const definition = abc(new Ledger(), { failUndo: failing({ c: 1 }) })
      const run = CheckMateEngine.run(definition, { taskId: "t", input: { seed: 1 } })
      return Effect.provide(Effect.zipRight(run, Effect.flip(goBack(definition))), engineOver(store))
    }

    it.effect("such a value is refused, too, before anything is changed", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const inEngine = Effect.provide(engineOver(store))
        yield* stuck(store, (definition) => CheckMateEngine.retryFrom(definition, "t", "c"))
        const before = yield* inEngine(CheckMateEngine.get("t"))
        expect(yield* Effect.flip(inEngine(CheckMateEngine.rollback(retyped("a"), "t"))))
          .toMatchObject({ _tag: "AttributeError", attribute: "a", rollback: "a" })
        expect((yield* inEngine(CheckMateEngine.get("t"))).history).toEqual(before.history)
      }))

    for (const [first, then] of [["c", "a"], ["a", "c"]] as const) {
      it.effect(`such a value is no obstacle where it is taken back: from ${first}, then from ${then}`, () =>
        Effect.gen(function*() {
          const store = yield* makeStore
          yield* stuck(store, (definition) => CheckMateEngine.retryFrom(definition, "t", first))
          expect(yield* Effect.provide(CheckMateEngine.retryFrom(retyped(), "t", then), engineOver(store)))
            .toMatchObject({ a: "3" })
        }))
    }

    it.effect("what a stage provides since is asked only of those that are not taken back", () =>
      Effect.gen(function*() {
        const More = State.make({ seed: Schema.Number, more: Schema.Number })
        const plain = (name: string) => Stage.make(More, name, { execute: () => Effect.void })
        const rich = (name: string) =>
          Stage.make(More, name, { provides: ["more"], execute: () => Effect.succeed({ more: 1 }) })
        const model = { state: More, input: ["seed"] } as const
        const [a, b, c] = [
          CheckMate.make("abc", { ...model, stages: [rich("a"), plain("b"), plain("c")] }),
          CheckMate.make("abc", { ...model, stages: [plain("a"), rich("b"), plain("c")] }),
          CheckMate.make("abc", { ...model, stages: [plain("a"), plain("b"), rich("c")] })
        ]
        const run = (store: TaskIO.Encoded, grown: typeof a) =>
          Effect.provide(
            Effect.exit(CheckMateEngine.run(grown, { taskId: "t", input: { seed: 1 } })),
            engineOver(store)
          )
        const retried = yield* makeStore
        yield* stuck(retried, (definition) => CheckMateEngine.retryFrom(definition, "t", "c"))
        expect(yield* run(retried, b)).toMatchObject({ cause: { error: { _tag: "DefinitionChangedError" } } })
        expect(yield* run(retried, c)).toMatchObject({ value: { seed: 1, more: 1 } })
        const undone = yield* makeStore
        yield* stuck(undone, (definition) => CheckMateEngine.rollback(definition, "t"))
        expect(yield* run(undone, a)).toMatchObject({ cause: { error: { _tag: "TaskRolledBackError" } } })
      }))

    it.effect("of what is not gone on with after that nothing is asked", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* stuck(store, (definition) => CheckMateEngine.rollback(definition, "t"))
        const Strings = State.make({ seed: Schema.String })
        const stage = (name: string) => Stage.make(Strings, name, { execute: () => Effect.void })
        const changed = CheckMate.make("abc", {
          state: Strings,
          input: ["seed"],
          stages: [stage("a"), stage("b"), stage("c")]
        })
        expect(yield* Effect.flip(Effect.provide(CheckMateEngine.retryFrom(changed, "t", "c"), engineOver(store))))
          .toMatchObject({ _tag: "TaskRolledBackError" })
      }))
  })

  it.effect("an option that is undefined is one that is not given", () =>
    inMemory(Effect.gen(function*() {
      const none = undefined
      const given = { input: { seed: 1 }, tags: none, memo: none, whenBound: none }
      yield* CheckMateEngine.run(abc(new Ledger()), { ...given, taskId: none })
      const query = { status: none, checkMate: none, tags: none, since: none }
      const found = yield* CheckMateEngine.find({ ...query, sort: none, order: none, limit: none, held: none })
      expect(found).toMatchObject([{ status: "Succeeded", tags: [] }])
      const resumed = CheckMateEngine.resume(abc(new Ledger()), found[0]?.taskId ?? "", {
        input: none,
        whenBound: none
      })
      expect(yield* resumed).toMatchObject({ c: 4 })
      const cleaned = CheckMateEngine.clean({ status: none, checkMate: none, olderThan: none, dryRun: none })
      expect(yield* cleaned).toHaveLength(1)
    })))

  it.effect("a task that does not exist", () =>
    inMemory(Effect.gen(function*() {
      expect(yield* failure(CheckMateEngine.resume(abc(new Ledger()), "nope"))).toMatchObject({
        _tag: "TaskNotFoundError"
      })
      expect(yield* failure(CheckMateEngine.get("nope"))).toMatchObject({ _tag: "TaskNotFoundError", taskId: "nope" })
      expect(yield* failure(CheckMateEngine.cancel("nope"))).toMatchObject({ _tag: "TaskNotFoundError" })
    })))
})
