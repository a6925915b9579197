/**
 * Tasks in an S3-compatible store: journals and locks as objects in a bucket, by Effect's HttpClient. What makes it safe
 * is done by the store: an object is created only where nothing was (`If-None-Match`), and replaced only where it is still
 * what was read (`If-Match`). A store that ignores such conditions is found out when the layer is built, and refused.
 *
 * ```ts
 * import { NodeContext, NodeHttpClient } from "@effect/platform-node"
 * import * as S3 from "effect-checkmate/s3"
 *
 * const engine = S3.layer({ bucket: "jobs", prefix: "ingest/", region: "eu-central-1" })
 *
 * program.pipe(
 *   Effect.provide(engine),
 *   Effect.provide(Layer.merge(NodeContext.layer, NodeHttpClient.layerUndici))
 * )
 * ```
 *
 * What it costs: a stage is one request, and so is each look for messages (see the engine's `pollInterval`). A task's
 * first append and the one with which it comes to rest are two. Going on with a task reads about log2 of its appends.
 * While tasks are held, an engine makes two requests five times in a lease. A list reads one small object for each task
 * that it has not read before, and two or three for each that runs. Removing a task removes an object for each append,
 * some hundred in a request where the store can do that, and leaves one of about 200 bytes, and one more for each time it
 * was taken over, by which a writer that was frozen all that time is still refused. Going on with a task makes one small
 * request to see that its claim stands.
 *
 * Needs the package `aws4fetch`.
 *
 * @since 0.1.0
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as BindLock from "./BindLock.ts"
import * as CheckMateEngine from "./CheckMateEngine.ts"
import { type TaskIOError, UnfitStoreError } from "./CheckMateError.ts"
import * as lock from "./s3/BindLock.ts"
import * as client from "./s3/client.ts"
import { toTaskIOError } from "./s3/failure.ts"
import { fromEnvironment, type S3Options } from "./s3/Options.ts"
import { probe } from "./s3/probe.ts"
import * as store from "./s3/TaskIO.ts"
import * as TaskIO from "./TaskIO.ts"
import type { Encoded } from "./TaskIO/Encoded.ts"

export type { LeaseOptions } from "./s3/BindLock.ts"
export { type Credentials, credentialsFromEnvironment, fromEnvironment, type S3Options } from "./s3/Options.ts"

const connect = (options: S3Options): Effect.Effect<
  client.Client,
  TaskIOError | UnfitStoreError,
  HttpClient.HttpClient
> =>
  Effect.zipRight(
    checkPrefix(options),
    client.make(options).pipe(
      Effect.mapError(toTaskIOError("be reached")),
      Effect.tap((connected) => probe(connected, options.unquotedETags === true))
    )
  )

/** Half of a surrogate pair, which no address can hold. */
const half = /\p{Surrogate}/u

/** Addresses are put straight before they are asked for, so that what is written under such a prefix is never listed. */
const checkPrefix = ({ bucket, prefix = "" }: S3Options): Effect.Effect<void, UnfitStoreError> => {
  const unfit = (problem: string, advice: string) =>
    Effect.fail(new UnfitStoreError({ location: `${bucket}/${prefix}`, problem, advice }))
  return prefix.split("/").some((part) => part === "." || part === "..")
    ? unfit(`the prefix "${prefix}" has a part that is "." or ".."`, "Give a prefix without them")
    : half.test(bucket) || half.test(prefix)
    ? unfit("its name or the prefix is no Unicode text", "Give one that is not cut in the middle of a character")
    : Effect.void
}

/**
 * The driver over a bucket, for what takes a driver. The store is tried out first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeTaskIO = (
  options: S3Options
): Effect.Effect<Encoded, TaskIOError | UnfitStoreError, HttpClient.HttpClient> =>
  Effect.map(connect(options), store.make)

/**
 * The lock over a bucket, for what takes a driver. The store is tried out first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeBindLock = (
  options: S3Options & lock.LeaseOptions
): Effect.Effect<
  BindLock.Driver,
  TaskIOError | UnfitStoreError,
  HttpClient.HttpClient | FileSystem.FileSystem | Scope.Scope
> => Effect.flatMap(connect(options), (connected) => lock.make(connected, options))

/**
 * Journals in a bucket. The store is tried out first, with at most ten requests for a key under the prefix: `UnfitStoreError`
 * says what it does not do.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTaskIO = (
  options: S3Options
): Layer.Layer<TaskIO.TaskIO, TaskIOError | UnfitStoreError, HttpClient.HttpClient> =>
  Layer.effect(TaskIO.TaskIO, Effect.map(makeTaskIO(options), TaskIO.make))

/**
 * A lock in a bucket that all engines share. A holder killed on this machine is taken over at once, where its file system
 * tells that; one that is frozen, or on another machine, after the lease and up to three fifths of it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerBindLock = (
  options: S3Options & lock.LeaseOptions
): Layer.Layer<
  BindLock.BindLock,
  TaskIOError | UnfitStoreError,
  HttpClient.HttpClient | FileSystem.FileSystem
> => Layer.scoped(BindLock.BindLock, makeBindLock(options))

/**
 * An engine that keeps journals and locks in a bucket.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: S3Options & lock.LeaseOptions & CheckMateEngine.Options
): Layer.Layer<
  CheckMateEngine.CheckMateEngine,
  TaskIOError | UnfitStoreError,
  HttpClient.HttpClient | FileSystem.FileSystem
> =>
  Layer.unwrapScoped(Effect.map(connect(options), (connected) =>
    Layer.provide(
      CheckMateEngine.layerWith(options),
      Layer.merge(
        Layer.succeed(TaskIO.TaskIO, TaskIO.make(store.make(connected))),
        Layer.scoped(BindLock.BindLock, lock.make(connected, options))
      )
    )))

/**
 * The same, with the store's options from Config: those of the usual environment variables unless another Config is given,
 * see {@link fromEnvironment}.
 *
 * ```ts
 * const engine = S3.layerConfig()
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: lock.LeaseOptions & CheckMateEngine.Options = {},
  config: Config.Config<S3Options> = fromEnvironment
): Layer.Layer<
  CheckMateEngine.CheckMateEngine,
  TaskIOError | UnfitStoreError | ConfigError.ConfigError,
  HttpClient.HttpClient | FileSystem.FileSystem
> => Layer.unwrapEffect(Effect.map(config, (found) => layer({ ...options, ...found })))
