/**
 * The XML that S3 answers with: elements and texts. Own code, because that is all there is in such an answer, and the
 * parsers there are bring entities, namespaces and options with them that an answer of a store must not use. Strict:
 * whatever is not well-formed is none, so that half an answer is no answer.
 */

import * as Option from "effect/Option"

export interface Element {
  readonly name: string
  readonly children: ReadonlyArray<Element>
  /** The text in it, entities resolved. */
  readonly text: string
}

const token = /<\?[^>]*\?>|<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/gy

const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: "\"", apos: "'" }

const unescape = (text: string): string =>
  text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));/g, (whole, hex, decimal, name) => {
    if (typeof name === "string") return named[name] ?? whole
    const code = typeof hex === "string" ? Number.parseInt(hex, 16) : Number(decimal)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })

/** A text as it stands in a document, also what no document holds as it is. */
export const escape = (text: string): string => text.replace(/[&<>"'\p{Cc}]/gu, (char) => `&#${char.codePointAt(0)};`)

interface Open {
  readonly name: string
  readonly children: Array<Element>
  text: string
}

/** The root element; none for what is not a whole, well-formed document. */
export const parse = (document: string): Option.Option<Element> => {
  const text = document.trim()
  const stack: Array<Open> = [{ name: "", children: [], text: "" }]
  const pattern = new RegExp(token)
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text)
    if (match === null) return Option.none()
    const [, closing, name, , selfClosing, characters] = match
    const top = stack.at(-1)
    if (top === undefined) return Option.none()
    if (characters !== undefined) {
      top.text += unescape(characters)
    } else if (name !== undefined && closing === "/") {
      const parent = stack.at(-2)
      if (top.name !== name || parent === undefined) return Option.none()
      stack.pop()
      parent.children.push(top)
    } else if (name !== undefined) {
      const open: Open = { name, children: [], text: "" }
      if (selfClosing === "/") top.children.push(open)
      else stack.push(open)
    }
  }
  const [root] = stack
  const [first, ...others] = root?.children ?? []
  return stack.length === 1 && first !== undefined && others.length === 0 && root?.text.trim() === ""
    ? Option.some(first)
    : Option.none()
}

/** The children of a name. */
export const all = (element: Element, name: string): ReadonlyArray<Element> =>
  element.children.filter((child) => child.name === name)

/** The text of the first child of a name. */
export const textOf = (element: Element, name: string): Option.Option<string> =>
  Option.map(Option.fromNullable(all(element, name)[0]), ({ text }) => text)
