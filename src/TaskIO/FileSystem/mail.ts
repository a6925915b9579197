/**
 * Messages for whoever runs a task, one file each.
 *
 * ```text
 * directory/mail/<task id>.<time>-<count><nonce>.json   one message
 * ```
 */

import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { TaskIOError } from "../../CheckMateError.ts"
import { entries, isNotFound, removed, storeError, syncDirectory, written } from "../../internal/files.ts"
import * as group from "../../internal/group.ts"
import { nonce } from "../../internal/nonce.ts"
import type { Encoded, Letter } from "../Encoded.ts"
import type { Layout } from "./layout.ts"

const letterName = /^(.+)\.\d+-[0-9a-f]+\.json$/
const draftName = /^.+\.(\d+)-[0-9a-f]+\.tmp$/

/** Whoever takes longer to write a letter is no more, unless clocks differ by as much. */
const draftAge = Duration.toMillis("1 day")
const addressee = (name: string): string => letterName.exec(name)?.[1] ?? ""

/** What the store does about messages. */
export interface Mail extends Pick<Encoded, "send" | "receive" | "acknowledge" | "waiting"> {
  /** Removes all that is for a task. */
  readonly discard: (taskId: string) => Effect.Effect<void, TaskIOError>
  /** Removes what processes left that died while they wrote a letter. */
  readonly tidy: Effect.Effect<void>
}

/** The part of the driver that is about messages. The mailbox is read once for all who ask while it is read for others. */
export const make = Effect.fnUntraced(function*(
  { fs, mail: mailbox, path }: Layout
): Effect.fn.Return<Mail, never, Scope.Scope> {
  let sent = 0
  const acknowledge = (ids: ReadonlyArray<string>) =>
    Effect.forEach(ids, (id) => removed(fs, path.join(mailbox, id)), { discard: true })

  /** Oldest first. */
  const all = yield* group.shared(Effect.map(
    Effect.mapError(entries(fs, mailbox), storeError("read the mail", mailbox)),
    (names) => names.filter((name) => letterName.test(name)).sort()
  ))
  const namesOf = (taskId: string, names: ReadonlyArray<string>) =>
    names.filter((name) => name.startsWith(taskId) && addressee(name) === taskId)

  const readLetters = (taskId: string, names: ReadonlyArray<string>) =>
    Effect.forEach(names, (name) =>
      fs.readFileString(path.join(mailbox, name)).pipe(
        Effect.map((message) => Option.some<Letter>({ id: name, message })),
        Effect.catchIf(isNotFound, () => Effect.succeed(Option.none<Letter>())),
        Effect.mapError(storeError("read the mail", path.join(mailbox, name), taskId))
      )).pipe(Effect.map(Arr.getSomes))

  const receive = yield* group.whileBusy<string, ReadonlyArray<Letter>, TaskIOError>({
    limit: 16,
    together: (taskIds) =>
      Effect.flatMap(all, (names) =>
        Effect.forEach(
          taskIds,
          (taskId) => Effect.exit(readLetters(taskId, namesOf(taskId, names))),
          { concurrency: "unbounded" }
        ))
  })

  return {
    send: Effect.fnUntraced(function*(taskId, message) {
      const time = String(yield* Clock.currentTimeMillis).padStart(15, "0")
      // Of what this engine sends within a millisecond, the first is the oldest, too.
      const order = (sent++).toString(16).padStart(8, "0")
      const name = path.join(mailbox, `${taskId}.${time}-${order}${yield* nonce}`)
      const draft = `${name}.tmp`
      yield* Effect.scoped(Effect.gen(function*() {
        const handle = yield* fs.open(draft, { flag: "wx" })
        yield* written(handle.writeAll(new TextEncoder().encode(message)))
        yield* handle.sync
        yield* fs.rename(draft, `${name}.json`)
        yield* syncDirectory(fs, mailbox)
      })).pipe(
        Effect.onError(() => Effect.ignore(fs.remove(draft))),
        Effect.mapError(storeError("send a message", mailbox, taskId))
      )
    }),
    receive,
    acknowledge: (_, ids) => acknowledge(ids),
    waiting: Effect.map(all, (names) => [...new Set(names.map(addressee))]),
    discard: (taskId) => Effect.flatMap(all, (names) => acknowledge(namesOf(taskId, names))),
    tidy: Effect.ignore(Effect.gen(function*() {
      const oldest = (yield* Clock.currentTimeMillis) - draftAge
      const old = (yield* entries(fs, mailbox)).filter((name) => Number(draftName.exec(name)?.[1]) < oldest)
      yield* acknowledge(old)
    }))
  }
})
