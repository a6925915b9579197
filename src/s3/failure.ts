/** What can go wrong between us and an S3 store, before it is told as a store's or a lock's error. */

import * as Data from "effect/Data"
import { BindLockError, TaskIOError } from "../CheckMateError.ts"

export class S3Failure extends Data.TaggedError("S3Failure")<{
  /** For people: bucket, key, endpoint. */
  readonly location: string
  readonly problem: string
  /**
   * - `passing`      it may be better the next time: no connection, time-outs, 5xx, broken answers
   * - `conflict`     the store was asked for the same key by two at once
   * - `clock`        it finds our clock wrong
   * - `credentials`  it finds them expired, does not know them, or is given a wrong secret
   * - `damaged`      what it holds is not what was written
   * - `lasting`      all else
   */
  readonly kind: "passing" | "conflict" | "clock" | "credentials" | "damaged" | "lasting"
  readonly cause?: unknown
}> {}

export const toTaskIOError = (operation: string, taskId?: string) => (failure: S3Failure): TaskIOError =>
  new TaskIOError({
    operation,
    taskId,
    location: failure.location,
    problem: failure.problem,
    cause: failure.cause
  })

export const toBindLockError = (operation: string, taskId: string) => (failure: S3Failure): BindLockError =>
  new BindLockError({
    operation,
    taskId,
    location: failure.location,
    problem: failure.problem,
    cause: failure.cause
  })
