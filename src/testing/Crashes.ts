/**
 * Kills a pipeline's process before and after every write, resumes it in a fresh one, and sees whether it ends the same.
 *
 * ```ts
 * import { Crashes } from "effect-checkmate/testing"
 *
 * it.effect("survives", () => Crashes.verify(cm_factory_order(), { input: { order: 17 } }))
 * ```
 *
 * What a pipeline does to the outside world is made anew for every run by `before`, and looked at by `invariant`:
 *
 * ```ts
 * Crashes.verify((bank: Bank) => cm_factory_order(bank), {
 *   input: { order: 17 },
 *   before: Bank.make,
 *   invariant: ({ world: bank }) => Effect.sync(() => expect(bank.charges).toBe(1)),
 *   random: { count: 200, seed: 42, most: 5 }
 * })
 * ```
 *
 * Where the pipeline takes the outside world from the context, it is `layer: (bank) => Layer.succeed(Payments, bank)`.
 *
 * The tasks that a stage runs are part of it: their writes are cut, too, and a story names the task where it is another. They
 * are in the same store, and are gone on with by the stage that runs them.
 *
 * A process that dies runs no finalizers, and its lock is gone with it. Each process has a Clock of its own, whose time
 * passes at once when nothing else can run, so that waits cost nothing; random numbers and logs are the process's own,
 * too: the same numbers each time, and no logs. Work that waits for the outside world (a file, a socket) can be
 * overtaken by its own time-out under such a clock: give it another one by `layer: Layer.setClock(Clock.make())`.
 *
 * While it explores in Node, V8 does not guess which objects live long (`--no-allocation-site-pretenuring`), since what
 * belongs to processes that die makes it guess wrong, which takes twice the time.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as CheckMate from "../CheckMate.ts"
import * as CheckMateEngine from "../CheckMateEngine.ts"
import { firstDifference, sameJson, showValue } from "../internal/json.ts"
import * as Task from "../Task.ts"
import * as TaskIO from "../TaskIO.ts"
import * as memory from "../TaskIO/Memory.ts"
import type { Cut, Ending, Options, Report, Story } from "./Crashes/Exploration.ts"
import { live, type OnStage } from "./Crashes/mortal.ts"
import { withoutPretenuring } from "./Crashes/pretenuring.ts"
import { orphanage, type Time } from "./Crashes/process.ts"
import { search } from "./Crashes/search.ts"
import * as story from "./Crashes/story.ts"

export * from "./Crashes/Exploration.ts"

/**
 * A pipeline does not survive the death of its process. The message is the whole story.
 *
 * @since 0.1.0
 * @category errors
 */
export class CrashFoundError extends Schema.TaggedError<CrashFoundError>()("CrashFoundError", {
  checkMate: Schema.String,
  cuts: Schema.Array(Schema.Struct({
    write: Schema.Int,
    when: Schema.Literal("before", "after"),
    events: Schema.Array(Schema.String)
  })),
  problem: Schema.String,
  expected: Schema.String,
  found: Schema.String,
  text: Schema.String
}) {
  override get message(): string {
    return this.text
  }
}

/**
 * What of an ending is compared, unless the option `outcome` says otherwise: whether the program returned, the task's
 * status, the tag of its failure, and its state, encoded, but for the attributes it is to be without.
 *
 * ```ts
 * Crashes.verify(cm_factory_order(), {
 *   input: { order: 17 },
 *   outcome: (ending) => Crashes.outcomeOf(ending, { without: ["chargedAt"] })
 * })
 * ```
 *
 * @since 0.1.0
 * @category outcomes
 */
export const outcomeOf = (
  { exit, task }: Ending<unknown>,
  { without = [] }: { readonly without?: ReadonlyArray<string> | undefined } = {}
) => ({
  program: Exit.isSuccess(exit) ? "returned" : "failed",
  status: task.status._tag,
  ...("failure" in task.status && task.status.failure !== undefined ? { failure: task.status.failure.tag } : {}),
  // By name, for people.
  state: Object.fromEntries(
    Object.entries(Task.state(task))
      .filter(([attribute]) => !without.includes(attribute))
      .sort(([left], [right]) => left < right ? -1 : 1)
  )
})

/** What to do about an outcome that is another each time. */
const whatCounts = ([part, attribute]: ReadonlyArray<PropertyKey>): string =>
  "If that is another each time, as a time or a random number is, "
  + (part === "state" && attribute !== undefined
    ? `leave it out by outcome: (ending) => Crashes.outcomeOf(ending, { without: ["${String(attribute)}"] })`
    : "say with the option outcome what counts.")

/** An option or its default. Where an option is not given its types are inferred to be those of its default. */
function orElse<A>(given: A | undefined, otherwise: unknown): A
function orElse(given: unknown, otherwise: unknown): unknown {
  return given ?? otherwise
}

/** Provides a layer, if there is one: to build one takes as long as a short task, even if there is nothing in it. */
function provide<A, E, R, Out, In>(
  self: Effect.Effect<A, E, R>,
  layer: Layer.Layer<Out, unknown, In> | undefined
): Effect.Effect<A, unknown, Exclude<R, Out> | In>
function provide(
  self: Effect.Effect<unknown, unknown, unknown>,
  layer: Layer.Layer<unknown, unknown, unknown> | undefined
): unknown {
  return layer === undefined ? self : Effect.provide(self, layer)
}

/**
 * Runs the CheckMate once undisturbed, then kills its process before and after every write it makes, goes on in a fresh
 * process, and compares; then the same with every pair of writes, and with sequences drawn at random. After each death
 * the journal must still fold. Stops at the first story that fails, which is the smallest one.
 *
 * ```ts
 * const { cuts, runs, smallest } = yield* Crashes.explore(cm_factory_order(), { input: { order: 17 } })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const explore = <
  Name extends string,
  Input extends object,
  Output,
  E,
  R,
  World = void,
  EB = never,
  RB = never,
  ES = never,
  RS = never,
  RP = never,
  LOut = never,
  LIn = never,
  RI = never
>(
  checkMate:
    | CheckMate.CheckMate<Name, Input, Output, E, R>
    | ((world: World) => CheckMate.CheckMate<Name, Input, Output, E, R>),
  options: Options<Input, CheckMate.CheckMate<Name, Input, Output, E, R>, World, EB, RB, ES, RS, RP, LOut, LIn, RI>
) => {
  const taskId = options.taskId ?? "task"
  const before = orElse(options.before, Effect.void)
  const outcome = options.outcome ?? outcomeOf
  const { invariant } = options
  const program: (
    definition: CheckMate.CheckMate<Name, Input, Output, E, R>,
    world: World
  ) => Effect.Effect<unknown, unknown, R | RP | CheckMateEngine.CheckMateEngine> = options.program
    ?? ((definition) => CheckMateEngine.run(definition, { taskId, input: options.input }))
  let reference: { readonly outcome: unknown } | undefined

  /** What is wrong with how a run ended, if anything. */
  const judge = Effect.fnUntraced(function*(ending: Ending<World>) {
    const found = outcome(ending)
    reference ??= { outcome: found }
    if (!sameJson(found, reference.outcome)) {
      const path = firstDifference(reference.outcome, found)
      return {
        problem: `it ends otherwise${path.length === 0 ? "" : ` in ${path.join(".")}`}`,
        expected: showValue(reference.outcome),
        found: showValue(found),
        hint: whatCounts(path)
      }
    }
    const held = invariant === undefined ? Exit.void : yield* Effect.exit(Effect.suspend(() => invariant(ending)))
    if (Exit.isSuccess(held) && held.value !== false) return undefined
    return {
      problem: "its invariant is broken",
      expected: "that it holds",
      found: Exit.isSuccess(held) ? "it answered false" : story.causeOf(held.cause)
    }
  })

  /** Tells one run: a process for each cut, and then one that lives, unless one comes to its end before its cut. */
  const tell = Effect.fnUntraced(
    function*(cuts: ReadonlyArray<Cut>, onStage: OnStage) {
      const world = yield* before
      const definition = typeof checkMate === "function" ? checkMate(world) : checkMate
      const layer = typeof options.layer === "function" ? options.layer(world) : options.layer
      const store = yield* (options.store ?? memory.make)
      const taskIO = TaskIO.make(store)
      const time: Time = { now: 0 }
      const { orphaned } = yield* orphanage
      const lives: Array<story.Life> = []
      const made: Array<Cut> = []
      let seen: TaskIO.Look | undefined
      let problem: story.Problem | undefined

      // Until a process comes to its end, or leaves a journal that does not fold.
      while (true) {
        const cut = cuts[lives.length]
        const life = yield* live(provide(program(definition, world), layer), {
          store,
          isElsewhere: options.store !== undefined,
          engine: options.engine,
          time,
          orphaned,
          onStage,
          number: lives.length,
          cut
        })
        lives.push(life)
        const { exit } = life
        if (Option.isNone(exit) && cut !== undefined) made.push(cut)
        const folded = yield* Effect.exit(taskIO.look(taskId, seen))
        if (Exit.isFailure(folded)) {
          const found = story.causeOf(folded.cause)
          problem = { problem: "its journal is broken", expected: "a journal that folds", found }
          break
        }
        seen = folded.value
        if (Option.isNone(exit)) continue
        const { events: history, task } = seen
        if (Option.isNone(task)) {
          const found = Exit.isFailure(exit.value) ? story.causeOf(exit.value.cause) : "nothing"
          problem = { problem: "it wrote nothing", expected: `a journal of task "${taskId}"`, found }
        } else {
          problem = yield* judge({ world, cuts: made, exit: exit.value, task: task.value, history, taskIO })
        }
        break
      }

      return {
        cuts: made,
        writes: lives.at(-1)?.writes.length ?? 0,
        failed: Option.map(Option.fromNullable(problem), (wrong): Story => ({
          problem: wrong.problem,
          expected: wrong.expected,
          found: wrong.found,
          checkMate: definition.name,
          cuts: made.map((cut, index) => ({
            ...cut,
            events: Option.match(Option.fromNullable(lives[index]?.writes.at(-1)), {
              onNone: () => [],
              onSome: story.eventsOf
            })
          })),
          text: story.tell(definition.name, taskId, lives, wrong)
        }))
      }
    },
    (self, _, onStage) => Effect.onInterrupt(self, () => onStage.process?.interrupt ?? Effect.void),
    Effect.scoped
  )

  return Effect.map(
    withoutPretenuring(
      search((cuts) => tell(cuts, { process: undefined }), { pairs: options.pairs ?? true, random: options.random })
    ),
    (report): Report => report
  )
}

/**
 * Explores, and fails with the smallest story there is to tell: which write was cut, before or after, what the process
 * that went on did, what was expected and what was found.
 *
 * @since 0.1.0
 * @category operations
 */
export const verify = <
  Name extends string,
  Input extends object,
  Output,
  E,
  R,
  World = void,
  EB = never,
  RB = never,
  ES = never,
  RS = never,
  RP = never,
  LOut = never,
  LIn = never,
  RI = never
>(
  checkMate:
    | CheckMate.CheckMate<Name, Input, Output, E, R>
    | ((world: World) => CheckMate.CheckMate<Name, Input, Output, E, R>),
  options: Options<Input, CheckMate.CheckMate<Name, Input, Output, E, R>, World, EB, RB, ES, RS, RP, LOut, LIn, RI>
) =>
  Effect.flatMap(explore(checkMate, options), ({ cuts, runs, smallest }) =>
    Option.match(smallest, {
      onNone: () => Effect.succeed({ cuts, runs }),
      onSome: (found) => Effect.fail(new CrashFoundError(found))
    }))
