/** What stores do that no server does when it is asked to. These need no server. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Option, Redacted, Stream } from "effect"
import { type TaskIO } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { seal } from "../../src/s3/envelope.ts"
import { summaryOf } from "../support/summary.ts"
import { credentials, make, options, refusal } from "./madeUpStore.ts"

const summary = summaryOf("t")

/** Claims a task's journal and appends a record behind those that are there. */
const append = (driver: TaskIO.Encoded, taskId: string, record: string, changes: Partial<TaskIO.EncodedSummary> = {}) =>
  Effect.scoped(
    Effect.flatMap(
      driver.open(taskId),
      ({ append, records }) => append(records.length, [record], { ...summary, taskId, ...changes })
    )
  )

const listed = (driver: TaskIO.Encoded) =>
  Effect.map(
    Stream.runCollect(driver.list({})),
    (found) => Chunk.toReadonlyArray(found).map(({ status, taskId }) => `${taskId} ${status}`).toSorted()
  )

describe("S3: an endpoint", () => {
  it.effect("that is no http or https URL is told at once, and how to give it", () =>
    Effect.gen(function*() {
      for (const endpoint of ["localhost:9000", "ftp://localhost", "127.0.0.1:9000", ""]) {
        const error = yield* Effect.flip(Effect.provide(S3.makeTaskIO({ ...options, endpoint }), make().layer))
        expect([endpoint, error]).toMatchObject([endpoint, {
          _tag: "TaskIOError",
          problem: "its endpoint is no http or https URL. Give it as https://host:port"
        }])
      }
    }))
})
