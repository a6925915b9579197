import { describe, expect, it } from "@effect/vitest"
import {
  Chunk,
  DateTime,
  Duration,
  Effect,
  Either,
  FastCheck,
  HashMap,
  Option,
  ParseResult,
  Redacted,
  Schema
} from "effect"
import { CheckMateError, State } from "effect-checkmate"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { json } from "./support/arbitraries.ts"
import { program } from "./support/program.ts"

const Document = Schema.Struct({
  title: Schema.NonEmptyString,
  pages: Schema.Array(Schema.Struct({ number: Schema.Int, seen: Schema.optional(Schema.Date) }))
})

const Ingest = State.make({
  folder: Schema.String,
  documents: Schema.Array(Document),
  since: Schema.Date,
  note: Schema.NullOr(Schema.String),
  anything: Schema.Unknown
})

const refusalOf = (result: Either.Either<unknown, State.Refusal>): State.Refusal => {
  const { attribute, direction, path, problem } = Either.getOrThrow(Either.flip(result))
  return { attribute, direction, path, problem }
}
const encoded = (value: unknown) => State.encode(Ingest, { anything: value })
const problemsOf = (schema: Schema.Schema.AnyNoContext) => State.make({ secret: schema }).problems

describe("State", () => {
  it("is recognised, and can be piped", () => {
    expect(State.isState(Ingest)).toBe(true)
    for (const other of [undefined, null, {}, "state", { fields: {} }, Document]) {
      expect(State.isState(other)).toBe(false)
    }
    expect(Ingest.pipe((state) => Object.keys(state.fields))).toEqual([
      "folder",
      "documents",
      "since",
      "note",
      "anything"
    ])
  })

  describe("encode and decode", () => {
    const values = {
      folder: "./docs",
      documents: [{ title: "a", pages: [{ number: 1, seen: new Date(0) }, { number: 2 }] }],
      since: new Date(Date.UTC(2026, 0, 1))
    }
    const text = {
      folder: "./docs",
      documents: [{ title: "a", pages: [{ number: 1, seen: "1970-01-01T00:00:00.000Z" }, { number: 2 }] }],
      since: "2026-01-01T00:00:00.000Z"
    }

    it("are each other's inverse, through JSON", () => {
      expect(State.encode(Ingest, values)).toEqual(Either.right(text))
      expect(State.decode(Ingest, JSON.parse(JSON.stringify(text)))).toEqual(Either.right(values))
    })

    it.prop("keep every JSON value as it is", { value: json, folder: FastCheck.string() }, ({ folder, value }) => {
      const both = { folder, anything: value }
      const written = Either.getOrThrow(State.encode(Ingest, both))
      expect(written).toStrictEqual(both)
      expect(State.decode(Ingest, JSON.parse(JSON.stringify(written)))).toEqual(Either.right(both))
    })

    it("leave absent attributes out, and keep null, which is a value", () => {
      const some = { folder: "./docs", since: undefined, note: null }
      expect(Object.keys(Either.getOrThrow(State.encode(Ingest, some)))).toEqual(["folder", "note"])
      expect(Object.keys(Either.getOrThrow(State.decode(Ingest, some)))).toEqual(["folder", "note"])
      expect(State.encode(Ingest, {})).toEqual(Either.right({}))
    })

    it("refuse an attribute that the model does not declare", () => {
      const refused = { attribute: "foldr", path: [], problem: "the state model does not declare it" }
      expect(refusalOf(State.encode(Ingest, { foldr: "./docs" }))).toEqual({ ...refused, direction: "encode" })
      expect(refusalOf(State.decode(Ingest, { foldr: "./docs" }))).toEqual({ ...refused, direction: "decode" })
      for (const name of ["constructor", "toString", "__proto__"]) {
        expect(refusalOf(State.encode(Ingest, Object.fromEntries([[name, 1]])))).toMatchObject({ attribute: name })
      }
    })
  })

  describe("a value the schema refuses", () => {
    it("is refused with the path inside the value: on the way out", () => {
      const documents = [{ title: "a", pages: [] }, { title: "b", pages: [{ number: 1 }, { number: 1.5 }] }]
      expect(refusalOf(State.encode(Ingest, { folder: "./docs", documents }))).toEqual({
        attribute: "documents",
        direction: "encode",
        path: [1, "pages", 1, "number"],
        problem: "Expected an integer, actual 1.5"
      })
      expect(refusalOf(State.encode(Ingest, { documents: [{ title: "", pages: [] }] }))).toMatchObject({
        path: [0, "title"]
      })
    })

    it("is refused with the path inside the value: on the way in", () => {
      const documents = [{ title: "a", pages: [{ number: 1, seen: 3 }] }]
      expect(refusalOf(State.decode(Ingest, { documents }))).toMatchObject({
        attribute: "documents",
        direction: "decode",
        path: [0, "pages", 0, "seen"],
        problem: "Expected string | undefined, actual 3"
      })
    })

    it("is an error with a tag, which says which place it is and what to do", () => {
      const documents = [{ title: "a", pages: [{ number: 1, seen: 3 }] }]
      const error = Either.getOrThrow(Either.flip(State.decode(Ingest, { documents })))
      expect(error).toBeInstanceOf(CheckMateError.RefusedValueError)
      expect(error.message).toBe(
        "Attribute \"documents\" cannot be decoded at 0.pages.0.seen: Expected string | undefined, actual 3. Give it as the "
          + "state model writes it, or change the model"
      )
      expect(Either.getOrThrow(Either.flip(State.encode(Ingest, { folder: 3 })))).toMatchObject({
        _tag: "RefusedValueError",
        message: expect.stringContaining("cannot be encoded: Expected string, actual 3.")
      })
    })

    it("is refused as a whole where the whole is wrong", () => {
      expect(refusalOf(State.encode(Ingest, { folder: 3 }))).toEqual({
        attribute: "folder",
        direction: "encode",
        path: [],
        problem: "Expected string, actual 3"
      })
      expect(refusalOf(State.decode(Ingest, { folder: null }))).toMatchObject({ attribute: "folder", path: [] })
    })

    it("is told what every member of a union would have taken, and of many, or of a long value, the first", () => {
      const problemOf = (schema: Schema.Schema.AnyNoContext, value: unknown): string =>
        refusalOf(State.encode(State.make({ value: schema }), { value })).problem
      expect(problemOf(Schema.Literal("draft", "final"), "sent")).toBe(`Expected "draft" | "final", actual "sent"`)
      expect(problemOf(Schema.NullOr(Schema.String), 5)).toBe("Expected string | null, actual 5")
      const either = Schema.Union(Schema.Struct({ x: Schema.Number }), Schema.Struct({ y: Schema.Number }))
      expect(problemOf(either, { y: "2" })).toBe(`is missing, or at y: Expected number, actual "2"`)
      const long = Schema.String.pipe(Schema.filter((text) => text.length > 3 || "too short"))
      expect(problemOf(Schema.Union(long, Schema.Number), "abc")).toBe(`too short, or: Expected number, actual "abc"`)
      const many = Schema.Literal(...Array.from({ length: 1_000 }, (_, number) => `member ${number}`))
      expect(problemOf(many, "sent")).toMatch(/^Expected "member 0" \| .* \| 980 more, actual "sent"$/)
      expect(problemOf(Schema.Number, "x".repeat(1_000_000)).length).toBeLessThan(1_100)
    })
  })

  const raise = (): never => {
    throw new Error("it threw")
  }

  describe("a schema or a value that throws", () => {
    it("is refused, not a defect: a transformation's own functions, on both ways", () => {
      const Throwing = State.make({
        size: Schema.transform(Schema.String, Schema.Number, { strict: true, decode: raise, encode: raise })
      })
      const refused = { attribute: "size", path: [], problem: expect.stringContaining("it threw") }
      expect(refusalOf(State.encode(Throwing, { size: 3 }))).toEqual({ ...refused, direction: "encode" })
      expect(refusalOf(State.decode(Throwing, { size: "3" }))).toEqual({ ...refused, direction: "decode" })
    })

    it("is refused, not a defect: a getter of the value", () => {
      const value = Object.defineProperty({}, "size", { enumerable: true, get: raise })
      expect(refusalOf(encoded({ value })).attribute).toBe("anything")
    })

    it("is told what was thrown, also where that is no Error", () => {
      const get = () => {
        throw { code: 503 }
      }
      const value = Object.defineProperty({}, "size", { enumerable: true, get })
      expect(refusalOf(encoded({ value })).problem).toBe(`converting it threw: object {"code":503}`)
    })
  })

  describe("a schema that has to wait", () => {
    const late = <A>(value: A) => Effect.delay(Effect.succeed(value), "1 millis")
    const refused = { attribute: "size", problem: expect.stringContaining("its schema waits for something") }

    it("to be read is refused when it is written, as nobody could read it", () => {
      const Size = Schema.transformOrFail(Schema.String, Schema.Number, {
        decode: (text) => late(Number(text)),
        encode: (size) => ParseResult.succeed(String(size))
      })
      const InTime = Schema.String.pipe(Schema.filterEffect(() => late(true)))
      for (const [schema, size] of [[Size, 3], [Schema.Array(Size), [3]], [InTime, "3"]] as const) {
        const model = State.make({ size: schema })
        for (let time = 0; time < 2; time++) {
          expect(refusalOf(State.encode(model, { size }))).toMatchObject({ ...refused, direction: "encode" })
        }
        expect(refusalOf(State.decode(model, { size: schema === InTime ? "3" : ["3"] })).direction).toBe("decode")
      }
    })

    it("is refused also where the values before it did not get to what waits", () => {
      const Size = Schema.transformOrFail(Schema.String, Schema.Number, {
        decode: (text) => late(Number(text)),
        encode: (size) => ParseResult.succeed(String(size))
      })
      interface Tree<Size> {
        readonly size: Size
        readonly under: ReadonlyArray<Tree<Size>>
      }
      const Tree: Schema.Schema<Tree<number>, Tree<string>> = Schema.Struct({
        size: Size,
        under: Schema.Array(Schema.suspend(() => Tree))
      })
      const cases = [
        [Schema.Union(Schema.Boolean, Size), true, 3],
        [Schema.NullOr(Size), null, 3],
        [Schema.Array(Size), [], [3]],
        [Schema.Struct({ size: Schema.optional(Size) }), {}, { size: 3 }],
        [Schema.Record({ key: Schema.String, value: Size }), {}, { size: 3 }],
        [Schema.Array(Tree), [], [{ size: 3, under: [] }]]
      ] as const
      for (const [schema, first, second] of cases) {
        const model = State.make({ size: schema })
        expect(State.encode(model, { size: first })).toStrictEqual(Either.right({ size: first }))
        expect(refusalOf(State.encode(model, { size: second }))).toMatchObject({ ...refused, direction: "encode" })
      }
    })

    it("to be written is refused, too", () => {
      const Size = Schema.transformOrFail(Schema.String, Schema.Number, {
        decode: (text) => ParseResult.succeed(Number(text)),
        encode: (size) => late(String(size))
      })
      expect(refusalOf(State.encode(State.make({ size: Size }), { size: 3 }))).toMatchObject(refused)
    })
  })

  it("a value that its schema could not read again is refused when it is written", () => {
    const Sizes = State.make({ sizes: Schema.Array(Schema.parseJson(Schema.Struct({ size: Schema.Number }))) })
    expect(Either.isRight(State.encode(Sizes, { sizes: [{ size: 1 }] }))).toBe(true)
    expect(refusalOf(State.encode(Sizes, { sizes: [{ size: 1 }, { size: Number.NaN }] }))).toEqual({
      attribute: "sizes",
      direction: "encode",
      path: [1, "size"],
      problem: "its schema could not read what it writes: Expected number, actual null"
    })
  })

  describe("a value that encodes to something JSON cannot hold", () => {
    const cases: ReadonlyArray<
      readonly [name: string, value: unknown, path: ReadonlyArray<string | number>, says: string]
    > = [
      ["NaN", { scores: [1, Number.NaN] }, ["scores", 1], "NaN is not a JSON number"],
      ["infinity", -Infinity, [], "-Infinity is not a JSON number"],
      ["a bigint", { deep: { size: 3n } }, ["deep", "size"], "a bigint is not JSON"],
      ["undefined in an array", [1, undefined], [1], "undefined is not JSON"],
      ["a date", { at: new Date(0) }, ["at"], "[object Date] is not a plain JSON object"],
      ["a map", [new Map()], [0], "[object Map] is not a plain JSON object"],
      ["a set", new Set([1]), [], "[object Set] is not a plain JSON object"],
      ["bytes", { bytes: new Uint8Array(2) }, ["bytes"], "[object Uint8Array] is not a plain JSON object"],
      ["a function", { f: () => 1 }, ["f"], "a function is not JSON"],
      ["a symbol", Symbol("s"), [], "a symbol is not JSON"],
      ["an error", { error: new Error("no") }, ["error"], "[object Error] is not a plain JSON object"],
      ["an Effect data type", { o: Option.some(1) }, ["o"], "is not a plain JSON object"],
      ["a secret", { token: Redacted.make("hush") }, ["token"], "is not a plain JSON object"]
    ]
    for (const [name, value, path, says] of cases) {
      it(`is refused with the path inside the value: ${name}`, () => {
        const refusal = refusalOf(encoded(value))
        expect(refusal).toMatchObject({ attribute: "anything", direction: "encode", path })
        expect(refusal.problem).toContain(says)
      })
    }

    it("is refused where a schema leaves it as it is: Date from Schema.DateFromSelf", () => {
      const Dates = State.make({ runs: Schema.Array(Schema.Struct({ at: Schema.DateFromSelf })) })
      expect(refusalOf(State.encode(Dates, { runs: [{ at: new Date(0) }] }))).toMatchObject({
        attribute: "runs",
        path: [0, "at"]
      })
    })

    it("is refused: a value that contains itself", () => {
      const cycle: Record<string, unknown> = {}
      cycle.self = [cycle]
      const { path, problem } = refusalOf(encoded(cycle))
      expect(problem).toContain("nested more than 500 levels deep, or contains itself")
      // Not all of the five hundred steps that were taken.
      expect(path.slice(0, 3)).toEqual(["self", 0, "self"])
      expect(path).toHaveLength(10)
    })

    it("is not what JSON leaves out of an object: a property that is undefined", () => {
      expect(encoded({ a: undefined, b: [{ c: undefined }] })._tag).toBe("Right")
    })
  })

  describe("problems", () => {
    it("are none for a model whose every attribute can be checkpointed", () => {
      expect(Ingest.problems).toEqual([])
      expect(
        State.make({
          one: Schema.DateTimeUtc,
          two: Schema.OptionFromNullOr(Schema.Number),
          three: Schema.HashMap({ key: Schema.String, value: Schema.BigInt }),
          four: Schema.Duration,
          five: Schema.Uint8ArrayFromBase64,
          six: Schema.Chunk(Schema.Int),
          seven: Schema.Defect,
          eight: Schema.Struct({ size: Schema.Number }).pipe(Schema.attachPropertySignature(Symbol("kind"), "size"))
        }).problems
      ).toEqual([])
    })

    it("name attributes that are named as what every object has, which a state would show where they are absent", () => {
      for (const name of ["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"]) {
        const { problems } = State.make(Object.fromEntries([[name, Schema.String], ["folder", Schema.String]]))
        expect(problems).toEqual([{
          attribute: name,
          problem: `attribute "${name}" is named as what every object has; give it another name`
        }])
      }
    })

    it("name attributes that are named by a symbol, which a journal could not", () => {
      const fields: Readonly<Record<string | symbol, Schema.Schema.AnyNoContext>> = {
        [Symbol("folder")]: Schema.String
      }
      expect(State.make(fields as State.Fields).problems).toEqual([{
        attribute: "Symbol(folder)",
        problem: "attribute \"Symbol(folder)\" is named by a symbol; name it by a text"
      }])
    })

    it("name secrets, wherever in an attribute they are, and say why and what to do instead", () => {
      const schemas = {
        itself: Schema.Redacted(Schema.String),
        fromSelf: Schema.RedactedFromSelf(Schema.String),
        inside: Schema.Struct({ user: Schema.String, password: Schema.Redacted(Schema.String) }),
        items: Schema.Array(Schema.Union(Schema.Number, Schema.Redacted(Schema.String))),
        optional: Schema.Struct({ password: Schema.optional(Schema.Redacted(Schema.String)) }),
        values: Schema.Record({ key: Schema.String, value: Schema.Redacted(Schema.String) }),
        transformed: Schema.compose(Schema.NonEmptyString, Schema.Redacted(Schema.String)),
        refined: Schema.Redacted(Schema.String).pipe(Schema.filter(() => true)),
        wrapped: Schema.OptionFromNullOr(Schema.Redacted(Schema.String)),
        tuple: Schema.Tuple(Schema.Number, Schema.Redacted(Schema.String)),
        declared: Schema.OptionFromSelf(Schema.RedactedFromSelf(Schema.String))
      }
      for (const [name, schema] of Object.entries(schemas)) {
        expect(problemsOf(schema), name).toEqual([{
          attribute: "secret",
          problem: "attribute \"secret\" holds a Redacted value, which a journal would keep in clear; "
            + "give secrets to stages as services or Config, not as state"
        }])
      }
    })

    it("name what encodes to something JSON cannot hold, and the schema to use instead", () => {
      const schemas = {
        date: Schema.DateFromSelf,
        bigint: Schema.BigIntFromSelf,
        symbol: Schema.SymbolFromSelf,
        option: Schema.OptionFromSelf(Schema.String),
        inside: Schema.Struct({ runs: Schema.Array(Schema.Struct({ at: Schema.DateFromSelf })) }),
        map: Schema.ReadonlyMapFromSelf({ key: Schema.String, value: Schema.String }),
        instance: Schema.instanceOf(URL),
        bytes: Schema.Uint8ArrayFromSelf,
        bySymbols: Schema.Record({ key: Schema.SymbolFromSelf, value: Schema.Number }),
        symbolInside: Schema.NullOr(Schema.Struct({ [Symbol("size")]: Schema.optional(Schema.Number) }))
      }
      for (const [name, schema] of Object.entries(schemas)) {
        const problems = problemsOf(schema)
        expect(problems, name).toHaveLength(1)
        expect(problems[0]?.attribute).toBe("secret")
        expect(problems[0]?.problem).toMatch(
          /^attribute "secret" encodes to .+, which JSON cannot hold; use a schema that/
        )
      }
      expect(problemsOf(Schema.DateFromSelf)[0]?.problem).toContain("encodes to DateFromSelf")
    })

    it("name what can be undefined as a whole, and the schemas to use instead", () => {
      const schemas = {
        itself: Schema.UndefinedOr(Schema.String),
        alone: Schema.Undefined,
        nothing: Schema.Void,
        nullish: Schema.NullishOr(Schema.Number),
        nested: Schema.NullOr(Schema.Union(Schema.Number, Schema.Undefined)),
        filtered: Schema.UndefinedOr(Schema.String).pipe(Schema.filter((text) => text !== "")),
        suspended: Schema.suspend(() => Schema.UndefinedOr(Schema.String)),
        decoded: Schema.transform(Schema.NullOr(Schema.String), Schema.UndefinedOr(Schema.String), {
          strict: true,
          decode: (text) => text ?? undefined,
          encode: (text) => text ?? null
        })
      }
      for (const [name, schema] of Object.entries(schemas)) {
        expect(problemsOf(schema), name).toEqual([{
          attribute: "secret",
          problem: "attribute \"secret\" can be undefined, which is what an attribute is until it is provided, "
            + "so that it would count as missing; use Schema.NullOr or Schema.Option"
        }])
      }
    })

    it("are none where undefined is only inside a value, is filtered out, or is one of all there are", () => {
      const loop: Schema.Schema<unknown> = Schema.Union(Schema.String, Schema.suspend(() => loop))
      const schemas = {
        property: Schema.Struct({ note: Schema.optional(Schema.UndefinedOr(Schema.String)) }),
        option: Schema.Option(Schema.Number),
        nullOr: Schema.NullOr(Schema.Number),
        anything: Schema.Unknown,
        any: Schema.Any,
        loop,
        filtered: Schema.UndefinedOr(Schema.String).pipe(Schema.filter((text): text is string => text !== undefined)),
        throwing: Schema.UndefinedOr(Schema.String).pipe(
          Schema.filter((text) => String(text?.length ?? raise()) !== "0")
        )
      }
      for (const [name, schema] of Object.entries(schemas)) expect(problemsOf(schema), name).toEqual([])
    })

    it("are told for every attribute that has one", () => {
      const state = State.make({
        one: Schema.DateFromSelf,
        two: Schema.String,
        three: Schema.Redacted(Schema.String)
      })
      expect(state.problems.map(({ attribute }) => attribute)).toEqual(["one", "three"])
    })
  })

  it("ends on recursive schemas: they are checked like others, and their values are kept", async () => {
    // In a process of its own with little memory: what does not end takes only that process with it.
    const file = program(new URL("./support/recursiveSchemas.ts", import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--max-old-space-size=100",
      file
    ])
    const none: ReadonlyArray<string> = []
    expect(JSON.parse(stdout)).toEqual({
      tree: none,
      linked: none,
      mutual: none,
      exit: none,
      date: ["at"],
      secret: ["secret"],
      kept: true,
      deepest: true,
      tooDeep: true,
      refused: ["children", 0, "children", 1, "value"]
    })
  }, 300_000)

  it("keeps values of Effect's own types through their schemas", () => {
    const Rich = State.make({
      at: Schema.DateTimeUtc,
      limit: Schema.Duration,
      sizes: Schema.HashMap({ key: Schema.String, value: Schema.BigInt }),
      parts: Schema.Chunk(Schema.OptionFromNullOr(Schema.Int))
    })
    const values = {
      at: DateTime.unsafeMake(0),
      limit: Duration.minutes(3),
      sizes: HashMap.make(["a", 12345678901234567890n]),
      parts: Chunk.make(Option.some(1), Option.none())
    }
    const text = JSON.stringify(Either.getOrThrow(State.encode(Rich, values)))
    expect(Either.getOrThrow(State.decode(Rich, JSON.parse(text)))).toEqual(values)
  })
})
