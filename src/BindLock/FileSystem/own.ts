/** This engine's own file, with which it holds tasks: each lock that links to it is its. */

import type { PlatformError } from "@effect/platform/Error"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { BindLockError } from "../../CheckMateError.ts"
import { alreadyExists, isNotFound, lockError, written } from "../../internal/files.ts"
import { nonce } from "../../internal/nonce.ts"
import { type Engine, lineOf, mostSigns, sign } from "./engineFile.ts"
import type { Layout } from "./layout.ts"

/** The file of the engine that runs here. */
export interface Own {
  readonly nonce: string
  /** The tasks that it tries to take over just now. */
  readonly trying: Set<string>
  /** Lengthens the file, or makes it as short as it was. */
  readonly giveSign: Effect.Effect<void, PlatformError>
  /** The file system's own time, which it stamped this engine's last sign of life with, as it does others'. */
  readonly signedAt: Effect.Effect<number, PlatformError>
  /** How many names the file has: one for itself and one for each lock and take. */
  readonly names: Effect.Effect<Option.Option<number>, PlatformError>
  /** Gives the file another name; false where something is called so already. */
  readonly link: (name: string) => Effect.Effect<boolean, PlatformError>
  /** Whether a task's lock is a link to this file. */
  readonly isMine: (taskId: string) => Effect.Effect<boolean, PlatformError>
}

/** Creates the file, for the length of the Scope. `asSign` notes when an effect gave a sign of life. */
export const create = Effect.fnUntraced(
  function*(
    { fs, lockOf, locks, path }: Layout,
    who: Pick<Engine, "name" | "process">,
    asSign: <A, E, R>(give: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ): Effect.fn.Return<Own, BindLockError, Scope.Scope> {
    const since = yield* DateTime.now
    // The file is its first sign of life.
    const created = yield* asSign(Effect.uninterruptible(Effect.gen(function*() {
      const engine: Engine = { nonce: yield* nonce, name: who.name, since, process: who.process }
      const file = path.join(locks, `${engine.nonce}.engine`)
      const handle = yield* fs.open(file, { flag: "ax" })
      yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(file)))
      const line = lineOf(engine)
      yield* handle.writeAll(line)
      const { ino } = yield* handle.stat
      return { file, handle, ino, line, nonce: engine.nonce }
    }))).pipe(
      Effect.retry({ while: alreadyExists, times: 10 }),
      Effect.mapError(lockError("prepare to bind", locks, "*"))
    )
    const { file, handle, ino, line } = created
    let signs = 0
    const shorten = Effect.suspend(() =>
      ++signs % mostSigns === 0 ? Effect.ignore(handle.truncate(line.length)) : Effect.void
    )
    const giveSign = asSign(written(Effect.zipRight(handle.writeAll(sign), shorten)))
    return {
      nonce: created.nonce,
      trying: new Set(),
      giveSign,
      signedAt: Effect.map(
        handle.stat,
        ({ mtime }) => Option.match(mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
      ),
      names: Effect.map(handle.stat, ({ nlink }) => nlink),
      link: (name) =>
        Effect.as(fs.link(file, name), true).pipe(
          Effect.catchIf(alreadyExists, () => Effect.succeed(false))
        ),
      isMine: (taskId) =>
        Effect.map(
          fs.stat(lockOf(taskId)),
          (found) => Option.isNone(found.ino) || Option.isNone(ino) || found.ino.value === ino.value
        ).pipe(
          Effect.catchIf(isNotFound, () => Effect.succeed(false))
        )
    }
  }
)
