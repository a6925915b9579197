import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { fight } from "./fight.ts"

describe("processes that fight over 50 tasks", () => {
  for (const processes of [2, 4]) {
    it.live(
      `${processes} of them, killed and frozen at random: every task once, to its end, and nothing twice`,
      () =>
        Effect.gen(function*() {
          const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
          const report = yield* fight(directory, { processes, tasks: 50, seed: `fight of ${processes}`, every: 120 })
          expect(report.violations).toEqual([])
          expect(report.kills + report.freezes).toBeGreaterThan(0)
          expect(report.takeovers).toBeGreaterThan(0)
        }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
      300_000
    )
  }
})
