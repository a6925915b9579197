/**
 * Turns texts into vectors of length 1, so that the inner product of two says how alike their texts are.
 *
 * The layer here computes TF-IDF vectors and needs no model. To use a model, write another Layer of the same service:
 * its `learn` has nothing to do, and its `embed` calls the model.
 */
import { Context, Effect, Layer, Schema, Stream } from "effect"

/** What an embedder has learnt of the texts it is going to embed. It is kept with the index, for the queries. */
export const Knowledge = Schema.Struct({
  texts: Schema.Int,
  terms: Schema.Int,
  /** In how many texts a term occurs; terms that occur in one text only are left out. */
  frequencies: Schema.ReadonlyMap({ key: Schema.String, value: Schema.Int })
})

export type Knowledge = typeof Knowledge.Type

export class EmbedderError extends Schema.TaggedError<EmbedderError>()("EmbedderError", {
  message: Schema.String
}) {}

export class Embedder extends Context.Tag("ingest/Embedder")<Embedder, {
  /** Kept with the index, because vectors of two embedders cannot be compared. */
  readonly name: string
  readonly dimensions: number
  readonly learn: <E, R>(texts: Stream.Stream<string, E, R>) => Effect.Effect<Knowledge, E | EmbedderError, R>
  /** Texts come in batches, because that is how models like them. */
  readonly embed: (
    knowledge: Knowledge,
    texts: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<Float32Array>, EmbedderError>
}>() {}

/** What a text is recognised by: its words, its pairs of words, and the pieces of its words, so that "retried" is near "retry". */
const terms = (text: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let previous = ""
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    found.push(word)
    if (previous !== "") found.push(`${previous} ${word}`)
    previous = word
    const marked = `<${word}>`
    for (let length = 3; length <= 5; length++) {
      for (let start = 0; start + length <= marked.length; start++) found.push(marked.slice(start, start + length))
    }
  }
  return found
}

const count = (all: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1)
  return counts
}

/** FNV-1a, stirred once more at the end so that all of its bits depend on all of the term. */
const hash = (term: string): number => {
  let value = 0x811c9dc5
  for (let index = 0; index < term.length; index++) value = Math.imul(value ^ term.charCodeAt(index), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  return (value ^ (value >>> 13)) >>> 0
}

const normalised = (vector: Float32Array): Float32Array => {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return length === 0 ? vector : vector.map((value) => value / length)
}

/** Where a term is added, and with which sign: two independent parts of its hash. */
const place = (term: string, dimensions: number): readonly [index: number, sign: number] => {
  const hashed = hash(term)
  return [hashed % dimensions, hashed >= 0x8000_0000 ? -1 : 1]
}

const vectorOf = (text: string, { frequencies, texts }: Knowledge, dimensions: number): Float32Array => {
  const vector = new Float32Array(dimensions)
  for (const [term, times] of count(terms(text))) {
    const weight = (1 + Math.log(times)) * Math.log(1 + texts / (frequencies.get(term) ?? 1))
    const [index, sign] = place(term, dimensions)
    vector[index] = (vector[index] ?? 0) + sign * weight
  }
  return normalised(vector)
}

const learn = <E, R>(texts: Stream.Stream<string, E, R>): Effect.Effect<Knowledge, E, R> =>
  Effect.suspend(() => {
    const frequencies = new Map<string, number>()
    const read = Stream.runFold(texts, 0, (count, text) => {
      for (const term of new Set(terms(text))) frequencies.set(term, (frequencies.get(term) ?? 0) + 1)
      return count + 1
    })
    return Effect.map(read, (count) => ({
      texts: count,
      terms: frequencies.size,
      frequencies: new Map([...frequencies].filter(([, frequency]) => frequency > 1))
    }))
  })

/**
 * TF-IDF (Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"): a term weighs more the
 * more often it occurs in a text, and less the more texts it occurs in. There are as many terms as the texts happen to
 * have; the hashing trick (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning") folds them
 * into a fixed number of dimensions, with a sign, so that terms that fall together cancel out on average.
 */
export const layerHashedTfIdf = (dimensions: number): Layer.Layer<Embedder> =>
  Layer.succeed(Embedder, {
    name: `hashed-tf-idf-${dimensions}`,
    dimensions,
    learn,
    embed: (knowledge, texts) => Effect.sync(() => texts.map((text) => vectorOf(text, knowledge, dimensions)))
  })
