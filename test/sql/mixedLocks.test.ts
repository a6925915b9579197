/** Engines that hold tasks by one database, of which the statements mix, and their answers. */
import { SqlClient } from "@effect/sql"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FiberRef, Scope } from "effect"
import type { BindLock } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import type * as HandClock from "../support/handClock.ts"
import * as Interleaved from "../support/interleaved.ts"
import { clients, holders, withSettingOf } from "../support/saidInTurn.ts"

const names = ["a", "b", "c"] as const
type Name = typeof names[number]
const engines = ["engine a", "engine b", "engine c"] as const
type Engine = typeof engines[number]
type Order = ReadonlyArray<Interleaved.Stretch<Name | Engine>>

/** Who says a statement; what nobody does an engine says by itself. */
const sayer = FiberRef.unsafeMake<Name | undefined>(undefined)

const shortNames: ReadonlyArray<readonly [begin: string, name: string]> = [
  ["select l.engine", "look"],
  ["select task_id", "check"],
  ["insert into \"checkmate_locks", "bind"],
  ["update \"checkmate_locks", "take over"],
  ["delete from \"checkmate_locks", "release"],
  ["insert into \"checkmate_engines", "sign"]
]
/** What a statement, or its answer, is called in a test that fails. */
const short = (text: string) => {
  const statement = text.replace(/^answer to /, "")
  const name = shortNames.find(([begin]) => statement.startsWith(begin))?.[1] ?? statement
  return statement === text ? name : `answer to ${name}`
}

/** More than from one sign of life to the next. */
const beat = "6100 millis"

/** Three engines, whose locks are there for as long as the Scope. */
const settingIn = Effect.fnUntraced(function*(time: HandClock.HandClock) {
  const sql = yield* SqlClient.SqlClient
  const clientOf = yield* clients
  const players = Interleaved.makeTurns(names, { aside: engines, pass: time.pass(beat), most: 4 })
  const lockOf = (engine: Engine) =>
    Effect.provideService(
      Sql.makeBindLock({ durability: "relaxed" }),
      SqlClient.SqlClient,
      clientOf((text) => (operation) =>
        Effect.flatMap(FiberRef.get(sayer), (name) => operation.pipe(players.inTurn(name ?? engine, short(text))))
      )
    )
  const locks = { a: yield* lockOf("engine a"), b: yield* lockOf("engine b"), c: yield* lockOf("engine c") }
  return { sql, players, locks, rows: yield* holders, time }
})
type Setting = Effect.Effect.Success<ReturnType<typeof settingIn>>

const withSetting = withSettingOf(settingIn)

const isBound = (error: { readonly _tag: string }) => error._tag === "TaskBoundError"

const holdsOne = (exits: ReadonlyMap<string, Exit.Exit<unknown, unknown>>, told: string) => {
  for (const exit of exits.values()) {
    if (Exit.isFailure(exit)) expect(exit.cause, told).toMatchObject({ error: { _tag: "TaskBoundError" } })
  }
}

/** Has each of two, and each of three, bind what is there before, in whatever order. */
const eachBinds = (
  before: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>,
  again: boolean,
  by: { readonly [N in Name]: Name } = { a: "a", b: "b", c: "c" }
) =>
  withSetting(({ locks, players, rows, sql }) => {
    const holding = new Set<Name>()
    const held: Array<string> = []
    const binds = (name: Name) => {
      const begin = Effect.sync(() => {
        holding.add(name)
        held.push([...holding].join(" and "))
      })
      const work = Effect.repeatN(Effect.void.pipe(players.inTurn(name, "work")), 1)
      return Effect.zipRight(
        locks[by[name]].acquire("t"),
        Effect.acquireUseRelease(begin, () => work, () => Effect.sync(() => holding.delete(name)))
      ).pipe(
        Effect.scoped,
        Effect.retry({ while: (error) => again && isBound(error) }),
        Effect.locally(sayer, name)
      )
    }
    const play = (who: ReadonlyArray<Name>) => (order: Order) =>
      Effect.gen(function*() {
        held.length = 0
        players.steps.length = 0
        yield* before(sql)
        const work = (name: Name) => who.includes(name) ? binds(name) : Effect.void
        const { exits, isComplete, stuck } = yield* players.play({ a: work("a"), b: work("b"), c: work("c") }, order)
        const told = players.steps.join("\n")
        expect(stuck, told).toEqual([])
        holdsOne(exits, told)
        expect(held.filter((name) => name.length > 1), told).toEqual([])
        expect(held.length, told).toBeGreaterThanOrEqual(again ? who.length : 1)
        expect(yield* rows, told).toEqual([])
        return isComplete
      })
    return Effect.zipRight(
      Interleaved.everyOrder(["a", "b"], play(["a", "b"]), 20),
      Interleaved.someOrders(names, 30, play(names))
    )
  })

describe("in SQL at most one engine holds a task, in whatever order statements mix", () => {
  it.scoped("where they bind and let go of it again and again", () => eachBinds(() => Effect.void, true))

  it.scoped("where two of them are one engine", () => eachBinds(() => Effect.void, true, { a: "a", b: "a", c: "b" }))

  it.scoped("where they take over from an engine that is gone", () =>
    eachBinds((sql) => sql`insert into checkmate_locks values ('t', 'gone', 0)`, false))

  it.scoped("where they take over from an engine that is silent", () =>
    eachBinds((sql) =>
      Effect.zipRight(
        sql`insert or ignore into checkmate_engines values ('silent', 'silent', null, 7, 0)`,
        sql`insert into checkmate_locks values ('t', 'silent', 0)`
      ), false))
})

describe("in SQL an engine that is taken for dead", () => {
  // a and b are of one engine, which holds the task for a, and c is of another.
  const play = ({ locks, players, rows, sql, time }: Setting, isLong: () => boolean) => (order: Order) =>
    Effect.gen(function*() {
      const { steps } = players
      const problems: Array<string> = []
      const holding = new Set<Name>()
      const scope = yield* Scope.make()
      yield* time.pass(beat)
      steps.length = 0
      const { lost } = yield* Scope.extend(locks.a.acquire("t"), scope)
      const [own] = yield* rows
      const isOurs = Effect.map(rows, ([row]) => row === own)
      const doing = (name: Name, what: string) => Effect.void.pipe(players.inTurn(name, what))
      const passing = time.pass("3 seconds").pipe(players.inTurn("a", "time passes"))
      const isChecked = (from: number) =>
        steps.slice(from).filter((step) => step === "engine a: answer to check").length > 1

      const works = Effect.gen(function*() {
        yield* Effect.repeatN(passing, 3)
        if (!isLong()) return
        const from = steps.length
        while (!isChecked(Math.max(from, steps.lastIndexOf("c: take over")))) yield* passing
        if (!(yield* isOurs)) problems.push("a was not told that it is another engine's")
      })
      /** `from` is when it began to bind it. */
      const told = (name: Name, lost: Effect.Effect<string>, from: number) =>
        Effect.map(Effect.zipRight(lost, isOurs), (ours) => {
          if (ours && !steps.slice(from).some((step) => /^c: (bind|take over)/.test(step))) {
            problems.push(`${name} was told that it is another engine's, and it is not`)
          }
        })
      const holds = <A, E>(name: Name, lost: Effect.Effect<string>, from: number, work: Effect.Effect<A, E>) => {
        const both = name !== "c" && holding.has(name === "a" ? "b" : "a")
        if (both) problems.push("a and b of one engine hold it")
        holding.add(name)
        return Effect.ensuring(
          Effect.raceFirst(name === "c" ? Effect.asVoid(lost) : told(name, lost, from), work),
          Effect.sync(() => holding.delete(name))
        )
      }
      const binds = (name: "b" | "c", lock: BindLock.Driver) =>
        Effect.gen(function*() {
          const from = steps.length
          const { lost } = yield* lock.acquire("t")
          const taken = steps.lastIndexOf(`${name}: take over`)
          const second = steps.lastIndexOf(`${name}: look`, taken)
          const watched = steps.slice(steps.lastIndexOf(`${name}: look`, second - 1), taken)
          const isTaken = steps.findLast((step) => step.startsWith(`${name}: `)) === `${name}: answer to take over`
          if (isTaken && watched.includes(name === "b" ? "engine b: sign" : "engine a: sign")) {
            problems.push(`${name} took it from an engine that lives`)
          }
          yield* holds(name, lost, from, Effect.repeatN(doing(name, "work"), 3))
        }).pipe(
          Effect.scoped,
          Effect.retry({ while: isBound }),
          Effect.repeatN(1),
          Effect.locally(sayer, name)
        )
      const silent = Effect.asVoid(sql`update checkmate_engines set expires = 0`)
      const work = {
        a: Effect.zipRight(holds("a", lost, 0, works), Scope.close(scope, Exit.void)).pipe(Effect.locally(sayer, "a")),
        b: binds("b", locks.a),
        c: Effect.zipRight(silent.pipe(players.inTurn("c", "the clock jumps")), binds("c", locks.b))
      }
      const { exits, stuck } = yield* players.play(work, order)
      const story = steps.join("\n")
      expect([...problems, ...stuck], story).toEqual([])
      holdsOne(exits, story)
      // What could not be told then is with the next sign of life.
      yield* Effect.zipRight(time.pass(beat), Interleaved.turn)
      expect(yield* rows, story).toEqual([])
    })

  it.scoped("tells whoever holds the task there, before anybody else does", () =>
    withSetting((setting) => {
      let plays = 0
      return Interleaved.someOrders([...names, "engine a"], 300, play(setting, () => plays++ % 2 === 0))
    }))
})
