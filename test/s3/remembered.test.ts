/** What a store in a bucket remembers of its lists. This needs no server. */
import { expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Client from "../../src/s3/client.ts"
import * as TaskIO from "../../src/s3/TaskIO.ts"
import { append, make, options } from "./madeUpStore.ts"

it.live("S3: of more summaries than are remembered, as many are not read again, and those of tasks removed make room", () =>
  Effect.gen(function*() {
    let reads = 0
    const store = make(({ key, method }) =>
      Effect.sync(() => {
        if (method === "GET" && key.startsWith("p/task/")) reads++
      })
    )
    const client = yield* Effect.provide(Client.make(options), store.layer)
    const [one, other] = [TaskIO.make(client, 3), TaskIO.make(client)]
    const readsOfList = Effect.gen(function*() {
      reads = 0
      const tasks = yield* Stream.runCount(one.list({}))
      return { tasks, reads }
    })
    const begin = (taskId: string) => append(other, taskId, "1", { status: "Succeeded" })
    yield* Effect.forEach(["a", "b", "c", "d"], begin)
    expect(yield* readsOfList).toEqual({ tasks: 4, reads: 4 })
    expect(yield* readsOfList).toEqual({ tasks: 4, reads: 1 })
    yield* Effect.forEach(["a", "b", "c", "d"], (taskId) => other.remove(taskId))
    yield* Effect.forEach(["e", "f", "g"], begin)
    for (let times = 0; times < 2; times++) yield* readsOfList
    expect(yield* readsOfList).toEqual({ tasks: 3, reads: 0 })
  }))
