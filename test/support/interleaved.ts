/**
 * Several who use the same files, or the same store, as processes do, one operation of one of them at a time, in an order that
 * a test says: what real processes get to once in a year is found by trying all orders.
 */
import { FileSystem } from "@effect/platform"
import { type Array as Arr, Effect, type Exit, Fiber, Random } from "effect"

/** Lets files, timers and promises go first. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Where one of them waits for its turn. */
interface Gate {
  readonly name: string
  waiting: Array<{ readonly what: string; readonly release: () => void }>
  busy: boolean
  ended: boolean
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

/** So many orders with more turns, drawn at random. */
export const someOrders = <Name extends string, A, E, R>(
  names: Arr.NonEmptyReadonlyArray<Name>,
  count: number,
  play: (order: ReadonlyArray<Stretch<Name>>) => Effect.Effect<A, E, R>
) => {
  const dice = Random.make("interleaved")
  const stretch = Effect.zipWith(
    Random.choice(names),
    Random.nextIntBetween(1, 6),
    (name, steps): Stretch<Name> => [name, steps]
  )
  const order = Effect.withRandom(Effect.replicateEffect(stretch, 12), dice)
  return Effect.repeatN(Effect.flatMap(order, play), count - 1)
}

/** After so many operations of one in a row it is another one's turn, so that nobody waits for ever for who waits. */
const patience = 10

/**
 * Some who do their operations in turns: each does `inTurn` what the others are to see as one step. `play` has each do its work
 * in the order that is said, and once that is at its end one after the other, and answers whether each could do as much as was
 * said. `steps` tells what was done. Where nobody is ready, `pass` lets time pass.
 */
export const turns = <Name extends string>(names: ReadonlyArray<Name>, pass: Effect.Effect<void> = Effect.void) => {
  const until = (condition: () => boolean) => {
    let turns = 0
    return Effect.whileLoop({
      while: () => !condition(),
      body: () => turns++ < 5 ? turn : Effect.zipRight(pass, turn),
      step: () => {}
    })
  }
  const steps: Array<string> = []
  const gates = new Map(
    names.map((name): [Name, Gate] => [name, { name, waiting: [], busy: false, ended: false }])
  )
  let playing = false

  const inTurn = (name: Name, what: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const gate = gates.get(name)
      if (!playing || gate === undefined) return operation
      const released = Effect.async<void>((resume) => {
        const one = {
          what,
          release: () => {
            gate.busy = true
            steps.push(`${name}: ${what}`)
            resume(Effect.void)
          }
        }
        gate.waiting.push(one)
        return Effect.sync(() => {
          gate.waiting = gate.waiting.filter((other) => other !== one)
        })
      })
      return Effect.zipRight(
        released,
        Effect.ensuring(
          operation,
          Effect.sync(() => {
            gate.busy = false
          })
        )
      )
    })

  /** Whether it is ready to do something, and what that is. */
  const next = (gate: Gate) =>
    Effect.map(until(() => gate.ended || gate.waiting.length > 0), () => gate.ended ? undefined : gate.waiting[0]?.what)

  const step = (gate: Gate) =>
    Effect.suspend(() => {
      gate.waiting.shift()?.release()
      return until(() => !gate.busy)
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
    order: ReadonlyArray<Stretch<Name>>
  ) =>
    Effect.gen(function*() {
      playing = true
      for (const gate of gates.values()) gate.ended = false
      const fibers = yield* Effect.forEach(gates, ([name, gate]) =>
        Effect.map(
          Effect.fork(Effect.ensuring(
            work[name],
            Effect.sync(() => {
              gate.ended = true
            })
          )),
          (fiber) => [name, fiber] as const
        ))
      let isComplete = true
      for (const [name, stretch] of order) {
        const gate = gates.get(name)
        if (gate !== undefined && !(yield* advance(gate, stretch))) isComplete = false
      }
      while ([...gates.values()].some(({ ended }) => !ended)) {
        for (const gate of gates.values()) yield* advance(gate, patience)
      }
      const exits = yield* Effect.forEach(fibers, ([name, fiber]) =>
        Effect.map(Fiber.await(fiber), (exit): [Name, Exit.Exit<A, E>] => [name, exit]))
      playing = false
      // What goes on in the background is not held up any more.
      for (const { waiting } of gates.values()) {
        for (const { release } of waiting.splice(0)) {
          release()
        }
      }
      return { exits: new Map(exits), isComplete }
    })

  return { steps, inTurn, play }
}
export type Players<Name extends string> = Pick<ReturnType<typeof turns<Name>>, "steps" | "play">

/** Files below a directory that some use in turns. `view` is what one of them sees. Nothing is synced. */
export const make = <Name extends string>(
  fs: FileSystem.FileSystem,
  root: string,
  names: ReadonlyArray<Name>,
  pass: Effect.Effect<void> = Effect.void
) => {
  const players = turns(names, pass)

  const view = (name: Name): FileSystem.FileSystem => {
    const inTurn = (what: string, file: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) =>
      file.startsWith(root)
        ? operation.pipe(players.inTurn(name, `${what} ${file.slice(file.lastIndexOf("/") + 1)}`))
        : operation
    const opened = (file: string) => (handle: FileSystem.File): FileSystem.File => ({
      [FileSystem.FileTypeId]: FileSystem.FileTypeId,
      fd: handle.fd,
      stat: handle.stat.pipe(inTurn("stat open", file)),
      sync: Effect.void,
      seek: (...at) => handle.seek(...at),
      read: (buffer) => handle.read(buffer),
      readAlloc: (size) => handle.readAlloc(size).pipe(inTurn("read open", file)),
      truncate: (length) => handle.truncate(length),
      write: (buffer) => handle.write(buffer),
      writeAll: (buffer) => handle.writeAll(buffer).pipe(inTurn("write", file))
    })
    return {
      ...fs,
      link: (from, to) => fs.link(from, to).pipe(inTurn("link", to)),
      rename: (from, to) => fs.rename(from, to).pipe(inTurn("rename to", to)),
      remove: (file, options) => fs.remove(file, options).pipe(inTurn("remove", file)),
      stat: (file) => fs.stat(file).pipe(inTurn("stat", file)),
      readDirectory: (folder, options) => fs.readDirectory(folder, options).pipe(inTurn("list", folder)),
      readFile: (file) => fs.readFile(file).pipe(inTurn("read", file)),
      readFileString: (file, encoding) => fs.readFileString(file, encoding).pipe(inTurn("read", file)),
      open: (file, options) => fs.open(file, options).pipe(inTurn("open", file), Effect.map(opened(file)))
    }
  }

  return { steps: players.steps, play: players.play, view }
}
