/** Names and places in messages for people. */

export const quote = (name: string): string => `"${name}"`

export const list = (names: Iterable<string>): string => Array.from(names, quote).join(", ") || "none"

/** Where in a value something is, to be put behind what is said of it; nothing for the value itself. */
export const at = (path: ReadonlyArray<PropertyKey>): string =>
  path.length === 0 ? "" : ` at ${path.map(String).join(".")}`

/** So many of something. */
export const numberOf = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`
