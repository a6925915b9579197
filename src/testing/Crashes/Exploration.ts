/**
 * What an exploration of crashes is given, and what it comes to.
 *
 * @since 0.1.0
 */

import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as CheckMateEngine from "../../CheckMateEngine.ts"
import type * as Task from "../../Task.ts"
import type * as TaskEvent from "../../TaskEvent.ts"
import type * as TaskIO from "../../TaskIO.ts"

/**
 * The place of a process's death: before or after its nth write to the journal, counted from 1 in each process.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cut {
  readonly write: number
  readonly when: "before" | "after"
}

/**
 * A run that came to its end, after all its cuts.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ending<World> {
  /** What `before` made for this run. */
  readonly world: World
  /** The deaths there were, one for each process but the last. */
  readonly cuts: ReadonlyArray<Cut>
  /** How the program ended in the last process. */
  readonly exit: Exit.Exit<unknown, unknown>
  /** The task as its journal tells it. */
  readonly task: Task.Task
  readonly history: ReadonlyArray<TaskEvent.TaskEvent>
  /** The store that all processes shared. */
  readonly taskIO: TaskIO.TaskIO["Type"]
}

/**
 * What to explore, and what must be true of it.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options<Input, C, World, EB, RB, ES, RS, RP, LOut, LIn, RI> {
  readonly input: Input
  /**
   * @default "task"
   */
  readonly taskId?: string | undefined
  /**
   * What the pipeline's stages need, built anew in every process, from the run's world where it is a function of that. What
   * is not in it comes from the outside.
   */
  readonly layer?: Layer.Layer<LOut, unknown, LIn> | ((world: World) => Layer.Layer<LOut, unknown, LIn>) | undefined
  /** Run before each run, to begin with the same outside world. */
  readonly before?: Effect.Effect<World, EB, RB> | undefined
  /**
   * What must be true however the run was cut, also if it was not. It is broken by any failure or defect of it, as those of
   * assertions, and by the answer `false`.
   */
  readonly invariant?: ((ending: Ending<World>) => Effect.Effect<unknown, unknown, RI>) | undefined
  /**
   * What of an ending must be as it is without cuts, as JSON. For a state that holds times or random numbers, which are
   * others after a death, say what of it counts.
   *
   * @default `Crashes.outcomeOf`: whether the program returned, the task's status, the tag of its failure, and its state
   */
  readonly outcome?: ((ending: Ending<World>) => unknown) | undefined
  /**
   * What each process does.
   *
   * @default runs the task
   */
  readonly program?: ((checkMate: C, world: World) => Effect.Effect<unknown, unknown, RP>) | undefined
  /**
   * Makes a store for each run.
   *
   * @default a store in memory
   */
  readonly store?: Effect.Effect<TaskIO.Encoded, ES, RS> | undefined
  /**
   * Options for the engines. A task's recoveries are not limited unless they say so.
   */
  readonly engine?: CheckMateEngine.Options | undefined
  /**
   * Whether to kill also the process that resumes, at each of its writes.
   *
   * @default true
   */
  readonly pairs?: boolean | undefined
  /** How many sequences of cuts to try beyond that, drawn by `seed`, of up to `most` cuts each. */
  readonly random?: { readonly count: number; readonly seed: number | string; readonly most: number } | undefined
}

/**
 * A run that does not end as it should.
 *
 * @since 0.1.0
 * @category models
 */
export interface Story {
  /** The deaths, with what each one's write was about: `StageSucceeded charge`. */
  readonly cuts: ReadonlyArray<Cut & { readonly events: ReadonlyArray<string> }>
  readonly problem: string
  readonly expected: string
  readonly found: string
  /** The name of the CheckMate. */
  readonly checkMate: string
  /** All of it, for people: what each process wrote, where it died, and how the last one ended. */
  readonly text: string
}

/**
 * What an exploration came to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  /** How often a process was killed. */
  readonly cuts: number
  /** How many runs were told, the one without cuts included. */
  readonly runs: number
  /** The failing story with the fewest cuts, and of those the one that is cut earliest. */
  readonly smallest: Option.Option<Story>
}
