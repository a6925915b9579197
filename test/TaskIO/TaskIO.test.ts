import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect } from "effect"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as KeyValueDriver from "effect-checkmate/TaskIO/KeyValueStore"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { TaskIOContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { platforms } from "../support/platforms.ts"

describeContract(
  "TaskIO contract: memory",
  TaskIOContract.rules,
  (use) => Effect.scoped(Effect.flatMap(MemoryDriver.make, use))
)

for (const [name, platform] of platforms) {
  describeContract(
    `TaskIO contract: ${name}`,
    TaskIOContract.rules,
    (use) =>
      Effect.gen(function*() {
        const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
        return yield* Effect.flatMap(FileDriver.make(directory), use)
      }).pipe(Effect.scoped, Effect.provide(platform)),
    { lacks: ["arrivals"] }
  )
}

describeContract(
  "TaskIO contract: a KeyValueStore in memory",
  TaskIOContract.rules,
  (use) => Effect.scoped(Effect.flatMap(KeyValueDriver.make(), use)).pipe(Effect.provide(KeyValueStore.layerMemory))
)

describeContract(
  "TaskIO contract: a KeyValueStore on files",
  TaskIOContract.rules,
  (use) =>
    Effect.gen(function*() {
      const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
      return yield* Effect.flatMap(KeyValueDriver.make(), use).pipe(
        Effect.provide(KeyValueStore.layerFileSystem(directory))
      )
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
)
