/** A process over a store, with an engine of its own, that dies at one of its writes. */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as lock from "../../BindLock/Memory.ts"
import * as CheckMateEngine from "../../CheckMateEngine.ts"
import * as engine from "../../internal/engine.ts"
import * as registry from "../../internal/registry.ts"
import * as TaskIO from "../../TaskIO.ts"
import type { Cut } from "./Exploration.ts"
import { make as makeProcess, type Orphaned, type Process, type Time } from "./process.ts"
import type { Life, Write } from "./story.ts"

/** The store as one process sees it: it counts its writes, and dies at one of them. */
const mortal = (
  store: TaskIO.Encoded,
  cut: Cut | undefined,
  writes: Array<Write>,
  { die }: Process
): TaskIO.Encoded => ({
  open: (taskId) =>
    Effect.map(store.open(taskId), (journal) => ({
      epoch: journal.epoch,
      records: journal.records,
      append: (...args) =>
        Effect.suspend(() => {
          writes.push({ taskId, records: args[1] })
          const append = journal.append(...args)
          if (cut?.write !== writes.length) return append
          return cut.when === "before" ? die : Effect.zipRight(append, die)
        })
    })),
  read: (taskId, from) => store.read(taskId, from),
  list: (query) => store.list(query),
  remove: (taskId) => store.remove(taskId),
  send: (taskId, message) => store.send(taskId, message),
  receive: (taskId) => store.receive(taskId),
  acknowledge: (taskId, ids) => store.acknowledge(taskId, ids),
  waiting: store.waiting,
  // Nobody else runs tasks here who could leave mail: to listen for it would cost as much as a short task.
  arrivals: Stream.empty
})

/**
 * Runs a program in a process of its own, with an engine of its own: what others hold is not known to its lock. The
 * engine's own fiber is not of the process, so that it can be ended when the process is dead.
 */
const runIn = Effect.fnUntraced(
  function*<A, E, R>(
    process: Process,
    store: TaskIO.Encoded,
    options: CheckMateEngine.Options | undefined,
    program: Effect.Effect<A, E, R>
  ) {
    const scope = yield* Scope.make()
    // Made without its layer, which takes longer to build than a short task to run.
    const made = yield* Scope.extend(
      engine.makeOver(
        {
          taskIO: TaskIO.make(store),
          bindLock: yield* lock.make,
          registry: yield* registry.make,
          // A child of the process's, for the dead are held for ever otherwise.
          fork: Effect.fork
        },
        { maxRecoveries: Number.MAX_SAFE_INTEGER, ...options }
      ),
      scope
    )
    const exit = yield* process.run(
      Effect.ensuring(
        Effect.provideService(program, CheckMateEngine.CheckMateEngine, made),
        Scope.close(scope, Exit.void)
      )
    )
    // Not awaited: what it started in the background is dead, too.
    if (Option.isNone(exit)) yield* Effect.forkDaemon(Scope.close(scope, Exit.void))
    return exit
  }
)

/** A store that is elsewhere: what it was asked to do it does, in real time, whether the process lives or not. */
const elsewhere = (store: TaskIO.Encoded, outside: ReturnType<Process["outside"]>): TaskIO.Encoded => ({
  open: (taskId) =>
    Effect.map(outside(store.open(taskId)), (journal) => ({
      epoch: journal.epoch,
      records: journal.records,
      append: (...args) => outside(journal.append(...args))
    })),
  read: (taskId, from) => outside(store.read(taskId, from)),
  list: (query) => Stream.unwrap(outside(Effect.map(Stream.runCollect(store.list(query)), Stream.fromChunk))),
  remove: (taskId) => outside(store.remove(taskId)),
  send: (taskId, message) => outside(store.send(taskId, message)),
  receive: (taskId) => outside(store.receive(taskId)),
  acknowledge: (taskId, ids) => outside(store.acknowledge(taskId, ids)),
  waiting: outside(store.waiting)
})

/** Which process runs, for whoever has to interrupt it. */
export interface OnStage {
  process: Process | undefined
}

/** One process over the store, and what it did. */
export const live = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options: {
    readonly store: TaskIO.Encoded
    /** Whether the store is no part of the process's memory. */
    readonly isElsewhere: boolean
    readonly engine: CheckMateEngine.Options | undefined
    readonly time: Time
    readonly orphaned: Orphaned
    /** The process that runs. */
    readonly onStage: OnStage
    readonly number: number
    readonly cut: Cut | undefined
  }
) =>
  Effect.flatMap(Effect.runtime(), (runtime) => {
    const writes: Array<Write> = []
    const process = makeProcess(options.time, `process ${options.number}`, options.orphaned)
    options.onStage.process = process
    const store = options.isElsewhere ? elsewhere(options.store, process.outside(runtime)) : options.store
    return Effect.map(
      runIn(process, mortal(store, options.cut, writes, process), options.engine, program),
      (exit) => ({ cut: options.cut, writes, exit }) satisfies Life
    )
  })
