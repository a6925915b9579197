/** Puts an engine together: its parts, the background work that steers it, and its operations. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BindLock from "../BindLock.ts"
import type { Options, Service } from "../CheckMateEngine/Service.ts"
import * as TaskIO from "../TaskIO.ts"
import { inBackground } from "./inContext.ts"
import { logWarning } from "./log.ts"
import * as operations from "./operations.ts"
import { count, duration } from "./options.ts"
import * as registry from "./registry.ts"
import * as retention from "./retention.ts"
import * as steer from "./steer.ts"
import type { Parts } from "./supervise.ts"

/** Acts on messages from other processes: as they arrive where the store can tell, else by looking while tasks run. */
const actOnMail = (parts: Parts, interval: Duration.Duration) => {
  const read = Effect.catchAllCause(
    steer.readMail(parts),
    (cause) => logWarning("Messages for running tasks could not be read", cause)
  )
  const look = Effect.forever(
    Effect.zipRight(parts.registry.busy, Effect.zipRight(Effect.sleep(interval), read))
  )
  return Option.match(parts.taskIO.arrivals, {
    onNone: () => look,
    onSome: (arrivals) =>
      Stream.runForEach(arrivals, () => read).pipe(
        Effect.catchAllCause((cause) => logWarning("Messages no longer arrive, and are looked for instead", cause)),
        Effect.zipRight(look)
      )
  })
}

const serviceOf = (engine: operations.Engine): Service => ({
  run: (checkMate, options) => operations.run(engine, checkMate, options),
  start: (checkMate, options) => operations.start(engine, checkMate, options),
  resume: (checkMate, taskId, options) => operations.resume(engine, checkMate, taskId, options),
  resumeAll: (checkMates, options) => operations.resumeAll(engine, checkMates, options),
  retryFrom: (checkMate, taskId, stage, options) => operations.retryFrom(engine, checkMate, taskId, stage, options),
  rollback: (checkMate, taskId, options) => operations.rollback(engine, checkMate, taskId, options),
  cancel: (taskId, options) => operations.cancel(engine, taskId, options),
  pause: (taskId) => operations.pause(engine, taskId),
  get: (taskId) => operations.get(engine, taskId),
  find: (options) => operations.find(engine, options),
  watch: (taskId) => operations.watch(engine, taskId),
  watchAll: (query) => operations.watchAll(engine, query),
  clean: (options) => operations.clean(engine, options),
  remove: (taskId) => operations.remove(engine, taskId)
})

/** An engine of these parts. What it does in the background ends with the Scope; what its callers do they end themselves. */
export const makeOver = Effect.fnUntraced(
  function*(parts: Parts, options: Options = {}): Effect.fn.Return<Service, never, Scope.Scope> {
    const interval = Duration.max(yield* duration("pollInterval", options.pollInterval, "500 millis"), "10 millis")
    // NaN, as of a setting that is missing, must not let a task crash its process for ever.
    const maxRecoveries = yield* count("maxRecoveries", options.maxRecoveries, 5)
    const scope = yield* Effect.scope
    let made: Scope.Scope | undefined
    // What is started is ended all at once. Made for the first that is: to close it takes as long as a short task.
    const starts = Effect.suspend(() =>
      made === undefined
        ? Effect.flatMap(
          Scope.fork(scope, ExecutionStrategy.parallel),
          // All that runs is asked to end before: it may wait for what was started.
          (forked) => Effect.as(Scope.addFinalizer(scope, parts.registry.halt), made ??= forked)
        )
        : Effect.succeed(made)
    )

    // A store that nobody else reaches says that no mail arrives.
    if (!Option.contains(parts.taskIO.arrivals, Stream.empty)) yield* inBackground(actOnMail(parts, interval))
    if (options.retention !== undefined) yield* inBackground(yield* retention.keep(parts, options.retention))

    return serviceOf({ parts, interval, maxRecoveries, starts })
  }
)

/** An engine over a store and a lock, for the length of the Scope, at whose end the tasks that run are interrupted. */
export const make = Effect.fnUntraced(function*(options?: Options) {
  const parts: Parts = {
    taskIO: yield* TaskIO.TaskIO,
    bindLock: yield* BindLock.BindLock,
    registry: yield* registry.make,
    fork: Effect.forkDaemon
  }
  yield* Effect.addFinalizer(() => parts.registry.close)
  return yield* makeOver(parts, options)
})
