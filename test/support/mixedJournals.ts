/**
 * Writers and readers of one journal whose operations mix, on any store: in all orders of two, and in many of three. A store
 * says what one operation is.
 */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, type Scope, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as Interleaved from "./interleaved.ts"
import { summaryOf } from "./summary.ts"

export const names = ["a", "b", "c"] as const
export type Name = typeof names[number]

interface Append {
  readonly record: string
  readonly position: number
  /** After how many steps of all. */
  readonly began: number
  readonly exit: Exit.Exit<void, unknown>
}

/** What became of a claim: what it found, and what it appended after that. */
interface Claim {
  readonly by: Name
  readonly epoch: number
  readonly found: ReadonlyArray<string>
  readonly claimed: number
  readonly appends: Array<Append>
}

type Drivers = { readonly [N in Name]: TaskIO.Encoded }

/** A store that some use in turns. */
export interface Setting {
  readonly players: Interleaved.Players<Name>
  readonly drivers: Drivers
  /** One whose operations wait for nobody. */
  readonly fresh: TaskIO.Encoded
  /** What there is of tasks that were removed, and should not be. */
  readonly leftovers: Effect.Effect<ReadonlyArray<string>, unknown>
  /** Whether a claim may be refused, where another one is made at the same time. */
  readonly refusesClaims: boolean
  /** Whether a record that is refused may be seen before it is. */
  readonly showsRefused: boolean
}

interface World {
  readonly taskId: string
  readonly drivers: Drivers
  readonly claims: Array<Claim>
  /** What readers saw. */
  readonly seen: Array<ReadonlyArray<string>>
  readonly steps: Array<string>
}

type Work = (world: World, by: Name) => Effect.Effect<void, unknown, Scope.Scope>

/** With a record whose name ends so a task comes to rest. */
const rest = "!"
const statusOf = (record: string) => record.endsWith(rest) ? "Failed" : "Running"
const summary = (taskId: string, record: string) => summaryOf(taskId, { memo: record, status: statusOf(record) })

const append = (world: World, claim: Claim, journal: TaskIO.EncodedJournal, record: string) =>
  Effect.gen(function*() {
    const began = world.steps.length
    const position = claim.found.length + claim.appends.length
    const exit = yield* Effect.exit(journal.append(position, [record], summary(world.taskId, record)))
    claim.appends.push({ record, position, began, exit })
  })

const claim = (world: World, by: Name) =>
  Effect.map(world.drivers[by].open(world.taskId), (journal) => {
    const made: Claim = {
      by,
      epoch: journal.epoch,
      found: journal.records,
      claimed: world.steps.length,
      appends: []
    }
    world.claims.push(made)
    return { made, journal }
  })

type Claimed = Effect.Effect.Success<ReturnType<typeof claim>>

/** Appends to a journal so often; with the last one the task comes to rest. */
const writeTo = (world: World, { journal, made }: Claimed, times: number) =>
  Effect.forEach(
    Array.from({ length: times }, (_, time) => `${made.by}${made.epoch}-${time}${time + 1 === times ? rest : ""}`),
    (record) => append(world, made, journal, record),
    { discard: true }
  )

/** Claims the journal, and appends to it so often. */
const write = (times: number): Work => (world, by) =>
  Effect.flatMap(claim(world, by), (mine) => writeTo(world, mine, times))

const look: Work = (world, by) =>
  Effect.gen(function*() {
    world.seen.push(yield* world.drivers[by].read(world.taskId, 0))
    yield* Stream.runDrain(world.drivers[by].list({}))
  })

/** What must be true of any journal and all who claimed, wrote and read it. */
const problemsOf = (
  { claims, seen }: World,
  final: ReadonlyArray<string>,
  showsRefused: boolean
): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const isIn = (records: ReadonlyArray<string>) => records.every((record, index) => final[index] === record)
  const tried = claims.flatMap(({ appends }) => appends)
  if (new Set(claims.map(({ epoch }) => epoch)).size < claims.length) problems.push("an epoch was given twice")
  if (new Set(final).size < final.length) problems.push("a record stands there twice")
  for (const { by, claimed, epoch, found } of claims) {
    if (!isIn(found)) problems.push(`what ${by} found when it claimed is not there any more`)
    for (const older of claims.filter((other) => other.epoch < epoch).flatMap(({ appends }) => appends)) {
      if (older.began >= claimed && Exit.isSuccess(older.exit)) {
        problems.push(`${older.record} was taken from a stale writer, after the claim of ${by}`)
      }
    }
  }
  for (const { exit, position, record } of tried) {
    if (Exit.isSuccess(exit) && final[position] !== record) problems.push(`${record} was acknowledged and is lost`)
    if (Exit.isFailure(exit) && !exit.cause.toString().includes("StaleWriterError")) {
      problems.push(exit.cause.toString())
    }
  }
  const refused = new Set(
    tried.filter(({ exit }) => showsRefused && Exit.isFailure(exit)).map(({ record }) => record)
  )
  for (const records of seen) {
    if (!isIn(records) && !(isIn(records.slice(0, -1)) && refused.has(records.at(-1) ?? ""))) {
      problems.push(`a reader saw ${records.join(" ")}`)
    }
  }
  return problems
}

interface Roles {
  readonly a: Work
  readonly b: Work
  readonly c?: Work
}

type Order = ReadonlyArray<Interleaved.Stretch<Name>>
type Before = (world: World) => Effect.Effect<unknown, unknown, Scope.Scope>
const nobody: Before = () => Effect.void

const isStale = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) && exit.cause.toString().includes("StaleWriterError")

const listedIn = (io: TaskIO.Encoded) =>
  Effect.map(
    Stream.runCollect(io.list({})),
    (found) => Chunk.toReadonlyArray(found).map(({ memo, status }) => `${memo} ${status}`)
  )

/** What a list must show of a journal. */
const listOf = (records: ReadonlyArray<string>) => records.slice(-1).map((last) => `${last} ${statusOf(last)}`)

let tasks = 0

/** Has each play its role in an order, and tells who failed, and whether there was as much to do. */
const playing = Effect.fnUntraced(
  function*({ drivers, players, refusesClaims }: Setting, roles: Roles, order: Order, before: Before) {
    players.steps.length = 0
    const world: World = { taskId: `t-${++tasks}`, drivers, claims: [], seen: [], steps: players.steps }
    yield* before(world)
    const of = (name: Name) => roles[name]?.(world, name) ?? Effect.void
    const { exits, isComplete } = yield* players.play({ a: of("a"), b: of("b"), c: of("c") }, order)
    const failed = [...exits].flatMap(([name, exit]) =>
      Exit.isFailure(exit) && !(refusesClaims && isStale(exit)) ? [`${name}: ${exit.cause.toString()}`] : []
    )
    return { world, failed, isComplete }
  }
)

/** Plays one order, looks for what must not be, and removes the task. */
const play = (setting: Setting, roles: Roles, before: Before) => (order: Order) =>
  Effect.scoped(Effect.gen(function*() {
    const { fresh, leftovers, players, showsRefused } = setting
    const { failed, isComplete, world } = yield* playing(setting, roles, order, before)
    const final = yield* fresh.read(world.taskId, 0)
    const told = [`journal: ${final.join(" ")}`, ...players.steps].join("\n")
    expect([...failed, ...problemsOf(world, final, showsRefused)], told).toEqual([])
    expect(yield* listedIn(fresh), told).toEqual(listOf(final))
    yield* fresh.remove(world.taskId)
    expect(yield* leftovers, told).toEqual([])
    return isComplete
  }))

/** Plays one order in which the task is removed, by b, looks for what must not be, and removes it once more. */
const playRemoval = (setting: Setting, roles: Omit<Roles, "b">, before: Before) => (order: Order) =>
  Effect.scoped(Effect.gen(function*() {
    const { fresh, leftovers, players, showsRefused } = setting
    const remove: Work = ({ drivers, taskId }, by) => drivers[by].remove(taskId)
    const { failed, isComplete, world } = yield* playing(setting, { ...roles, b: remove }, order, before)
    const final = yield* fresh.read(world.taskId, 0)
    const told = [`journal: ${final.join(" ")}`, ...players.steps].join("\n")
    expect(failed, told).toEqual([])
    expect(yield* listedIn(fresh), told).toEqual(listOf(final))
    const { claims, seen } = world
    const refused = claims.flatMap(({ appends }) => appends.filter(({ exit }) => Exit.isFailure(exit)))
    for (const { exit } of refused) expect(isStale(exit), told).toBe(true)
    // What each claim found, and what it added to that.
    const journals = claims.map(({ appends, found }) => [
      ...found,
      ...appends.filter(({ exit }) => showsRefused || Exit.isSuccess(exit)).map(({ record }) => record)
    ])
    for (const records of [...seen, final]) {
      const isOne = [[], ...journals].some((journal) => records.every((record, index) => journal[index] === record))
      expect(isOne, `${told}\nseen: ${records.join(" ")}`).toBe(true)
    }
    // Nobody has begun it anew.
    if (claims.every(({ claimed }) => claimed <= 1)) expect(yield* leftovers, told).toEqual([])
    for (
      const { record } of claims.flatMap(({ appends, claimed, epoch }) =>
        appends.filter(({ began, exit }) =>
          Exit.isSuccess(exit) &&
          claims.some((later) => later.epoch > epoch && later.claimed > claimed && later.claimed <= began)
        )
      )
    ) expect(`${record} was taken from a stale writer`, told).toBe("refused")
    const again = yield* fresh.open(world.taskId)
    expect(again.records, told).toEqual(final)
    yield* again.append(final.length, ["again"], summary(world.taskId, "again"))
    expect(yield* fresh.read(world.taskId, 0), told).toEqual([...final, "again"])
    yield* fresh.remove(world.taskId)
    expect(yield* leftovers, told).toEqual([])
    return isComplete
  }))

/** Has one engine run the task before, and end. */
const earlier = (times: number): Before => (world) =>
  Effect.map(Effect.scoped(write(times)(world, "c")), () => world.steps.push("what is before has ended"))

/**
 * What must hold on any store, in whatever order operations mix. `random` is how many orders of three are tried; with `few` so
 * many of two, too, drawn at random, where an order takes long.
 */
export const describeMixes = (
  on: string,
  setting: Effect.Effect<Setting, unknown, Scope.Scope>,
  random = 200,
  few?: number,
  /** Whether a claim comes through a removal that it meets; where each is made by who holds the task, none does. */
  claimsMeetRemovals = true
) => {
  const ordersOfTwo = <E>(played: (order: Order) => Effect.Effect<boolean, E>) =>
    few === undefined
      ? Interleaved.everyOrder(["a", "b"], played)
      : Effect.asVoid(Interleaved.someOrders(["a", "b"], few, played))
  const inAllOrders = (roles: Roles, before: Before = nobody) =>
    Effect.flatMap(setting, (set) => ordersOfTwo(play(set, roles, before)))

  describe(`a journal ${on} keeps its promises in whatever order operations mix`, () => {
    it.scoped("of two who claim what is empty", () => inAllOrders({ a: write(1), b: write(1) }))

    it.scoped("of two who claim what an engine left", () => inAllOrders({ a: write(1), b: write(1) }, earlier(1)))

    it.scoped("of one who writes and one who takes over", () => {
      let open: Effect.Effect<void> = Effect.void
      return inAllOrders({ a: () => open, b: write(1) }, (world) =>
        Effect.map(claim(world, "a"), (mine) => {
          open = writeTo(world, mine, 3)
        }))
    })

    it.scoped("of one who takes over in the middle of many appends, and goes on", () => {
      let open: Effect.Effect<void> = Effect.void
      const before: Before = (world) =>
        Effect.map(Effect.zipRight(earlier(4)(world), claim(world, "a")), (mine) => {
          open = writeTo(world, mine, 6)
        })
      // There are very many, and they differ little.
      return Effect.flatMap(
        setting,
        (set) => Interleaved.someOrders(["a", "b"], few ?? 60, play(set, { a: () => open, b: write(3) }, before))
      )
    })

    it.scoped("of one who writes and one who reads", () => inAllOrders({ a: write(2), b: look }, earlier(1)))

    it.scoped("of two who claim and one who reads", () =>
      Effect.gen(function*() {
        const set = yield* setting
        const reader: Work = (world, by) => Effect.repeatN(look(world, by), 2)
        yield* Interleaved.someOrders(names, random, play(set, { a: write(2), b: write(2), c: reader }, nobody))
      }))

    const afterTwo = (roles: (work: Work) => Omit<Roles, "b">) =>
      Effect.map(setting, (set) => {
        let open: Effect.Effect<void> = Effect.void
        return playRemoval(
          set,
          roles(() => open),
          (world) =>
            Effect.map(Effect.zipRight(earlier(1)(world), claim(world, "a")), (mine) => {
              open = writeTo(world, mine, 2)
            })
        )
      })

    it.scoped("of one who removes and one who still writes", () =>
      Effect.flatMap(afterTwo((a) => ({ a })), ordersOfTwo))

    it.scoped("of one who removes, one who still writes and one who reads", () =>
      Effect.flatMap(
        afterTwo((a) => ({ a, c: (world, by) => Effect.repeatN(look(world, by), 2) })),
        (removal) => Interleaved.someOrders(names, random, removal)
      ))

    if (claimsMeetRemovals) {
      it.scoped("of one who removes and one who takes over", () =>
        Effect.flatMap(setting, (set) => ordersOfTwo(playRemoval(set, { a: write(2) }, earlier(3)))))

      it.scoped("of one who removes, one who still writes and one who takes over", () =>
        Effect.flatMap(
          afterTwo((a) => ({ a, c: write(2) })),
          (removal) => Interleaved.someOrders(names, random, removal)
        ))
    }
  })
}
