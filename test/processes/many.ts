/** Runs 10,000 tasks through one engine, 64 at a time, and writes what is left of them: heap, handles, fibers, locks. */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema, Supervisor } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import * as fs from "node:fs"

const [, , directory = "", count = "10000"] = process.argv
const tasks = Number(count)

const Count = State.make({ count: Schema.Int })
const definition = CheckMate.make("many", {
  state: Count,
  input: ["count"],
  stages: ["one", "two"].map((name) =>
    Stage.make(Count, name, {
      requires: ["count"],
      provides: ["count"],
      execute: ({ count }) => Effect.succeed({ count: count + 1 })
    })
  )
})

const handles = Effect.sync(() => fs.existsSync("/proc/self/fd") ? fs.readdirSync("/proc/self/fd").length : 0)

/** The heap in use after a collection of garbage, in bytes. */
const heap = Effect.sync(() => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
})

const runSome = (from: number, to: number) =>
  Effect.forEach(
    Array.from({ length: to - from }, (_, index) => from + index),
    (number) => CheckMateEngine.run(definition, { taskId: `task-${number}`, input: { count: number } }),
    { concurrency: 64, discard: true }
  )

const program = Effect.gen(function*() {
  const fibers = yield* Supervisor.track
  yield* runSome(0, tasks / 10)
  const before = { heap: yield* heap, handles: yield* handles }
  yield* Effect.supervised(runSome(tasks / 10, tasks), fibers)
  const left = (yield* fibers.value).length
  const after = { heap: yield* heap, handles: yield* handles }
  const locks = fs.readdirSync(`${directory}/locks`).filter((name) => !name.endsWith(".engine"))
  yield* Console.log(JSON.stringify({ before, after, fibers: left, locks: locks.length }))
})

program.pipe(
  Effect.provide(Layer.provide(CheckMateEngine.layerFileSystem(directory), NodeContext.layer)),
  NodeRuntime.runMain
)
