/**
 * Messages for whoever runs a task.
 *
 * ```text
 * <prefix>mail/<task id>/<time>-<count>-<nonce>   one message
 * ```
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TaskIOError } from "../CheckMateError.ts"
import { nonce } from "../internal/nonce.ts"
import type { Encoded } from "../TaskIO/Encoded.ts"
import { atOnce, type Client } from "./client.ts"
import { toTaskIOError } from "./failure.ts"

/** What is called otherwise was put there by others, as the mark of a folder is. */
const letterName = /^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/

const nameFrom = (prefix: string) => (key: string): string => key.slice(prefix.length)

export const make = (
  client: Client
): Pick<Encoded, "send" | "receive" | "acknowledge" | "waiting"> & {
  readonly discard: (taskId: string) => Effect.Effect<void, TaskIOError>
} => {
  const all = `${client.prefix}mail/`
  const folderOf = (taskId: string): string => `${all}${taskId}/`
  let sent = 0

  const remove = (operation: string, taskId: string, keys: ReadonlyArray<string>) =>
    Effect.mapError(client.removeAll(keys), toTaskIOError(operation, taskId))

  const keysOf = (operation: string, taskId: string) =>
    Effect.map(
      Effect.mapError(client.list(folderOf(taskId)), toTaskIOError(operation, taskId)),
      ({ entries }) => entries.map(({ key }) => key)
    )

  return {
    send: Effect.fnUntraced(function*(taskId, message) {
      const operation = "send a message"
      const time = (yield* Clock.currentTimeMillis).toString(16).padStart(12, "0")
      // Within a millisecond, and where a clock stands still.
      const count = (sent++ % 0x1_0000_0000).toString(16).padStart(8, "0")
      const key = `${folderOf(taskId)}${time}-${count}-${yield* nonce}`
      const outcome = yield* Effect.mapError(client.put(key, message, "absent"), toTaskIOError(operation, taskId))
      if (outcome._tag === "Written") return
      return yield* new TaskIOError({
        operation,
        taskId,
        location: client.location(key),
        problem: "another message has its name"
      })
    }),
    receive: Effect.fnUntraced(function*(taskId) {
      const operation = "read messages"
      const keys = (yield* keysOf(operation, taskId))
        .filter((key) => letterName.test(nameFrom(folderOf(taskId))(key)))
        .toSorted()
      const letters = yield* Effect.forEach(
        keys,
        (key) =>
          Effect.map(
            Effect.mapError(client.get(key), toTaskIOError(operation, taskId)),
            Option.map(({ content }) => ({ id: nameFrom(folderOf(taskId))(key), message: content }))
          ),
        { concurrency: atOnce }
      )
      return letters.flatMap((letter) => Option.toArray(letter))
    }),
    acknowledge: (taskId, ids) => remove("acknowledge messages", taskId, ids.map((id) => `${folderOf(taskId)}${id}`)),
    waiting: Effect.map(
      Effect.mapError(client.list(all, { folders: true }), toTaskIOError("look for messages")),
      ({ folders }) => folders.map((folder) => nameFrom(all)(folder).replace(/\/$/, ""))
    ),
    discard: (taskId) =>
      Effect.flatMap(keysOf("remove the task", taskId), (keys) => remove("remove the task", taskId, keys))
  }
}
