/** What of a name or a tag is indexed. */

/** What a database takes as text anywhere: Postgres takes no NUL, and no half of a surrogate pair. Filters are applied again to what it finds. */
const plain = (text: string): string => text.replace(unwritable, "")
const unwritable = /[\0\ud800-\udfff]/gu

/** How much of a name or a tag is indexed: Postgres has no room for more than 2,700 bytes, a task's id among them. */
const indexedLength = 500
export const indexed = (text: string): string => plain(text.slice(0, indexedLength))
/** What a name or a tag may be indexed as: whole, if it was written before long ones were cut. */
export const everIndexed = (text: string): ReadonlyArray<string> =>
  text.length > indexedLength ? [indexed(text), plain(text)] : [indexed(text)]
