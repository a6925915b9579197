/** What the benchmarks share: pipelines of trivial stages, timing, and the bare loop they are held against. */
import type { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Logger, LogLevel, Schema } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, TaskIO } from "effect-checkmate"
import * as LocalDisk from "effect-checkmate/LocalDisk"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { performance } from "node:perf_hooks"
import { program } from "../support/program.ts"

/** Without word of each task that goes on after a crash. */
const run = <A, E>(program: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Logger.withMinimumLogLevel(program, LogLevel.Warning))

/** About 200 bytes of output for each stage. */
const payload = "x".repeat(180)

const fields = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`a${index}`, Schema.String]))

/**
 * `count` stages of 200 bytes each over ten attributes, which later stages overwrite. `failLast` makes the last one
 * fail once it is reached.
 */
export const pipeline = (
  count: number,
  mark: () => void = () => undefined,
  name: string = `bench-${count}`,
  failLast = false
) => {
  const state = State.make(fields)
  const stages = Array.from({ length: count }, (_, index) => {
    const attribute = `a${index % 10}`
    return Stage.make(state, `stage-${index}`, {
      provides: [attribute],
      execute: () =>
        Effect.suspend(() => {
          mark()
          return failLast && index === count - 1 ? Effect.fail("last") : Effect.succeed({ [attribute]: payload })
        })
    })
  })
  return CheckMate.make(name, { state, input: [], stages })
}

/** `count` stages that each add an attribute of `size` bytes to the state. */
export const growing = (count: number, size: number, mark: () => void = () => undefined) => {
  const text = "x".repeat(size)
  const state = State.make(
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`a${index}`, Schema.String]))
  )
  const stages = Array.from({ length: count }, (_, index) =>
    Stage.make(state, `stage-${index}`, {
      provides: [`a${index}`],
      execute: () =>
        Effect.sync(() => {
          mark()
          return { [`a${index}`]: text }
        })
    }))
  return CheckMate.make(`growing-${count}`, { state, input: [], stages })
}

const Count = State.make({ count: Schema.Int })

/** Two stages, of which the second does what it is told. */
export const recoverable = (second: () => Effect.Effect<void>) =>
  CheckMate.make("recoverable", {
    state: Count,
    input: ["count"],
    stages: [
      Stage.make(Count, "first", { provides: ["count"], execute: () => Effect.succeed({ count: 1 }) }),
      Stage.make(Count, "second", {
        requires: ["count"],
        provides: ["count"],
        execute: ({ count }) => Effect.as(second(), { count: count + 1 })
      })
    ]
  })

/** Lets another process begin so many tasks, and kills it in the middle of them. */
export const killedInTheMiddle = async (directory: string, prefix: string, count: number): Promise<void> => {
  const held = program(new URL("held.ts", import.meta.url))
  const child = spawn(process.execPath, [held, directory, prefix, String(count)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const exited = once(child, "exit")
  await once(child.stdout, "data")
  child.kill("SIGKILL")
  await exited
}

/** How much longer the last hundred stages took than the first hundred, by their marks. */
export const lastAgainstFirst = (marks: ReadonlyArray<number>): number => {
  const spans = marks.slice(1).map((mark, index) => mark - marks[index]!)
  // Medians, because a collection of garbage falls where it will.
  return median(spans.slice(-100)) / median(spans.slice(0, 100))
}

export const withDirectory = async <A>(use: (directory: string) => Promise<A>): Promise<A> => {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), "checkmate-bench-"))
  try {
    return await use(directory)
  } finally {
    await fs.rm(directory, { recursive: true, force: true })
  }
}

export const inMemory = <A, E>(program: Effect.Effect<A, E, CheckMateEngine.CheckMateEngine>): Promise<A> =>
  run(Effect.provide(program, CheckMateEngine.layerMemory))

const inDirectory = <E>(
  engine: (
    directory: string
  ) => Layer.Layer<CheckMateEngine.CheckMateEngine, E, FileSystem.FileSystem | Path.Path>
) =>
<A, E2>(directory: string, program: Effect.Effect<A, E2, CheckMateEngine.CheckMateEngine>): Promise<A> =>
  run(Effect.provide(program, Layer.provide(engine(directory), NodeContext.layer)))

export const onFiles = inDirectory(CheckMateEngine.layerFileSystem)

/** The same by way of LocalDisk. */
export const onLocalDisk = inDirectory((directory) =>
  Layer.provide(CheckMateEngine.layerFileSystem(directory), LocalDisk.layer)
)

/** The same journals, held by a lock in memory: what the lock on files costs is the difference. */
export const onFilesWithoutLock = inDirectory((directory) =>
  Layer.provide(CheckMateEngine.layer, Layer.merge(TaskIO.layerFileSystem(directory), BindLock.layerMemory))
)

export const time = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}

export const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

/** The appends of a task's journal, batch by batch, as they were written. */
export const batchesOf = async (directory: string, taskId: string): Promise<ReadonlyArray<Buffer>> => {
  const text = await fs.readFile(path.join(directory, "tasks", `${taskId}.1.ndjson`), "utf8")
  const batches: Array<Buffer> = []
  let batch = ""
  for (const line of text.split(/(?<=\n)/)) {
    batch += line
    if (line.includes(`,"end":`)) {
      batches.push(Buffer.from(batch))
      batch = ""
    }
  }
  return batches
}

/** Appends the batches to a new file, each with a sync: what nobody who wants durable steps can do without. */
export const bareTask = async (directory: string, name: string, batches: ReadonlyArray<Buffer>): Promise<void> => {
  const file = await fs.open(path.join(directory, name), "ax")
  for (const batch of batches) {
    await file.write(batch)
    await file.datasync()
  }
  await file.close()
}

export const inTurns = async (count: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> => {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < count) await work(next++)
  }))
}
