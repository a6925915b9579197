import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { fight } from "./fight.ts"

describe("processes that fight over 50 tasks", () => {
  for (const [processes, store] of [[2, "files"], [4, "files"], [3, "disk"]] as const) {
    it.live(
      `${processes} of them, on ${store}, killed and frozen at random: every task once, to its end, and nothing twice`,
      () =>
        Effect.gen(function*() {
          const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
          const seed = `fight of ${processes}`
          const report = yield* fight(directory, { processes, tasks: 50, seed, every: 120, store })
          expect(report.violations).toEqual([])
          expect(report.kills + report.freezes).toBeGreaterThan(0)
          expect(report.takeovers).toBeGreaterThan(0)
        }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
      300_000
    )
  }
})
