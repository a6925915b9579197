/** Engines that bind one task in a bucket, of which the requests mix. */
import { FileSystem, HttpClient } from "@effect/platform"
import { SystemError } from "@effect/platform/Error"
import { RequestError } from "@effect/platform/HttpClientError"
import { describe, expect, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Scope } from "effect"
import type { BindLock } from "effect-checkmate"
import type * as S3 from "effect-checkmate/s3"
import { vi } from "vitest"
import * as S3Lock from "../../src/s3/BindLock.ts"
import * as Client from "../../src/s3/client.ts"
import { seal } from "../../src/s3/envelope.ts"
import * as Interleaved from "../support/interleaved.ts"
import { asked, make, options as theirs, refusal } from "./madeUpStore.ts"

// To sign each request takes longer than all else.
vi.spyOn(crypto.subtle, "digest").mockResolvedValue(new ArrayBuffer(32))
vi.spyOn(crypto.subtle, "sign").mockResolvedValue(new ArrayBuffer(32))

const options = { ...theirs, requestTimeout: "1 day", retryFor: "1 day" } satisfies S3.S3Options
const lease = 10_000

const names = ["a", "b", "c"] as const
type Name = typeof names[number]
type Order = ReadonlyArray<Interleaved.Stretch<Name>>

/** What a store makes of a condition on a removal. */
type Removals = "keeps to it" | "ignores it" | "refuses it"

interface Settings {
  readonly removals: Removals
  /** Who binds the task first, and is gone. */
  readonly before?: "dead" | "silent"
  /** Which answer, counted from 0, is lost on its way to the first engine. */
  readonly lost?: number
}

/** A machine on which all processes live but one. */
const machine = (name: Name) => {
  const stat = `100 (node) S ${"0 ".repeat(18)}1`
  const files: Readonly<Record<string, string>> = {
    "/proc/self/stat": stat,
    "/proc/100/stat": stat,
    "/proc/sys/kernel/random/boot_id": "one",
    "/proc/sys/kernel/hostname": name
  }
  const missing = new SystemError({ module: "FileSystem", method: "readFileString", reason: "NotFound" })
  return FileSystem.makeNoop({
    readFileString: (file) => Effect.mapError(Effect.fromNullable(files[file]), () => missing),
    readLink: () => Effect.succeed("pid:[1]"),
    exists: () => Effect.succeed(true)
  })
}

/** A clock of one's own, which goes on to the next moment that anyone waits for. */
const makeTime = () => {
  let now = 100_000
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>()
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(Math.round(now * 1e6)),
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(Math.round(now * 1e6))),
    sleep: (duration) =>
      Effect.async((resume) => {
        const sleeper = { until: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        sleepers.add(sleeper)
        return Effect.sync(() => sleepers.delete(sleeper))
      })
  }
  const pass = Effect.sync(() => {
    const next = Math.min(...[...sleepers].map(({ until }) => until))
    // Nobody's request is given up.
    if (next > now + 60_000) return
    now = next
    for (const sleeper of sleepers) {
      if (sleeper.until > now) continue
      sleepers.delete(sleeper)
      sleeper.wake()
    }
  })
  return { clock, pass }
}

const engineOf = (body: Uint8Array) => /"engine":"(\w+)"/.exec(new TextDecoder().decode(body))?.[1]

/** Engines with a machine and a clock each: whoever is not let do anything is frozen. */
const world = Effect.fnUntraced(function*({ before, lost, removals }: Settings) {
  const { clock, pass } = makeTime()
  const store = make(
    ({ headers, method }) =>
      Effect.succeed(
        removals === "refuses it" && method === "DELETE" && headers["if-match"] !== undefined
          ? refusal(501, "NotImplemented")
          : undefined
      ),
    removals === "keeps to it"
  )
  const players = Interleaved.makeTurns(names, { pass })
  const problems: Array<string> = []
  const engines = new Map<Name, string>()
  /** Who believes to hold the task, and whether it does. */
  const holding = new Map<Name, boolean>()
  /** Who was told that it holds the task no more. */
  const told = new Set<Name>()
  /** Who gave no sign for a lease at a time. */
  const wereSilent = new Set<Name>()
  let answers = -Infinity

  const lockedBy = () => {
    const lock = store.objects.get("p/lock/t")
    return lock === undefined ? undefined : engineOf(lock.body)
  }
  /** For how long an engine has given no sign, as the store knows it. */
  const silenceOf = (name: Name) => {
    const sign = store.objects.get(`p/engine/${engines.get(name)}`)
    return sign === undefined ? 0 : clock.unsafeCurrentTimeMillis() - sign.modified
  }

  const note = (by: Name, what: string) => Effect.sync(() => void players.steps.push(`${by} ${what}`))

  const clockOf = (name: Name): Clock.Clock => ({
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis(),
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeMillis: clock.currentTimeMillis,
    currentTimeNanos: clock.currentTimeNanos,
    sleep: (duration) => Effect.zipRight(clock.sleep(duration), players.inTurn(name, "wakes")(Effect.void))
  })

  const clientOf = (name: Name) =>
    HttpClient.transform(store.client, (answer, request) => {
      const what = asked(request)
      const done = Effect.suspend(() => {
        const before = lockedBy()
        if (what.startsWith("PUT p/engine/")) {
          engines.set(name, what.slice("PUT p/engine/".length))
          if (silenceOf(name) > lease) wereSilent.add(name)
        }
        return Effect.tap(answer, () => {
          const isTaken = what.startsWith("DELETE") && before !== undefined && lockedBy() === undefined
          if (isTaken && before !== engines.get(name)) problems.push(`${name} removes another's lock`)
          return Effect.void
        })
      })
      return done.pipe(
        players.inTurn(name, what),
        Effect.tap(() =>
          players.inTurn(name, `answer to ${what}`)(Effect.suspend(() => {
            if (what === "GET p/lock/" && holding.get(name) === false) told.add(name)
            return name === "a" && answers++ === lost
              ? Effect.zipRight(
                note(name, "gets no answer"),
                Effect.fail(new RequestError({ request, reason: "Transport" }))
              )
              : Effect.void
          }))
        )
      )
    })

  const begins = (name: Name) =>
    Effect.sync(() => {
      players.steps.push(`${name} holds`)
      told.delete(name)
      holding.set(name, true)
      for (const [other, does] of holding) {
        if (other === name || !does) continue
        // Whichever of them was silent for so long holds it no more.
        const late = [name, other].find((one) => wereSilent.has(one) || silenceOf(one) > lease)
        if (late === undefined) problems.push(`${name} holds, and ${other} does`)
        else holding.set(late, false)
      }
    })
  const ends = (name: Name) =>
    Effect.sync(() => {
      holding.delete(name)
      players.steps.push(`${name} lets go`)
    })
  const loses = (name: Name) => (why: string) =>
    Effect.sync(() => {
      players.steps.push(`${name} is told: ${why}`)
      if (holding.get(name) === true) problems.push(`${name} loses what it holds: ${why}`)
    })
  const works = (name: Name) =>
    players.inTurn(name, "works")(Effect.sync(() => {
      if (told.has(name)) problems.push(`${name} works on what it lost`)
    }))

  const scope = yield* Scope.make()
  const apart = (name: Name) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.withClock(self, clockOf(name))
  const engine = (name: Name) =>
    Effect.map(
      Effect.flatMap(Client.make(options), (client) => S3Lock.make(client, { lease })).pipe(
        Effect.provideService(HttpClient.HttpClient, clientOf(name)),
        Effect.provideService(FileSystem.FileSystem, machine(name)),
        Scope.extend(scope),
        apart(name)
      ),
      (lock) => ({ name, lock })
    )
  if (before !== undefined) {
    const process = {
      boot: before === "dead" ? "one" : "other",
      namespace: "pid:[1]",
      pid: "99",
      startTime: "1"
    }
    const gone = JSON.stringify({ engine: "gone", name: "gone", since: new Date(0), process })
    const { bytes } = yield* seal(gone)
    store.put("p/lock/t", new TextDecoder().decode(bytes))
    store.put("p/engine/gone", new TextDecoder().decode(bytes), before === "dead" ? 0 : 40_000)
  }

  /** Binds the task, works on it for so many steps, and lets it go. */
  const binds = ({ lock, name }: { readonly name: Name; readonly lock: BindLock.Driver }, steps: number) =>
    Effect.gen(function*() {
      const { lost } = yield* lock.acquire("t")
      yield* Effect.acquireUseRelease(
        begins(name),
        () => Effect.raceFirst(Effect.repeatN(works(name), steps - 1), Effect.flatMap(lost, loses(name))),
        () => ends(name)
      )
    }).pipe(
      Effect.scoped,
      Effect.catchTag("TaskBoundError", ({ holder }) => note(name, `is refused: ${holder} holds it`)),
      apart(name)
    )
  const begin = () => {
    players.steps.length = answers = 0
  }
  return { store, players, problems, engine, binds, apart, begin, pass, close: Scope.close(scope, Exit.void) }
})

type World = Effect.Effect.Success<ReturnType<typeof world>>
type Engine = Effect.Effect.Success<ReturnType<World["engine"]>>
type Work = (world: World, engine: Engine) => Effect.Effect<void, unknown>

const turns = Effect.repeatN(
  Effect.async<void>((resume) => {
    setImmediate(() => resume(Effect.void))
  }),
  4
)

const play = (settings: Settings, roles: { readonly [N in Name]?: Work }) => (order: Order) =>
  Effect.gen(function*() {
    const its = yield* world(settings)
    const { close, engine, pass, players, problems, store } = its
    const of = (name: Name) => {
      const role = roles[name]
      return role === undefined ? Effect.succeed(Effect.void) : Effect.map(engine(name), (one) => role(its, one))
    }
    const work = { a: yield* of("a"), b: yield* of("b"), c: yield* of("c") }
    its.begin()
    const { exits, isComplete, stuck } = yield* players.play(work, order)
    const told = players.steps.join("\n")
    for (const [name, exit] of exits) if (Exit.isFailure(exit)) problems.push(`${name}: ${exit.cause.toString()}`)
    expect([...problems, ...stuck], told).toEqual([])
    // What could not be let go of is by the next signs of life.
    for (let times = 0; store.objects.has("p/lock/t") && times < 100; times++) {
      yield* Effect.zipRight(pass, turns)
    }
    expect([...store.objects.keys()].filter((key) => key.startsWith("p/lock/")), told).toEqual([])
    yield* close
    store.objects.delete("p/engine/gone")
    expect([...store.objects.keys()], told).toEqual([])
    return isComplete
  })

const binding = (times: number, steps = 2): Work => ({ binds }, engine) =>
  Effect.repeatN(binds(engine, steps), times - 1)

const later = (times: number, steps: number): Work => ({ apart, binds }, engine) =>
  apart(engine.name)(Effect.zipRight(Effect.sleep("11 seconds"), Effect.repeatN(binds(engine, steps), times - 1)))

const removals = "ignores it"

describe("the lock in S3 keeps its promises in whatever order requests and their answers mix", () => {
  it.scoped("of two that bind, let go, and bind again", () =>
    Interleaved.someOrders(["a", "b"], 25, play({ removals }, { a: binding(2), b: binding(2) })))

  for (const before of ["dead", "silent"] as const) {
    it.scoped(`of two that take over from one that is ${before}`, () =>
      Interleaved.someOrders(["a", "b"], 25, play({ removals, before }, { a: binding(1), b: binding(1) })))
  }

  for (const removals of ["keeps to it", "ignores it", "refuses it"] as const) {
    it.scoped(`of three, where the store, asked to remove under a condition, ${removals}`, () =>
      Interleaved.someOrders(names, 10, play({ removals }, { a: binding(2), b: binding(2), c: binding(2) })))
  }

  it.scoped("of one that was frozen, one that takes over from it, and one that finds the task bound", () =>
    Effect.gen(function*() {
      const order = play({ removals }, { a: binding(1, 6), b: later(1, 20), c: later(2, 2) })
      for (const before of [3, 4, 6, 8]) {
        for (let meanwhile = 9; meanwhile < 19; meanwhile += 1) yield* order([["a", before], ["b", meanwhile]])
      }
    }))

  it.scoped("of one whose answer to a removal is lost, and one that binds meanwhile", () =>
    Effect.gen(function*() {
      const order = play({ removals, lost: 2 }, { a: binding(1), b: binding(1, 12) })
      for (let before = 0; before < 5; before++) {
        for (const steps of [7, 8, 9]) yield* order([["b", before], ["a", steps], ["b", 8]])
      }
    }))
})
