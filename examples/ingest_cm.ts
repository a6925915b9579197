/**
 * Builds a search index over a folder of documents, in six stages. Stop it anywhere, with Ctrl-C or kill -9, and run it
 * again: it goes on from the last checkpoint.
 *
 *     node --import tsx examples/ingest_cm.ts [folder] [--query "words"] [--task id] [--directory .checkmate]
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Fiber, identity, Layer, Option, Schedule, Schema, Stream } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import { fromArguments, type Options, UsageError } from "./ingest/arguments.ts"
import * as Embedder from "./ingest/Embedder.ts"
import { reporting } from "./ingest/progress.ts"
import * as report from "./ingest/report.ts"
import * as SearchIndex from "./ingest/SearchIndex.ts"
import { chunksOf, isDocument, plainText, withoutRepeats } from "./ingest/text.ts"
import * as WorkFile from "./ingest/WorkFile.ts"
import { isMain } from "./isMain.ts"

/**
 * What the stages share. Megabytes of text and vectors go to work files, and the state holds what is known about them:
 * so the journal stays at a few kilobytes however large the folder is, and stages read streams, not all into memory.
 */
export const Ingest = State.make({
  folder: Schema.String,
  /** The folder of the work files and of the index. */
  work: Schema.String,
  files: WorkFile.WorkFile,
  texts: WorkFile.WorkFile,
  chunks: WorkFile.WorkFile,
  terms: Schema.Int,
  about: WorkFile.WorkFile,
  vectors: WorkFile.WorkFile,
  index: Schema.Struct({ folder: Schema.String, bytes: Schema.Int }),
  verified: Schema.Int
})

const Document = Schema.Struct({ file: Schema.String, bytes: Schema.Int })
const Text = Schema.Struct({ file: Schema.String, text: Schema.String })

class NoDocuments extends Schema.TaggedError<NoDocuments>()("NoDocuments", { folder: Schema.String }) {
  override get message(): string {
    return `There is no Markdown or text file in ${this.folder}`
  }
}

const scan = Stage.make(Ingest, "scan", {
  description: "List the documents",
  requires: ["folder", "work"],
  provides: ["files"],
  execute: ({ folder, work }) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const found = (yield* fs.readDirectory(folder, { recursive: true })).filter(isDocument).sort()
      const documents = Stream.fromIterable(found).pipe(
        // None for a link to nowhere, or what is gone already.
        Stream.mapEffect((file) =>
          Effect.option(Effect.map(fs.stat(path.join(folder, file)), (info) => ({ file, info })))
        ),
        Stream.filterMap(Option.filter(({ info }) => info.type === "File")),
        Stream.map(({ file, info }) => ({ file, bytes: Number(info.size) })),
        reporting("documents found", found.length)
      )
      const files = yield* WorkFile.writeLines(Document, work, "files.ndjson", documents)
      return files.items === 0 ? yield* new NoDocuments({ folder }) : { files }
    }),
  rollback: ({ work }) => WorkFile.remove(work, "files.ndjson")
})

const extract = Stage.make(Ingest, "extract", {
  description: "Read the text of each document",
  requires: ["folder", "work", "files"],
  provides: ["texts"],
  execute: ({ files, folder, work }) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const read = (file: string) =>
        fs.readFileString(path.join(folder, file)).pipe(
          Effect.map((text) => ({ file, text: plainText(text) })),
          Effect.tapError(({ message }) => Effect.logWarning(`Left out: ${message}`)),
          Effect.option
        )
      const texts = WorkFile.readLines(Document, work, files).pipe(
        Stream.mapEffect(({ file }) => read(file), { concurrency: 8 }),
        Stream.filterMap(identity),
        reporting("documents read", files.items)
      )
      return { texts: yield* WorkFile.writeLines(Text, work, "texts.ndjson", texts) }
    }),
  rollback: ({ work }) => WorkFile.remove(work, "texts.ndjson")
})

const chunk = Stage.make(Ingest, "chunk", {
  description: "Cut the texts into chunks of a few paragraphs",
  requires: ["work", "texts"],
  provides: ["chunks"],
  execute: ({ texts, work }) => {
    const chunks = WorkFile.readLines(Text, work, texts).pipe(
      reporting("texts cut", texts.items),
      Stream.mapConcat(({ file, text }) => chunksOf(text).map((chunk) => ({ file, ...chunk }))),
      withoutRepeats()
    )
    return Effect.map(WorkFile.writeLines(SearchIndex.Chunk, work, "chunks.ndjson", chunks), (chunks) => ({ chunks }))
  },
  rollback: ({ work }) => WorkFile.remove(work, "chunks.ndjson")
})

const embed = Stage.make(Ingest, "embed", {
  description: "Compute a vector for each chunk",
  requires: ["work", "chunks"],
  provides: ["terms", "about", "vectors"],
  // A model may be out of reach for a while.
  retry: Schedule.exponential("1 second").pipe(
    Schedule.intersect(Schedule.recurs(5)),
    Schedule.whileInput((error: { readonly _tag: string }) => error._tag === "EmbedderError")
  ),
  execute: ({ chunks, work }) =>
    Effect.gen(function*() {
      const embedder = yield* Embedder.Embedder
      const texts = WorkFile.readLines(SearchIndex.Chunk, work, chunks).pipe(Stream.map(({ text }) => text))
      const knowledge = yield* embedder.learn(texts.pipe(reporting("chunks read for their terms", chunks.items)))
      const vectors = texts.pipe(
        Stream.grouped(32),
        Stream.mapEffect((batch) => embedder.embed(knowledge, [...batch])),
        Stream.flattenIterables,
        reporting("chunks embedded", chunks.items),
        Stream.map(SearchIndex.toBytes)
      )
      const about = Stream.make({ embedder: embedder.name, knowledge })
      return {
        terms: knowledge.terms,
        about: yield* WorkFile.writeLines(SearchIndex.About, work, "about.json", about),
        vectors: yield* WorkFile.write(work, "vectors.f32", vectors)
      }
    }),
  rollback: ({ work }) => Effect.zipRight(WorkFile.remove(work, "about.json"), WorkFile.remove(work, "vectors.f32"))
})

const indexOf = (work: string) => Effect.map(Path.Path, (path) => path.join(work, "index"))

const index = Stage.make(Ingest, "index", {
  description: "Write the search index",
  requires: ["work", "about", "chunks", "vectors"],
  provides: ["index"],
  execute: ({ work, ...parts }) =>
    Effect.gen(function*() {
      return { index: yield* SearchIndex.write(yield* indexOf(work), work, parts) }
    }),
  rollback: ({ work }) => Effect.flatMap(indexOf(work), SearchIndex.remove)
})

const verify = Stage.make(Ingest, "verify", {
  description: "Ask the index for chunks it must find",
  requires: ["index"],
  provides: ["verified"],
  execute: ({ index }) =>
    Effect.gen(function*() {
      const { chunks, search } = yield* SearchIndex.open(index.folder)
      const some = chunks.filter((_, position) => position % Math.ceil(chunks.length / 20) === 0)
      for (const { file, line, text } of some) {
        const [best] = yield* search(text, 1)
        if (best?.text !== text) {
          const problem = `it does not find ${file}:${line} by its own words`
          return yield* new SearchIndex.IndexError({ folder: index.folder, problem })
        }
      }
      return { verified: some.length }
    })
})

export const cm_factory_ingest = () =>
  CheckMate.make("ingest", {
    description: "Builds a search index over a folder of documents",
    state: Ingest,
    input: ["folder", "work"],
    stages: [scan, extract, chunk, embed, index, verify]
  })

const program = ({ directory, folder, query, taskId }: Options) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const input = { folder, work: path.join(directory, "ingest", taskId) }

    const before = yield* Effect.option(CheckMateEngine.get(taskId))
    if (Option.exists(before, ({ state }) => state["folder"] !== folder)) {
      return yield* new UsageError({ message: `Task ${taskId} is about another folder. Give this one another --task` })
    }
    yield* Console.log(Option.match(before, {
      onNone: () => `Indexing ${report.short(folder)} as task ${taskId}.`,
      onSome: report.standing
    }))
    const isOver = Option.exists(before, ({ task }) => task.status._tag === "Succeeded")
    if (!isOver) yield* Console.log(`Stop it with Ctrl-C, or with kill -9 ${process.pid}, and run it again.`)

    // Shows progress until the fiber that runs the task is done with it.
    const watcher = yield* Effect.fork(Stream.runForEach(report.progress(taskId), Console.log))
    const output = yield* CheckMateEngine.run(cm_factory_ingest(), { taskId, input })
    yield* Fiber.interrupt(watcher)
    yield* Console.log(report.summary(yield* CheckMateEngine.get(taskId), output, directory))

    const { search } = yield* SearchIndex.open(output.index.folder)
    yield* Console.log(report.hits(query, yield* search(query, 5)))
  }).pipe(
    Effect.onInterrupt(() => Console.log("Stopped. Run the same again, and it goes on from the last checkpoint.")),
    // Whoever tries this example kills it more often than a task that crashes by itself is to be taken up again.
    Effect.provide(CheckMateEngine.layerFileSystem(directory, { maxRecoveries: 1000 }))
  )

if (isMain(import.meta.url)) {
  fromArguments.pipe(
    Effect.flatMap(program),
    Effect.provide(Layer.merge(Embedder.layerHashedTfIdf(1024), NodeContext.layer)),
    Effect.catchAll(({ message }) =>
      Effect.zipRight(
        Console.error(message),
        Effect.sync(() => {
          process.exitCode = 1
        })
      )
    ),
    NodeRuntime.runMain
  )
}
