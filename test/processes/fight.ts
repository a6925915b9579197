/**
 * Several real processes fight over the same tasks, while they are killed, frozen and let go on at random, until every
 * task has succeeded; then the ledger and the journals are held against the promises.
 */
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Option, Random } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { program } from "../support/program.ts"
import { expected } from "./chores.ts"
import * as Ledger from "./ledger.ts"
import { isOnFiles, leftoversOn, storeOf } from "./stores.ts"

export interface Options {
  readonly processes: number
  readonly tasks: number
  readonly seed: string
  /** After how many new entries of the ledger something is done to a process. */
  readonly every: number
  /** How many of a thousand writes and syncs fail. */
  readonly errors?: number
  /**
   * As {@link storeOf} has it.
   *
   * @default "files"
   */
  readonly store?: string
}

export interface Report {
  readonly kills: number
  readonly freezes: number
  /** Journals that were claimed anew after their first claim. */
  readonly takeovers: number
  readonly tails: number
  readonly diskErrors: number
  readonly tasks: number
  readonly stages: number
  readonly violations: ReadonlyArray<string>
}

const fighter = program(new URL("fighter.ts", import.meta.url))

const start = (directory: string, options: Options, index: number): ChildProcess => {
  const out = fs.openSync(`${directory}/out`, "a")
  const child = spawn(process.execPath, [
    fighter,
    directory,
    String(options.tasks),
    String(options.errors ?? 0),
    `${options.seed}-${index}`,
    options.store ?? "files"
  ], { stdio: ["ignore", out, "inherit"] })
  fs.closeSync(out)
  return child
}

/** Whether others went on, after an entry, with a task that a process had been at. */
const wasTakenOver = (entries: ReadonlyArray<Ledger.Entry>, from: number, pid: number): boolean => {
  const mine = new Set(entries.slice(0, from).filter((entry) => entry.pid === pid).map(({ task }) => task))
  return entries.slice(from).some((entry) => entry.pid !== pid && mine.has(entry.task))
}

/** After how many looks at a ledger that does not grow whoever is frozen is let go on. */
const stillFor = 300

/** Starts, kills, freezes and lets go on, until all tasks have succeeded and every process has ended by itself. */
const disturb = (directory: string, options: Options) =>
  Effect.gen(function*() {
    const ledger = `${directory}/ledger`
    const running = new Set<ChildProcess>()
    const frozen = new Map<ChildProcess, number>()
    const everFrozen = new Set<number>()
    const counts = { kills: 0, freezes: 0, started: 0 }
    const outcome: { failed?: string } = {}
    const begin = () => {
      const child = start(directory, options, counts.started++)
      running.add(child)
      child.on("exit", (code, signal) => {
        running.delete(child)
        frozen.delete(child)
        if (code !== 0 && signal !== "SIGKILL") outcome.failed = `process ${child.pid} ended with code ${code}`
        // A killed one is started again, as an operator would.
        else if (signal === "SIGKILL") begin()
      })
    }
    const letGoOn = (child: ChildProcess) => {
      frozen.delete(child)
      child.kill("SIGCONT")
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        outcome.failed ??= "stopped"
        for (const child of running) {
          child.removeAllListeners("exit")
          child.kill("SIGKILL")
        }
      })
    )
    for (let index = 0; index < options.processes; index++) begin()
    let next = options.every
    let seen = 0
    let still = 0
    while (running.size > 0 && outcome.failed === undefined) {
      yield* Effect.sleep("10 millis")
      const entries = Ledger.read(ledger)
      const awake = [...running].filter((child) => !frozen.has(child))
      still = entries.length === seen ? still + 1 : 0
      seen = entries.length
      for (const [child, since] of frozen) {
        // One that was frozen in the middle of a write to SQLite holds all others up.
        if (awake.length === 0 || still > stillFor || wasTakenOver(entries, since, child.pid ?? 0)) letGoOn(child)
      }
      if (entries.length < next) continue
      next = entries.length + options.every
      const victim = awake[yield* Random.nextIntBetween(0, Math.max(awake.length, 1))]
      if (victim?.pid === undefined || !entries.some(({ pid }) => pid === victim.pid)) continue
      if (awake.length > 1 && (yield* Random.nextBoolean)) {
        victim.kill("SIGSTOP")
        frozen.set(victim, Ledger.read(ledger).length)
        everFrozen.add(victim.pid)
        counts.freezes += 1
      } else {
        victim.kill("SIGKILL")
        counts.kills += 1
      }
    }
    return { ...counts, everFrozen, failed: outcome.failed }
  }).pipe(Effect.scoped)

/** What the journals say: every task has succeeded with the right result, and nothing is held or left behind. */
const audit = (directory: string, options: Options) => {
  const store = options.store ?? "files"
  return Effect.gen(function*() {
    const problems: Array<string> = []
    for (let number = 0; number < options.tasks; number++) {
      const { holder, state, task } = yield* CheckMateEngine.get(`chore-${number}`)
      if (task.status._tag !== "Succeeded") problems.push(`task ${task.id} is ${task.status._tag}`)
      if (state["total"] !== expected(number)) problems.push(`task ${task.id} came to ${String(state["total"])}`)
      if (Option.isSome(holder)) problems.push(`task ${task.id} is still held by ${holder.value.name}`)
    }
    const found = yield* CheckMateEngine.find({ status: ["Succeeded"] })
    if (found.length !== options.tasks) problems.push(`${found.length} tasks are listed as Succeeded`)
    const takeovers = isOnFiles(store)
      ? fs.readdirSync(`${directory}/tasks`).filter((name) => name.endsWith(".sealed")).length
      : Ledger.takeovers(Ledger.read(`${directory}/ledger`))
    // Takes the locks of killed processes away too.
    yield* CheckMateEngine.clean()
    for (const left of yield* leftoversOn(store, directory)) problems.push(`${left} left behind`)
    return { problems, takeovers }
  }).pipe(Effect.provide(Layer.provide(storeOf(store, directory), NodeContext.layer)))
}

/** One fight in a directory of its own. */
export const fight = (directory: string, options: Options) =>
  Effect.gen(function*() {
    const { everFrozen, failed, freezes, kills } = yield* disturb(directory, options)
    const entries = Ledger.read(`${directory}/ledger`)
    const verdict = Ledger.judge(entries, everFrozen)
    const { problems, takeovers } = failed === undefined
      ? yield* audit(directory, options)
      : { problems: [failed], takeovers: 0 }
    const report: Report = {
      kills,
      freezes,
      takeovers,
      tails: verdict.tails,
      diskErrors: fs.existsSync(`${directory}/errors`)
        ? fs.readFileSync(`${directory}/errors`, "utf8").split("\n").filter((line) => line.includes("TaskIOError"))
          .length
        : 0,
      tasks: options.tasks,
      stages: entries.filter(({ entry }) => entry === "ran").length,
      violations: [...verdict.violations, ...problems]
    }
    return report
  }).pipe(Effect.withRandom(Random.make(options.seed)))
