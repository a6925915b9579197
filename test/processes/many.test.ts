import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { program } from "../support/program.ts"

const worker = program(new URL("many.ts", import.meta.url))

const Left = Schema.Struct({ heap: Schema.Number, handles: Schema.Number })
const Report = Schema.parseJson(
  Schema.Struct({ before: Left, after: Left, fibers: Schema.Number, locks: Schema.Number })
)

describe("many tasks", () => {
  it.live(
    "10,000 tasks in one engine, 64 at a time, leave no heap, handles, fibers or locks behind",
    () =>
      Effect.gen(function*() {
        const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(process.execPath, ["--expose-gc", worker, directory, "10000"])
        )
        const report = yield* Schema.decode(Report)(stdout)
        expect([report.fibers, report.locks]).toEqual([0, 0])
        expect(report.after.handles).toBe(report.before.handles)
        // In bytes, for the last 9,000 of them: a leak of half a kilobyte a task would be more.
        expect(report.after.heap - report.before.heap).toBeLessThan(4_500_000)
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
    300_000
  )
})
