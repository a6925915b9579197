/**
 * Stores and locks that fail on purpose: at which operation, and how, is a plan.
 *
 * ```ts
 * import { CheckMateEngine } from "effect-checkmate"
 * import { Faults } from "effect-checkmate/testing"
 *
 * // The third append is written, and its caller is told that it is not.
 * const faulty = Faults.layer([Faults.dropAcknowledgement("append", { nth: 3 })])
 *
 * const program = Effect.gen(function*() {
 *   const failed = yield* Effect.flip(CheckMateEngine.run(cm_factory_order(), { taskId: "order-17", input }))
 *   expect(failed._tag).toBe("TaskIOError")
 *   expect(yield* Faults.count("append")).toBe(3)
 *   yield* CheckMateEngine.resume(cm_factory_order(), "order-17")
 * }).pipe(Effect.provide(CheckMateEngine.layer.pipe(Layer.provideMerge(faulty), Layer.provide(storeAndLock))))
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as BindLock from "../BindLock.ts"
import { BindLockError, TaskIOError } from "../CheckMateError.ts"
import * as TaskIO from "../TaskIO.ts"
import type { Fault, Operation, Plan } from "./Faults/Plan.ts"
import { hangForGood } from "./hang.ts"

export * from "./Faults/Plan.ts"

/**
 * Carries a plan out over the stores and locks it wraps, and counts what they are asked to do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Injector {
  /** Wraps a driver. */
  readonly taskIO: (driver: TaskIO.Encoded) => TaskIO.Encoded
  readonly bindLock: (driver: BindLock.Driver) => BindLock.Driver
  /** Wraps the typed service. */
  readonly service: (taskIO: TaskIO.TaskIO["Type"]) => TaskIO.TaskIO["Type"]
  /** How often an operation was asked for until now, those that failed included. */
  readonly count: (operation: Operation) => Effect.Effect<number>
  /** Completes once a fault of the plan has been the death of the process. */
  readonly died: Effect.Effect<void>
}

/**
 * The injector that {@link layer} wraps with.
 *
 * @since 0.1.0
 * @category services
 */
export class Faults extends Context.Tag("checkmate/testing/Faults")<Faults, Injector>() {}

/**
 * How often an operation was asked for until now.
 *
 * @since 0.1.0
 * @category operations
 */
export const count = (operation: Operation): Effect.Effect<number, never, Faults> =>
  Effect.flatMap(Faults, (faults) => faults.count(operation))

/** Lets fibers run that have something to do. */
const noticed = Effect.repeatN(Effect.yieldNow(), 3)

const isStoreError = (error: TaskIOError | BindLockError | undefined): error is TaskIOError =>
  error?._tag === "TaskIOError"

const isLockError = (error: TaskIOError | BindLockError | undefined): error is BindLockError =>
  error?._tag === "BindLockError"

const storeError = (on: Operation, taskId: string | undefined, fault: Fault, problem: string): TaskIOError =>
  "error" in fault && isStoreError(fault.error) ? fault.error : new TaskIOError({
    operation: on,
    location: "the test's plan of faults",
    problem,
    ...(taskId === undefined ? {} : { taskId })
  })

const lockError = (on: Operation, taskId: string | undefined, fault: Fault, problem: string): BindLockError =>
  "error" in fault && isLockError(fault.error)
    ? fault.error
    : new BindLockError({ operation: on, taskId: taskId ?? "", location: "the test's plan of faults", problem })

/**
 * Makes what carries a plan out, for drivers. See {@link layer} for services.
 *
 * ```ts
 * const faults = yield* Faults.make([Faults.duplicate("append", { nth: 2 })])
 * const taskIO = TaskIO.make(faults.taskIO(driver))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (plan: Plan): Effect.Effect<Injector> =>
  Effect.sync(() => {
    const counts = new Map<Operation, number>()
    const bindings = new Map<string, Deferred.Deferred<string>>()
    const losesLocks = plan.some((fault) => fault._tag === "LoseLock")
    const death = Deferred.unsafeMake<void>(FiberId.none)
    let dead = false

    const dying = Effect.suspend(() => {
      dead = true
      return Effect.zipRight(Deferred.succeed(death, undefined), hangForGood)
    })

    const lose = (taskId: string | undefined, reason: string) =>
      Effect.suspend(() => {
        const lost = taskId === undefined ? undefined : bindings.get(taskId)
        return lost === undefined ? Effect.void : Effect.zipRight(Deferred.succeed(lost, reason), noticed)
      })

    /** An append, during which whoever watches the task's binding learns that it was lost before. */
    const appended = <A, E>(taskId: string, append: Effect.Effect<A, E>) =>
      stored("append", taskId, losesLocks ? Effect.zipRight(noticed, append) : append)

    /** Makes what the plan says of this call happen around it. */
    const around =
      <Error>(errorOf: (on: Operation, taskId: string | undefined, fault: Fault, problem: string) => Error) =>
      <A, E, R>(
        on: Operation,
        taskId: string | undefined,
        self: Effect.Effect<A, E, R>
      ): Effect.Effect<A, E | Error, R> =>
        Effect.suspend(() => {
          if (dead) return hangForGood
          const nth = (counts.get(on) ?? 0) + 1
          counts.set(on, nth)
          const matching = plan.filter((fault) => fault.on === on && (fault.nth === undefined || fault.nth === nth))
          return matching.reduceRight<Effect.Effect<A, E | Error, R>>((inner, fault) => {
            switch (fault._tag) {
              case "Fail":
                return Effect.fail(errorOf(on, taskId, fault, `it was made to fail, at ${on} number ${nth}`))
              case "DropAcknowledgement": {
                const problem = `it was done, and its answer dropped, at ${on} number ${nth}`
                return Effect.zipRight(inner, Effect.fail(errorOf(on, taskId, fault, problem)))
              }
              case "Delay":
                return Effect.delay(inner, fault.duration)
              case "Duplicate":
                return Effect.zipRight(Effect.exit(inner), inner)
              case "LoseLock":
                return Effect.zipLeft(inner, lose(taskId, fault.reason))
              case "Die":
                return fault.when === "before" ? dying : Effect.zipRight(inner, dying)
            }
          }, self)
        })

    const stored = around(storeError)
    const locked = around(lockError)

    /** A list that is read before it is handed out, so that a fault is about all of it. */
    const listed = <A>(self: Stream.Stream<A, TaskIOError>): Stream.Stream<A, TaskIOError> =>
      Stream.unwrap(stored("list", undefined, Effect.map(Stream.runCollect(self), Stream.fromChunk)))

    /** A binding that can be lost by the plan, beside how it can be lost anyway. */
    const losable = Effect.fnUntraced(function*(taskId: string, binding: BindLock.Binding) {
      const lost = yield* Deferred.make<string>()
      bindings.set(taskId, lost)
      if (binding.lost !== Effect.never) {
        yield* Effect.forkScoped(Effect.flatMap(binding.lost, (reason) => Deferred.succeed(lost, reason)))
      }
      return { ...binding, lost: Deferred.await(lost) }
    })

    const faultyDriver = (driver: TaskIO.Encoded): TaskIO.Encoded => ({
      ...driver,
      open: (taskId, atLeast) =>
        Effect.map(stored("open", taskId, driver.open(taskId, atLeast)), (journal) => ({
          ...journal,
          append: (...args) => appended(taskId, journal.append(...args))
        })),
      read: (taskId, from) => stored("read", taskId, driver.read(taskId, from)),
      list: (query) => listed(driver.list(query)),
      remove: (taskId) => stored("remove", taskId, driver.remove(taskId)),
      send: (taskId, message) => stored("send", taskId, driver.send(taskId, message)),
      receive: (taskId) => stored("receive", taskId, driver.receive(taskId)),
      acknowledge: (taskId, ids) => stored("acknowledge", taskId, driver.acknowledge(taskId, ids)),
      waiting: stored("waiting", undefined, driver.waiting)
    })

    return {
      taskIO: faultyDriver,
      service: (taskIO) => {
        const over = faultyDriver(taskIO.driver)
        // Of two operations each, and each of these can go wrong.
        const { take, takeBack } = TaskIO.make(over)
        return {
          ...taskIO,
          open: (taskId, earlier) =>
            Effect.map(stored("open", taskId, taskIO.open(taskId, earlier)), (journal) => ({
              ...journal,
              append: (...args) => appended(taskId, journal.append(...args))
            })),
          read: (taskId, from) => stored("read", taskId, taskIO.read(taskId, from)),
          look: (taskId, earlier) => stored("read", taskId, taskIO.look(taskId, earlier)),
          get: (taskId) => stored("read", taskId, taskIO.get(taskId)),
          list: (query, first) => listed(taskIO.list(query, first)),
          remove: (taskId) => stored("remove", taskId, taskIO.remove(taskId)),
          send: (taskId, message) => stored("send", taskId, taskIO.send(taskId, message)),
          take,
          takeBack,
          waiting: stored("waiting", undefined, taskIO.waiting),
          driver: over
        }
      },
      bindLock: (driver) => ({
        acquire: (taskId) => {
          const acquire = driver.acquire(taskId)
          return locked(
            "acquire",
            taskId,
            losesLocks ? Effect.flatMap(acquire, (binding) => losable(taskId, binding)) : acquire
          )
        },
        holder: (taskId) => locked("holder", taskId, driver.holder(taskId))
      }),
      count: (operation) => Effect.sync(() => counts.get(operation) ?? 0),
      died: Deferred.await(death)
    }
  })

/**
 * Wraps the store and the lock that are provided to it. It provides them again, with the faults, and what counts.
 *
 * ```ts
 * CheckMateEngine.layer.pipe(
 *   Layer.provideMerge(Faults.layer([Faults.delay("append", "2 seconds")])),
 *   Layer.provide(Layer.merge(TaskIO.layerMemory, BindLock.layerMemory))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  plan: Plan
): Layer.Layer<TaskIO.TaskIO | BindLock.BindLock | Faults, never, TaskIO.TaskIO | BindLock.BindLock> =>
  Layer.effectContext(Effect.gen(function*() {
    const taskIO = yield* TaskIO.TaskIO
    const bindLock = yield* BindLock.BindLock
    const faults = yield* make(plan)
    return Context.make(Faults, faults).pipe(
      Context.add(TaskIO.TaskIO, faults.service(taskIO)),
      Context.add(BindLock.BindLock, faults.bindLock(bindLock))
    )
  }))
