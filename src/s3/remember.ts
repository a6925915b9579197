/** Objects that are never replaced are read once: to look at a task and then go on with it costs no more than one of both. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Client, Found } from "./client.ts"

/** In characters. */
const most = 4_194_304

/** A client that remembers what it has read last under a folder, whose objects must be written once and no more. */
export const remember = (client: Client, folder: string): Client => {
  const known = new Map<string, Found>()
  let size = 0

  const forget = (key: string) => {
    size -= known.get(key)?.content.length ?? 0
    known.delete(key)
  }

  const keep = (key: string, found: Found) => {
    if (found.content.length > most / 2) return
    forget(key)
    known.set(key, found)
    size += found.content.length
    for (const oldest of known.keys()) {
      if (size <= most) return
      forget(oldest)
    }
  }

  return {
    ...client,
    get: (key) =>
      Effect.suspend(() => {
        const found = known.get(key)
        if (found !== undefined) return Effect.succeedSome(found)
        return Effect.tap(client.get(key), (read) =>
          Effect.sync(() => {
            if (key.startsWith(folder) && Option.isSome(read)) keep(key, read.value)
          }))
      })
  }
}
