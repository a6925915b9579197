import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { fight } from "../processes/fight.ts"
import { postgres } from "../support/postgres.ts"

describe("processes that fight over 30 tasks in a database", () => {
  for (const name of ["sqlite", "postgres"] as const) {
    it.live(
      `${name}: three of them, killed and frozen at random: every task once, to its end, and nothing twice`,
      () =>
        Effect.gen(function*() {
          const directory = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
          const store = name === "sqlite" ? name : `postgres:${(yield* postgres()).port}:checkmate_`
          const report = yield* fight(directory, {
            processes: 3,
            tasks: 30,
            seed: `fight on ${name}`,
            every: 40,
            store
          })
          expect(report.violations).toEqual([])
          expect(report.kills + report.freezes).toBeGreaterThan(0)
          expect(report.takeovers).toBeGreaterThan(0)
        }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
      300_000
    )
  }
})
