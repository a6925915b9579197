/**
 * Benchmarks, each against a bare loop in the same run. `npm run bench`. Ratios and shapes are what matters; absolute
 * times are the machine's.
 */
import { Effect, Option } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { execFileSync } from "node:child_process"
import * as os from "node:os"
import { performance } from "node:perf_hooks"
import { program } from "../support/program.ts"
import { s3 } from "./s3.ts"
import { sql } from "./sql.ts"
import * as bench from "./support.ts"

const rows: Array<readonly [what: string, figure: string, limit: string]> = []
const row = (what: string, figure: string, limit = "") => {
  rows.push([what, figure, limit])
  console.error(`${what}: ${figure}`)
}
const us = (milliseconds: number) => `${(milliseconds * 1000).toFixed(0)} µs`

const rounds = 5

/** Tasks of ten stages on files, against the bare loop writing the same bytes, by way of LocalDisk, and without the lock. */
const files = async (tasks: number, atOnce: number) => {
  const definition = bench.pipeline(10)
  const series = {
    engine: new Array<number>(),
    local: new Array<number>(),
    unlocked: new Array<number>(),
    bare: new Array<number>()
  }
  const runAll = Effect.gen(function*() {
    yield* CheckMateEngine.run(definition, { taskId: "warm", input: {} })
    const start = performance.now()
    yield* Effect.forEach(
      Array.from({ length: tasks }, (_, index) => `task-${index}`),
      (taskId) => CheckMateEngine.run(definition, { taskId, input: {} }),
      { concurrency: atOnce, discard: true }
    )
    return performance.now() - start
  })
  // The first two warm the compiler up, as a process that lives for a while is.
  for (let round = 0; round < rounds + 2; round++) {
    await bench.withDirectory(async (directory) => {
      series.unlocked.push(await bench.onFilesWithoutLock(directory, runAll))
    })
    await bench.withDirectory(async (directory) => {
      series.local.push(await bench.onLocalDisk(directory, runAll))
    })
    await bench.withDirectory(async (directory) => {
      series.engine.push(await bench.onFiles(directory, runAll))
      const batches = await bench.batchesOf(directory, "warm")
      await bench.bareTask(directory, "warm", batches)
      series.bare.push(
        await bench.time(() =>
          bench.inTurns(tasks, atOnce, (index) => bench.bareTask(directory, `bare-${index}`, batches))
        )
      )
    })
  }
  const [bare = [], engine = [], local = [], unlocked = []] = [
    series.bare,
    series.engine,
    series.local,
    series.unlocked
  ].map((all) => all.slice(2))
  const ratio = (values: ReadonlyArray<number>, to: ReadonlyArray<number>) =>
    bench.median(values.map((value, index) => value / to[index]!)).toFixed(2)
  const perStage = (values: ReadonlyArray<number>) => us(bench.median(values) / tasks / 10)
  row(
    `files by way of LocalDisk, ${tasks} tasks of 10 stages, ${atOnce} at a time`,
    `${perStage(local)} a stage, bare loop ${perStage(bare)}, ratio ${ratio(local, bare)}`,
    "1.5"
  )
  row(
    `files, ${tasks} tasks of 10 stages, ${atOnce} at a time`,
    `${perStage(engine)} a stage, bare loop ${perStage(bare)}, ratio ${ratio(engine, bare)}; the lock on files is `
      + `a factor of ${ratio(engine, unlocked)} in that`,
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
    // The first three warm the compiler up.
    for (let round = 0; round < rounds + 3; round++) {
      const before = process.cpuUsage()
      const start = performance.now()
      yield* Effect.forEach(
        Array.from({ length: tasks }, (_, index) => `task-${round}-${index}`),
        (taskId) => CheckMateEngine.run(definition, { taskId, input: {} }),
        { discard: true }
      )
      if (round < 3) continue
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

/** Whether a stage costs the same at the end of a long task as at its beginning. */
const flat = async (count: number) => {
  const ratios: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const marks: Array<number> = []
    const definition = bench.pipeline(count, () => marks.push(performance.now()))
    await bench.inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(bench.pipeline(500), { taskId: "warm", input: {} })
      yield* CheckMateEngine.run(definition, { taskId: "long", input: {} })
    }))
    ratios.push(bench.lastAgainstFirst(marks))
  }
  row(`memory, one task of ${count} stages: last 100 against first 100`, bench.median(ratios).toFixed(2), "1.3")
}

/** The same while the state grows to a megabyte: the journal gets what a stage provides, never the whole state. */
const large = async () => {
  const ratios: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    const marks: Array<number> = []
    const definition = bench.growing(500, 2_000, () => marks.push(performance.now()))
    await bench.inMemory(Effect.gen(function*() {
      yield* CheckMateEngine.run(bench.growing(500, 2_000), { taskId: "warm", input: {} })
      yield* CheckMateEngine.run(definition, { taskId: "large", input: {} })
    }))
    ratios.push(bench.lastAgainstFirst(marks))
  }
  row("memory, state grown to 1 MB over 500 stages: last 100 against first 100", bench.median(ratios).toFixed(2), "1.3")
}

/** Going on with a task of which a thousand stages are done, on files. */
const resume = async () => {
  const times: Array<number> = []
  const done = bench.pipeline(1_000)
  await bench.withDirectory(async (directory) => {
    await bench.onFiles(
      directory,
      Effect.forEach(
        Array.from({ length: rounds + 1 }, (_, index) => `task-${index}`),
        (taskId) =>
          Effect.exit(
            CheckMateEngine.run(bench.pipeline(1_000, undefined, "bench-1000", true), { taskId, input: {} })
          ),
        { discard: true }
      )
    )
    for (let round = 0; round <= rounds; round++) {
      const time = await bench.onFiles(
        directory,
        Effect.gen(function*() {
          const start = performance.now()
          yield* CheckMateEngine.resume(done, `task-${round}`)
          return performance.now() - start
        })
      )
      if (round > 0) times.push(time)
    }
  })
  row("files, resume of a task with 999 of 1,000 stages done", `${bench.median(times).toFixed(0)} ms`, "100 ms")
}

/** Listing ten thousand tasks on files. */
const list = async () => {
  const definition = bench.pipeline(1)
  await bench.withDirectory(async (directory) => {
    await bench.onFiles(
      directory,
      Effect.gen(function*() {
        yield* Effect.forEach(
          Array.from({ length: 10_000 }, (_, index) => `task-${index}`),
          (taskId) => CheckMateEngine.run(definition, { taskId, input: {} }),
          { concurrency: 32, discard: true }
        )
        const start = performance.now()
        const found = yield* CheckMateEngine.find({ status: ["Succeeded"] })
        row(`files, find among ${found.length} tasks`, `${(performance.now() - start).toFixed(0)} ms`)
      })
    )
  })
}

/** How long after kill -9 another engine runs the stage again: from the call of `run` to the stage's first step. */
const takeover = async () => {
  const times: Array<number> = []
  await bench.withDirectory(async (directory) => {
    for (let round = 0; round < 10; round++) {
      await bench.killedInTheMiddle(directory, `round-${round}`, 10)
      await bench.onFiles(
        directory,
        Effect.forEach(Array.from({ length: 10 }, (_, index) => `round-${round}-${index}`), (taskId) => {
          const start = performance.now()
          const definition = bench.recoverable(() => Effect.sync(() => times.push(performance.now() - start)))
          return CheckMateEngine.run(definition, { taskId, input: { count: 0 } })
        })
      )
    }
  })
  row(
    `files, takeover after kill -9, ${times.length} times`,
    `median ${bench.median(times).toFixed(1)} ms, worst ${Math.max(...times).toFixed(1)} ms`
  )
}

/** Resuming at boot all that a killed process was at. */
const boot = async () => {
  const tasks = 1_000
  await bench.withDirectory(async (directory) => {
    await bench.killedInTheMiddle(directory, "boot", tasks)
    await bench.onFiles(
      directory,
      Effect.gen(function*() {
        const start = performance.now()
        const resumed = yield* CheckMateEngine.resumeAll([bench.recoverable(() => Effect.void)], { concurrency: 32 })
        const failed = resumed.filter(({ failure }) => Option.isSome(failure)).length
        row(
          `files, resumeAll of ${resumed.length} tasks of a killed process, 32 at a time`,
          `${((performance.now() - start) / 1000).toFixed(2)} s, ${failed} failed`
        )
      })
    )
  })
}

/** What a crash test of a small pipeline costs, in a process of its own. */
const crashes = () => {
  const explore = program(new URL("crashes.ts", import.meta.url))
  const { cuts, processes } = JSON.parse(execFileSync(process.execPath, [explore], { encoding: "utf8" }))
  const figure = (value: number) => Math.round(value).toLocaleString("en")
  row(
    "crash kit, every cut and pair of cuts of 5 stages in memory",
    `${figure(cuts)} cuts a second, ${figure(processes)} processes run`,
    "thousands"
  )
}

await memory()
crashes()
await flat(1_000)
await flat(10_000)
await large()
await resume()
await files(100, 1)
await files(1000, 32)
await list()
await takeover()
await boot()
await s3(row)
await sql(row)
row("peak memory of this run", `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`)

console.log(
  `\n${new Date().toISOString().slice(0, 10)}, ${os.cpus().length} cores (${
    os.cpus()[0]?.model.trim()
  }), Node ${process.version}\n`
)
console.log("| what | measured | at most |\n| --- | --- | --- |")
for (const cells of rows) console.log(`| ${cells.join(" | ")} |`)
