import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { program } from "../support/program.ts"

const worker = program(new URL("worker.ts", import.meta.url))

const read = (file: string): ReadonlyArray<string> =>
  fs.existsSync(file) ? fs.readFileSync(file, "utf8").trimEnd().split("\n").filter((line) => line !== "") : []

/** Starts a worker, and lets it run until its ledger has so many lines, or to its end; then sends it a signal. */
const runUntil = (directory: string, lines: number, signal: NodeJS.Signals) =>
  Effect.async<number | null>((resume) => {
    const ledger = `${directory}/ledger`
    const child: ChildProcess = spawn(process.execPath, [worker, directory, ledger], {
      stdio: ["ignore", "ignore", "inherit"]
    })
    // Once: a second signal would end the process in the middle of its orderly end.
    const watcher = fs.watch(directory, () => {
      if (!child.killed && read(ledger).length >= lines) child.kill(signal)
    })
    child.on("exit", (code) => {
      watcher.close()
      resume(Effect.succeed(code))
    })
  })

const inDirectory = <A, E>(use: (directory: string) => Effect.Effect<A, E, NodeContext.NodeContext>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

const storyOf = (ledger: ReadonlyArray<string>, stage: number): string =>
  ledger.filter((line) => line.endsWith(` ${stage}`) && !line.startsWith("total")).map((line) => line.split(" ")[0])
    .join()

describe("real processes", () => {
  it.effect(
    "killed with SIGKILL again and again, a task goes on where it was, to the same result",
    () =>
      inDirectory((directory) =>
        Effect.gen(function*() {
          let kills = 0
          for (let lines = 3; lines < 60; lines += 9) {
            const code = yield* runUntil(directory, read(`${directory}/ledger`).length + 7, "SIGKILL")
            if (code === null) kills += 1
          }
          yield* runUntil(directory, Infinity, "SIGKILL")
          const ledger = read(`${directory}/ledger`)
          expect(kills).toBeGreaterThan(2)
          expect(ledger.filter((line) => line.startsWith("total"))).toEqual(["total 190"])
          for (let stage = 0; stage < 20; stage++) {
            // Each run of a stage but its last was cut off, and undone before the next.
            expect(storyOf(ledger, stage)).toMatch(/^(run,(ran,)?(undo,)+|(undo,)+)*run,ran$/)
          }
          const { holder, task } = yield* Effect.provide(
            CheckMateEngine.get("t"),
            CheckMateEngine.layerFileSystem(directory)
          )
          expect([task.status._tag, Option.isNone(holder)]).toEqual(["Succeeded", true])
          expect(fs.readdirSync(`${directory}/locks`).filter((name) => name.endsWith(".lock"))).toEqual([])
        })
      ),
    300_000
  )

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.effect(
      `stopped with ${signal}, it undoes the attempt it was in, and leaves the task resumable`,
      () =>
        inDirectory((directory) =>
          Effect.gen(function*() {
            yield* runUntil(directory, 11, signal)
            const stopped = read(`${directory}/ledger`)
            expect(stopped.filter((line) => line.startsWith("run")).length).toBeLessThan(20)
            const last = stopped.filter((line) => line.startsWith("run")).at(-1)?.split(" ")[1]
            expect(storyOf(stopped, Number(last))).toMatch(/^run,(ran,)?undo$|^run,ran$/)
            expect(fs.readdirSync(`${directory}/locks`)).toEqual([])
            yield* runUntil(directory, Infinity, "SIGKILL")
            const ledger = read(`${directory}/ledger`)
            expect(ledger.at(-1)).toBe("total 190")
            expect(ledger.filter((line) => line === "run 0")).toHaveLength(1)
          })
        ),
      300_000
    )
  }
})
