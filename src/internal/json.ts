/** What JSON can and cannot hold. */
import * as Inspectable from "effect/Inspectable"

type Path = ReadonlyArray<string | number>

/** The first place in a value that JSON would drop or alter, with what stands there. */
export interface NonJson {
  readonly path: Path
  readonly problem: string
}

const describe = (value: unknown): string => {
  switch (typeof value) {
    case "number":
      return `${value} is not a JSON number`
    case "bigint":
      return "a bigint is not JSON; encode it as a string, with Schema.BigInt for instance"
    case "undefined":
      return "undefined is not JSON; leave the property out, or use null"
    case "function":
    case "symbol":
      return `a ${typeof value} is not JSON`
    default:
      return `${Object.prototype.toString.call(value)} is not a plain JSON object; give it a schema that encodes it`
  }
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Depth beyond which a value counts as cyclic; `JSON.parse` itself gives up not far beyond. */
const maximumDepth = 2_000

/** Looks for what JSON cannot hold; properties that are `undefined` count as absent, as in `JSON.stringify`. */
export const findNonJson = (value: unknown, depth = 0): NonJson | undefined => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return undefined
  if (typeof value === "number") {
    return Number.isFinite(value) ? undefined : { path: [], problem: describe(value) }
  }
  if (typeof value !== "object") return { path: [], problem: describe(value) }
  if (depth > maximumDepth) return { path: [], problem: "the value is nested too deeply, or contains itself" }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const found = findNonJson(value[index], depth + 1)
      if (found !== undefined) return { path: [index, ...found.path], problem: found.problem }
    }
    return undefined
  }
  if (!isPlain(value)) return { path: [], problem: describe(value) }
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue
    const found = findNonJson(member, depth + 1)
    if (found !== undefined) return { path: [key, ...found.path], problem: found.problem }
  }
  return undefined
}

/** Whether two JSON values are the same, whatever the order of their keys. */
export const sameJson = (left: unknown, right: unknown): boolean => {
  if (left === right) return true
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false
  if (Array.isArray(left) || Array.isArray(right)) {
    return Array.isArray(left) && Array.isArray(right) && left.length === right.length
      && left.every((item, index) => sameJson(item, right[index]))
  }
  const present = (value: object) => Object.entries(value).filter(([, member]) => member !== undefined)
  const entries = present(left)
  const other = new Map(present(right))
  return entries.length === other.size &&
    entries.every(([key, member]) => other.has(key) && sameJson(member, other.get(key)))
}

const clip = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length)}… (${text.length - length} more characters)`

const maximumText = 8_000
const maximumItems = 100

/**
 * A JSON likeness of any value, for people and tools: cycles cut, long parts clipped, functions named. Objects that
 * say how they want to be shown (`toJSON`) are asked, so that a `Redacted` stays redacted.
 */
export const likeness = (value: unknown, depth = 0): unknown => {
  switch (typeof value) {
    case "string":
      return clip(value, maximumText)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
      return value
    case "undefined":
      return null
    case "bigint":
    case "symbol":
      return String(value)
    case "function":
      return `[function ${value.name}]`
    case "object":
      break
  }
  if (value === null) return null
  if (depth > 6) return "…"
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString()
  if (Array.isArray(value)) {
    const items = value.slice(0, maximumItems).map((item) => likeness(item, depth + 1))
    return value.length > maximumItems ? [...items, `… (${value.length - maximumItems} more items)`] : items
  }
  if (value instanceof Map || value instanceof Set) return likeness([...value], depth)
  if (value instanceof Error) return { _tag: value.name, message: value.message }
  if (ArrayBuffer.isView(value)) return `[${value.constructor.name} of ${value.byteLength} bytes]`
  if ("toJSON" in value && typeof value.toJSON === "function") return likeness(Inspectable.toJSON(value), depth + 1)
  const entries = Object.entries(value)
  const shown = entries.slice(0, maximumItems).map(([key, member]) => [key, likeness(member, depth + 1)])
  return Object.fromEntries(
    entries.length > maximumItems ? [...shown, ["…", `${entries.length - maximumItems} more properties`]] : shown
  )
}

/** A value as one line of text. Never `[object Object]`. */
export const showValue = (value: unknown): string => {
  if (typeof value === "string") return clip(value, maximumText)
  const text = JSON.stringify(likeness(value))
  return clip(text, maximumText)
}
