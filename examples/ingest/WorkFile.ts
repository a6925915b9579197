/**
 * Files in which stages hand on what is too big for the state: the journal then holds a name and two numbers, however
 * many megabytes the file has. A file is on the disk once it is written, as the journal is: a checkpoint must not
 * outlive what it speaks of.
 */
import { FileSystem, Ndjson, Path } from "@effect/platform"
import { Effect, Schema, Stream } from "effect"

/** What the state holds of a work file. */
export const WorkFile = Schema.Struct({
  name: Schema.String,
  items: Schema.Int,
  bytes: Schema.Int
})

export type WorkFile = typeof WorkFile.Type

const pathOf = (folder: string, name: string) => Effect.map(Path.Path, (path) => path.join(folder, name))

/** Writes one item after the other, over whatever an attempt that was cut off has left. */
export const write = <E, R>(folder: string, name: string, items: Stream.Stream<Uint8Array, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory(folder, { recursive: true })
    const file = yield* fs.open(yield* pathOf(folder, name), { flag: "w" })
    const written = yield* Stream.runFoldEffect(
      items,
      { items: 0, bytes: 0 },
      (sum, item) => Effect.as(file.writeAll(item), { items: sum.items + 1, bytes: sum.bytes + item.length })
    )
    yield* file.sync
    return { name, ...written }
  }))

/** Reads what {@link write} wrote, in pieces of any size. */
export const read = (folder: string, { name }: { readonly name: string }) =>
  Stream.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    // In small pieces: what comes between them is when other fibers get their turn.
    return fs.stream(yield* pathOf(folder, name), { chunkSize: FileSystem.KiB(16) })
  }))

/** Writes items as lines of JSON. */
export const writeLines = <A, I, E, R>(
  schema: Schema.Schema<A, I>,
  folder: string,
  name: string,
  items: Stream.Stream<A, E, R>
) => write(folder, name, items.pipe(Stream.rechunk(1), Stream.pipeThroughChannel(Ndjson.packSchema(schema)())))

/** Reads what {@link writeLines} wrote. */
export const readLines = <A, I>(schema: Schema.Schema<A, I>, folder: string, file: { readonly name: string }) =>
  read(folder, file).pipe(Stream.pipeThroughChannel(Ndjson.unpackSchema(schema)()))

/** Removes a work file, if it is there. */
export const remove = (folder: string, name: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.remove(yield* pathOf(folder, name), { force: true })
  })
