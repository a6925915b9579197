/** What replaces functions of Node's file system, which elsewhere reaches no module that has imported them. */
import { FileSystem } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import NFS from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { localDisk } from "./support/platforms.ts"

it.live("LocalDisk writes nothing twice where a direct write breaks off, and the platform's goes on with it", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const file = `${yield* fs.makeTempDirectoryScoped()}/a`
    const handle = yield* fs.open(file, { flag: "ax" })
    const original = NFS.writeSync
    let calls = 0
    /** Five bytes, and then the disk is full for once. */
    const breakingOff = (descriptor: number, buffer: Uint8Array, from: number): number => {
      calls += 1
      if (calls === 2) throw new Error("ENOSPC")
      return original(descriptor, buffer, from, 5)
    }
    yield* Effect.acquireUseRelease(
      Effect.sync(() => {
        Object.assign(NFS, { writeSync: breakingOff })
        syncBuiltinESMExports()
      }),
      () => handle.writeAll(new TextEncoder().encode("one two three")),
      () =>
        Effect.sync(() => {
          Object.assign(NFS, { writeSync: original })
          syncBuiltinESMExports()
        })
    )
    expect([calls, yield* fs.readFileString(file)]).toEqual([2, "one two three"])
  }).pipe(Effect.scoped, Effect.provide(localDisk)))
