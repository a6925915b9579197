/** A file system that fails or lets something happen in between, where a test says so. */
import { FileSystem } from "@effect/platform"
import { SystemError } from "@effect/platform/Error"
import { Effect } from "effect"

/** What no journal and no lock is prepared for. */
export const failure = new SystemError({
  module: "FileSystem",
  method: "any",
  reason: "Unknown",
  description: "EMFILE: too many open files"
})

/** Has an effect see a file system that is changed. */
export const shaky = (change: (fs: FileSystem.FileSystem) => Partial<FileSystem.FileSystem>) =>
<A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | FileSystem.FileSystem> =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => Effect.provideService(self, FileSystem.FileSystem, { ...fs, ...change(fs) })
  )
