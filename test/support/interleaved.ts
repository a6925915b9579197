/**
 * Several who use the same files, or the same store, as processes do, one operation of one of them at a time, in an order that
 * a test says: what real processes get to once in a year is found by trying all orders.
 */
import { FileSystem } from "@effect/platform"
import { type Array as Arr, Effect, type Exit, Fiber, Random } from "effect"

/** Lets files, timers and promises go first. */
export const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

interface Operation {
  readonly what: string
  readonly release: () => void
}

/** Where one of them waits for its turn. */
interface Gate {
  readonly name: string
  waiting: Array<Operation>
  /** What is being done. */
  busy: Operation | undefined
  ended: boolean
  /** Has no work of its own with an end, and is not waited for. */
  readonly isAside: boolean
}

/** One of them does so many operations, or all until it is about to do such a one. */
export type Stretch<Name extends string> = readonly [Name, number | RegExp]

/**
 * Two take turns, of which each is interrupted once: every order with so many operations of the one, and then so many of the
 * other. `play` answers whether there were as many; of one that waits for the other there are any number, and `most` are tried.
 */
export const everyOrder = <Name extends string, E, R>(
  [left, right]: readonly [Name, Name],
  play: (order: ReadonlyArray<Stretch<Name>>) => Effect.Effect<boolean, E, R>,
  most = 100
) =>
  Effect.forEach([[left, right], [right, left]] as const, ([first, second]) =>
    Effect.gen(function*() {
      for (let one = 0, other = 0; one <= most && other !== 1; one++) {
        other = 1
        while (other <= most && (yield* play([[first, one], [second, other]]))) other += 1
      }
    }), { discard: true })

/** An order with so many turns, drawn at random. */
export const someOrder = <Name extends string>(names: Arr.NonEmptyReadonlyArray<Name>, turns: number) => {
  const stretch = Effect.zipWith(
    Random.choice(names),
    Random.nextIntBetween(1, 6),
    (name, steps): Stretch<Name> => [name, steps]
  )
  return Effect.replicateEffect(stretch, turns)
}

/** So many orders with more turns, drawn at random. */
export const someOrders = <Name extends string, A, E, R>(
  names: Arr.NonEmptyReadonlyArray<Name>,
  count: number,
  play: (order: ReadonlyArray<Stretch<Name>>) => Effect.Effect<A, E, R>
) => {
  const dice = Random.make("interleaved")
  return Effect.repeatN(Effect.flatMap(Effect.withRandom(someOrder(names, 12), dice), play), count - 1)
}

/** After so many operations of one in a row it is another one's turn, so that nobody waits for ever for who waits. */
const patience = 10

/** What there is to say of those who take turns. */
interface TurnsOptions<Aside extends string> {
  /** Lets time pass, where nobody is ready. */
  readonly pass?: Effect.Effect<void>
  /** Who else does something now and then, for as long as the others are at work. */
  readonly aside?: ReadonlyArray<Aside>
  /**
   * How often time passes before one that is not ready is taken to wait for another one, where they can wait for one another.
   */
  readonly most?: number
}

/**
 * Some who take turns: each does an operation of its own when it is let. `play` has each do its work in the order that is said,
 * and once that is at its end one after the other, and answers whether each could do as much as was said, and who is `stuck`.
 * `steps` tells what was done. Where all wait for one another, `relieve` does something about it, if anything is left to do.
 */
export const makeTurns = <Name extends string, Aside extends string = never>(
  names: ReadonlyArray<Name>,
  { aside = [], most = Infinity, pass = Effect.void }: TurnsOptions<Aside> = {}
) => {
  const until = (condition: () => boolean) => {
    let turns = 0
    let passed = 0
    return Effect.whileLoop({
      while: () => !condition() && passed < most,
      body: () => {
        if (turns++ < (most === Infinity ? 5 : 1)) return turn
        passed += 1
        return Effect.zipRight(pass, turn)
      },
      step: () => {}
    })
  }
  const steps: Array<string> = []
  const gates = new Map<string, Gate>()
  for (const name of names) gates.set(name, { name, waiting: [], busy: undefined, ended: false, isAside: false })
  for (const name of aside) gates.set(name, { name, waiting: [], busy: undefined, ended: true, isAside: true })
  let playing = false

  const inTurn = (name: Name | Aside, what: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const gate = gates.get(name)
      if (!playing || gate === undefined) return operation
      let released: Operation | undefined
      const turn = Effect.async<void>((resume) => {
        const one: Operation = {
          what,
          release: () => {
            released = gate.busy = one
            steps.push(`${gate.name}: ${what}`)
            resume(Effect.void)
          }
        }
        gate.waiting.push(one)
        return Effect.sync(() => {
          gate.waiting = gate.waiting.filter((other) => other !== one)
        })
      })
      return Effect.ensuring(
        Effect.zipRight(turn, operation),
        Effect.sync(() => {
          if (gate.busy === released) gate.busy = undefined
        })
      )
    })

  /** Whether it is ready to do something, and what that is. */
  const next = (gate: Gate) =>
    gate.isAside
      ? Effect.sync(() => gate.waiting[0]?.what)
      : Effect.map(
        until(() => gate.ended || gate.waiting.length > 0),
        // What it has started may go on, and others wait for that.
        () => gate.ended && most === Infinity ? undefined : gate.waiting[0]?.what
      )

  const step = (gate: Gate) =>
    Effect.suspend(() => {
      gate.waiting.shift()?.release()
      return until(() => gate.busy === undefined)
    })

  /** Whether there was as much to do. */
  const advance = (gate: Gate, stretch: number | RegExp) =>
    Effect.gen(function*() {
      for (let done = 0; done !== stretch; done++) {
        const what = yield* next(gate)
        if (what === undefined) return false
        if (typeof stretch !== "number" && stretch.test(what)) return true
        yield* step(gate)
      }
      return true
    })

  const play = <A, E, R>(
    work: { readonly [N in Name]: Effect.Effect<A, E, R> },
    order: ReadonlyArray<Stretch<Name | Aside>>,
    relieve: ReadonlyArray<Effect.Effect<void>> = []
  ) =>
    Effect.gen(function*() {
      playing = true
      const players = names.flatMap((name) => gates.get(name) ?? [])
      for (const gate of players) gate.ended = false
      const fibers = yield* Effect.forEach(names, (name) =>
        Effect.map(
          Effect.fork(Effect.ensuring(
            work[name],
            Effect.sync(() => {
              const gate = gates.get(name)
              if (gate !== undefined) gate.ended = true
            })
          )),
          (fiber) => [name, fiber] as const
        ))
      let isComplete = true
      for (const [name, stretch] of order) {
        const gate = gates.get(name)
        if (gate !== undefined && !(yield* advance(gate, stretch))) isComplete = false
      }
      const left = [...relieve]
      let rounds = 0
      const isAtWork = () => players.some(({ ended }) => !ended)
      while (isAtWork()) {
        const done = steps.length
        for (const gate of gates.values()) yield* advance(gate, patience)
        rounds += 1
        // Who looks again and again for what does not come about waits, too.
        if (!isAtWork() || (steps.length > done && rounds < 4 * most)) continue
        rounds = 0
        const relief = left.shift()
        if (relief === undefined) break
        yield* relief
      }
      const stuck = players.flatMap(({ ended, name }) => ended ? [] : [name])
      playing = false
      // What goes on in the background is not held up any more.
      for (const { waiting } of gates.values()) {
        for (const { release } of waiting.splice(0)) {
          release()
        }
      }
      const exits = yield* Effect.forEach(
        fibers.filter(([name]) => !stuck.includes(name)),
        ([name, fiber]) => Effect.map(Fiber.await(fiber), (exit): [Name, Exit.Exit<A, E>] => [name, exit])
      )
      return { exits: new Map(exits), isComplete, stuck }
    })

  return { steps, inTurn, play }
}

/** Who takes turns, and what was done by them. */
export type Players<Name extends string> = Pick<ReturnType<typeof makeTurns<Name>>, "steps" | "play">

/**
 * Files below a directory that some use in turns, each as its `view` shows them. Nothing is synced. Where nobody is ready,
 * `pass` lets time pass.
 */
export const make = <Name extends string>(
  fs: FileSystem.FileSystem,
  root: string,
  names: ReadonlyArray<Name>,
  pass: Effect.Effect<void> = Effect.void
) => {
  const { play, steps, ...turns } = makeTurns(names, { pass })

  const inTurn = (name: Name, what: string, file: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) =>
    file.startsWith(root)
      ? turns.inTurn(name, `${what} ${file.slice(file.lastIndexOf("/") + 1)}`)(operation)
      : operation

  const view = (name: Name): FileSystem.FileSystem => {
    const opened = (file: string) => (handle: FileSystem.File): FileSystem.File => ({
      [FileSystem.FileTypeId]: FileSystem.FileTypeId,
      fd: handle.fd,
      stat: handle.stat.pipe(inTurn(name, "stat open", file)),
      sync: Effect.void,
      seek: (...at) => handle.seek(...at),
      read: (buffer) => handle.read(buffer),
      readAlloc: (size) => handle.readAlloc(size).pipe(inTurn(name, "read open", file)),
      truncate: (length) => handle.truncate(length),
      write: (buffer) => handle.write(buffer),
      writeAll: (buffer) => handle.writeAll(buffer).pipe(inTurn(name, "write", file))
    })
    return {
      ...fs,
      link: (from, to) => fs.link(from, to).pipe(inTurn(name, "link", to)),
      rename: (from, to) => fs.rename(from, to).pipe(inTurn(name, "rename to", to)),
      remove: (file, options) => fs.remove(file, options).pipe(inTurn(name, "remove", file)),
      stat: (file) => fs.stat(file).pipe(inTurn(name, "stat", file)),
      readDirectory: (folder, options) => fs.readDirectory(folder, options).pipe(inTurn(name, "list", folder)),
      readFile: (file) => fs.readFile(file).pipe(inTurn(name, "read", file)),
      readFileString: (file, encoding) => fs.readFileString(file, encoding).pipe(inTurn(name, "read", file)),
      open: (file, options) => fs.open(file, options).pipe(inTurn(name, "open", file), Effect.map(opened(file)))
    }
  }

  return { steps, view, play }
}
