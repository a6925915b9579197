/** Writers of one journal whose operations on its files mix: in all orders of two, and in many of three. */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Either, Exit, Layer, type Scope, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"
import * as LocalDisk from "effect-checkmate/LocalDisk"
import * as FileDriver from "effect-checkmate/TaskIO/FileSystem"
import * as Interleaved from "../support/interleaved.ts"
import { summaryOf } from "../support/summary.ts"

const names = ["a", "b", "c"] as const
type Name = typeof names[number]

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

interface World {
  readonly drivers: { readonly [N in Name]: TaskIO.Encoded }
  readonly claims: Array<Claim>
  /** What readers and lists saw. */
  readonly seen: Array<ReadonlyArray<string>>
  readonly steps: ReadonlyArray<string>
}

const append = (world: World, claim: Claim, journal: TaskIO.EncodedJournal, record: string) =>
  Effect.gen(function*() {
    const began = world.steps.length
    const position = claim.found.length + claim.appends.length
    const exit = yield* Effect.exit(journal.append(position, [record], summaryOf("t", { memo: record })))
    claim.appends.push({ record, position, began, exit })
  })

const claim = (world: World, by: Name) =>
  Effect.map(world.drivers[by].open("t"), (journal) => {
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

/** Claims the journal, and appends to it so often. */
const write = (times: number) => (world: World, by: Name) =>
  Effect.gen(function*() {
    const { journal, made } = yield* claim(world, by)
    for (let time = 0; time < times; time++) yield* append(world, made, journal, `${by}${made.epoch}-${time}`)
  })

const look = (world: World, by: Name) =>
  Effect.gen(function*() {
    world.seen.push(yield* world.drivers[by].read("t", 0))
    yield* Stream.runDrain(world.drivers[by].list({}))
  })

type Work = (world: World, by: Name) => Effect.Effect<void, unknown, Scope.Scope>

/** What must be true of any journal and all who claimed, wrote and read it. */
const problemsOf = ({ claims, seen }: World, final: ReadonlyArray<string>): ReadonlyArray<string> => {
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
  // One that was refused may have been seen before it did not count.
  const refused = new Set(tried.filter(({ exit }) => Exit.isFailure(exit)).map(({ record }) => record))
  for (const records of seen) {
    if (!isIn(records) && !(isIn(records.slice(0, -1)) && refused.has(records.at(-1) ?? ""))) {
      problems.push(`a reader saw ${records.join(" ")}`)
    }
  }
  return problems
}

interface Players {
  readonly a: Work
  readonly b: Work
  readonly c?: Work
}

/** What plays one order after the other, and answers whether there was as much to do. */
const player = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const files = Interleaved.make(fs, directory, names)
  const driver = (name: Name) =>
    Effect.provideService(FileDriver.make(directory), FileSystem.FileSystem, files.view(name))
  const drivers = { a: yield* driver("a"), b: yield* driver("b"), c: yield* driver("c") }
  const fresh = yield* FileDriver.make(directory)

  return (work: Players, order: ReadonlyArray<Interleaved.Stretch<Name>>, before: Before) =>
    Effect.scoped(Effect.gen(function*() {
      files.steps.length = 0
      const world: World = { drivers, claims: [], seen: [], steps: files.steps }
      yield* before(world)
      const nothing: Work = () => Effect.void
      const of = (name: Name) => (work[name] ?? nothing)(world, name)
      const { exits, isComplete } = yield* files.play({ a: of("a"), b: of("b"), c: of("c") }, order)
      const failed = [...exits].flatMap(([name, exit]) =>
        Exit.isFailure(exit) ? [`${name}: ${exit.cause.toString()}`] : []
      )
      const final = yield* fresh.read("t", 0)
      const listed = Chunk.toReadonlyArray(yield* Stream.runCollect(fresh.list({}))).map(({ memo }) => memo)
      const last = final.at(-1)
      const lists = listed[0] === last ? [] : [`lists show ${listed.join()}, not ${last}`]
      const problems = [...failed, ...problemsOf(world, final), ...lists]
      expect(problems, [`journal: ${final.join(" ")}`, ...files.steps].join("\n")).toEqual([])
      yield* fresh.remove("t")
      expect(yield* fs.readDirectory(`${directory}/tasks`)).toEqual([])
      return isComplete
    }))
})

type Before = (world: World) => Effect.Effect<unknown, unknown, Scope.Scope>
const nobody: Before = () => Effect.void

const onDisk = <A, E>(self: Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | Scope.Scope>) =>
  Effect.provide(self, Layer.merge(Layer.provide(LocalDisk.layer, NodeContext.layer), Path.layer))

const inAllOrders = (work: Players, before: Before = nobody) =>
  onDisk(Effect.flatMap(player, (play) => Interleaved.everyOrder(["a", "b"], (order) => play(work, order, before))))

/** Has one engine run the task before, and end. */
const earlier = (world: World) => Effect.scoped(write(1)(world, "c"))

describe("a journal on files keeps its promises in whatever order operations mix", () => {
  it.scoped("of two who claim what is empty", () => inAllOrders({ a: write(1), b: write(1) }))

  it.scoped("of two who claim what an engine left", () => inAllOrders({ a: write(1), b: write(1) }, earlier))

  it.scoped("of one who writes and one who takes over", () => {
    let open: Effect.Effect<void> = Effect.void
    return inAllOrders(
      { a: () => open, b: write(1) },
      (world) =>
        Effect.map(claim(world, "a"), ({ journal, made }) => {
          open = Effect.forEach(["one", "two", "three"], (record) => append(world, made, journal, record), {
            discard: true
          })
        })
    )
  })

  it.scoped("of one who writes and one who reads", () => inAllOrders({ a: write(2), b: look }, earlier))

  it.scoped("of two who claim and one who reads", () =>
    onDisk(Effect.gen(function*() {
      const play = yield* player
      const reader: Work = (world, by) => Effect.repeatN(look(world, by), 2)
      yield* Interleaved.someOrders(names, 200, (order) => play({ a: write(2), b: write(2), c: reader }, order, nobody))
    })))

  it.scoped("of one who removes, one who still writes and one who reads", () =>
    onDisk(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const files = Interleaved.make(fs, directory, names)
      const driver = (name: Name) =>
        Effect.provideService(FileDriver.make(directory), FileSystem.FileSystem, files.view(name))
      const writer = yield* driver("a")
      const remover = yield* driver("b")
      const reader = yield* driver("c")
      const records = ["one", "two", "three", "four"]
      yield* Interleaved.someOrders(names, 150, (order) =>
        Effect.scoped(Effect.gen(function*() {
          files.steps.length = 0
          const first = yield* writer.open("t")
          yield* first.append(0, ["one"], summaryOf("t", {}))
          const second = yield* writer.open("t")
          yield* second.append(1, ["two"], summaryOf("t", {}))
          const writes = Effect.forEach(
            [2, 3],
            (position) => Effect.either(second.append(position, [records[position] ?? ""], summaryOf("t", {})))
          )
          const reads = Effect.replicateEffect(reader.read("t", 0), 3)
          const seen: Array<ReadonlyArray<string>> = []
          const failures: Array<unknown> = []
          const { exits } = yield* files.play({
            a: Effect.map(
              writes,
              (outcomes) =>
                failures.push(...outcomes.flatMap((outcome) => Either.isLeft(outcome) ? [outcome.left] : []))
            ),
            b: remover.remove("t"),
            c: Effect.map(reads, (found) => seen.push(...found))
          }, order)
          const told = files.steps.join("\n")
          expect([...exits.values()].flatMap((exit) => Exit.isFailure(exit) ? [exit.cause.toString()] : []), told)
            .toEqual([])
          for (const failure of failures) expect(failure, told).toMatchObject({ _tag: "StaleWriterError" })
          for (const found of seen) expect(found, told).toEqual(records.slice(0, found.length))
          expect([yield* reader.read("t", 0), yield* fs.readDirectory(`${directory}/tasks`)]).toEqual([[], []])
        })))
    })))
})
