/**
 * A process that is at a chosen moment when a signal reaches it. `moment` is what it does:
 *
 *  - `backoff`   waits an hour for the second attempt
 *  - `rollback`  rolls back two stages, each of which takes a while
 *  - `stage`     is in the middle of a stage, for an hour
 *  - `gate`      is in the middle of a stage until a file called `go` is there; knows no lock but its own
 *  - `quick`     the same task, run to its end
 *  - `writes`    kills itself before or after its nth write to a journal
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Schedule, Schema } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, TaskIO } from "effect-checkmate"
import * as fs from "node:fs"
import { note } from "./ledger.ts"

const [, , directory = "", moment = "", nth = "0"] = process.argv
const ledger = `${directory}/ledger`

const Count = State.make({ count: Schema.Int })

const stage = (name: string, work: Effect.Effect<void, string>, undo: Effect.Effect<void> = Effect.void) =>
  Stage.make(Count, name, {
    requires: ["count"],
    provides: ["count"],
    ...(moment === "backoff" ? { retry: Schedule.intersect(Schedule.spaced("1 hour"), Schedule.recurs(3)) } : {}),
    execute: ({ count }) =>
      Effect.gen(function*() {
        yield* Effect.addFinalizer(() => note(ledger, "released"))
        yield* note(ledger, "run")
        yield* work
        yield* note(ledger, "ran")
        return { count: count + 1 }
      }),
    rollback: () => note(ledger, "undoing").pipe(Effect.zipRight(undo), Effect.zipRight(note(ledger, "undo")))
  })

const opened: Effect.Effect<void> = Effect.suspend(() =>
  fs.existsSync(`${directory}/go`) ? Effect.void : Effect.delay(opened, "5 millis")
)

const middle: Record<string, Effect.Effect<void, string>> = {
  backoff: Effect.fail("not yet"),
  rollback: Effect.void,
  stage: Effect.sleep("1 hour"),
  gate: opened
}

const definition = CheckMate.make("moments", {
  state: Count,
  input: ["count"],
  onFailure: moment === "rollback" ? "rollback" : "halt",
  stages: [
    stage("one", Effect.void, Effect.sleep("100 millis")),
    stage("two", middle[moment] ?? Effect.void, Effect.sleep("100 millis")),
    stage("three", moment === "rollback" ? Effect.fail("too bad") : Effect.void)
  ]
})

/** A disk on which the process dies before (odd) or after (even) one of its writes to a journal. */
const deadly = (fatal: number) => {
  let writes = 0
  const die = Effect.sync(() => process.kill(process.pid, "SIGKILL"))
  return Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (real): FileSystem.FileSystem => ({
      ...real,
      open: (path, options) =>
        Effect.map(real.open(path, options), (file): FileSystem.File =>
          !path.endsWith(".ndjson") ? file : {
            [FileSystem.FileTypeId]: FileSystem.FileTypeId,
            fd: file.fd,
            stat: file.stat,
            seek: (offset, from) => file.seek(offset, from),
            sync: file.sync,
            read: (buffer) => file.read(buffer),
            readAlloc: (size) => file.readAlloc(size),
            truncate: (length) => file.truncate(length),
            write: (buffer) => file.write(buffer),
            writeAll: (buffer) =>
              Effect.suspend(() => {
                writes += 1
                if (fatal === writes * 2 - 1) return Effect.zipRight(die, Effect.never)
                const write = file.writeAll(buffer)
                return fatal === writes * 2 ? Effect.zipRight(write, Effect.zipRight(die, Effect.never)) : write
              })
          })
    }))
  )
}

const platform = moment === "writes"
  ? Layer.provideMerge(deadly(Number(nth)), NodeContext.layer)
  : NodeContext.layer

const engine = moment === "gate"
  ? Layer.provide(CheckMateEngine.layer, Layer.merge(TaskIO.layerFileSystem(directory), BindLock.layerMemory))
  : CheckMateEngine.layerFileSystem(directory, { lease: "1 second" })

CheckMateEngine.run(definition, { taskId: "t", input: { count: 0 } }).pipe(
  Effect.map(({ count }) => `count ${count}`),
  Effect.catchAll((error) => Effect.succeed(typeof error === "string" ? error : error._tag)),
  Effect.tap((end) => Effect.sync(() => fs.writeFileSync(`${directory}/end-${process.pid}`, end))),
  Effect.provide(Layer.provide(engine, platform)),
  NodeRuntime.runMain
)
