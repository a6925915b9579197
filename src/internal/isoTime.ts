/** Times as the journal writes them. */
import * as DateTime from "effect/DateTime"

/** A task's first time stands in all its summaries, and the latest in several events and a summary. */
const remembered = new Map<number, string>()
const most = 64

/** ISO 8601 in UTC, with milliseconds. */
export const isoTime = (time: DateTime.Utc): string => {
  const { epochMillis } = time
  const known = remembered.get(epochMillis)
  if (known !== undefined) return known
  if (remembered.size >= most) remembered.clear()
  const text = DateTime.formatIso(time)
  remembered.set(epochMillis, text)
  return text
}
