/**
 * Fights for so many minutes, with kills, freezes and disk errors, each with a seed of its own, and reports.
 * `npm run soak -- --minutes N`. Ends with code 1 if a promise was broken.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Option, Random } from "effect"
import { parseArgs } from "node:util"
import { fight, type Report } from "./fight.ts"

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, seed: { type: "string", default: "" } }
})
const minutes = Number(values.minutes)

const nothing: Report = {
  kills: 0,
  freezes: 0,
  takeovers: 0,
  tails: 0,
  diskErrors: 0,
  tasks: 0,
  stages: 0,
  violations: []
}

const add = (left: Report, right: Report): Report => ({
  kills: left.kills + right.kills,
  freezes: left.freezes + right.freezes,
  takeovers: left.takeovers + right.takeovers,
  tails: left.tails + right.tails,
  diskErrors: left.diskErrors + right.diskErrors,
  tasks: left.tasks + right.tasks,
  stages: left.stages + right.stages,
  violations: [...left.violations, ...right.violations]
})

const format = (rounds: number, report: Report): string =>
  `${rounds} fights: ${report.kills} kills, ${report.freezes} freezes, ${report.takeovers} takeovers, `
  + `${report.diskErrors} disk errors, ${report.tasks} tasks, ${report.stages} stages run, `
  + `${report.tails} entries by owners that had been frozen, ${report.violations.length} violations`

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const end = (yield* Clock.currentTimeMillis) + minutes * 60_000
  const base = values.seed === "" ? String(yield* Random.nextIntBetween(0, 1_000_000)) : values.seed
  yield* Console.log(`Fighting for ${minutes} minutes, with seed ${base}`)
  let total = nothing
  let rounds = 0
  while ((yield* Clock.currentTimeMillis) < end) {
    rounds += 1
    const seed = `${base}-${rounds}`
    const report = yield* Effect.scoped(
      Effect.flatMap(fs.makeTempDirectoryScoped(), (directory) =>
        fight(directory, {
          processes: 2 + rounds % 3,
          tasks: 50,
          seed,
          every: 60 + 20 * (rounds % 5),
          errors: rounds % 2 * 5
        }))
    )
    total = add(total, report)
    for (const violation of report.violations) yield* Console.error(`seed ${seed}: ${violation}`)
    if (rounds % 10 === 0) yield* Console.log(format(rounds, total))
  }
  yield* Console.log(format(rounds, total))
  return total.violations.length === 0 ? Option.none() : Option.some(total)
})

program.pipe(
  Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: () => Effect.fail("a promise was broken") })),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
