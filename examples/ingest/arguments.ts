/** What the command line says. */
import { FileSystem, Path } from "@effect/platform"
import { Effect, Schema } from "effect"
import { parseArgs } from "node:util"

export interface Options {
  readonly folder: string
  readonly query: string
  readonly taskId: string
  /** Where journals, work files and indexes are. */
  readonly directory: string
}

export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { message: Schema.String }) {}

const parse = (argv: ReadonlyArray<string>) =>
  parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      query: { type: "string", default: "how do I retry a failed request" },
      task: { type: "string" },
      directory: { type: "string", default: ".checkmate" }
    }
  })

/** A folder's path as a task id, so that the same folder is the same task. */
const taskIdOf = (folder: string): string =>
  `ingest-${folder.replace(/[^A-Za-z0-9._]+/g, "-").replace(/^[^A-Za-z0-9]+|-$/g, "").slice(-150) || "here"}`

/** Reads the arguments of this process. */
export const fromArguments: Effect.Effect<Options, UsageError, FileSystem.FileSystem | Path.Path> = Effect.gen(
  function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { positionals, values } = yield* Effect.try({
      try: () => parse(process.argv.slice(2)),
      catch: (error) => new UsageError({ message: error instanceof Error ? error.message : String(error) })
    })
    const folder = path.resolve(positionals[0] ?? "node_modules")
    if (!(yield* Effect.orElseSucceed(fs.exists(folder), () => false))) {
      return yield* new UsageError({ message: `There is no folder ${folder}` })
    }
    const { directory, query, task = taskIdOf(path.relative("", folder)) } = values
    return { folder, query, taskId: task, directory: path.resolve(directory) }
  }
)
