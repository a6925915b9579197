/** Explores every cut and pair of cuts of a task of five stages, and prints how many of them, and of processes, a second. */
import { Effect } from "effect"
import { Crashes } from "effect-checkmate/testing"
import { performance } from "node:perf_hooks"
import { median, pipeline } from "./support.ts"

const explore = Crashes.explore(pipeline(5), { input: {} })
const cuts: Array<number> = []
const processes: Array<number> = []
// The first ones warm the compiler up.
for (let round = 0; round < 30; round++) {
  const start = performance.now()
  const report = await Effect.runPromise(explore)
  const seconds = (performance.now() - start) / 1000
  if (round < 10) continue
  cuts.push(report.cuts / seconds)
  processes.push((report.cuts + report.runs) / seconds)
}
console.log(JSON.stringify({ cuts: median(cuts), processes: median(processes) }))
