/** What JSON can and cannot hold. */
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as FiberRefs from "effect/FiberRefs"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

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

/**
 * Depth beyond which a value counts as cyclic. A schema that is recursive reads some 900 levels before the stack is full in
 * a process that has just begun, though one that has run for a while writes more.
 */
const maximumDepth = 500

const tooDeep = `the value is nested more than ${maximumDepth} levels deep, or contains itself`
/** How much of the way to what is too deep is told: the rest is more of the same. */
const toldDepth = 10

const below = (key: string | number, { path, problem }: NonJson, depth: number): NonJson => ({
  path: problem === tooDeep && depth >= toldDepth ? path : [key, ...path],
  problem
})

/** Looks for what JSON cannot hold; properties that are `undefined` count as absent, as in `JSON.stringify`. */
export const findNonJson = (value: unknown, depth = 0): NonJson | undefined => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return undefined
  if (typeof value === "number") {
    return Number.isFinite(value) ? undefined : { path: [], problem: describe(value) }
  }
  if (typeof value !== "object") return { path: [], problem: describe(value) }
  if (depth > maximumDepth) return { path: [], problem: tooDeep }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const found = findNonJson(value[index], depth + 1)
      if (found !== undefined) return below(index, found, depth)
    }
    return undefined
  }
  if (!isPlain(value)) return { path: [], problem: describe(value) }
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue
    const found = findNonJson(member, depth + 1)
    if (found !== undefined) return below(key, found, depth)
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

/** Where two JSON values that are not the same first differ. */
export const firstDifference = (left: unknown, right: unknown): Path => {
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return []
  const mine = new Map(Object.entries(left))
  const theirs = new Map(Object.entries(right))
  const key = [...mine.keys(), ...theirs.keys()].find((name) => !sameJson(mine.get(name), theirs.get(name)))
  return key === undefined ? [] : [key, ...firstDifference(mine.get(key), theirs.get(key))]
}

export const clip = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length)}… (${text.length - length} more characters)`

/** A property of a value that may be hostile: a getter that throws, a proxy, a revoked one. */
export const readProperty = (value: object, key: string): unknown =>
  Either.getOrElse(Either.try(() => Reflect.get(value, key)), () => "[unreadable]")

/** The names of a value's own enumerable properties, none where it does not tell. */
export const keysOf = (value: object): ReadonlyArray<string> =>
  Either.getOrElse(Either.try(() => Object.keys(value)), () => [])

/** Whether a value is a list; a revoked proxy is not even that. */
export const isList = (value: unknown): value is ReadonlyArray<unknown> =>
  Either.getOrElse(Either.try(() => Array.isArray(value)), () => false)

/** Whether it is a list of texts, which untyped code may say it is. Spread, because every passes over holes. */
export const areTexts = (value: unknown): value is ReadonlyArray<string> =>
  isList(value) && [...value].every(Predicate.isString)

const maximumText = 8_000
const maximumItems = 100

/** Whether a value says itself what is shown of it. */
export const showsItself = (value: object): boolean =>
  typeof readProperty(value, "toJSON") === "function"
  || Either.getOrElse(Either.try(() => Inspectable.isRedactable(value)), () => false)

/** What a value shows of itself. Headers hide those that the fiber's `currentRedactedNames` says, as they do in logs. */
const ownLikeness = (value: object): unknown => {
  const refs = Option.match(Fiber.getCurrentFiber(), {
    onNone: FiberRefs.empty,
    onSome: (fiber) => fiber.getFiberRefs()
  })
  return Inspectable.withRedactableContext(
    refs,
    () => Inspectable.isRedactable(value) ? value[Inspectable.symbolRedactable](refs) : Inspectable.toJSON(value)
  )
}

/** How much more of a value is kept, counted in characters and items. */
interface Budget {
  left: number
}

/** What a likeness may come to altogether, however much a value holds and however often it holds it. */
export const wholeBudget = (): Budget => ({ left: 50_000 })

const likenessOf = (value: object, depth: number, budget: Budget): unknown => {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString()
  if (Array.isArray(value)) {
    // Array.from, because map passes over holes.
    const items = Array.from(value.slice(0, maximumItems), (item) => likeness(item, budget, depth + 1))
    return value.length > maximumItems ? [...items, `… (${value.length - maximumItems} more items)`] : items
  }
  if (value instanceof Map || value instanceof Set) {
    return likeness([...value].slice(0, maximumItems), budget, depth)
  }
  if (ArrayBuffer.isView(value)) return `[${value.constructor.name} of ${value.byteLength} bytes]`
  if (showsItself(value)) {
    const shown = ownLikeness(value)
    return shown === value ? "[object]" : likeness(shown, budget, depth + 1)
  }
  const keys = keysOf(value)
  const own = keys.slice(0, maximumItems).map((key) => [key, likeness(readProperty(value, key), budget, depth + 1)])
  const named = value instanceof Error
    ? [["_tag", String(readProperty(value, "name"))], [
      "message",
      likeness(readProperty(value, "message"), budget, depth + 1)
    ]]
    : []
  return Object.fromEntries([
    ...named,
    ...own,
    ...(keys.length > maximumItems ? [["…", `${keys.length - maximumItems} more properties`]] : [])
  ])
}

/**
 * A JSON likeness of any value, for people and tools: cycles cut, long parts clipped, functions named, and what cannot
 * be read passed over. Objects that say how they want to be shown (`toJSON`, Effect's `Redactable`) are asked, so that a
 * `Redacted` stays redacted, also in the headers of a request.
 */
export const likeness = (value: unknown, budget: Budget = wholeBudget(), depth = 0): unknown => {
  budget.left -= 10
  if (depth > 6 || budget.left < 0) return "…"
  switch (typeof value) {
    case "string": {
      const text = clip(value, Math.min(maximumText, Math.max(100, budget.left)))
      budget.left -= text.length
      return text
    }
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
      return value
    case "undefined":
      return null
    case "bigint":
    case "symbol":
      return clip(String(value), maximumText)
    case "function":
      return `[function ${String(readProperty(value, "name"))}]`
    case "object":
      return value === null
        ? null
        : Either.getOrElse(Either.try(() => likenessOf(value, depth, budget)), () => "[unreadable]")
  }
}

/** A value as one line of text. Never `[object Object]`. */
export const showValue = (value: unknown): string =>
  clip(typeof value === "string" ? value : JSON.stringify(likeness(value)), maximumText)
