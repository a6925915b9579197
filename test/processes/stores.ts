/** Where processes that fight keep their tasks: files in their directory, or what an argument names. */
import { FetchHttpClient, type FileSystem, type Path } from "@effect/platform"
import { Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import type { BindLockError, TaskIOError, UnfitStoreError } from "effect-checkmate/CheckMateError"
import * as S3 from "effect-checkmate/s3"
import { optionsFor } from "../support/s3.ts"

const options = { lease: "1 second", maxRecoveries: 1000 } as const

/** `files`, or `s3:` and, as JSON, a server and a prefix in it. */
export const storeOf = (
  argument: string,
  directory: string
): Layer.Layer<
  CheckMateEngine.CheckMateEngine,
  BindLockError | TaskIOError | UnfitStoreError,
  FileSystem.FileSystem | Path.Path
> => {
  if (!argument.startsWith("s3:")) return CheckMateEngine.layerFileSystem(directory, options)
  const { prefix, server } = JSON.parse(argument.slice("s3:".length))
  return Layer.provide(S3.layer({ ...options, ...optionsFor(server, prefix) }), FetchHttpClient.layer)
}
