/** Which cuts are tried, in which order, and how a story that fails is made smaller. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as eventLoop from "../../internal/eventLoop.ts"
import type { Cut } from "./Exploration.ts"

/** What came of one sequence of cuts. */
export interface Told<Story> {
  /** The cuts that were reached. */
  readonly cuts: ReadonlyArray<Cut>
  /** How many writes the last process made. */
  readonly writes: number
  /** The story, if it fails. */
  readonly failed: Option.Option<Story>
}

export interface Options {
  readonly pairs: boolean
  readonly random: { readonly count: number; readonly seed: number | string; readonly most: number } | undefined
}

export interface Found<Story> {
  readonly cuts: number
  readonly runs: number
  readonly smallest: Option.Option<Story>
}

/** Before and after each of so many writes. */
const cutsOf = (writes: number): ReadonlyArray<Cut> =>
  Array.from({ length: writes }, (_, index) => index + 1).flatMap((write): ReadonlyArray<Cut> => [
    { write, when: "before" },
    { write, when: "after" }
  ])

/** The next smaller sequences, smallest first: one cut fewer, or one cut a step earlier. */
const smaller = (cuts: ReadonlyArray<Cut>): ReadonlyArray<ReadonlyArray<Cut>> => [
  ...cuts.map((_, index) => cuts.filter((_, other) => other !== index)),
  ...cuts.flatMap((cut, index) => {
    const earlier: Cut | undefined = cut.when === "after"
      ? { write: cut.write, when: "before" }
      : cut.write > 1
      ? { write: cut.write - 1, when: "after" }
      : undefined
    return earlier === undefined ? [] : [cuts.map((other, position) => position === index ? earlier : other)]
  })
]

const draw = (most: number, writes: number): Effect.Effect<ReadonlyArray<Cut>> =>
  Effect.flatMap(Random.nextIntBetween(1, most + 1), (length) =>
    Effect.replicateEffect(
      Effect.gen(function*() {
        // The first writes more often, for what is left to a later process is less.
        const bound = yield* Random.nextIntBetween(1, writes + 1)
        const write = yield* Random.nextIntBetween(1, bound + 1)
        return { write, when: (yield* Random.nextBoolean) ? "before" as const : "after" as const }
      }),
      length
    ))

/** How many runs are told until the rest of the real process has its turn: what only waits for promises never gives way. */
const runsPerTurn = 25

/** Tries the fewest cuts first and the earliest writes first, and stops at the first story that fails. */
export const search = Effect.fnUntraced(
  function*<Story, E, R>(
    tell: (cuts: ReadonlyArray<Cut>) => Effect.Effect<Told<Story>, E, R>,
    options: Options
  ): Effect.fn.Return<Found<Story>, E, R> {
    let cuts = 0
    let runs = 0
    const attempt = (sequence: ReadonlyArray<Cut>) =>
      Effect.tap(tell(sequence), (told) =>
        Effect.suspend(() => {
          runs += 1
          cuts += told.cuts.length
          return runs % runsPerTurn === 0 ? eventLoop.turn() : Effect.void
        }))
    const found = (told: Told<Story>): Found<Story> => ({ cuts, runs, smallest: told.failed })

    const undisturbed = yield* attempt([])
    if (Option.isSome(undisturbed.failed)) return found(undisturbed)

    const resumed: Array<readonly [Cut, number]> = []
    for (const cut of cutsOf(undisturbed.writes)) {
      const told = yield* attempt([cut])
      if (Option.isSome(told.failed)) return found(told)
      resumed.push([cut, told.writes])
    }

    if (options.pairs) {
      for (const [first, writes] of resumed) {
        for (const second of cutsOf(writes)) {
          const told = yield* attempt([first, second])
          if (Option.isSome(told.failed)) return found(told)
        }
      }
    }

    const { random } = options
    if (random !== undefined && undisturbed.writes > 0) {
      const dice = Random.make(random.seed)
      for (let index = 0; index < random.count; index++) {
        let told = yield* attempt(yield* Effect.withRandom(draw(Math.max(1, random.most), undisturbed.writes), dice))
        if (Option.isNone(told.failed)) continue
        let candidates = smaller(told.cuts)
        while (candidates.length > 0) {
          const [candidate = [], ...rest] = candidates
          const retold = yield* attempt(candidate)
          if (Option.isNone(retold.failed)) {
            candidates = rest
            continue
          }
          told = retold
          candidates = smaller(told.cuts)
        }
        return found(told)
      }
    }
    return { cuts, runs, smallest: Option.none() }
  }
)
