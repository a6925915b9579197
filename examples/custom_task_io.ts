/**
 * A TaskIO of your own: a driver that keeps journals in a KeyValueStore, and an engine over it. The driver moves texts;
 * what they mean, and every check of it, is the same over any driver.
 *
 *     node --import tsx examples/custom_task_io.ts
 */
import { KeyValueStore } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Array, Console, Effect, Fiber, Layer, Option, Schema, Stream } from "effect"
import { BindLock, CheckMateEngine, CheckMateError, Task, TaskIO } from "effect-checkmate"
import { isMain } from "./isMain.ts"
import { cm_factory_report, layerServices } from "./report_cm.ts"

/** What is kept of a journal beside its records. The first `length` records count, whatever else has been written. */
const Head = Schema.Struct({
  epoch: Schema.Int,
  length: Schema.Int,
  summary: Schema.NullOr(Schema.encodedSchema(Task.Summary))
})

const Letter = Schema.Struct({ id: Schema.String, taskId: Schema.String, message: Schema.String })

export const make = Effect.gen(function*() {
  const keys = yield* KeyValueStore.KeyValueStore
  // One at a time, so that a comparison still holds when what follows it is written. That is enough for a store of this
  // process; one that others use too needs a transaction or a conditional write in its place.
  const turn = yield* Effect.makeSemaphore(1)
  const inTurn = turn.withPermits(1)

  const checked = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>) =>
    Effect.mapError(effect, (cause) =>
      new CheckMateError.TaskIOError({
        operation: "use its keys",
        location: "the key-value store",
        problem: cause.message,
        cause
      }))

  const value = <A, I>(key: string, schema: Schema.Schema<A, I>, initial: A) => {
    const store = keys.forSchema(schema)
    const get = Effect.map(checked(store.get(key)), Option.getOrElse(() => initial))
    const set = (next: A) => checked(store.set(key, next))
    return { get, set, update: (f: (now: A) => A) => Effect.flatMap(get, (now) => set(f(now))) }
  }

  const tasks = value("tasks", Schema.Array(Schema.String), [])
  const mail = value("mail", Schema.Array(Letter), [])
  const headOf = (taskId: string) => value(`head/${taskId}`, Head, { epoch: 0, length: 0, summary: null })
  const recordKey = (taskId: string, position: number) => `record/${taskId}/${position}`
  const records = (taskId: string, from: number, to: number) =>
    Effect.map(
      Effect.forEach(Array.makeBy(Math.max(to - from, 0), (index) => recordKey(taskId, from + index)), (key) =>
        checked(keys.get(key))),
      Array.getSomes
    )

  const driver: TaskIO.Encoded = {
    // A claim is a higher epoch in the head, and an append compares it with its own: that refuses a stale writer.
    open: (taskId) =>
      inTurn(Effect.gen(function*() {
        const head = headOf(taskId)
        const found = yield* head.get
        const epoch = found.epoch + 1
        yield* head.set({ ...found, epoch })
        yield* tasks.update((ids) => ids.includes(taskId) ? ids : [...ids, taskId])
        return {
          epoch,
          records: yield* records(taskId, 0, found.length),
          append: (position, added, summary) =>
            inTurn(Effect.gen(function*() {
              const now = yield* head.get
              if (now.epoch !== epoch || now.length !== position) {
                return yield* new CheckMateError.StaleWriterError({
                  taskId,
                  epoch,
                  problem: `epoch ${now.epoch} has claimed it, and it holds ${now.length} records`
                })
              }
              yield* Effect.forEach(
                added,
                (record, index) => checked(keys.set(recordKey(taskId, position + index), record))
              )
              yield* head.set({ epoch, length: position + added.length, summary })
            }))
        }
      })),
    read: (taskId, from) => Effect.flatMap(headOf(taskId).get, ({ length }) => records(taskId, from, length)),
    list: () =>
      Stream.fromIterableEffect(tasks.get).pipe(
        Stream.mapEffect((taskId) => headOf(taskId).get),
        Stream.filterMap(({ summary }) => Option.fromNullable(summary))
      ),
    // The head stays, with a higher epoch: whoever had the journal open must not find its own epoch there again.
    remove: (taskId) =>
      inTurn(Effect.gen(function*() {
        const { epoch, length } = yield* headOf(taskId).get
        yield* headOf(taskId).set({ epoch: epoch + 1, length: 0, summary: null })
        yield* mail.update(Array.filter((letter) => letter.taskId !== taskId))
        yield* Effect.forEach(Array.makeBy(length, (index) => recordKey(taskId, index)), (key) =>
          checked(keys.remove(key)))
      })),
    send: (taskId, message) => {
      const letter = Effect.sync(() => ({ id: crypto.randomUUID(), taskId, message }))
      return inTurn(Effect.flatMap(letter, (letter) => mail.update(Array.append(letter))))
    },
    receive: (taskId) => Effect.map(mail.get, Array.filter((letter) => letter.taskId === taskId)),
    acknowledge: (_, ids) => inTurn(mail.update(Array.filter(({ id }) => !ids.includes(id)))),
    waiting: Effect.map(mail.get, (letters) => Array.dedupe(letters.map(({ taskId }) => taskId)))
  }
  return driver
})

export const layerKeyValueStore: Layer.Layer<TaskIO.TaskIO, never, KeyValueStore.KeyValueStore> = Layer.effect(
  TaskIO.TaskIO,
  Effect.map(make, TaskIO.make)
)

/** An engine with a lock of its own. */
const layerEngine = CheckMateEngine.layer.pipe(Layer.provide(BindLock.layerMemory))

const program = Effect.gen(function*() {
  const run = CheckMateEngine.run(cm_factory_report(), { taskId: "october", input: { month: "2026-10", pages: 20 } })

  // Two engines run the same task, and their locks do not know of each other: the journal is what keeps them apart.
  const first = yield* Effect.fork(Effect.flip(Effect.provide(run, layerEngine)))
  yield* Effect.sleep("100 millis")
  const { text } = yield* Effect.provide(run, layerEngine)
  const error = yield* Fiber.join(first)
  yield* Console.log(`The second engine: ${text}\nThe first engine:  ${error.message}\n`)

  const keys = yield* KeyValueStore.KeyValueStore
  yield* Console.log(`The store holds ${yield* keys.size} keys, such as:`)
  yield* Effect.forEach(
    ["head/october", "record/october/1", "record/october/2"],
    (key) =>
      Effect.flatMap(keys.get(key), (held) => Console.log(`  ${key.padEnd(16)} ${Option.getOrElse(held, () => "")}`))
  )
})

if (isMain(import.meta.url)) {
  program.pipe(
    Effect.provide(Layer.merge(layerServices, Layer.provideMerge(layerKeyValueStore, KeyValueStore.layerMemory))),
    NodeRuntime.runMain
  )
}
