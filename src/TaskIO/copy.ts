/**
 * Copies tasks from one store to another, record by record, and reads them back. It can be cut off anywhere and done
 * again: what is there already is left as it is, what was begun goes on, and what differs is reported and never
 * overwritten.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Driver as Lock } from "../BindLock/Driver.ts"
import {
  BindingLostError,
  type BindLockError,
  CopyConflictError,
  type InvalidTransitionError,
  type StoreError,
  TaskBoundError,
  TaskIOError
} from "../CheckMateError.ts"
import { decodeAll, encodeSummary, foldAll } from "../internal/journalCodec.ts"
import * as Task from "../Task.ts"
import type { Encoded } from "./Encoded.ts"

// --- options and reports --------------------------------------------------------

/**
 * How tasks are copied.
 *
 * @since 0.1.0
 * @category options
 */
export interface CopyOptions {
  /**
   * Claims each task in the source before it is read, so that whoever runs it there is refused from then on, and makes
   * sure that the fencing tokens its stages get in the target are greater than those they got in the source. For handing
   * tasks over. Without it a copy is a snapshot: the source is only read, and the copy's tokens begin anew.
   *
   * @default the same as `removeFromSource`
   */
  readonly claim?: boolean | undefined
  /**
   * Moves: once a task is read back from the target, whole, it is removed from the source. Always with a claim. Mail goes
   * with the task; what arrives in the very moment of the removal is removed, too, and the engine that sent it finds the
   * task gone, and says so to whoever asked for it.
   *
   * @default false
   */
  readonly removeFromSource?: boolean | undefined
  /**
   * The source's lock. With it, tasks that an engine holds are skipped where they would be claimed. Without it the
   * claim stops whoever runs a task, but not who takes it up in the very moment it is removed.
   */
  readonly lock?: Lock | undefined
  /**
   * Only reports what would be done.
   *
   * @default false
   */
  readonly dryRun?: boolean | undefined
  /**
   * How many tasks are copied at a time.
   *
   * @default 4
   */
  readonly concurrency?: number | undefined
  /** Run after each task, for showing how far it is. */
  readonly onProgress?: ((progress: CopyProgress) => Effect.Effect<void>) | undefined
}

/**
 * How far a copy is.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyProgress {
  readonly done: number
  readonly total: number
  readonly outcome: CopyOutcome
}

/**
 * A task whose records were written to the target, and read back. `added` is how many of its `records` were not there
 * before: fewer than all where an earlier copy goes on.
 *
 * @since 0.1.0
 * @category models
 */
export interface Copied {
  readonly _tag: "Copied"
  readonly taskId: string
  readonly records: number
  readonly added: number
  /** Whether it was removed from the source, be it by somebody else meanwhile. */
  readonly removed: boolean
}

/**
 * A task of which nothing was written. Already there: the target holds all that the source does. Bound: an engine holds
 * it. Gone: it was removed from the source meanwhile.
 *
 * @since 0.1.0
 * @category models
 */
export interface Skipped {
  readonly _tag: "Skipped"
  readonly taskId: string
  readonly reason: "already there" | "bound" | "gone"
  readonly removed: boolean
}

/**
 * What copying a task can fail with. A `CopyConflictError` says that the target holds another task of its id.
 *
 * @since 0.1.0
 * @category models
 */
export type CopyError = BindingLostError | BindLockError | CopyConflictError | InvalidTransitionError | StoreError

/**
 * A task that could not be copied, or not be removed from the source. It is still there.
 *
 * @since 0.1.0
 * @category models
 */
export interface Failed {
  readonly _tag: "Failed"
  readonly taskId: string
  readonly error: CopyError
}

/**
 * What became of one task.
 *
 * @since 0.1.0
 * @category models
 */
export type CopyOutcome = Copied | Skipped | Failed

/**
 * What became of all.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyReport {
  readonly copied: ReadonlyArray<Copied>
  readonly skipped: ReadonlyArray<Skipped>
  readonly failed: ReadonlyArray<Failed>
}

// --- one task ---------------------------------------------------------------------

/** How often the target is claimed to bring its epoch up to the source's. */
const maximumClaims = 1_000
/** How far ahead of the source the target is claimed where both seem to be one store: others do not claim so often meanwhile. */
const leap = 500

/** What a source's journal holds; where it was claimed, its stages have got no token of that epoch or a later one. */
interface Found {
  readonly records: ReadonlyArray<string>
  readonly epoch: number
}

/** Where two journals part: the position of the first record that is not the same, of those that both have. */
const conflictAt = (left: ReadonlyArray<string>, right: ReadonlyArray<string>): number | undefined => {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) if (left[index] !== right[index]) return index
  return undefined
}

/** The task that records tell of, of which there is one at least. */
const taskOf = Effect.fnUntraced(function*(taskId: string, records: ReadonlyArray<string>) {
  const task = yield* foldAll(taskId, yield* decodeAll(taskId, 0, records))
  return yield* Effect.orDie(task)
})

/** Copies tasks between two stores, one by one. */
const copier = (from: Encoded, to: Encoded, options: CopyOptions) => {
  const { dryRun = false, lock, removeFromSource = false } = options
  const handsOver = removeFromSource || (options.claim ?? false)
  const claims = handsOver && !dryRun

  const failure = (operation: string, taskId: string, location: string, problem: string) =>
    new TaskIOError({ operation, taskId, location, problem })

  /** Claims the target's journal until its epoch has come up to the source's. Each claim ends as the next is made. */
  const openTarget = Effect.fnUntraced(function*(taskId: string, atLeast: number) {
    for (let claim = 1; claim <= maximumClaims; claim++) {
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const journal = yield* Scope.extend(to.open(taskId, atLeast), scope)
      if (journal.epoch >= atLeast) return journal
      yield* Scope.close(scope, Exit.void)
    }
    const why = `its epoch has come to ${atLeast} in the source, and ${maximumClaims} claims do not bring it there`
    return yield* failure("copy the task", taskId, "the target store", why)
  })

  /** Writes what the target lacks, and reads it back. */
  const write = Effect.fnUntraced(
    function*(taskId: string, { epoch, records }: Found, there: ReadonlyArray<string>, task: Task.Task) {
      const rest = records.slice(there.length)
      if (!Arr.isNonEmptyReadonlyArray(rest)) return
      const journal = yield* openTarget(taskId, epoch)
      const [first, ...more] = rest
      // In one append: half a task in the target could be taken up there.
      yield* journal.append(there.length, [first, ...more], encodeSummary(Task.summarize(task)))
      const back = yield* to.read(taskId, 0)
      const wrong = conflictAt(back, records) ?? (back.length === records.length ? undefined : records.length)
      if (wrong !== undefined) {
        const location = `record ${wrong} of the target store`
        return yield* failure("copy the task", taskId, location, "it reads back as something else than was written")
      }
    },
    Effect.scoped
  )

  /** The target holds just what the source does, as a copy that was cut off leaves it, or one without a claim. */
  const catchUp = Effect.fnUntraced(function*(taskId: string, { epoch }: Found) {
    const target = yield* openTarget(taskId, epoch)
    if (!removeFromSource) return
    // In a store of its own the source's next claim follows on its last one, whatever was claimed in the target.
    const again = yield* from.open(taskId)
    if (target.epoch <= epoch || again.epoch <= target.epoch) return
    // Or on those of other tasks, where a store counts all of them together.
    const ahead = yield* openTarget(taskId, again.epoch + leap)
    const last = yield* from.open(taskId)
    if (last.epoch <= ahead.epoch) return
    const why = "both stores seem to be the same one, and removing it would lose it"
    return yield* failure("remove the copied task", taskId, "the source store", why)
  }, Effect.scoped)

  /** Letters that the target does not hold. Taken from the source one by one, so that none is lost. */
  const moveMail = Effect.fnUntraced(function*(taskId: string) {
    const letters = yield* from.receive(taskId)
    if (letters.length === 0) return
    const there = new Set((yield* to.receive(taskId)).map(({ message }) => message))
    for (const { id, message } of letters) {
      if (!there.has(message)) yield* to.send(taskId, message)
      if (removeFromSource) yield* from.acknowledge(taskId, [id])
    }
  })

  /** Removes a task that nobody has gone on with since it was read, and that has no mail left. */
  const remove = Effect.fnUntraced(function*(taskId: string, { records }: Found) {
    // Of mail that was removed already a store that was cut off may still tell.
    yield* from.acknowledge(taskId, [])
    if ((yield* from.waiting).includes(taskId)) {
      const why =
        "it has mail that came meanwhile, or cannot be read. Copy again, with the key that the mail was written with"
      return yield* failure("remove the copied task", taskId, "the source store", why)
    }
    const now = yield* from.read(taskId, 0)
    if (now.length === records.length) return yield* Effect.uninterruptible(from.remove(taskId))
    // Removed by somebody else, as by `clean`.
    if (now.length === 0) return
    const why = "another engine went on with it meanwhile. Copy again once it is idle"
    return yield* failure("remove the copied task", taskId, "the source store", why)
  })

  const copyFound = Effect.fnUntraced(
    function*(taskId: string, found: Found): Effect.fn.Return<CopyOutcome, CopyError> {
      const { records } = found
      const task = yield* taskOf(taskId, records)
      const there = yield* to.read(taskId, 0)
      const position = conflictAt(records, there)
      if (position !== undefined) return yield* new CopyConflictError({ taskId, position })
      const added = Math.max(0, records.length - there.length)
      const removed = removeFromSource && !dryRun
      if (!dryRun) {
        if (added > 0) yield* write(taskId, found, there, task)
        // One that is ahead has gone on there, and is left alone.
        else if (claims && there.length === records.length) yield* catchUp(taskId, found)
        yield* moveMail(taskId)
      }
      if (removed) yield* remove(taskId, found)
      return added > 0
        ? { _tag: "Copied", taskId, records: records.length, added, removed }
        : { _tag: "Skipped", taskId, reason: "already there", removed }
    }
  )

  const find = (taskId: string): Effect.Effect<Found, StoreError, Scope.Scope> =>
    claims ? from.open(taskId) : Effect.map(from.read(taskId, 0), (records) => ({ records, epoch: 0 }))

  /** The work while the task is bound, where it is to be handed over and there is a lock to bind it with. */
  const bound = Effect.fnUntraced(function*<A, E, R>(taskId: string, work: Effect.Effect<A, E, R>) {
    if (lock === undefined || !handsOver) return yield* work
    if (dryRun) {
      const holder = yield* lock.holder(taskId)
      return Option.isSome(holder)
        ? yield* new TaskBoundError({ taskId, holder: holder.value.name, since: holder.value.since })
        : yield* work
    }
    const binding = yield* lock.acquire(taskId)
    return binding.lost === Effect.never ? yield* work : yield* Effect.raceFirst(
      work,
      // A race waits for its loser, who must let itself be interrupted also where the caller does not.
      Effect.interruptible(
        Effect.flatMap(binding.lost, (problem) => Effect.fail(new BindingLostError({ taskId, problem })))
      )
    )
  })

  return (taskId: string): Effect.Effect<CopyOutcome> => {
    const skipped = (reason: Skipped["reason"]): Effect.Effect<CopyOutcome> =>
      Effect.succeed({ _tag: "Skipped", taskId, reason, removed: false })
    // Looked at first, so that a task that is not there is not claimed.
    const work = Effect.flatMap(
      from.read(taskId, 0),
      (records) =>
        records.length === 0 ? skipped("gone") : Effect.flatMap(
          find(taskId),
          // Or removed since, as by `clean`.
          (found) => found.records.length === 0 ? skipped("gone") : copyFound(taskId, found)
        )
    )
    return Effect.scoped(bound(taskId, work)).pipe(
      Effect.catchAll((error: CopyError | TaskBoundError): Effect.Effect<CopyOutcome> =>
        error._tag === "TaskBoundError" ? skipped("bound") : Effect.succeed({ _tag: "Failed", taskId, error })
      )
    )
  }
}

// --- all tasks --------------------------------------------------------------------

/**
 * Copies tasks between two drivers. `TaskIO.copy` is this for whole stores.
 *
 * @since 0.1.0
 * @category copying
 */
export const copy = Effect.fnUntraced(
  function*(
    from: Encoded,
    to: Encoded,
    tasks: Stream.Stream<{ readonly taskId: string }, TaskIOError>,
    options: CopyOptions = {}
  ): Effect.fn.Return<CopyReport, TaskIOError> {
    const found = yield* Stream.runCollect(Stream.map(tasks, ({ taskId }) => taskId))
    const copyTask = copier(from, to, options)
    const { onProgress } = options
    let done = 0
    const outcomes = yield* Effect.forEach(
      found,
      (taskId) =>
        Effect.tap(copyTask(taskId), (outcome) =>
          Effect.suspend(() => {
            done++
            return onProgress === undefined ? Effect.void : onProgress({ done, total: found.length, outcome })
          })),
      { concurrency: options.concurrency ?? 4 }
    )
    const [rest, copied] = Arr.partitionMap(
      outcomes,
      (outcome) => outcome._tag === "Copied" ? Either.right(outcome) : Either.left(outcome)
    )
    const [failed, skipped] = Arr.partitionMap(
      rest,
      (outcome) => outcome._tag === "Skipped" ? Either.right(outcome) : Either.left(outcome)
    )
    return { copied, skipped, failed }
  }
)
