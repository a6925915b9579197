/** Those who use one bucket, of which the requests mix. */
import { HttpClient } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { vi } from "vitest"
import * as Interleaved from "../support/interleaved.ts"
import { describeMixes, type Name, names, type Setting } from "../support/mixedJournals.ts"
import { summaryOf } from "../support/summary.ts"
import { asked, make, options as theirs } from "./madeUpStore.ts"

// To sign each request takes longer than all else.
vi.spyOn(crypto.subtle, "digest").mockResolvedValue(new ArrayBuffer(32))
vi.spyOn(crypto.subtle, "sign").mockResolvedValue(new ArrayBuffer(32))

// How long it takes until a request is signed is nothing to go by.
const options = { ...theirs, requestTimeout: "1 day", retryFor: "1 day" } satisfies S3.S3Options

const journals = Effect.gen(function*() {
  const store = make()
  const players = Interleaved.makeTurns(names, { pass: TestClock.adjust("50 millis") })
  const driver = (name: Name) =>
    Effect.provideService(
      S3.makeTaskIO(options),
      HttpClient.HttpClient,
      HttpClient.transform(
        store.client,
        (answer, request) => answer.pipe(players.inTurn(name, asked(request)))
      )
    )
  const setting: Setting = {
    players,
    drivers: { a: yield* driver("a"), b: yield* driver("b"), c: yield* driver("c") },
    fresh: yield* Effect.provide(S3.makeTaskIO(options), store.layer),
    // Slots that a stale writer may try to fill stay.
    leftovers: Effect.sync(() =>
      [...store.objects].flatMap(([key, { body }]) => new TextDecoder().decode(body).includes(`"removed"`) ? [] : [key])
    ),
    refusesClaims: false,
    showsRefused: false
  }
  return setting
})

describeMixes("in S3", journals, 12, 12)

describe("in S3, once a task was removed", () => {
  const record = (driver: TaskIO.EncodedJournal, position: number) =>
    driver.append(position, [`${position}`], summaryOf("t", { status: "Failed" }))

  it.scoped("a writer that others had taken over from before is refused, also where the task was begun anew since", () =>
    Effect.gen(function*() {
      const { drivers, fresh, leftovers } = yield* journals
      const stale = yield* drivers.a.open("t")
      yield* record(stale, 0)
      const overtaken = yield* drivers.b.open("t")
      yield* record(overtaken, 1)
      yield* record(yield* drivers.c.open("t"), 2)
      for (const anew of [false, true]) {
        if (anew) yield* record(yield* drivers.c.open("t"), 0)
        yield* fresh.remove("t")
        for (const [journal, position] of [[stale, 1], [overtaken, 2]] as const) {
          expect(yield* Effect.flip(record(journal, position))).toMatchObject({ _tag: "StaleWriterError" })
        }
        expect([yield* fresh.read("t", 0), yield* leftovers]).toEqual([[], []])
      }
    }))

  it.scoped("who was about to claim it claims what is there then", () =>
    Effect.gen(function*() {
      const { drivers, fresh, leftovers, players } = yield* journals
      const known: Array<ReadonlyArray<string>> = []
      const claim = Effect.map(drivers.a.open("t"), ({ records }) => void known.push(records))
      yield* record(yield* fresh.open("t"), 0)
      const journal = yield* drivers.b.open("t")
      const others = Effect.gen(function*() {
        yield* record(journal, 1)
        yield* record(journal, 2)
        yield* drivers.b.remove("t")
      })
      yield* players.play({ a: claim, b: others, c: Effect.void }, [["a", /PUT/], ["b", 100]])
      expect(known).toEqual([[]])
      yield* fresh.remove("t")
      expect(yield* leftovers).toEqual([])
    }))
})
