import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect } from "effect"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"
import { taskIOContract } from "./contract.ts"

taskIOContract("memory", (use) => Effect.scoped(Effect.flatMap(MemoryDriver.make, use)))

taskIOContract("files", (use) =>
  Effect.gen(function*() {
    const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
    return yield* Effect.flatMap(FileDriver.make(directory), use)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
