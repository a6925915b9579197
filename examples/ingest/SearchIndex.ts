/** A folder that answers questions: chunks of text, their vectors, and what the embedder knew when it made them. */
import { FileSystem, Path } from "@effect/platform"
import { Effect, Schema, Stream } from "effect"
import { Embedder, Knowledge } from "./Embedder.ts"
import * as WorkFile from "./WorkFile.ts"

export const Chunk = Schema.Struct({
  file: Schema.String,
  line: Schema.Int,
  text: Schema.String
})

export type Chunk = typeof Chunk.Type

export interface Hit extends Chunk {
  /** How like the question it is: 1 is the same text, 0 has nothing in common. */
  readonly score: number
}

/** What is known of an index beside its chunks and vectors. */
export const About = Schema.Struct({ embedder: Schema.String, knowledge: Knowledge })

/** The index was made by another embedder, or is not whole. */
export class IndexError extends Schema.TaggedError<IndexError>()("IndexError", {
  folder: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `The index ${this.folder} cannot be used: ${this.problem}`
  }
}

/** The numbers of a vector as the index holds them. */
export const toBytes = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)

const names = { about: "about.json", chunks: "chunks.ndjson", vectors: "vectors.f32" }

/** Copies work files into a folder that gets its name once it is whole, so that nobody ever finds half an index. */
export const write = (
  folder: string,
  work: string,
  parts: { readonly [Part in keyof typeof names]: WorkFile.WorkFile }
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* remove(folder)
    const unfinished = `${folder}.unfinished`
    const written = yield* Effect.all([
      WorkFile.write(unfinished, names.about, WorkFile.read(work, parts.about)),
      WorkFile.write(unfinished, names.chunks, WorkFile.read(work, parts.chunks)),
      WorkFile.write(unfinished, names.vectors, WorkFile.read(work, parts.vectors))
    ])
    yield* fs.rename(unfinished, folder)
    return { folder, bytes: written.reduce((sum, { bytes }) => sum + bytes, 0) }
  })

/** Removes an index, or what there is of it. */
export const remove = (folder: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.remove(`${folder}.unfinished`, { recursive: true, force: true })
    yield* fs.remove(folder, { recursive: true, force: true })
  })

const innerProduct = (left: Float32Array, right: Float32Array): number => {
  let sum = 0
  for (let index = 0; index < left.length; index++) sum += (left[index] ?? 0) * (right[index] ?? 0)
  return sum
}

/** Reads an index into memory: its chunks, and a function that finds those most like a text, best first. */
export const open = (folder: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { dimensions, embed, name } = yield* Embedder
    const json = yield* fs.readFileString(path.join(folder, names.about))
    const { embedder, knowledge } = yield* Schema.decode(Schema.parseJson(About))(json)
    const chunks = Array.from(yield* Stream.runCollect(WorkFile.readLines(Chunk, folder, { name: names.chunks })))
    const bytes = yield* fs.readFile(path.join(folder, names.vectors))
    // A copy, because numbers must begin where a multiple of 4 is, and bytes need not.
    const numbers = new Float32Array(bytes.slice().buffer)
    if (embedder !== name) {
      return yield* new IndexError({
        folder,
        problem: `it was made by ${embedder}, and questions are asked by ${name}`
      })
    }
    if (numbers.length !== chunks.length * dimensions) {
      return yield* new IndexError({ folder, problem: `${numbers.length} numbers are not ${chunks.length} vectors` })
    }
    const search = (text: string, limit: number) =>
      Effect.map(embed(knowledge, [text]), ([question = new Float32Array()]): ReadonlyArray<Hit> =>
        chunks
          .map((chunk, index) => ({
            ...chunk,
            score: innerProduct(question, numbers.subarray(index * dimensions, (index + 1) * dimensions))
          }))
          .sort((left, right) => right.score - left.score)
          .slice(0, limit))
    return { chunks, search }
  })
