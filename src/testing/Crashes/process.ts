/**
 * A process that can die: what is left of it runs no more, no finalizers either. It has a clock of its own, whose time
 * passes at once when nothing else can run, so that what is due earlier still comes first.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Runtime from "effect/Runtime"
import * as Scheduler from "effect/Scheduler"
import { exitOf } from "../../internal/inContext.ts"
import { hangForGood } from "../hang.ts"

/** The time that the processes of one story share, in milliseconds. */
export interface Time {
  now: number
}

/** How often the scheduler must come round with nothing to do: promises that are already settled get through. */
const rounds = 32

interface Sleeper {
  readonly due: number
  readonly wake: () => void
}

/** A scheduler that can be stopped for good, and that tells when nothing is left to run. */
const makeScheduler = () => {
  const base = new Scheduler.MixedScheduler(2048)
  let waiting = 0
  let outside = 0
  let afterwards: Array<() => void> = []
  let dead = false
  const scheduler: Scheduler.Scheduler = {
    shouldYield: (fiber) => base.shouldYield(fiber),
    // One queue for all fibers, so that a run is the same each time.
    scheduleTask: (task, priority) => {
      waiting += 1
      let left: Scheduler.Task | undefined = task
      base.scheduleTask(() => {
        const run = left
        left = undefined
        waiting -= 1
        if (!dead) run?.()
      }, priority)
    }
  }
  const whenIdle = (act: () => void): void => {
    let quiet = 0
    const look = () => {
      quiet = waiting === 0 ? quiet + 1 : 0
      if (dead) return
      if (outside > 0) afterwards.push(look)
      else if (quiet < rounds) base.scheduleTask(look, 0)
      else act()
    }
    base.scheduleTask(look, 0)
  }
  return {
    scheduler,
    whenIdle,
    /** Something is done elsewhere that the process waits for, until what is returned is called. */
    leave: () => {
      outside += 1
      return () => {
        outside -= 1
        if (outside > 0) return
        const looks = afterwards
        afterwards = []
        for (const look of looks) look()
      }
    },
    isStopped: () => dead,
    stop: () => {
      dead = true
    }
  }
}

const makeClock = (time: Time, whenIdle: (act: () => void) => void): Clock.Clock => {
  const sleepers = new Set<Sleeper>()
  let looking = false

  const wakeFirst = () => {
    looking = false
    const due = Math.min(...Array.from(sleepers, (sleeper) => sleeper.due))
    if (!Number.isFinite(due)) return
    time.now = Math.max(time.now, due)
    for (const sleeper of Array.from(sleepers)) {
      if (sleeper.due > time.now) continue
      sleepers.delete(sleeper)
      sleeper.wake()
    }
    look()
  }
  const look = () => {
    if (looking || sleepers.size === 0) return
    looking = true
    whenIdle(wakeFirst)
  }

  const millis = () => time.now
  const nanos = () => BigInt(Math.round(time.now)) * 1_000_000n
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.async((resume) => {
        const sleeper: Sleeper = {
          due: time.now + Duration.toMillis(duration),
          wake: () => resume(Effect.void)
        }
        sleepers.add(sleeper)
        look()
        return Effect.sync(() => sleepers.delete(sleeper))
      })
  }
}

export interface Process {
  /** The death of the process. Never returns. */
  readonly die: Effect.Effect<never>
  /** Interrupts the program that runs. Whoever runs it does so when interrupted: to see to that here costs too much. */
  readonly interrupt: Effect.Effect<unknown>
  /** Runs a program to its end; none if the process dies before. */
  readonly run: <A, E, R>(program: Effect.Effect<A, E, R>) => Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R>
  /** Has an effect done elsewhere, as a disk or a server does it: it goes on when the process is dead, in real time. */
  readonly outside: (
    runtime: Runtime.Runtime<never>
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Makes an effect's fibers the children of one that has ended. */
export type Orphaned = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * For the processes of one story: held by nothing but that, so that what is left of them is garbage afterwards. Daemons
 * are held for ever.
 */
export const orphanage: Effect.Effect<{ readonly orphaned: Orphaned }> = Effect.flatMap(
  Effect.fork(Effect.transplant((orphaned) => Effect.succeed({ orphaned }))),
  (fiber) => Effect.flatten(exitOf(fiber))
)

/** A process; `seed` makes what is random in it the same each time. */
export const make = (time: Time, seed: string, orphaned: Orphaned): Process => {
  const { isStopped, leave, scheduler, stop, whenIdle } = makeScheduler()
  let atDeath: () => void = stop
  let interrupt: Effect.Effect<unknown> = Effect.void
  return {
    outside: (runtime) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.contextWithEffect((context: Context.Context<R>) =>
        Effect.async<A, E>((resume) => {
          const back = leave()
          const fiber = Runtime.runFork(runtime)(Effect.provide(effect, context))
          fiber.addObserver((exit) => {
            resume(exit)
            back()
          })
        })
      ),
    die: Effect.suspend(() => {
      atDeath()
      return hangForGood
    }),
    // The dead cannot be interrupted.
    interrupt: Effect.suspend(() => isStopped() ? Effect.void : interrupt),
    run: <A, E, R>(program: Effect.Effect<A, E, R>) =>
      Effect.suspend(() => {
        let over: Option.Option<Exit.Exit<A, E>> | undefined
        let tell = (_: Option.Option<Exit.Exit<A, E>>): void => undefined
        const end = (exit: Option.Option<Exit.Exit<A, E>>) => {
          // Also at its end: what it left running in the background ends with it.
          stop()
          if (over !== undefined) return
          over = exit
          tell(exit)
        }
        atDeath = () => end(Option.none())
        // Set in the fiber itself, which is quicker than to set them around it and to put them back.
        const begun = FiberRef.set(FiberRef.currentScheduler, scheduler).pipe(
          Effect.zipRight(FiberRef.update(DefaultServices.currentServices, (services) =>
            services.pipe(
              Context.add(Clock.Clock, makeClock(time, whenIdle)),
              Context.add(Random.Random, Random.make(seed))
            ))),
          // What the same work logs and traces a thousand times over is of no use to anyone.
          Effect.zipRight(FiberRef.set(FiberRef.currentLoggers, HashSet.empty())),
          Effect.zipRight(FiberRef.set(FiberRef.currentTracerEnabled, false)),
          Effect.zipRight(program),
          Effect.fork,
          orphaned
        )
        return Effect.flatMap(begun, (fiber) => {
          fiber.addObserver((exit) => end(Option.some(exit)))
          // Over once it is dead, too: what it does when it is interrupted may be what kills it.
          interrupt = Effect.async<void>((resume) => {
            if (over !== undefined) return resume(Effect.void)
            const heard = tell
            tell = (exit) => {
              heard(exit)
              resume(Effect.void)
            }
            fiber.unsafeInterruptAsFork(FiberId.none)
          })
          return Effect.async<Option.Option<Exit.Exit<A, E>>>((resume) => {
            tell = (exit) => resume(Effect.succeed(exit))
            if (over !== undefined) tell(over)
          })
        })
      })
  }
}
