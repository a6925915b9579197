import { describe, expect, it } from "@effect/vitest"
import { FastCheck, Option, Redacted } from "effect"
import { findNonJson, firstDifference, likeness, sameJson, showValue } from "../../src/internal/json.ts"
import { json } from "../support/arbitraries.ts"

type Path = ReadonlyArray<string | number>

const anything = FastCheck.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withNullPrototype: true
})

/** Values that JSON cannot hold wherever they stand. */
const notJson = FastCheck.constantFrom<Array<unknown>>(
  Number.NaN,
  Infinity,
  3n,
  new Date(0),
  new Map(),
  new Set(),
  Symbol("s"),
  () => 1,
  /a/,
  new Uint8Array(1),
  new Error("no"),
  Redacted.make("hush")
)

const keys = FastCheck.string().filter((key) => key !== "__proto__")
const steps: FastCheck.Arbitrary<Path> = FastCheck.array(FastCheck.oneof(keys, FastCheck.nat({ max: 3 })), {
  maxLength: 6
})

/** A value with `leaf` at the end of `path`, and other values before it on the way. */
const plant = ([step, ...rest]: Path, leaf: unknown, filler: unknown): unknown =>
  step === undefined
    ? leaf
    : typeof step === "number"
    ? [...Array.from({ length: step }, () => filler), plant(rest, leaf, filler)]
    : { [step]: plant(rest, leaf, filler) }

/** The value with the keys of all its objects in the opposite order. */
const reversed = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(reversed)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).toReversed().map(([key, member]) => [key, reversed(member)]))
    : value

describe("findNonJson", () => {
  it.prop("finds nothing in what JSON can hold", { value: json }, ({ value }) => {
    expect(findNonJson(value)).toBeUndefined()
  })

  it.prop(
    "tells the path to what JSON cannot hold",
    { path: steps, leaf: notJson, filler: json },
    ({ filler, leaf, path }) => {
      expect(findNonJson(plant(path, leaf, filler))?.path).toEqual(path)
    }
  )

  it.prop("finds undefined in arrays, and lets it pass as a property, as JSON does", { path: steps }, ({ path }) => {
    const value = plant(path, undefined, 1)
    const last = path.at(-1)
    expect(findNonJson(value)?.path).toEqual(typeof last === "string" ? undefined : path)
  })

  it.prop(
    "lets pass just what comes back from JSON as it was",
    { value: anything },
    ({ value }) => {
      if (findNonJson(value) !== undefined) return
      expect(sameJson(JSON.parse(JSON.stringify(value)), value)).toBe(true)
    },
    { timeout: 30_000, fastCheck: { numRuns: 1000 } }
  )

  it("finds values that contain themselves, and takes deep ones that do not", () => {
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    expect(findNonJson(cycle)?.problem).toContain("contains itself")
    const deep = (levels: number) => plant(Array.from({ length: levels }, () => 0), "leaf", 0)
    expect(findNonJson(deep(500))).toBeUndefined()
    expect(findNonJson(deep(600))?.problem).toContain("more than 500 levels deep")
  })

  it("finds what says itself how it is written, but for plain data", () => {
    expect(findNonJson({ a: { toJSON: () => 1 } })?.path).toEqual(["a", "toJSON"])
    expect(findNonJson({ a: Option.some(1) })?.path).toEqual(["a"])
    expect(findNonJson(Object.assign(Object.create(null), { a: 1 }))).toBeUndefined()
  })
})

describe("sameJson", () => {
  it.prop("holds for a value and its copy, whatever the order of keys", { value: json }, ({ value }) => {
    expect(sameJson(value, value)).toBe(true)
    expect(sameJson(value, structuredClone(value))).toBe(true)
    expect(sameJson(value, reversed(value))).toBe(true)
  })

  it.prop(
    "holds just for values that are written alike, and both ways",
    { left: json, right: json },
    ({ left, right }) => {
      const sorted = (value: unknown): unknown =>
        Array.isArray(value)
          ? value.map(sorted)
          : typeof value === "object" && value !== null
          ? Object.entries(value).map(([key, member]) => [key, sorted(member)]).sort(([a], [b]) => a! < b! ? -1 : 1)
          : value
      const alike = (a: unknown, b: unknown) =>
        JSON.stringify([Array.isArray(a), sorted(a)]) === JSON.stringify([Array.isArray(b), sorted(b)])
      expect(sameJson(left, right)).toBe(alike(left, right))
      expect(sameJson(right, left)).toBe(sameJson(left, right))
    },
    { timeout: 30_000, fastCheck: { numRuns: 500 } }
  )

  it.prop(
    "does not hold once anything is changed",
    { path: steps, filler: json, leaf: json },
    ({ filler, leaf, path }) => {
      const value = plant(path, leaf, filler)
      expect(sameJson(value, plant(path, [leaf], filler))).toBe(false)
      expect(sameJson(value, plant([...path, "more"], leaf, filler))).toBe(sameJson(leaf, { more: leaf }))
    }
  )

  it("takes a property that is undefined for absent, and tells it from null", () => {
    expect(sameJson({ a: undefined, b: 1 }, { b: 1 })).toBe(true)
    expect(sameJson({ a: undefined }, { b: undefined })).toBe(true)
    expect(sameJson({ a: null }, {})).toBe(false)
    expect(sameJson([], {})).toBe(false)
    expect(sameJson({ 0: "a", length: 1 }, ["a"])).toBe(false)
    expect(sameJson("1", 1)).toBe(false)
  })
})

describe("likeness", () => {
  it.prop("of what JSON can hold is that value", { value: json }, ({ value }) => {
    expect(likeness(value)).toEqual(value)
  })

  it.prop("of any value is JSON, and is its own likeness", { value: anything }, ({ value }) => {
    const shown = likeness(value)
    expect(findNonJson(shown)).toBeUndefined()
    expect(likeness(shown)).toEqual(shown)
    expect(showValue(value)).toEqual(expect.any(String))
  }, { timeout: 30_000, fastCheck: { numRuns: 1000 } })

  it("clips long texts, lists and objects, and says by how much", () => {
    expect(likeness("x".repeat(8_003))).toBe(`${"x".repeat(8_000)}… (3 more characters)`)
    const list = likeness(Array.from({ length: 105 }, (_, index) => index))
    expect(list).toHaveLength(101)
    expect(list).toContain("… (5 more items)")
    const object = likeness(Object.fromEntries(Array.from({ length: 105 }, (_, index) => [`k${index}`, index])))
    expect(Object.keys(object as object)).toHaveLength(101)
    expect(object).toMatchObject({ "…": "5 more properties" })
  })

  it("cuts what is deep, and what contains itself", () => {
    const cycle: Record<string, unknown> = { name: "cycle" }
    cycle.self = cycle
    expect(JSON.stringify(likeness(cycle))).toContain("\"…\"")
    expect(JSON.stringify(likeness(plant(Array.from({ length: 100 }, () => "a"), 1, 0))).length).toBeLessThan(100)
  })

  it("names what is no data, and asks what says itself how to be shown", () => {
    expect(likeness({
      f: function embed() {},
      s: Symbol("s"),
      big: 3n,
      nan: Number.NaN,
      date: new Date(0),
      map: new Map([["a", 1]]),
      set: new Set([1, 2]),
      bytes: new Uint8Array(3),
      error: new TypeError("no"),
      secret: Redacted.make("hush"),
      url: new URL("http://localhost/"),
      custom: { toJSON: () => ({ shown: true }) }
    })).toEqual({
      f: "[function embed]",
      s: "Symbol(s)",
      big: "3",
      nan: "NaN",
      date: "1970-01-01T00:00:00.000Z",
      map: [["a", 1]],
      set: [1, 2],
      bytes: "[Uint8Array of 3 bytes]",
      error: { _tag: "TypeError", message: "no" },
      secret: "<redacted>",
      url: "http://localhost/",
      custom: { shown: true }
    })
  })
})

describe("showValue", () => {
  it("leaves texts as they are and writes everything else as JSON", () => {
    expect(showValue("no room")).toBe("no room")
    expect(showValue({ a: [1, { b: 2 }] })).toBe("{\"a\":[1,{\"b\":2}]}")
    expect(showValue(undefined)).toBe("null")
    expect(showValue("x".repeat(9_000)).length).toBeLessThan(8_100)
  })
})

describe("firstDifference", () => {
  it.prop(
    "names a place where two values differ, and nothing of two that are the same",
    [json, json],
    ([left, right]) => {
      const at = (value: unknown) =>
        firstDifference(left, right).reduce<unknown>((inner, key) => Object(inner)[key], value)
      if (sameJson(left, right)) expect(firstDifference(left, right)).toEqual([])
      else expect(sameJson(at(left), at(right))).toBe(false)
    }
  )

  it("goes as deep as the difference does", () => {
    const value = (when: string) => ({ status: "Succeeded", state: { tries: [1, { when }] } })
    expect(firstDifference(value("then"), value("now"))).toEqual(["state", "tries", "1", "when"])
  })
})
