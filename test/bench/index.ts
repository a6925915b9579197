/**
 * Benchmarks, each against a bare loop in the same run. `npm run bench`. Ratios and shapes are what matters; absolute
 * times are the machine's.
 */
import { Effect } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as os from "node:os"
import { performance } from "node:perf_hooks"
import * as bench from "./support.ts"

const rows: Array<readonly [what: string, figure: string, limit: string]> = []
const row = (what: string, figure: string, limit = "") => {
  rows.push([what, figure, limit])
  console.error(`${what}: ${figure}`)
}
const us = (milliseconds: number) => `${(milliseconds * 1000).toFixed(0)} µs`

const rounds = 5

/** Tasks of ten stages on files, against the bare loop writing the same bytes. */
const files = async (tasks: number, atOnce: number) => {
  const definition = bench.pipeline(10)
  const engine: Array<number> = []
  const bare: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    await bench.withDirectory(async (directory) => {
      engine.push(
        await bench.onFiles(
          directory,
          Effect.gen(function*() {
            yield* CheckMateEngine.run(definition, { taskId: "warm", input: {} })
            const start = performance.now()
            yield* Effect.forEach(
              Array.from({ length: tasks }, (_, index) => `task-${index}`),
              (taskId) => CheckMateEngine.run(definition, { taskId, input: {} }),
              { concurrency: atOnce, discard: true }
            )
            return performance.now() - start
          })
        )
      )
      const batches = await bench.batchesOf(directory, "warm")
      await bench.bareTask(directory, "warm", batches)
      bare.push(
        await bench.time(() =>
          bench.inTurns(tasks, atOnce, (index) => bench.bareTask(directory, `bare-${index}`, batches))
        )
      )
    })
  }
  const ratio = bench.median(engine.map((value, index) => value / bare[index]!))
  const perStage = (values: ReadonlyArray<number>) => bench.median(values) / tasks / 10
  row(
    `files, ${tasks} tasks of 10 stages, ${atOnce} at a time`,
    `${us(perStage(engine))} a stage, bare loop ${us(perStage(bare))}, ratio ${ratio.toFixed(2)}`,
    "1.5"
  )
}

/** Time and processor time for a stage in memory. */
const memory = async () => {
  const definition = bench.pipeline(10)
  const perStage: Array<number> = []
  const cpu: Array<number> = []
  const tasks = 500
  await bench.inMemory(Effect.gen(function*() {
    for (let round = 0; round < rounds + 1; round++) {
      const before = process.cpuUsage()
      const start = performance.now()
      yield* Effect.forEach(
        Array.from({ length: tasks }, (_, index) => `task-${round}-${index}`),
        (taskId) => CheckMateEngine.run(definition, { taskId, input: {} }),
        { discard: true }
      )
      if (round === 0) continue
      perStage.push((performance.now() - start) / tasks / 10)
      const used = process.cpuUsage(before)
      cpu.push((used.user + used.system) / 1000 / tasks / 10)
    }
  }))
  row(
    "memory, tasks of 10 stages",
    `${us(bench.median(perStage))} a stage, ${us(bench.median(cpu))} of processor time`,
    "60 µs"
  )
}

/** Whether a stage costs the same at the end of a long task as at its beginning, and with a state of a megabyte. */

await memory()
await files(100, 1)
await files(1000, 32)
console.log(`\n${os.cpus().length} × ${os.cpus()[0]?.model}, Node ${process.version}`)
console.table(rows)
