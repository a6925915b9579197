/** Writers of one journal whose operations on its files mix. */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import * as LocalDisk from "effect-checkmate/LocalDisk"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as Interleaved from "../support/interleaved.ts"
import { describeMixes, type Name, names, type Setting } from "../support/mixedJournals.ts"

const onDisk = Layer.merge(Layer.provide(LocalDisk.layer, NodeContext.layer), Path.layer)

const setting = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const files = Interleaved.make(fs, directory, names)
  const driver = (name: Name) =>
    Effect.provideService(FileDriver.make(directory), FileSystem.FileSystem, files.view(name))
  const made: Setting = {
    players: files,
    drivers: { a: yield* driver("a"), b: yield* driver("b"), c: yield* driver("c") },
    fresh: yield* FileDriver.make(directory),
    leftovers: fs.readDirectory(`${directory}/tasks`),
    refusesClaims: false,
    // One that is refused may have been seen before it did not count.
    showsRefused: true
  }
  return made
})

describeMixes("on files", Effect.provide(setting, onDisk), 40, undefined, false)
