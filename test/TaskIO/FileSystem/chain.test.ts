import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import { assemble } from "../../../src/TaskIO/FileSystem/chain.ts"
import { batch, headerLine, type Seal } from "../../../src/TaskIO/FileSystem/journalFile.ts"
import { summaryOf } from "../../support/summary.ts"

const summary = summaryOf("t")

const header = (epoch: number, origin: string, after: Seal | null) => headerLine({ taskId: "t", epoch, origin, after })
const withRecord = (epoch: number, origin: string, after: Seal | null) =>
  batch({ taskId: "t", epoch, origin, after }, after?.records ?? 0, [JSON.stringify(epoch)], summary)
const nothing = new Uint8Array(0)
const emptied = (epoch: number, origin: string): Seal => ({
  epoch,
  bytes: header(epoch, origin, null).length,
  records: 0
})

const recordsOf = (...files: ReadonlyArray<Uint8Array>) =>
  Either.getOrThrow(assemble("t", files, (epoch) => `t.${epoch}.ndjson`)).records

describe("the files of a task that many claimed at once, before any of them wrote", () => {
  // 3 named the origin that 4 took over; 2, which read nothing either, named another one later.
  const late = header(2, "late", null)
  const third = header(3, "third", null)
  const fourth = withRecord(4, "third", emptied(3, "third"))

  it("hold what the newest wrote, whichever of them named an origin, and when", () => {
    expect(recordsOf(nothing, nothing, third, fourth)).toEqual(["4"])
    expect(recordsOf(nothing, late, third, fourth)).toEqual(["4"])
    expect(recordsOf(header(1, "first", null), late, third, fourth)).toEqual(["4"])
  })

  it("do not hold what one wrote that was overtaken", () => {
    expect(recordsOf(nothing, withRecord(2, "late", null), third, fourth)).toEqual(["4"])
    expect(recordsOf(withRecord(1, "first", null), late, third)).toEqual([])
  })
})

describe("files of which one says that it or a later one was before it", () => {
  const assembled = (...files: ReadonlyArray<Uint8Array>) => assemble("t", files, (epoch) => `t.${epoch}.ndjson`)
  const damaged = (location: string, problem: string) =>
    Either.left(expect.objectContaining({ _tag: "JournalDamagedError", location, problem }))

  it("are damage, and not read for ever", () => {
    // Each counts on a whole header.
    const { length: bytes } = header(1, "one", { epoch: 1, bytes: 100, records: 0 })
    const behind = (epoch: number, before: number) => header(epoch, "one", { epoch: before, bytes, records: 0 })
    expect(assembled(behind(1, 1))).toEqual(damaged("t.1.ndjson, line 1", "it says that epoch 1 was before it"))
    expect(assembled(behind(1, 2), behind(2, 1))).toEqual(
      damaged("t.1.ndjson, line 1", "it says that epoch 2 was before it")
    )
  })
})

describe("a file of which a later one says how much of it counts", () => {
  it("is damaged where that is not the end of a batch, or not of as many records", () => {
    const first = withRecord(1, "one", null)
    const recordsWith = (after: Seal) =>
      Either.map(
        assemble("t", [first, withRecord(2, "one", after)], (epoch) => `t.${epoch}.ndjson`),
        ({ records }) => records
      )
    const counted = { epoch: 1, bytes: first.length, records: 1 }
    expect(recordsWith(counted)).toEqual(Either.right(["1", "2"]))
    for (const wrong of [{ records: 2 }, { records: 0 }, { bytes: first.length - 1 }, { bytes: first.length + 1 }]) {
      expect(recordsWith({ ...counted, ...wrong })).toEqual(
        Either.left(
          expect.objectContaining({ _tag: "JournalDamagedError", location: expect.stringContaining("t.1.ndjson") })
        )
      )
    }
  })
})

describe("the files that a removal which was cut off left behind", () => {
  it("do not count for the task that began anew", () => {
    const old = withRecord(1, "old", null)
    const second = withRecord(2, "old", { epoch: 1, bytes: old.length, records: 1 })
    expect(recordsOf(old, second)).toEqual(["1", "2"])
    const anew = withRecord(1, "new", null)
    expect(recordsOf(anew, second)).toEqual(["1"])
    const third = withRecord(3, "new", { epoch: 1, bytes: anew.length, records: 1 })
    expect(recordsOf(anew, second, third)).toEqual(["1", "3"])
  })
})
