import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { DateTime, Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { program } from "../support/program.ts"
import * as Ledger from "./ledger.ts"

const worker = program(new URL("moments.ts", import.meta.url))

interface Started {
  readonly child: ChildProcess
  readonly pid: number
  readonly exited: Effect.Effect<number | null>
}

const start = (directory: string, moment: string, nth = 0): Started => {
  const child = spawn(process.execPath, [worker, directory, moment, String(nth)], {
    stdio: ["ignore", "ignore", "inherit"]
  })
  return {
    child,
    pid: child.pid ?? 0,
    exited: Effect.async((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) resume(Effect.succeed(child.exitCode))
      else child.once("exit", (code) => resume(Effect.succeed(code)))
    })
  }
}

/** Waits until something is the case, however long it takes. */
const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.delay(until(condition), "5 millis"))

const noted = (directory: string, entry: Ledger.Entry["entry"], count = 1) => () =>
  Ledger.read(`${directory}/ledger`).filter((line) => line.entry === entry).length >= count

const storyOf = (directory: string): ReadonlyArray<string> =>
  Ledger.read(`${directory}/ledger`).filter(({ entry }) => entry !== "released").map(({ entry, stage }) =>
    `${entry} ${stage}`
  )

const journalsOf = (directory: string) =>
  fs.readdirSync(`${directory}/tasks`).toSorted().map((name) =>
    `${name} ${fs.readFileSync(`${directory}/tasks/${name}`, "utf8")}`
  )

const get = (directory: string) =>
  Effect.provide(
    CheckMateEngine.get("t"),
    Layer.provide(CheckMateEngine.layerFileSystem(directory), NodeContext.layer)
  )

const endOf = (directory: string, { pid }: Started): string => fs.readFileSync(`${directory}/end-${pid}`, "utf8")

const inDirectory = <A, E>(use: (directory: string) => Effect.Effect<A, E>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.scoped,
    Effect.provide(NodeContext.layer)
  )

describe("signals at chosen moments", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.live(
      `${signal} while a task waits for a retry ends it at once, and it waits on for what is left`,
      () =>
        inDirectory((directory) =>
          Effect.gen(function*() {
            const first = start(directory, "backoff")
            yield* until(noted(directory, "undo"))
            first.child.kill(signal)
            yield* first.exited
            const before = yield* get(directory)
            const second = start(directory, "backoff")
            yield* until(() => fs.existsSync(`${directory}/tasks/t.2.ndjson`))
            second.child.kill(signal)
            yield* second.exited
            const after = yield* get(directory)
            const due = (view: typeof after) =>
              view.stages.map(({ status }) => status).find(({ _tag }) => _tag === "Waiting")
            expect(due(before)).toMatchObject({ _tag: "Waiting" })
            expect(due(after)).toEqual(due(before))
            expect(storyOf(directory)).toEqual(["run one", "ran one", "run two", "undoing two", "undo two"])
            expect(DateTime.distance(after.task.createdAt, after.task.updatedAt)).toBeLessThan(3_000_000)
            expect(fs.readdirSync(`${directory}/locks`)).toEqual([])
          })
        ),
      300_000
    )

    it.live(
      `${signal} in the middle of a rollback: what is being undone is, and the rest with the next process`,
      () =>
        inDirectory((directory) =>
          Effect.gen(function*() {
            const first = start(directory, "rollback")
            // Stage three failed and was undone; the next undoing is that of stage two.
            yield* until(noted(directory, "undoing", 2))
            first.child.kill(signal)
            yield* first.exited
            expect(fs.readdirSync(`${directory}/locks`)).toEqual([])
            yield* start(directory, "rollback").exited
            const story = storyOf(directory)
            expect(story.slice(0, 5)).toEqual(["run one", "ran one", "run two", "ran two", "run three"])
            expect(story.slice(5)).toEqual(
              ["three", "two", "one"].flatMap((stage) => [`undoing ${stage}`, `undo ${stage}`])
            )
            expect((yield* get(directory)).task.status._tag).toBe("RolledBack")
          })
        ),
      300_000
    )
  }

  it.live(
    "frozen with SIGSTOP while another process takes over and finishes, it is interrupted when it wakes",
    () =>
      inDirectory((directory) =>
        Effect.gen(function*() {
          const frozen = start(directory, "stage")
          yield* until(noted(directory, "run", 2))
          frozen.child.kill("SIGSTOP")
          // One that comes before the lease is over finds the task bound.
          const takeOver = Effect.suspend(() => {
            const other = start(directory, "quick")
            return Effect.map(other.exited, (code) => [code, endOf(directory, other)])
          })
          expect(yield* Effect.repeat(takeOver, { until: ([, end]) => end !== "TaskBoundError" })).toEqual([
            0,
            "count 3"
          ])
          const journals = journalsOf(directory)
          frozen.child.kill("SIGCONT")
          yield* frozen.exited
          expect(endOf(directory, frozen)).toBe("BindingLostError")
          expect(journalsOf(directory)).toEqual(journals)
          const tail = Ledger.read(`${directory}/ledger`).filter(({ pid }) => pid === frozen.pid).map((
            { entry, stage }
          ) => `${entry} ${stage}`)
          // The finalizers of its stage ran, and it rolled nothing back.
          expect(tail).toEqual(["run one", "ran one", "released one", "run two", "released two"])
          expect(fs.readdirSync(`${directory}/locks`)).toEqual([])
        })
      ),
    300_000
  )

  it.live(
    "a stale writer is refused by the journal itself, also where no lock tells it anything",
    () =>
      inDirectory((directory) =>
        Effect.gen(function*() {
          const frozen = start(directory, "gate")
          yield* until(noted(directory, "run", 2))
          frozen.child.kill("SIGSTOP")
          expect(yield* start(directory, "quick").exited).toBe(0)
          const journals = journalsOf(directory)
          fs.writeFileSync(`${directory}/go`, "")
          frozen.child.kill("SIGCONT")
          yield* frozen.exited
          expect(endOf(directory, frozen)).toBe("StaleWriterError")
          // What it wrote does not count: not for the fold, nor for the summaries.
          const { state, task } = yield* get(directory)
          expect([task.status._tag, state["count"], task.position]).toEqual([
            "Succeeded",
            3,
            (yield* get(directory)).history.length
          ])
          expect(journalsOf(directory).filter((text) => text.startsWith("t.2"))).toEqual(
            journals.filter((text) => text.startsWith("t.2"))
          )
        })
      ),
    300_000
  )

  it.live(
    "a file that may not grow further ends the task in a typed error, and it goes on once there is room",
    () =>
      inDirectory((directory) =>
        Effect.gen(function*() {
          // Blocks of 512 or 1024 bytes, by the shell; less than the journal needs.
          const command = `trap '' XFSZ; ulimit -f 3; exec "$0" "$1" "$2" quick`
          const child = spawn("sh", ["-c", command, process.execPath, worker, directory], {
            stdio: ["ignore", "ignore", "inherit"]
          })
          yield* Effect.async<void>((resume) => {
            child.once("exit", () => resume(Effect.void))
          })
          expect(fs.readFileSync(`${directory}/end-${child.pid}`, "utf8")).toBe("TaskIOError")
          expect((yield* get(directory)).task.status._tag).toBe("Running")
          const second = start(directory, "quick")
          expect(yield* second.exited).toBe(0)
          expect(endOf(directory, second)).toBe("count 3")
          expect(Ledger.judge(Ledger.read(`${directory}/ledger`), new Set())).toEqual({ violations: [], tails: 0 })
        })
      ),
    300_000
  )

  it.live(
    "SIGKILL before and after every write to the journal: the next process comes to the same end",
    () =>
      Effect.forEach(
        Array.from({ length: 9 }, (_, index) => index + 1),
        (fatal) =>
          inDirectory((directory) =>
            Effect.gen(function*() {
              const first = start(directory, "writes", fatal)
              yield* first.exited
              const killed = first.child.signalCode === "SIGKILL"
              const second = start(directory, "quick")
              expect(yield* second.exited).toBe(0)
              expect(endOf(directory, second)).toBe("count 3")
              const verdict = Ledger.judge(Ledger.read(`${directory}/ledger`), new Set())
              expect(verdict).toEqual({ violations: [], tails: 0 })
              return killed
            })
          ),
        { concurrency: 2 }
      ).pipe(
        // Four appends, with two moments each; the ninth never comes.
        Effect.map((killed) => expect(killed).toEqual(Array.from({ length: 9 }, (_, index) => index < 8)))
      ),
    300_000
  )
})
