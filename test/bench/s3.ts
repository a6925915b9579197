/** What tasks in a bucket cost, in requests and time, on a real server; where there is none, a line that says so. */
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { performance } from "node:perf_hooks"
import { freshPrefix, optionsFor, start } from "../support/s3.ts"
import { type Seen, shaky } from "../support/shakyHttp.ts"
import { pipeline } from "./support.ts"

const stages = 1_000

/** Requests that are made for a task, not by the passing of time. */
const forTasks = (seen: ReadonlyArray<Seen>): number =>
  seen.filter(({ path }) =>
    !/\/(?:engine|probe)\/|prefix=[^&]*(?:mail|lock|engine)%2F|prefix=[^&]*(?:mail|lock|engine)\//.test(path)
  )
    .length

const verdict = (met: boolean): string => met ? "met" : "NOT MET"

export const s3 = async (row: (what: string, figure: string, limit?: string) => void): Promise<void> => {
  const running = await start()
  if (typeof running === "string") return row("S3", running)
  try {
    const options = optionsFor(running.server, freshPrefix())
    const with_ = <A, E>(seen: Array<Seen>, program: Effect.Effect<A, E, CheckMateEngine.CheckMateEngine>) =>
      Effect.runPromise(
        Effect.provide(
          program,
          Layer.provide(S3.layer(options), Layer.merge(NodeContext.layer, shaky(() => undefined, seen)))
        )
      )
    const seen: Array<Seen> = []
    const marks: Array<number> = []
    const definition = pipeline(stages, () => marks.push(seen.length), "bench-s3", true)
    const begun = performance.now()
    await with_(seen, Effect.exit(CheckMateEngine.run(definition, { taskId: "long", input: {} })))
    const took = performance.now() - begun
    const steady = forTasks(seen.slice(marks[0], marks.at(-1))) / (marks.length - 1)
    row(
      `S3, requests a stage, one task of ${stages} stages`,
      `${steady.toFixed(3)} (${seen.length} in all, ${(took / stages).toFixed(1)} ms a stage): ${verdict(steady <= 1)}`,
      "1"
    )
    const again: Array<Seen> = []
    let first = 0
    const rest = pipeline(stages, () => {
      first ||= again.length
    }, "bench-s3")
    const resumed = performance.now()
    await with_(again, CheckMateEngine.resume(rest, "long"))
    const requests = again.slice(0, first).filter(({ path }) => !path.includes("/probe/")).length
    row(
      `S3, requests to resume ${stages} stages, until the next one runs`,
      `${requests}, lock and heartbeat included (${(performance.now() - resumed).toFixed(0)} ms): ${
        verdict(requests <= 20)
      }`,
      "20"
    )
    const written = seen.reduce((sum, { bytes }) => sum + bytes, 0)
    row(`S3, written for ${stages} stages of 200 bytes`, `${(written / 1024).toFixed(0)} KiB`)
  } finally {
    await running.stop()
  }
}
