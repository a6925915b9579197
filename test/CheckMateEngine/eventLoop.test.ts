/** A process is to hear signals and timers also where its store answers at once. */
import { FileSystem } from "@effect/platform"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CheckMate, CheckMateEngine, Stage } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { abc, Ledger, Numbers } from "../support/pipelines.ts"
import { localDisk } from "../support/platforms.ts"

const sqlite = Layer.provide(Sql.layer(), SqliteClient.layer({ filename: ":memory:" }))
const files = Layer.unwrapScoped(
  Effect.map(
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
    (directory) => CheckMateEngine.layerFileSystem(directory)
  )
).pipe(Layer.provide(localDisk))

/** How often something is done, one time after another, until the event loop has turned; a thousand times at most. */
const timesUntilTurn = <E, R>(work: (time: number) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    yield* Stage.yieldToEventLoop
    let turned = false
    let times = 0
    setImmediate(() => {
      turned = true
    })
    yield* Effect.repeat(Effect.suspend(() => work(times++)), { until: () => turned || times === 1_000 })
    return times
  })

const stagesUntilTurn = Effect.gen(function*() {
  let turned = false
  let done = 0
  const stages = Array.from({ length: 500 }, (_, index) =>
    Stage.make(Numbers, `stage-${index}`, {
      execute: () =>
        Effect.sync(() => {
          if (index === 0) {
            setImmediate(() => {
              turned = true
            })
          }
          if (!turned) done += 1
        })
    }))
  yield* CheckMateEngine.run(CheckMate.make("quick", { state: Numbers, input: [], stages }), { input: {} })
  return done
})

const stores: ReadonlyArray<readonly [name: string, engine: Layer.Layer<CheckMateEngine.CheckMateEngine, unknown>]> = [
  ["SQLite", sqlite],
  ["files, by way of LocalDisk", files]
]

describe.each(stores)("on %s", (_, engine) => {
  it.live("a task whose stages are done at once lets the event loop turn", () =>
    Effect.gen(function*() {
      expect(yield* stagesUntilTurn).toBeLessThan(500)
    }).pipe(Effect.provide(engine)))

  it.live("so do tasks that are run, and looked at, one after another", () =>
    Effect.gen(function*() {
      const run = (time: number) => CheckMateEngine.run(abc(new Ledger()), { taskId: `t-${time}`, input: { seed: 1 } })
      expect(yield* timesUntilTurn(run)).toBeLessThan(1_000)
      expect(yield* timesUntilTurn(() => CheckMateEngine.get("t-0"))).toBeLessThan(1_000)
    }).pipe(Effect.provide(engine)))
})
