/** Shows tasks: one, many, and as they change. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as Stream from "effect/Stream"
import type { FindOptions, View } from "../CheckMateEngine/Service.ts"
import { type TaskIOError, TaskNotFoundError } from "../CheckMateError.ts"
import type * as Stage from "../Stage.ts"
import * as Task from "../Task.ts"
import type * as TaskIO from "../TaskIO.ts"
import type { EncodedSummary } from "../TaskIO/Encoded.ts"
import * as TaskStatus from "../TaskStatus.ts"
import { afterTurn } from "./eventLoop.ts"
import { inBackground } from "./inContext.ts"
import { encodeQuery, encodeSummary, matches } from "./journalCodec.ts"
import { logWarning } from "./log.ts"
import { checkOrder, count } from "./options.ts"
import { heldSince, type Parts } from "./supervise.ts"

const progressOf = (parts: Parts, taskId: string): Option.Option<Stage.Progress> =>
  Option.fromNullable(parts.registry.running.get(taskId)?.session.progress)

/** A task as it stands, and what the look at it found. */
const see = Effect.fnUntraced(
  function*(parts: Parts, taskId: string, earlier: Option.Option<TaskIO.Look> = Option.none()) {
    const look = yield* parts.taskIO.look(taskId, Option.getOrUndefined(earlier))
    if (Option.isNone(look.task)) return yield* new TaskNotFoundError({ taskId })
    const task = look.task.value
    const holder = Option.map(yield* parts.bindLock.holder(taskId), (found) => ({
      ...found,
      since: heldSince(found, Option.some(task))
    }))
    const view: View = {
      task,
      state: Task.state(task),
      stages: Task.stages(task),
      history: look.events,
      holder,
      progress: progressOf(parts, taskId)
    }
    return { look, view }
  }
)

export const get = (parts: Parts, taskId: string) => Effect.map(see(parts, taskId), ({ view }) => view)

const sorted = (summaries: Iterable<Task.Summary>, { order, sort = "createdAt" }: FindOptions) => {
  const ascending = Order.combine(
    Order.mapInput(Order.number, (summary: Task.Summary) => DateTime.toEpochMillis(summary[sort])),
    Order.mapInput(Order.string, (summary: Task.Summary) => summary.taskId)
  )
  return [...summaries].sort(order === "ascending" ? ascending : Order.reverse(ascending))
}

/** What is asked for, and whether a summary is of that: by its id another task may have begun since it was listed. */
interface Asked {
  readonly options: FindOptions
  readonly fits: (summary: EncodedSummary) => boolean
}

/** What has become of a task that was listed, if that is still as it was asked for. */
const nowListed = ({ fits }: Asked, task: Option.Option<Task.Task>): Option.Option<Task.Summary> =>
  Option.filter(Option.map(task, Task.summarize), (summary) => fits(encodeSummary(summary)))

/** A task that is held, or is not, as it was asked for. One that nobody holds may have ended since it was listed. */
const asHeld = Effect.fnUntraced(function*(parts: Parts, asked: Asked, listed: Task.Summary) {
  const isHeld = Option.isSome(yield* parts.bindLock.holder(listed.taskId))
  if (isHeld !== asked.options.held) return Option.none()
  if (isHeld || !TaskStatus.isActive({ _tag: listed.status })) return Option.some(listed)
  const look = yield* Effect.either(parts.taskIO.look(listed.taskId))
  return Either.isLeft(look) ? Option.some(listed) : nowListed(asked, look.right.task)
})

/** The statuses that tell of a failure. */
const failed: ReadonlyArray<TaskStatus.Tag> = ["Failed", "RolledBack", "RollbackFailed"]

const hasFailed = (tags: ReadonlyArray<string>) => ({ status }: Task.Task): boolean =>
  "failure" in status && status.failure !== undefined && tags.includes(status.failure.tag)

/** A task that has failed as it was asked for, which only its journal tells. It may have gone on since it was listed. */
const asFailed = Effect.fnUntraced(
  function*(parts: Parts, tags: ReadonlyArray<string>, asked: Asked, { taskId }: Task.Summary) {
    const look = yield* Effect.either(parts.taskIO.get(taskId))
    if (Either.isRight(look)) return nowListed(asked, Option.filter(look.right, hasFailed(tags)))
    if (look.left._tag === "TaskIOError") return yield* look.left
    yield* logWarning(`Task ${taskId} is left out, as nothing tells what it failed with: ${look.left.message}`)
    return Option.none()
  }
)

/** A task that is as it was asked for beyond what lists tell. */
const asAsked = Effect.fnUntraced(function*(parts: Parts, asked: Asked, listed: Task.Summary) {
  const { failure, held } = asked.options
  const found = failure === undefined ? Option.some(listed) : yield* asFailed(parts, failure, asked, listed)
  return held === undefined || Option.isNone(found) ? found : yield* asHeld(parts, asked, found.value)
})

/** How many more than those that are asked for are kept, until they are sorted out. */
const spare = 2_000

/** Up to how many a store is asked for the first ones, where it can tell: these it answers all at once. */
const mostAtOnce = 1_000

/** The first tasks of a list. Of a long one no more is kept than that. */
const firstOf = Effect.fnUntraced(
  function*(options: FindOptions, limit: number, list: Stream.Stream<Task.Summary, TaskIOError>) {
    const best = (found: ReadonlyArray<Task.Summary>) => sorted(found, options).slice(0, limit)
    let found: Array<Task.Summary> = []
    yield* Stream.runForEachChunk(list, (chunk) =>
      Effect.sync(() => {
        for (const summary of chunk) found.push(summary)
        if (found.length > limit + spare) found = best(found)
      }))
    return best(found)
  }
)

const first = ({ taskIO }: Parts, options: FindOptions, limit: number) => {
  const all = firstOf(options, limit, taskIO.list(options))
  if (taskIO.driver.listsFirst !== true || limit > mostAtOnce) return all
  const { order = "descending", sort = "createdAt" } = options
  return Effect.flatMap(
    firstOf(options, limit, taskIO.list(options, { sort, order, limit })),
    // Among the first of a store there may be what does not fit, and others behind them that do.
    (found) => found.length < limit ? all : Effect.succeed(found)
  )
}

export const find = Effect.fnUntraced(function*(parts: Parts, options: FindOptions) {
  yield* checkOrder(options)
  const limit = yield* count("limit", options.limit, Number.POSITIVE_INFINITY)
  const offset = yield* count("offset", options.offset, 0)
  if (options.held === undefined && options.failure === undefined) {
    return (yield* first(parts, options, offset + limit)).slice(offset)
  }
  const query = options.failure === undefined
    ? options
    : { ...options, status: failed.filter((tag) => options.status?.includes(tag) ?? true) }
  const tasks = yield* first(parts, query, Number.POSITIVE_INFINITY)
  const asked: Asked = { options, fits: matches(yield* encodeQuery(options)) }
  // Locks and journals are asked in order, until there are enough.
  const found = Stream.fromIterable(tasks).pipe(
    Stream.mapEffect((listed) => afterTurn(asAsked(parts, asked, listed)), { concurrency: 16 }),
    Stream.filterMap(identity),
    Stream.drop(offset),
    Stream.take(Math.min(limit, tasks.length))
  )
  return [...(yield* Stream.runCollect(found))]
})

/**
 * A latch that is open where a task may have changed: at first, after a change in this engine, and at intervals, as there may be
 * changes elsewhere. Not a merge of streams, which takes a millisecond for each that watches at each change.
 */
const changesOf = Effect.fnUntraced(
  function*(parts: Parts, interval: Duration.Duration, isRelevant: (taskId: string) => boolean) {
    const some = yield* Effect.makeLatch(true)
    yield* parts.registry.listen((taskId) => {
      if (isRelevant(taskId)) some.unsafeOpen()
    })
    yield* inBackground(Effect.forever(Effect.zipRight(Effect.sleep(interval), some.open)))
    yield* inBackground(Effect.zipRight(parts.registry.closing.await, some.open))
    return some
  }
)

/** Before the next look everything else has its turn, so many times as long as the last one took. */
const leisure = 3n

const millisecond = 1_000_000n

/**
 * Looks at every change, but not at once after a look that took its time: a task that changes all the time would wait for
 * whoever watches it, the more the longer it is. Ends with the engine: a server waits for what it streams, and its process
 * would wait for what others may do one day.
 */
const looks = <Seen, A, E>(
  parts: Parts,
  interval: Duration.Duration,
  isRelevant: (taskId: string) => boolean,
  first: Seen,
  look: (seen: Seen) => Effect.Effect<readonly [Seen, A], E>
): Stream.Stream<A, E> => {
  const { closing } = parts.registry
  interface Position {
    readonly seen: Seen
    /** When the next look is due, by a clock that is never set back; none before the first. */
    readonly due: bigint | undefined
  }
  const next = (changed: Effect.Latch) =>
    Effect.fnUntraced(function*({ due, seen }: Position) {
      yield* changed.await
      const asked = yield* Clock.currentTimeNanos
      if (due !== undefined) {
        if (asked < due) yield* Effect.raceFirst(Effect.sleep(Duration.nanos(due - asked)), closing.await)
        // There may be no store any more.
        if (closing.isSettled) return Option.none()
      }
      // One look shows all changes that have come by then: a list may take longer than many of them.
      yield* changed.close
      const from = yield* Clock.currentTimeNanos
      const [now, shown] = yield* look(seen)
      const done = yield* Clock.currentTimeNanos
      const rest = (done - from) / millisecond * millisecond * leisure
      return Option.some([shown, { seen: now, due: done + rest }] as const)
    })
  return Stream.unwrapScoped(Effect.map(
    changesOf(parts, interval, isRelevant),
    (changed) => Stream.unfoldEffect<Position, A, E, never>({ seen: first, due: undefined }, next(changed))
  ))
}

/** What a view shows. A task that was begun anew since may stand where the old one stood. */
const mark = ({ holder, progress, task: { createdAt, position } }: View): string =>
  JSON.stringify([createdAt.epochMillis, position, Option.isSome(holder), Option.getOrNull(progress)])

export const watch = (parts: Parts, interval: Duration.Duration, taskId: string) =>
  looks(
    parts,
    interval,
    (changed) => changed === taskId,
    Option.none<TaskIO.Look>(),
    (earlier) => Effect.map(see(parts, taskId, earlier), ({ look, view }) => [Option.some(look), view] as const)
  ).pipe(
    Stream.changesWith((left, right) => mark(left) === mark(right)),
    Stream.takeUntil((view) => !TaskStatus.isActive(view.task.status) && Option.isNone(view.holder))
  )

export const watchAll = (parts: Parts, interval: Duration.Duration, query: TaskIO.Query) =>
  looks(
    parts,
    interval,
    () => true,
    new Map<string, string>(),
    (seen) =>
      Effect.map(Stream.runCollect(parts.taskIO.list(query)), (summaries) => {
        const marks = new Map([...summaries].map((summary) => [summary.taskId, JSON.stringify(summary)]))
        const changed = [...summaries].filter((summary) => seen.get(summary.taskId) !== marks.get(summary.taskId))
        return [marks, changed] as const
      })
  ).pipe(Stream.flatMap(Stream.fromIterable))
