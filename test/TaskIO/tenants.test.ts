import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Redacted } from "effect"
import * as Encrypted from "effect-checkmate/TaskIO/Encrypted"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as KeyValueDriver from "effect-checkmate/TaskIO/KeyValueStore"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { TenantContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"

describeContract("Tenants in memory", TenantContract.rules, (use) =>
  Effect.scoped(
    Effect.flatMap(Effect.all([MemoryDriver.make, MemoryDriver.make]), ([one, two]) => use({ one, two }))
  ))

for (const [first, second] of [["one", "two"], ["a", "a/b"], ["a", "a/tasks"]] as const) {
  describeContract(
    `Tenants on files, in ${first} and ${second}`,
    TenantContract.rules,
    (use) =>
      Effect.gen(function*() {
        const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
        const one = yield* FileDriver.make(`${directory}/${first}`)
        const two = yield* FileDriver.make(`${directory}/${second}`)
        return yield* use({ one, two })
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
    { lacks: ["arrivals"] }
  )
}

for (const [first, second] of [["one/", "two/"], ["a", "a/b"], ["a/", "a/b/"], ["", "a"]] as const) {
  describeContract(
    `Tenants in a KeyValueStore, under "${first}" and "${second}"`,
    TenantContract.rules,
    (use) =>
      Effect.gen(function*() {
        const one = yield* KeyValueDriver.make({ prefix: first })
        const two = yield* KeyValueDriver.make({ prefix: second })
        return yield* use({ one, two })
      }).pipe(Effect.scoped, Effect.provide(KeyValueStore.layerMemory))
  )
}

describeContract(
  "Tenants with keys of their own in a KeyValueStore of files",
  TenantContract.rules,
  (use) =>
    Effect.gen(function*() {
      const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
      const tenant = (prefix: string, fill: number) =>
        Effect.flatMap(
          KeyValueDriver.make({ prefix }),
          (io) => Encrypted.make(io, { current: "k", keys: { k: Redacted.make(new Uint8Array(32).fill(fill)) } })
        )
      const made = Effect.all({ one: tenant("a/", 1), two: tenant("a/b/", 2) })
      return yield* Effect.flatMap(Effect.provide(made, KeyValueStore.layerFileSystem(`${directory}/kv`)), use)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
)
