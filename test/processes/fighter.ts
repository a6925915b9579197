/**
 * One of several processes that want the same tasks: it runs whatever it can get, in an order of its own, until all
 * have succeeded. `errors` is how many of a thousand writes and syncs of the disk fail.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { type PlatformError, SystemError } from "@effect/platform/Error"
import { Effect, Layer, Random } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as fs from "node:fs"
import { cm_factory_chores } from "./chores.ts"
import { storeOf } from "./stores.ts"

const [, , directory = "", tasks = "1", errors = "0", seed = "", store = "files"] = process.argv
const definition = cm_factory_chores(`${directory}/ledger`, 5)

const diskError = (method: string) =>
  new SystemError({ module: "FileSystem", method, reason: "Unknown", description: "ENOSPC: no space left on device" })

/** A disk that refuses a write or a sync now and then. */
const shaky = (rate: number) =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (real): FileSystem.FileSystem => {
      const orFail = <A>(method: string, self: Effect.Effect<A, PlatformError>): Effect.Effect<A, PlatformError> =>
        Effect.flatMap(Random.nextIntBetween(0, 1000), (drawn) => drawn < rate ? Effect.fail(diskError(method)) : self)
      const shakyFile = (file: FileSystem.File): FileSystem.File => ({
        [FileSystem.FileTypeId]: FileSystem.FileTypeId,
        fd: file.fd,
        stat: file.stat,
        seek: (offset, from) => file.seek(offset, from),
        sync: orFail("sync", file.sync),
        read: (buffer) => file.read(buffer),
        readAlloc: (size) => file.readAlloc(size),
        truncate: (length) => file.truncate(length),
        write: (buffer) => file.write(buffer),
        writeAll: (buffer) => orFail("writeAll", file.writeAll(buffer))
      })
      return { ...real, open: (path, options) => Effect.map(real.open(path, options), shakyFile) }
    })
  )

const say = (line: string) => Effect.sync(() => fs.appendFileSync(`${directory}/errors`, `${process.pid} ${line}\n`))

/** Runs a task if it is free; says whether it is done. */
const attempt = (number: number) =>
  CheckMateEngine.run(definition, { taskId: `chore-${number}`, input: { number, total: 0 } }).pipe(
    Effect.as(true),
    Effect.catchAll((error) => {
      const tag = typeof error === "string" ? error : error._tag
      switch (tag) {
        case "TaskBoundError":
          return Effect.succeed(false)
        case "BindingLostError":
        case "StaleWriterError":
        case "TaskIOError":
        case "BindLockError":
          return Effect.as(say(tag), false)
        default:
          return Effect.zipRight(say(typeof error === "string" ? error : `${tag} ${error.message}`), Effect.die(error))
      }
    })
  )

const program = Effect.gen(function*() {
  let open = Array.from({ length: Number(tasks) }, (_, index) => index)
  while (open.length > 0) {
    const shuffled = [...yield* Random.shuffle(open)]
    const done = yield* Effect.forEach(shuffled, attempt, { concurrency: 4 })
    open = shuffled.filter((_, index) => done[index] === false)
    // What is left is another's for the moment.
    if (open.length > 0) yield* Effect.sleep("20 millis")
  }
})

const platform = errors === "0" ? NodeContext.layer : Layer.provideMerge(shaky(Number(errors)), NodeContext.layer)

program.pipe(
  Effect.provide(
    Layer.provide(storeOf(store, directory), platform)
  ),
  // A disk that refuses the engine's own file lets it not even begin.
  Effect.retry({ while: (error) => error._tag === "BindLockError" || error._tag === "TaskIOError" }),
  Effect.withRandom(Random.make(seed)),
  NodeRuntime.runMain
)
