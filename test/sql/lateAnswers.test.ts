/** A lock in SQL of which a statement, or its answer, comes late: each test is about one order of events. */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Exit, Fiber, Scope } from "effect"
import * as Sql from "effect-checkmate/sql"
import type * as HandClock from "../support/handClock.ts"
import { turn } from "../support/interleaved.ts"
import { clients, holders, withSettingOf } from "../support/saidInTurn.ts"

const release = "delete from \"checkmate_locks"
const look = "select l.engine"
const bind = "insert into \"checkmate_locks"

/** From one sign of life to the next. */
const beat = "6 seconds"

/** Keeps the next of the statements that begin so, or of their answers, until it is let go on. */
interface Kept {
  readonly begin: string
  readonly reached: Deferred.Deferred<void>
  readonly goOn: Deferred.Deferred<void>
}

const settingIn = Effect.fnUntraced(function*(time: HandClock.HandClock) {
  const sql = yield* SqlClient.SqlClient
  const clientOf = yield* clients
  const kept: Array<Kept> = []
  const lock = Effect.provideService(
    Sql.makeBindLock({ durability: "relaxed" }),
    SqlClient.SqlClient,
    clientOf((text) => (operation) =>
      Effect.suspend(() => {
        const index = kept.findIndex(({ begin }) => text.startsWith(begin))
        const [one] = index < 0 ? [] : kept.splice(index, 1)
        if (one === undefined) return operation
        return Deferred.succeed(one.reached, undefined).pipe(
          Effect.zipRight(Deferred.await(one.goOn)),
          Effect.zipRight(operation)
        )
      })
    )
  )
  return {
    sql,
    lock,
    keep: Effect.fnUntraced(function*(begin: string) {
      const one: Kept = { begin, reached: yield* Deferred.make<void>(), goOn: yield* Deferred.make<void>() }
      kept.push(one)
      return {
        reached: Deferred.await(one.reached),
        goOn: Effect.zipRight(Deferred.succeed(one.goOn, undefined), turn)
      }
    }),
    holders: yield* holders,
    /** Whoever is about to sleep does so first. */
    pass: (duration: Duration.DurationInput) => Effect.zipRight(turn, Effect.zipRight(time.pass(duration), turn)),
    /** Another engine's row, which lives for a lease by the database's clock. */
    other: sql`insert into checkmate_engines values ('other', 'the other one', null, 1, 99999999999999)`
  }
})
const withSetting = withSettingOf(settingIn)

describe("a lock in SQL", () => {
  it.scoped("is not taken from an engine whose lease is over by the database's clock, and that gives a sign", () =>
    withSetting(({ lock, pass, sql }) =>
      Effect.gen(function*() {
        const { lost } = yield* (yield* lock).acquire("t")
        const loss = yield* Effect.fork(lost)
        const taker = yield* lock
        yield* sql`update checkmate_engines set expires = 0`
        const taking = yield* Effect.fork(taker.acquire("t"))
        yield* turn
        expect(taking.unsafePoll()).toBeNull()
        for (let beats = 0; beats < 3; beats++) yield* pass(beat)
        expect(yield* Fiber.await(taking)).toMatchObject({ cause: { error: { _tag: "TaskBoundError" } } })
        expect(loss.unsafePoll()).toBeNull()
      })
    ))

  it.scoped("that is being let go of is bound again only after that", () =>
    withSetting(({ holders, keep, lock, pass }) =>
      Effect.gen(function*() {
        const { acquire } = yield* lock
        const first = yield* Scope.make()
        yield* Scope.extend(acquire("t"), first)
        const { goOn, reached } = yield* keep(release)
        yield* Effect.fork(Scope.close(first, Exit.void))
        yield* reached
        const again = yield* Effect.fork(acquire("t"))
        yield* turn
        expect(again.unsafePoll()).toBeNull()
        yield* goOn
        yield* pass("1 second")
        yield* Fiber.join(again)
        expect(yield* holders).toHaveLength(1)
      })
    ))

  it.scoped("that is being let go of is let go of once, also where a sign of life comes in between", () =>
    withSetting(({ holders, keep, lock, pass }) =>
      Effect.gen(function*() {
        const { acquire } = yield* lock
        const first = yield* Scope.make()
        yield* Scope.extend(acquire("t"), first)
        const once = yield* keep(release)
        const twice = yield* keep(release)
        yield* Effect.fork(Scope.close(first, Exit.void))
        yield* once.reached
        yield* pass(beat)
        yield* once.goOn
        const again = yield* Effect.fork(acquire("t"))
        yield* pass("1 second")
        yield* Fiber.join(again)
        yield* twice.goOn
        expect(yield* holders).toHaveLength(1)
      })
    ))

  it.scoped("is held by the row that was written for it, also where a sign of life comes before the answer to that", () =>
    withSetting(({ holders, keep, lock, pass }) =>
      Effect.gen(function*() {
        const { acquire } = yield* lock
        const { goOn, reached } = yield* keep(`answer to ${bind}`)
        const binding = yield* Effect.fork(acquire("t"))
        yield* reached
        yield* pass(beat)
        yield* goOn
        yield* Fiber.join(binding)
        expect(yield* holders).toHaveLength(1)
      })
    ))

  it.scoped("that was lost, let go of and bound again is not lost by the news of the first loss", () =>
    withSetting(({ keep, lock, other, pass, sql }) =>
      Effect.gen(function*() {
        const { acquire } = yield* lock
        const first = yield* Scope.make()
        yield* Scope.extend(acquire("t"), first)
        yield* other
        yield* sql`update checkmate_locks set engine = 'other'`
        const { goOn, reached } = yield* keep(`answer to ${look}`)
        yield* pass(beat)
        yield* reached
        yield* Scope.close(first, Exit.void)
        yield* sql`delete from checkmate_locks`
        const { lost } = yield* acquire("t")
        const loss = yield* Effect.fork(lost)
        yield* goOn
        expect(loss.unsafePoll()).toBeNull()
      })
    ))

  it.scoped("whose loss was told is bound again where the answer to that was lost", () =>
    withSetting(({ holders, lock, other, pass, sql }) =>
      Effect.gen(function*() {
        const { acquire } = yield* lock
        const { lost } = yield* acquire("t")
        const [own] = yield* holders
        yield* other
        yield* sql`update checkmate_locks set engine = 'other'`
        yield* pass(beat)
        yield* lost
        yield* sql`update checkmate_locks set engine = ${own ?? ""}`
        yield* acquire("t")
        expect(yield* holders).toEqual([own])
      })
    ))
})
