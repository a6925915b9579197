import { FileSystem } from "@effect/platform"
import { Effect } from "effect"
import * as FileLock from "effect-checkmate/BindLock/FileSystem"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import { BindLockContract } from "effect-checkmate/testing"
import { describeContract } from "effect-checkmate/testing/vitest"
import { platforms } from "../support/platforms.ts"

describeContract(
  "BindLock contract: memory",
  BindLockContract.rules,
  (use) => Effect.scoped(Effect.flatMap(MemoryLock.make, (lock) => use({ one: lock, other: lock, leftovers: none }))),
  { lacks: ["leftovers"] }
)

for (const [title, platform] of platforms) {
  describeContract(`BindLock contract: ${title}`, BindLockContract.rules, (use) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const one = yield* FileLock.make(directory)
      const other = yield* FileLock.make(directory)
      const leftovers = Effect.orDie(
        Effect.map(fs.readDirectory(`${directory}/locks`), (names) => names.filter((name) => !name.endsWith(".engine")))
      )
      return yield* use({ one, other, leftovers })
    }).pipe(Effect.scoped, Effect.provide(platform)))
}

const none = Effect.succeed([])
