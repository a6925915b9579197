/** What the engine's tests share: a ledger of what stages really did, and engines over a store that outlives them. */
import { Context, Data, DateTime, Effect, Layer, type Schedule, Schema } from "effect"
import { BindLock, CheckMate, CheckMateEngine, Stage, State, TaskIO } from "effect-checkmate"
import * as MemoryDriver from "effect-checkmate/TaskIO/Memory"

export class Boom extends Data.TaggedError("Boom")<{ readonly stage: string; readonly status: number }> {}

export const Numbers = State.make({
  seed: Schema.Number,
  a: Schema.Number,
  b: Schema.Number,
  c: Schema.Number
})

/** What happened outside the engine, in order: `run a`, `undo a`. */
export class Ledger {
  readonly entries: Array<string> = []
  note(entry: string): Effect.Effect<void> {
    return Effect.sync(() => {
      this.entries.push(entry)
    })
  }
  count(entry: string): number {
    return this.entries.filter((other) => other === entry).length
  }
}

/** Three stages that add one to what came before, and note what they do. */
export const abc = (
  ledger: Ledger,
  options: {
    readonly onFailure?: CheckMate.OnFailure
    readonly fail?: (stage: string) => Effect.Effect<void, Boom>
    readonly failUndo?: (stage: string) => Effect.Effect<void, Boom>
    readonly retry?: Schedule.Schedule<unknown>
  } = {}
) => {
  const fail = options.fail ?? (() => Effect.void)
  const failUndo = options.failUndo ?? (() => Effect.void)
  const stage = (name: string) => ({
    execute: Effect.zipRight(ledger.note(`run ${name}`), Effect.suspend(() => fail(name))),
    rollback: () => Effect.zipRight(ledger.note(`undo ${name}`), Effect.suspend(() => failUndo(name))),
    retry: options.retry
  })
  const a = stage("a")
  const b = stage("b")
  const c = stage("c")
  return CheckMate.make("abc", {
    state: Numbers,
    input: ["seed"],
    onFailure: options.onFailure ?? "halt",
    stages: [
      Stage.make(Numbers, "a", {
        requires: ["seed"],
        provides: ["a"],
        execute: ({ seed }) => Effect.as(a.execute, { a: seed + 1 }),
        rollback: a.rollback,
        retry: a.retry
      }),
      Stage.make(Numbers, "b", {
        requires: ["a"],
        provides: ["b"],
        execute: ({ a }) => Effect.as(b.execute, { b: a + 1 }),
        rollback: b.rollback,
        retry: b.retry
      }),
      Stage.make(Numbers, "c", {
        requires: ["b"],
        provides: ["c"],
        execute: ({ b }) => Effect.as(c.execute, { c: b + 1 }),
        rollback: c.rollback,
        retry: c.retry
      })
    ]
  })
}

/** A pipeline whose stage b hangs until it is interrupted. */
export const hangingInB = (ledger: Ledger) =>
  abc(ledger, {
    fail: (stage) => stage === "b" ? Effect.onInterrupt(Effect.never, () => ledger.note("interrupted b")) : Effect.void
  })

/** Fails the given stages as often as told, then lets them pass. */
export const failing = (times: Readonly<Record<string, number>>) => {
  const left = new Map(Object.entries(times))
  return (stage: string): Effect.Effect<void, Boom> =>
    Effect.suspend(() => {
      const count = left.get(stage) ?? 0
      left.set(stage, count - 1)
      return count > 0 ? Effect.fail(new Boom({ stage, status: 503 })) : Effect.void
    })
}

/** A store that outlives the engines over it: what is on disk while processes come and go. */
export const makeStore = MemoryDriver.make

/** The same store, with something else done about appends, by what they write. */
export const withAppends = (
  store: TaskIO.Encoded,
  change: (
    append: ReturnType<TaskIO.EncodedJournal["append"]>,
    records: ReadonlyArray<string>
  ) => ReturnType<TaskIO.EncodedJournal["append"]>
): TaskIO.Encoded => ({
  ...store,
  open: (...args) =>
    Effect.map(store.open(...args), (journal) => ({
      ...journal,
      append: (position, records, summary) => change(journal.append(position, records, summary), records)
    }))
})

/** An engine of its own, as another process would have, over a shared store. */
export const engineOver = (
  driver: TaskIO.Encoded,
  lock: Layer.Layer<BindLock.BindLock> = BindLock.layerMemory,
  options?: CheckMateEngine.Options
): Layer.Layer<CheckMateEngine.CheckMateEngine> =>
  Layer.provide(
    CheckMateEngine.layerWith(options),
    Layer.merge(Layer.succeed(TaskIO.TaskIO, TaskIO.make(driver)), lock)
  )

/** The same, for as long as the Scope, to be called beside others. */
export const engineService = (...over: Parameters<typeof engineOver>) =>
  Effect.map(Layer.build(engineOver(...over)), Context.get(CheckMateEngine.CheckMateEngine))

/** A lock whose bindings are lost, or those of them that are to be, once they are taken over. */
export const losing = (takenOver: Effect.Latch, isLost: () => boolean = () => true) =>
  Layer.succeed(BindLock.BindLock, {
    acquire: () =>
      Effect.map(DateTime.now, (since) => ({
        holder: { name: "one", since },
        lost: isLost() ? Effect.as(takenOver.await, "another engine took it over") : Effect.never
      })),
    holder: () => Effect.succeedNone
  })

/** The events of a task, by name. */
export const eventsOf = (taskId: string) =>
  Effect.map(CheckMateEngine.get(taskId), ({ history }) => history.map((event) => event._tag))

/** Runs over an engine in memory of its own. */
export const inMemory = <A, E>(effect: Effect.Effect<A, E, CheckMateEngine.CheckMateEngine>) =>
  Effect.provide(effect, CheckMateEngine.layerMemory)

/** Lets others go first until something has come about. */
/** Lets what is done to many tasks in the background come to rest: each of them waits for a turn of the event loop. */
export const rest = Effect.repeatN(Effect.zipRight(Stage.yieldToEventLoop, Effect.repeatN(Effect.yieldNow(), 10)), 20)

export const until = (condition: () => boolean) => Effect.repeat(Effect.yieldNow(), { until: condition })

export const statusOf = (taskId: string) => Effect.map(CheckMateEngine.get(taskId), ({ task }) => task.status)
