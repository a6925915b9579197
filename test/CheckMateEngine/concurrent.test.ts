/**
 * Several who do something to one task at the same time, from one engine or from two over one store and one lock, as two
 * processes have. Whatever they ask of the store and of the lock, and all that stages do, waits for its turn, so that a test
 * says in which order it comes.
 */
import { describe, expect, it } from "@effect/vitest"
import {
  Array as Arr,
  Cause,
  type Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  HashSet,
  Layer,
  Option,
  Predicate,
  Random,
  Schedule,
  Schema,
  Scope,
  Stream
} from "effect"
import { BindLock, CheckMate, type CheckMateEngine, Stage, type TaskIO } from "effect-checkmate"
import * as MemoryLock from "effect-checkmate/BindLock/Memory"
import * as MemoryStore from "effect-checkmate/TaskIO/Memory"
import * as HandClock from "../support/handClock.ts"
import { makeTurns, someOrder, type Stretch } from "../support/interleaved.ts"
import { Boom, engineService, Ledger, Numbers, until } from "../support/pipelines.ts"

type Engine = Context.Tag.Service<CheckMateEngine.CheckMateEngine>

// --- the story ---------------------------------------------------------------------

const actions = [
  "run",
  "run, or wait",
  "start",
  "resume",
  "resumeAll",
  "cancel",
  "cancel and roll back",
  "pause",
  "rollback",
  "retryFrom a",
  "retryFrom b",
  "remove",
  "clean",
  "get",
  "find",
  "watch"
] as const
type Action = typeof actions[number]

/** What comes of stage b, the first time. */
const lots = ["succeeds", "fails and is retried", "fails", "fails and all is rolled back", "hangs"] as const
type Lot = typeof lots[number]

/** How the task stands when all begin. */
const beginnings = [
  "none",
  "Failed",
  "left",
  "Paused",
  "Cancelled",
  "Succeeded",
  "RolledBack",
  "RollbackFailed"
] as const
type Beginning = typeof beginnings[number]

const sides = ["left", "right"] as const
type Side = typeof sides[number]

const names = ["one", "two", "three"] as const
type Name = typeof names[number]
const mails = ["left's mail", "right's mail"] as const
type Mail = typeof mails[number]
type Turn = Name | Mail

/** What one does, one after the other: something to the task, to another one, or to an engine. */
type Deed =
  | { readonly _tag: "do"; readonly by: Side; readonly actions: ReadonlyArray<Action> }
  | { readonly _tag: "interrupt"; readonly name: Name }
  | { readonly _tag: "close"; readonly side: Side }

interface Story {
  readonly beginning: Beginning
  readonly lot: Lot
  readonly undoFails: boolean
  readonly deeds: { readonly [N in Name]?: Deed }
}

// --- the world ---------------------------------------------------------------------

/** Who it is that does something; none for what an engine does in the background. */
const current = FiberRef.unsafeMake<Name | undefined>(undefined)

const taskId = "t"
const input = { seed: 1 }
const isRight = Schema.is(
  Schema.Struct({ seed: Schema.Literal(1), a: Schema.Literal(2), b: Schema.Literal(3), c: Schema.Literal(4) })
)

interface Moment {
  readonly status: string
  readonly held: boolean
}

const makeWorld = Effect.gen(function*() {
  const { clock, pass: passTime, passToNext: pass } = yield* HandClock.make
  const tick = passTime("1 millis")
  const turns = makeTurns(names, { aside: mails, pass, most: 6 })
  const { arrivals: _, ...store } = yield* MemoryStore.make
  const lock = yield* MemoryLock.make
  const ledger = new Ledger()
  const problems: Array<string> = []
  const moments: Array<Moment> = [{ status: "none", held: false }]
  const now = () => moments.at(-1) ?? { status: "none", held: false }
  const become = (change: Partial<Moment>) => Effect.sync(() => moments.push({ ...now(), ...change }))
  /** What runs, or is undone, now. */
  const busy = new Set<string>()
  const dirty = new Set<string>()

  const inTurn = (side: Side | undefined, what: string) => <A, E, R>(operation: Effect.Effect<A, E, R>) =>
    Effect.flatMap(FiberRef.get(current), (name) => {
      const who = name ?? (side === undefined ? undefined : `${side}'s mail` as const)
      return who === undefined ? operation : turns.inTurn(who, what)(operation)
    })

  /** The store as one engine sees it. */
  const storeOf = (side: Side): TaskIO.Encoded => ({
    ...store,
    open: (id) =>
      Effect.map(inTurn(side, "open")(store.open(id)), (journal) => ({
        ...journal,
        append: (position, records, summary) =>
          journal.append(position, records, summary).pipe(
            Effect.tap(() => become({ status: summary.status })),
            inTurn(side, `append ${records.map((record) => String(JSON.parse(record)._tag)).join(", ")}`)
          )
      })),
    read: (id, from) => inTurn(side, "read")(store.read(id, from)),
    list: (query) => Stream.unwrap(inTurn(side, "list")(Effect.succeed(store.list(query)))),
    remove: (id) =>
      Effect.suspend(() => {
        const { status } = now()
        if (/^(Running|RollingBack)$/.test(status)) problems.push(`removed while it is ${status}`)
        return store.remove(id)
      }).pipe(
        Effect.zipLeft(become({ status: "none" })),
        Effect.tap(() => dirty.clear()),
        // No other task of this id begins in the same millisecond.
        Effect.zipLeft(tick),
        inTurn(side, "remove")
      ),
    send: (id, message) => inTurn(side, `send ${String(JSON.parse(message)._tag)}`)(store.send(id, message)),
    receive: (id) => inTurn(side, "receive")(store.receive(id)),
    acknowledge: (id, ids) => inTurn(side, "acknowledge")(store.acknowledge(id, ids))
  })

  const lockOf = (side: Side): BindLock.Driver => ({
    acquire: (id) =>
      Effect.zipRight(
        inTurn(side, "acquire")(Effect.void),
        lock.acquire(id).pipe(
          Effect.tap(() => become({ held: true })),
          Effect.tap(() => Effect.addFinalizer(() => inTurn(side, "release")(become({ held: false })))),
          Effect.uninterruptible
        )
      ),
    holder: (id) => inTurn(side, "holder")(lock.holder(id))
  })

  const lastCheckpoint = (stage: string) =>
    Effect.map(
      Effect.orDie(store.read(taskId, 0)),
      (records) =>
        records.map((record) => JSON.parse(record)).findLast((event) =>
          event.stage === stage && /^Stage(Succeeded|RolledBack)$/.test(event._tag)
        )?._tag
    )

  /** Something that is done for a stage; no two at a time. */
  const work = <E>(what: "run" | "undo", stage: string, effect: Effect.Effect<void, E>) =>
    Effect.gen(function*() {
      const entry = `${what} ${stage}`
      ledger.entries.push(entry)
      if (busy.has(stage)) problems.push(`${entry}: while it is being run, or undone`)
      busy.add(stage)
      if (what === "run") {
        if ((yield* lastCheckpoint(stage)) === "StageSucceeded") problems.push(`${entry}: it has succeeded`)
        if (dirty.has(stage)) problems.push(`${entry}: its last attempt is not undone`)
        dirty.add(stage)
      }
      yield* inTurn(undefined, entry)(Effect.void)
      yield* effect
      if (what === "undo") dirty.delete(stage)
    }).pipe(Effect.ensuring(Effect.sync(() => busy.delete(stage))))

  /** Whether what hangs still does. */
  const hanging = yield* Effect.makeLatch()
  const luck = { failures: 0, undoFailures: 0, hangs: false, takes: Duration.zero }
  const fails = (of: "failures" | "undoFailures", stage: string) =>
    Effect.suspend(() => {
      luck[of] -= 1
      return luck[of] >= 0 ? Effect.fail(new Boom({ stage, status: 503 })) : Effect.void
    })

  /** The pipeline, with luck anew. */
  const define = (lot: Lot, undoFails = false, takes: Duration.DurationInput = 0) => {
    luck.failures = lot.startsWith("fails") ? 1 : 0
    luck.undoFailures = undoFails ? 1 : 0
    luck.hangs = lot === "hangs"
    luck.takes = Duration.decode(takes)
    const undo = (stage: string) => () =>
      work("undo", stage, stage === "a" ? fails("undoFailures", stage) : Effect.void)
    const inB = Effect.suspend(() => luck.hangs ? hanging.await : fails("failures", "b"))
    const inC = Effect.suspend(() => Duration.toMillis(luck.takes) > 0 ? Effect.sleep(luck.takes) : Effect.void)
    return CheckMate.make("abc", {
      state: Numbers,
      input: ["seed"],
      onFailure: lot === "fails and all is rolled back" ? "rollback" : "halt",
      stages: [
        Stage.make(Numbers, "a", {
          requires: ["seed"],
          provides: ["a"],
          execute: ({ seed }) => Effect.as(work("run", "a", Effect.void), { a: seed + 1 }),
          rollback: undo("a")
        }),
        Stage.make(Numbers, "b", {
          requires: ["a"],
          provides: ["b"],
          retry: Schedule.recurs(lot === "fails and is retried" ? 1 : 0).pipe(Schedule.addDelay(() => "150 millis")),
          execute: ({ a }) => Effect.as(work("run", "b", inB), { b: a + 1 }),
          rollback: undo("b")
        }),
        Stage.make(Numbers, "c", {
          requires: ["b"],
          provides: ["c"],
          execute: ({ b }) => Effect.as(work("run", "c", inC), { c: b + 1 }),
          rollback: undo("c")
        })
      ]
    })
  }

  /** Has one engine run the task before, to where it is to stand. */
  const begin = (beginning: Beginning, engine: Engine) =>
    Effect.gen(function*() {
      const run = (lot: Lot, undoFails?: boolean) => engine.run(define(lot, undoFails), { taskId, input })
      const left = Effect.gen(function*() {
        const fiber = yield* Effect.fork(run("hangs"))
        yield* until(() => ledger.count("run b") === 1)
        yield* Fiber.interrupt(fiber)
      })
      switch (beginning) {
        case "none":
          return
        case "Failed":
          return yield* Effect.ignore(run("fails"))
        case "left":
          return yield* left
        case "Paused":
          return yield* Effect.zipRight(left, engine.pause(taskId))
        case "Cancelled":
          return yield* Effect.zipRight(left, engine.cancel(taskId))
        case "Succeeded":
          return yield* run("succeeds")
        case "RolledBack":
          return yield* Effect.zipRight(run("succeeds"), engine.rollback(define("succeeds"), taskId))
        case "RollbackFailed":
          return yield* Effect.zipRight(
            run("succeeds"),
            Effect.ignore(engine.rollback(define("succeeds", true), taskId))
          )
      }
    })

  return {
    turns,
    store,
    lock,
    pass,
    clock,
    ledger,
    problems,
    moments,
    now,
    storeOf,
    lockOf,
    busy,
    hanging,
    define,
    begin
  }
})
type World = Effect.Effect.Success<typeof makeWorld>
type Definition = ReturnType<World["define"]>

const engineOf = (store: TaskIO.Encoded, lock: BindLock.Driver) =>
  engineService(store, Layer.succeed(BindLock.BindLock, lock), { pollInterval: "100 millis" })

// --- what is done, and what must be true of it -------------------------------------

const carryOut = (engine: Engine, definition: Definition, action: Action): Effect.Effect<unknown, unknown> => {
  switch (action) {
    case "run":
      return engine.run(definition, { taskId, input })
    case "run, or wait":
      return engine.run(definition, { taskId, input, whenBound: "wait" })
    case "start":
      return Effect.flatMap(engine.start(definition, { taskId, input }), (handle) => handle.await)
    case "resume":
      return engine.resume(definition, taskId)
    case "resumeAll":
      return engine.resumeAll([definition])
    case "cancel":
      return engine.cancel(taskId)
    case "cancel and roll back":
      return engine.cancel(taskId, { rollback: definition })
    case "pause":
      return engine.pause(taskId)
    case "rollback":
      return engine.rollback(definition, taskId)
    case "retryFrom a":
      return engine.retryFrom(definition, taskId, "a")
    case "retryFrom b":
      return engine.retryFrom(definition, taskId, "b")
    case "remove":
      return engine.remove(taskId)
    case "clean":
      return engine.clean()
    case "get":
      return Effect.map(engine.get(taskId), ({ task }) => task.status._tag)
    case "find":
      return Effect.map(engine.find({ held: false }), (found) => found.map(({ status }) => status))
    case "watch":
      return Effect.map(Stream.runLast(engine.watch(taskId)), (last) => Option.getOrThrow(last).task.status._tag)
  }
}

const ofRun = [
  "Boom",
  "TaskBoundError",
  "TaskCancelledError",
  "TaskPausedError",
  "TaskRolledBackError",
  "RollbackFailedError"
]
const ofRetry = [...ofRun, "TaskNotFoundError", "TaskStatusError"]

/** What each may fail with. */
const documented: { readonly [A in Action]: ReadonlyArray<string> } = {
  run: ofRun,
  "run, or wait": ofRun.filter((tag) => tag !== "TaskBoundError"),
  start: ofRun,
  resume: [...ofRun, "TaskNotFoundError"],
  resumeAll: [],
  cancel: ["TaskNotFoundError", "TaskStatusError", "RollbackFailedError"],
  "cancel and roll back": ["TaskNotFoundError", "TaskStatusError", "RollbackFailedError"],
  pause: ["TaskNotFoundError", "TaskStatusError", "TaskCancelledError"],
  rollback: ["TaskNotFoundError", "TaskBoundError", "TaskCancelledError", "RollbackFailedError"],
  "retryFrom a": ofRetry,
  "retryFrom b": ofRetry,
  remove: ["TaskNotFoundError", "TaskStatusError", "TaskBoundError"],
  clean: [],
  get: ["TaskNotFoundError"],
  find: [],
  watch: ["TaskNotFoundError"]
}

/** What must have been true at some moment, of an error that says so. */
const meant = (tag: string, error: unknown): ((moment: Moment) => boolean) | undefined => {
  const is = (...statuses: ReadonlyArray<string>) => ({ status }: Moment) => statuses.includes(status)
  switch (tag) {
    case "TaskNotFoundError":
      return is("none")
    case "TaskStatusError":
      return is(Predicate.hasProperty(error, "status") ? String(error.status) : "")
    case "TaskBoundError":
      return ({ held }) => held
    case "TaskCancelledError":
      return is("Cancelled", "RolledBack")
    case "TaskPausedError":
      return is("Paused")
    case "TaskRolledBackError":
      return is("RolledBack", "Cancelled")
    case "RollbackFailedError":
      return is("RollbackFailed")
    default:
      return undefined
  }
}

/** What is wrong with how something ended, of what was true meanwhile. */
const judge = (
  action: Action,
  exit: Exit.Exit<unknown, unknown>,
  meanwhile: ReadonlyArray<Moment>,
  closes: boolean,
  isOver: boolean
): ReadonlyArray<string> => {
  const was = (...statuses: ReadonlyArray<string>) => meanwhile.some(({ status }) => statuses.includes(status))
  const unless = (holds: boolean, problem: string) => holds ? [] : [`${action}: ${problem}`]
  if (Exit.isFailure(exit)) {
    const { cause } = exit
    if (Cause.isInterrupted(cause)) return []
    const failure = Option.getOrUndefined(Cause.failureOption(cause))
    if (failure === undefined) {
      return unless(
        closes && /CheckMateEngine it was given to is closed/.test(Cause.pretty(cause)),
        Cause.pretty(cause)
      )
    }
    const tag = Predicate.hasProperty(failure, "_tag") ? String(failure._tag) : String(failure)
    const holds = meant(tag, failure)
    return [
      ...unless(documented[action].includes(tag), `failed with ${Cause.pretty(cause)}`),
      ...unless(holds === undefined || meanwhile.some(holds), `failed with ${tag}, which was not so`)
    ]
  }
  const { value } = exit
  switch (action) {
    case "run":
    case "run, or wait":
    case "start":
    case "resume":
    case "retryFrom a":
    case "retryFrom b":
      return unless(was("Succeeded") && isRight(value), JSON.stringify(value))
    case "cancel":
    case "cancel and roll back":
      return unless(was("Cancelled", "RolledBack"), "it was not cancelled")
    case "pause":
      // Whoever holds it may have it Running before that is written.
      return unless(was("Running", "Paused") || meanwhile.some(({ held }) => held), "it was not running")
    case "rollback":
      return unless(was("RolledBack", "Cancelled"), "it was not rolled back")
    case "remove":
      return unless(was("none"), "it was not gone")
    case "clean":
      return unless(!Array.isArray(value) || value.length === 0 || was("none"), "it was not gone")
    case "find":
      return Array.isArray(value)
        ? value.flatMap((status) =>
          // One that is settled is not looked at again.
          unless(
            meanwhile.some((moment) => moment.status === status && !moment.held)
              || (!/^(Running|RollingBack)$/.test(status) && was(status) && meanwhile.some(({ held }) => !held)),
            `it was not ${status} and let go of`
          )
        )
        : []
    case "get":
      return unless(was(String(value)), `it was not ${String(value)}`)
    case "watch":
      return isOver
        ? unless(was("Running", "RollingBack"), "did not end")
        // It ends with its engine, too.
        : unless(
          was(String(value)) && (closes || !/^(Running|RollingBack)$/.test(String(value))),
          `it was not ${String(value)}`
        )
    case "resumeAll":
      return []
  }
}

// --- told in turns -----------------------------------------------------------------

/** Goes on with the task until it has succeeded, with nobody in the way. */
const finish = (world: World, engine: Engine) =>
  Effect.gen(function*() {
    // Long enough for mail to be looked for.
    const definition = world.define("succeeds", false, "350 millis")
    let hasRun = false
    for (let time = 0; time < 4; time++) {
      const { status } = world.now()
      if (status === "Succeeded" && hasRun) return
      const action = status === "Succeeded"
        ? engine.retryFrom(definition, taskId, "c")
        : status === "Cancelled" || status === "Poisoned"
        ? engine.retryFrom(definition, taskId, "a")
        : engine.run(definition, { taskId, input })
      hasRun = true
      const exit = yield* Effect.exit(action)
      if (Exit.isSuccess(exit)) {
        if (!isRight(exit.value)) world.problems.push(`at last: ${JSON.stringify(exit.value)}`)
        continue
      }
      const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
      // A rollback is finished first.
      const isRolledBack = Predicate.isTagged(failure, "TaskRolledBackError")
        || (/^Roll(ingBack|backFailed)$/.test(status) && Predicate.isTagged(failure, "TaskCancelledError"))
      if (!isRolledBack) world.problems.push(`at last, it was ${status}: ${Cause.pretty(exit.cause)}`)
    }
    world.problems.push(`at last: it is ${world.now().status}`)
  })

const show = (value: object): string => JSON.stringify(value).replaceAll(/"(\w+)":/g, "$1: ").replaceAll("\"", "'")

const tell = (story: Story, order: ReadonlyArray<Stretch<Turn>>) =>
  Effect.gen(function*() {
    const world = yield* makeWorld
    const { moments, problems, turns } = world
    const deeds = Object.values(story.deeds)
    const closes = deeds.some(({ _tag }) => _tag === "close")
    const play = Effect.gen(function*() {
      yield* Effect.scoped(Effect.flatMap(engineOf(world.storeOf("left"), world.lockOf("left")), (engine) =>
        Effect.orDie(world.begin(story.beginning, engine))))
      const scopes = { left: yield* Scope.make(), right: yield* Scope.make() }
      const engineOn = (side: Side) =>
        Scope.extend(engineOf(world.storeOf(side), world.lockOf(side)), scopes[side])
      const engines = { left: yield* engineOn("left"), right: yield* engineOn("right") }
      const definition = world.define(story.lot, story.undoFails)
      const enough = yield* Effect.makeLatch()
      let isOver = false
      const interrupts = new Map<Name, () => void>()

      const act = (side: Side, action: Action) =>
        Effect.suspend(() => {
          const from = moments.length - 1
          const effect = carryOut(engines[side], definition, action)
          const limited = action === "watch" ? Effect.raceFirst(effect, enough.await) : effect
          return Effect.exit(Effect.onExit(limited, (exit) =>
            Effect.sync(() => {
              problems.push(...judge(action, exit, moments.slice(from), closes, isOver))
            })))
        })
      const workOf = (name: Name): Effect.Effect<void> => {
        const deed = story.deeds[name]
        const work = deed === undefined
          ? Effect.void
          : deed._tag === "do"
          ? Effect.forEach(deed.actions, (action) => act(deed.by, action), { discard: true })
          : deed._tag === "close"
          ? Effect.zipRight(
            turns.inTurn(name, `close ${deed.side}`)(Effect.void),
            Scope.close(scopes[deed.side], Exit.void)
          )
          : turns.inTurn(name, `interrupt ${deed.name}`)(Effect.sync(() => interrupts.get(deed.name)?.()))
        return Effect.withFiberRuntime<void>((fiber) => {
          interrupts.set(name, () => fiber.unsafeInterruptAsFork(fiber.id()))
          return Effect.locally(work, current, name)
        })
      }
      const relief = [
        world.hanging.open,
        Effect.suspend(() => {
          isOver = true
          return enough.open
        })
      ]
      const { stuck } = yield* turns.play(
        { one: workOf("one"), two: workOf("two"), three: workOf("three") },
        order,
        relief
      )
      if (stuck.length > 0) {
        problems.push(`${stuck.join(", ")} came to no end`)
        return
      }
      const last = makeTurns(["last"], { pass: world.pass, most: 100 })
      const lasting = Effect.scoped(Effect.gen(function*() {
        yield* Effect.forEach(sides, (side) => Scope.close(scopes[side], Exit.void))
        yield* finish(world, yield* engineOf(world.storeOf("left"), world.lockOf("left")))
      }))
      const { stuck: never } = yield* last.play({ last: lasting }, [])
      if (never.length > 0) problems.push("at last: it came to no end")
      const mail = yield* world.store.receive(taskId)
      if (mail.length > 0) problems.push(`mail is left: ${mail.map(({ message }) => message).join()}`)
      if (Option.isSome(yield* world.lock.holder(taskId))) problems.push("it is held for ever")
      if (world.busy.size > 0) problems.push(`${[...world.busy].join()} still at work`)
    })
    yield* play.pipe(Effect.withClock(world.clock), Effect.locally(FiberRef.currentLoggers, HashSet.empty()))
    const told = [show(story), show(order), ...turns.steps, `ledger: ${world.ledger.entries.join(", ")}`]
    expect(problems, told.join("\n")).toEqual([])
  })

const actionOf = Random.choice(actions)
const sideOf = Random.choice(sides)
const doing: Effect.Effect<Deed> = Effect.gen(function*() {
  const by = yield* sideOf
  const count = yield* Random.nextIntBetween(1, 3)
  return { _tag: "do", by, actions: yield* Effect.replicateEffect(actionOf, count) }
})
const disturbing: Effect.Effect<Deed> = Effect.gen(function*() {
  return (yield* Random.nextBoolean)
    ? { _tag: "interrupt", name: yield* Random.choice(["one", "two"] as const) }
    : { _tag: "close", side: yield* sideOf }
})
const randomStory: Effect.Effect<Story> = Effect.gen(function*() {
  const dice = yield* Random.nextIntBetween(0, 3)
  return {
    beginning: yield* Random.choice(beginnings),
    lot: yield* Random.choice(lots),
    undoFails: (yield* Random.nextIntBetween(0, 4)) === 0,
    deeds: {
      one: yield* doing,
      two: yield* doing,
      ...(dice === 0 ? {} : { three: yield* dice === 1 ? doing : disturbing })
    }
  }
}).pipe(Effect.orDie)

/** What two do to a task, of whom one is in the middle of it as the other one begins. */
const pairs: ReadonlyArray<readonly [Beginning, Lot, Action, Action]> = [
  ["Failed", "succeeds", "cancel", "cancel"],
  ["left", "succeeds", "pause", "cancel and roll back"],
  ["left", "succeeds", "cancel", "resumeAll"],
  ["Failed", "fails and all is rolled back", "run", "cancel and roll back"],
  ["none", "hangs", "run", "cancel"],
  ["Failed", "succeeds", "run", "cancel"],
  ["Cancelled", "succeeds", "retryFrom b", "remove"],
  ["RollbackFailed", "succeeds", "rollback", "cancel"]
]

describe("several who do something to one task at once keep it sound, and each is told what is so", () => {
  for (const [beginning, lot, one, two] of pairs) {
    for (const by of sides) {
      const where = by === "left" ? "in the same engine" : "in two engines"
      it.effect(`${one} and ${two}, ${where}, of one that is ${beginning}, where b ${lot}: at every step`, () => {
        const story: Story = {
          beginning,
          lot,
          undoFails: false,
          deeds: { one: { _tag: "do", by: "left", actions: [one] }, two: { _tag: "do", by, actions: [two] } }
        }
        return Effect.forEach(Arr.range(1, 10), (steps) => tell(story, [["one", steps], ["two", 8]]), { discard: true })
      })
    }
  }

  it.effect("whatever two or three do, in whatever order, interrupted and with engines that close", () => {
    const dice = Random.make("concurrent")
    const one = Effect.withRandom(Effect.zip(randomStory, someOrder([...names, ...mails], 16)), dice)
    return Effect.repeatN(Effect.flatMap(one, ([story, order]) => tell(story, order)), 199)
  })
})
