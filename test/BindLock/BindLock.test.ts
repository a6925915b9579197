import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect } from "effect"
import * as FileLock from "effect-checkmate/BindLock/FileSystem"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import { bindLockContract } from "./contract.ts"

bindLockContract(
  "memory",
  (use) => Effect.scoped(Effect.flatMap(MemoryLock.make, (lock) => use(lock, lock, Effect.succeed([]))))
)

bindLockContract("files", (use) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    const one = yield* FileLock.make(directory)
    const other = yield* FileLock.make(directory)
    const leftovers = Effect.orDie(
      Effect.map(fs.readDirectory(`${directory}/locks`), (names) => names.filter((name) => !name.endsWith(".engine")))
    )
    return yield* use(one, other, leftovers)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
