/** Objects of a journal in a bucket that are whole, and say what cannot be. These need no server. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as S3 from "effect-checkmate/s3"
import { seal } from "../../src/s3/envelope.ts"
import { append, make, options } from "./madeUpStore.ts"

describe("S3: an object of a journal is damage, and not read for ever, nor as less than was written,", () => {
  const head = { v: 1, kind: "claim", epoch: 5, slot: 5, base: 0, after: 4, records: 2, summary: null }
  const before = (after: number, base: number) =>
    `it says that slot ${after} is to be read before it, of a journal that begins behind slot ${base}`
  const ends = (base: number, records: number) =>
    `it ends with record 2 of the journal behind slot 0, and the next object goes on behind record ${records} of that `
    + `behind slot ${base}`

  for (
    const [what, said, error] of [
      ["that stands in another slot", { slot: 4 }, "it says that it is slot 4, not 5"],
      ["that says to be read before itself", { after: 5 }, before(5, 0)],
      ["that begins behind what is to be read before it", { base: 9 }, before(4, 9)],
      ["that goes on with another task's of that id", { base: 3 }, ends(3, 2)],
      ["that goes on with more records than there are", { records: 3 }, ends(0, 3)],
      ["that holds fewer records than the journal has", { after: 0 }, "it holds 0 records and should hold 2"]
    ] as const
  ) {
    it.live(what, () =>
      Effect.gen(function*() {
        const store = make()
        const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
        for (const record of ["1", "2"]) yield* append(driver, "t", record)
        const put = Effect.fnUntraced(function*(said: object) {
          const { bytes } = yield* seal(JSON.stringify({ ...head, ...said }))
          store.put(`p/journal/t/${9_999_999_999 - 5}`, new TextDecoder().decode(bytes))
          return yield* Effect.provide(S3.makeTaskIO(options), store.layer)
        })
        expect(yield* (yield* put({})).read("t", 0)).toEqual(["1", "2"])
        const damaged = yield* put(said)
        const reads: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          damaged.read("t", 0),
          Effect.scoped(damaged.open("t"))
        ]
        for (const read of reads) {
          expect(yield* Effect.flip(read)).toMatchObject({ _tag: "JournalDamagedError", problem: error })
        }
      }))
  }

  it.live("but of a newer version one that a newer library is to read", () =>
    Effect.gen(function*() {
      const store = make()
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      const { bytes } = yield* seal(JSON.stringify({ v: 2, kind: "of a new kind" }))
      store.put(`p/journal/t/${9_999_999_999 - 1}`, new TextDecoder().decode(bytes))
      expect(yield* Effect.flip(driver.read("t", 0))).toMatchObject({ _tag: "JournalVersionError", version: 2 })
    }))
})
