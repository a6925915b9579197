/** Which files are documents, what their text is, and how it is cut into chunks. */
import { Stream } from "effect"

const documents = /\.(md|markdown|mdx|rst|adoc|txt)$|^(readme|licen[sc]e|notice|authors|copying|changelog)$/i

/** Whether a file is a document, by its path: hidden files and folders are not looked at. */
export const isDocument = (path: string): boolean => {
  const steps = path.split(/[\\/]/)
  return documents.test(steps.at(-1) ?? "") && !steps.some((step) => step.startsWith("."))
}

const tags =
  /<\/?(a|b|br|code|details|div|em|h[1-6]|hr|i|img|li|ol|p|picture|pre|source|span|strong|sub|summary|sup|table|tbody|td|th|thead|tr|ul)\b[^>]*>/gi

/** Markdown without its marks. Every line stays where it is, so that a chunk can be found again by its line. */
export const plainText = (markdown: string): string =>
  markdown
    .replace(/\r\n?/g, "\n")
    .replace(/<!--[\s\S]*?-->|!\[[^\]]*\]\([^)]*\)/g, (mark) => mark.replace(/[^\n]/g, ""))
    .replace(tags, (tag) => tag.replace(/[^\n]/g, ""))
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^ *(#+|>|[-*+]|```.*|~~~.*) */gm, "")
    .replace(/\*\*|__|`/g, "")

const longest = 800

const pieces = (line: string): ReadonlyArray<string> =>
  line.length <= longest ? [line] : line.match(new RegExp(`.{1,${longest}}(?:\\s|$)|.{${longest}}`, "gsu")) ?? []

/** Cuts a text into chunks of at most about 800 characters, at blank lines where that makes neither too short. */
export const chunksOf = (text: string): ReadonlyArray<{ readonly line: number; readonly text: string }> => {
  const found: Array<{ readonly line: number; readonly text: string }> = []
  let first = 0
  let gathered = ""
  const finish = () => {
    const chunk = gathered.trim()
    if (/\p{L}/u.test(chunk)) found.push({ line: first, text: chunk })
    gathered = ""
  }
  text.split("\n").forEach((line, index) => {
    const isBreak = line.trim() === ""
    if (isBreak && gathered.length > longest / 2) finish()
    for (const piece of isBreak ? [] : pieces(line)) {
      if (gathered.length + piece.length > longest) finish()
      if (gathered === "") first = index + 1
      gathered += `${piece}\n`
    }
  })
  finish()
  return found
}

/** Leaves out what has been there before: a licence is in many packages, and is found once. */
export const withoutRepeats =
  <A extends { readonly text: string }>() => <E, R>(items: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    Stream.suspend(() => {
      const seen = new Set<string>()
      return Stream.filter(items, ({ text }) => seen.size < seen.add(text).size)
    })
