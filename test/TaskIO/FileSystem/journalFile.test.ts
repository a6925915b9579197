import { describe, expect, it } from "@effect/vitest"
import { Either, FastCheck, Option } from "effect"
import type { EncodedSummary } from "../../../src/TaskIO/Encoded.ts"
import {
  batch,
  type Header,
  headerLine,
  parse,
  parseHeader,
  summaryOf
} from "../../../src/TaskIO/FileSystem/journalFile.ts"
import { json } from "../../support/arbitraries.ts"

const summaryAfter = (records: number): EncodedSummary => ({
  taskId: "docs",
  checkMate: "ingest",
  status: "Running",
  succeeded: records,
  stages: 3,
  tags: ["nächtlich"],
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:01:00.000Z"
})

type Batches = ReadonlyArray<ReadonlyArray<string>>

const header: Omit<Header, "format"> = { taskId: "docs", epoch: 1, origin: "9f3a", after: null }
const later: Omit<Header, "format"> = { ...header, epoch: 2, after: { epoch: 1, bytes: 2310, records: 7 } }

/** The appends that write these batches. */
const appends = (batches: Batches, own = header): ReadonlyArray<Uint8Array> => {
  let position = own.after?.records ?? 0
  return batches.map((records, index) => {
    const bytes = batch(index === 0 ? own : undefined, position, records, summaryAfter(position))
    position += records.length
    return bytes
  })
}

const concat = (parts: ReadonlyArray<Uint8Array>) => Uint8Array.from(Buffer.concat(parts))

/** What a file of just these batches reads as. */
const contentsOf = (batches: Batches, own = header) => {
  const written = appends(batches, own)
  const last = batches.at(-1)
  const before = (own.after?.records ?? 0) + batches.flat().length - (last?.length ?? 0)
  return Either.right({
    header: Option.some({ format: 1, ...own }),
    records: batches.flat(),
    bytes: written.length === 0 ? headerLine(own).length : concat(written).length,
    summary: last === undefined ? Option.none() : Option.some(summaryAfter(before))
  })
}

const records = FastCheck.array(json.map((value) => JSON.stringify({ v: 1, value })), { minLength: 1, maxLength: 4 })
const files = FastCheck.record({
  batches: FastCheck.array(records, { minLength: 1, maxLength: 5 }),
  own: FastCheck.constantFrom(header, later)
})

const sample: Batches = [
  [`{"v":1,"_tag":"TaskStarted","memo":"Jürgens »Ablage« 🙂"}`, `{"v":1,"_tag":"StageStarted","stage":"scan"}`],
  [`{"v":1,"_tag":"StageSucceeded","output":{"files":["a.md"]}}`, `{"v":1,"_tag":"StageStarted","stage":"chunk"}`],
  [`{"v":1,"_tag":"TaskSucceeded"}`]
]

describe("a journal file", () => {
  it("is text that people can read: one line of JSON for the header, each record and each end of a batch", () => {
    const text = new TextDecoder().decode(concat(appends(sample)))
    const lines = text.split("\n")
    expect(lines.pop()).toBe("")
    expect(lines.map((line) => Object.keys(JSON.parse(line)).join())).toEqual([
      "sum,header",
      "sum,n,event",
      "sum,n,event",
      "sum,end,task",
      "sum,n,event",
      "sum,n,event",
      "sum,end,task",
      "sum,n,event",
      "sum,end,task"
    ])
    expect(lines.filter((line) => line.includes("\"n\":")).map((line) => JSON.parse(line).n)).toEqual([0, 1, 2, 3, 4])
  })

  it.prop("is read as it was written", { file: files }, ({ file: { batches, own } }) => {
    const bytes = concat(appends(batches, own))
    expect(parse(bytes)).toEqual(contentsOf(batches, own))
    expect(parseHeader(bytes)).toEqual(Option.some({ format: 1, ...own }))
    expect(summaryOf(bytes)).toEqual(Either.getOrThrow(contentsOf(batches, own)).summary)
  })

  it("may be nothing, or a header alone", () => {
    expect(parse(new Uint8Array(0))).toEqual(
      Either.right({ header: Option.none(), records: [], bytes: 0, summary: Option.none() })
    )
    expect(parse(headerLine(header))).toEqual(contentsOf([]))
  })

  describe("cut off at any byte", () => {
    const cutEverywhere = (batches: Batches, own = header) => {
      const written = appends(batches, own)
      const bytes = concat(written)
      const ends = written.map((_, index) => concat(written.slice(0, index + 1)).length)
      const headerEnd = headerLine(own).length
      for (let cut = 0; cut <= bytes.length; cut++) {
        const whole = batches.slice(0, ends.filter((end) => end <= cut).length)
        const expected = cut < headerEnd
          ? Either.right({ header: Option.none(), records: [], bytes: 0, summary: Option.none() })
          : contentsOf(whole, own)
        expect(parse(bytes.subarray(0, cut)), `cut at ${cut} of ${bytes.length}`).toEqual(expected)
      }
    }

    it("reads as the batches that are whole, and nothing else", () => {
      cutEverywhere(sample)
      cutEverywhere(sample, later)
    })

    it.prop(
      "reads as the batches that are whole, whatever they hold",
      { file: files },
      ({ file: { batches, own } }) => cutEverywhere(batches, own),
      { timeout: 30_000, fastCheck: { numRuns: 10 } }
    )

    it("has no summary, unless the cut is the end of a batch", () => {
      const written = appends(sample)
      const bytes = concat(written)
      const ends = new Set(written.map((_, index) => concat(written.slice(0, index + 1)).length))
      for (let cut = 1; cut <= bytes.length; cut++) {
        expect(Option.isSome(summaryOf(bytes.subarray(0, cut))), `cut at ${cut}`).toBe(ends.has(cut))
      }
    })
  })

  describe("with a damaged bit", () => {
    /** Each way to flip one bit, with what is read then. */
    const flips = (bytes: Uint8Array) =>
      Array.from({ length: bytes.length * 8 }, (_, bit) => {
        const flipped = Uint8Array.from(bytes)
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        return { at: `bit ${bit & 7} of byte ${bit >> 3}`, byte: bit >> 3, flipped, read: parse(flipped) }
      })

    it("is never read as anything, whichever bit it is: it is damage, with the line and byte of it", () => {
      for (const own of [header, later]) {
        const bytes = concat(appends(sample, own))
        const starts = [0, ...[...bytes.keys()].filter((index) => bytes[index] === 10).map((index) => index + 1)]
        for (const { at, byte, read } of flips(bytes)) {
          const line = starts.filter((start) => start <= byte).length
          expect(read, at).toMatchObject({
            _tag: "Left",
            left: { line, byte: starts[line - 1], problem: expect.stringMatching(/damaged|checksum/) }
          })
        }
      }
    })

    it("never yields another header or another summary", () => {
      const bytes = concat(appends(sample))
      const whole = Either.getOrThrow(contentsOf(sample))
      for (const { at, flipped } of flips(bytes)) {
        const found = parseHeader(flipped)
        if (Option.isSome(found)) expect(found, at).toEqual(whole.header)
        const summary = summaryOf(flipped)
        if (Option.isSome(summary)) expect(summary, at).toEqual(whole.summary)
      }
    })

    it.prop(
      "is damage, whatever the file holds and wherever the bit is",
      { file: files, place: FastCheck.nat() },
      ({ file: { batches, own }, place }) => {
        const bytes = concat(appends(batches, own))
        const bit = place % (bytes.length * 8)
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        expect(parse(bytes)._tag).toBe("Left")
      },
      { timeout: 30_000, fastCheck: { numRuns: 1000 } }
    )
  })

  describe("with damaged lines", () => {
    const lines = (bytes: Uint8Array): Array<Buffer> => {
      const found: Array<Buffer> = []
      for (let start = 0; start < bytes.length;) {
        const end = bytes.indexOf(10, start) + 1
        found.push(Buffer.from(bytes.subarray(start, end)))
        start = end
      }
      return found
    }
    /** Damage, or batches from the beginning on. */
    const expectNothingElse = (bytes: Uint8Array, batches: Batches, own: Omit<Header, "format">, how: string) => {
      const read = parse(bytes)
      if (Either.isLeft(read)) return
      const prefixes = batches.map((_, index) => batches.slice(0, index + 1).flat().join("\n"))
      expect(["", ...prefixes], how).toContain(read.right.records.join("\n"))
      expect(read.right.header, how).toEqual(Option.some({ format: 1, ...own }))
    }

    it.prop(
      "is never read as other records: one line gone, one twice, two the other way round",
      { file: files },
      ({ file: { batches, own } }) => {
        const written = lines(concat(appends(batches, own)))
        for (let one = 1; one < written.length; one++) {
          expectNothingElse(concat(written.toSpliced(one, 1)), batches, own, `line ${one} gone`)
          expectNothingElse(concat(written.toSpliced(one, 0, written[one]!)), batches, own, `line ${one} twice`)
          for (let other = one + 1; other < written.length; other++) {
            const swapped = written.with(one, written[other]!).with(other, written[one]!)
            expectNothingElse(concat(swapped), batches, own, `lines ${one} and ${other} swapped`)
          }
        }
      },
      { timeout: 30_000, fastCheck: { numRuns: 30 } }
    )

    it("says what is wrong: a record that is missing, doubled, or of another place", () => {
      const written = lines(concat(appends(sample)))
      expect(parse(concat(written.toSpliced(1, 1)))).toMatchObject({
        left: { line: 2, problem: "a record is missing or stands twice before this line" }
      })
      expect(parse(concat(written.toSpliced(1, 0, written[1]!)))).toMatchObject({ left: { line: 3 } })
      expect(parse(concat(written.toSpliced(2, 1)))).toMatchObject({
        left: { line: 3, problem: "the batch has more or fewer records than it says" }
      })
      expect(parse(concat(written.slice(1)))).toMatchObject({
        left: { line: 1, byte: 0, problem: "the first line is no header of a journal" }
      })
      expect(parse(concat([...written, headerLine(later)]))).toMatchObject({
        left: { line: 10, problem: "the line is neither a record nor the end of a batch" }
      })
    })

    it("says that a last line goes on with zeros, or lost its line break", () => {
      const bytes = concat(appends(sample))
      expect(parse(concat([bytes, new Uint8Array(512)]))).toMatchObject({
        left: { line: 10, byte: bytes.length, problem: "the file goes on with zeros" }
      })
      const broken = Uint8Array.from(bytes)
      broken[bytes.length - 1] = 32
      expect(parse(broken)).toMatchObject({
        left: { line: 9, problem: "the line break at the end of the line is damaged" }
      })
    })
  })

  it("of a newer format says which one it needs", () => {
    const future = { ...header, format: 7 }
    const newer = headerLine(future)
    expect(parse(newer)).toEqual(Either.left({ line: 1, byte: 0, problem: "the file is of format 7", newer: 7 }))
    expect(parse(concat([newer, new TextEncoder().encode("whatever a newer format holds\n")]))).toMatchObject({
      left: { newer: 7 }
    })
  })

  it("of an epoch that follows another numbers its records on", () => {
    const bytes = concat(appends(sample, later))
    expect(new TextDecoder().decode(bytes)).toContain("\"n\":7,")
    const wrong = concat([headerLine(later), concat(appends(sample)).subarray(headerLine(header).length)])
    expect(parse(wrong)).toMatchObject({ left: { line: 2 } })
  })
})
