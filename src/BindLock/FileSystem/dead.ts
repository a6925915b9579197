/** Which engines are dead, and what they left. */

import type { PlatformError } from "@effect/platform/Error"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { entries } from "../../internal/files.ts"
import { type Found, look, nonceOf, stateOf } from "./engineFile.ts"
import type { Layout } from "./layout.ts"
import type { Own } from "./own.ts"

/** Whether an engine's process is alive; none where that cannot be told from here. */
export type IsAlive = (found: Found) => Effect.Effect<Option.Option<boolean>>

/** Tells who is dead. */
export interface Verdicts {
  /** What whoever only asks is told: not watched any longer. */
  readonly seemsDead: (found: Found) => Effect.Effect<boolean, PlatformError>
  /** What a task is taken over by. A silent engine is watched for two signs' time before it is given up. */
  readonly isDead: (found: Found) => Effect.Effect<boolean, PlatformError>
}

/** By their processes, where these are to be seen from here, else by their silence. */
export const verdicts = ({ fs }: Layout, own: Own, isAlive: IsAlive, { beat, isSeenAlive, lease, staysSilent }: {
  readonly lease: Duration.Duration
  readonly beat: Duration.Duration
  readonly isSeenAlive: Effect.Effect<boolean>
  readonly staysSilent: <E>(
    engine: string,
    sign: string,
    look: Effect.Effect<Option.Option<string>, E>
  ) => Effect.Effect<boolean, E>
}): Verdicts => {
  /** Before it was set back the file system's clock may have stamped a sign that is ahead of all that it says now. */
  const isFar = (now: number, since: number): boolean => Math.abs(now - since) > Duration.toMillis(lease)
  const isSilent = Effect.fnUntraced(function*(modified: Date) {
    const since = modified.getTime()
    // A look writes nothing where the last sign tells enough.
    if ((yield* isSeenAlive) && !isFar((yield* own.signedAt) + Duration.toMillis(beat) * 2, since)) return false
    yield* own.giveSign
    return isFar(yield* own.signedAt, since)
  })
  const looksSilent = (found: Found) =>
    Option.match(found.modified, { onNone: () => Effect.succeed(false), onSome: isSilent })

  return {
    seemsDead: (found) =>
      Effect.flatMap(
        isAlive(found),
        (alive) => Option.isSome(alive) ? Effect.succeed(!alive.value) : looksSilent(found)
      ),
    isDead: Effect.fnUntraced(function*(found) {
      const alive = yield* isAlive(found)
      if (Option.contains(alive, false)) return true
      // Also of a process that lives: it may be frozen.
      if (!(yield* looksSilent(found))) return false
      const again = Effect.map(look(fs, found.file), Option.map(stateOf))
      return yield* staysSilent(nonceOf(found) ?? found.file, stateOf(found), again)
    })
  }
}

const removeIfDead = Effect.fnUntraced(function*({ fs }: Layout, isAlive: IsAlive, file: string) {
  const found = yield* look(fs, file)
  if (Option.isSome(found) && Option.contains(yield* isAlive(found.value), false)) yield* fs.remove(file)
})

/** Removes the takes of engines that are provably dead, and the files of those that hold nothing any more. */
export const removeDead = Effect.fnUntraced(
  function*(layout: Layout, isAlive: IsAlive) {
    const { fs, locks, path, takes } = layout
    for (const entry of yield* entries(fs, takes)) {
      yield* Effect.ignore(removeIfDead(layout, isAlive, path.join(takes, entry)))
    }
    for (const entry of yield* entries(fs, locks)) {
      if (!entry.endsWith(".engine")) continue
      const file = path.join(locks, entry)
      const holdsNothing = Effect.map(fs.stat(file), ({ nlink }) => Option.contains(nlink, 1))
      yield* Effect.ignore(Effect.whenEffect(removeIfDead(layout, isAlive, file), holdsNothing))
    }
  },
  Effect.ignore
)
