/** What an engine knows of the locks on files that it holds, or may hold without knowing it. */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { type Clock, Duration, Effect, Exit, Fiber, Option, Scope } from "effect"
import type { BindLock } from "effect-checkmate"
import * as FileLock from "effect-checkmate/BindLock/FileSystem"
import * as HandClock from "../support/handClock.ts"
import { turn } from "../support/interleaved.ts"
import { failure, shaky } from "../support/shakyFiles.ts"

/** A directory for locks, a clock moved by hand, and whatever is done within both. */
const inDirectory = <A, E>(
  use: (its: {
    readonly fs: FileSystem.FileSystem
    readonly directory: string
    readonly lockOf: (taskId: string) => string
    /** Lets time pass until so many signs of life were given. */
    readonly beats: (times: number) => Effect.Effect<void>
    readonly pass: Effect.Effect<void>
    readonly clock: Clock.Clock
  }) => Effect.Effect<A, E, FileSystem.FileSystem | NodeContext.NodeContext | Scope.Scope>
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    const time = yield* HandClock.make
    const locks = `${directory}/locks`
    const signs = Effect.gen(function*() {
      const files = (yield* fs.readDirectory(locks)).filter((name) => name.endsWith(".engine"))
      const sizes = yield* Effect.forEach(files, (name) => fs.stat(`${locks}/${name}`))
      return sizes.reduce((sum, { size }) => sum + Number(size), 0)
    })
    const beats = (times: number) =>
      Effect.gen(function*() {
        const before = yield* signs
        while ((yield* signs) < before + times) yield* Effect.zipRight(time.pass("100 millis"), turn)
      }).pipe(Effect.orDie)
    const lockOf = (taskId: string) => `${directory}/locks/${taskId}.lock`
    yield* Effect.withClock(
      use({ fs, directory, lockOf, beats, pass: time.pass("100 millis"), clock: time.clock }),
      time.clock
    )
  }).pipe(Effect.provide(NodeContext.layer))

const isTold = (lost: Effect.Effect<string>) =>
  Effect.gen(function*() {
    const told = yield* Effect.fork(lost)
    yield* turn
    const found = yield* Fiber.poll(told)
    yield* Fiber.interrupt(told)
    return Option.isSome(found)
  })

/** What an engine's file begins with, as if it were of another process where that is given. */
const lineOf = (directory: string, pid?: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const files = yield* fs.readDirectory(`${directory}/locks`)
    const line = yield* fs.readFileString(`${directory}/locks/${files.find((name) => name.endsWith(".engine"))}`)
    return pid === undefined ? line : line.replace(/"pid":"\d+"/, `"pid":"${pid}"`)
  })

/** Fails the first time that it is asked, once it has done what was asked for. */
const failingOnce = () => {
  let fails = true
  return <A, E>(done: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      if (!fails) return done
      fails = false
      return Effect.zipRight(done, Effect.fail(failure))
    })
}

/** A clock that goes on for two days while nothing is done by it. */
const freezing = (clock: Clock.Clock) => {
  let frozen = 0
  const moved: Clock.Clock = {
    ...clock,
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + frozen,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() + BigInt(frozen) * 1_000_000n
  }
  const freeze = () => {
    frozen = Duration.toMillis("2 days")
  }
  return { moved, freeze, wasFrozen: () => frozen > 0 }
}

/** Sees nothing of processes. */
const elsewhere = shaky(() => ({ readLink: () => Effect.fail(failure) }))

describe("the lock on files", () => {
  it.scoped("tells whoever holds a task that was lost, before anybody else of that engine does", () =>
    inDirectory(({ directory, fs, lockOf }) =>
      Effect.gen(function*() {
        const lock = yield* FileLock.make(directory)
        const { lost } = yield* lock.acquire("t")
        // As if another engine had taken it over, and let go of it, while this one was frozen.
        yield* fs.remove(lockOf("t"))
        const again = yield* lock.acquire("t")
        expect([yield* isTold(lost), yield* isTold(again.lost)]).toEqual([true, false])
      })
    ))

  it.scoped("takes nothing from another engine that took a task over as it was let go of", () =>
    inDirectory(({ clock, directory, fs, lockOf }) =>
      Effect.gen(function*() {
        const other = `${directory}/locks/other`
        const { freeze, moved, wasFrozen } = freezing(clock)
        const lock = yield* FileLock.make(directory).pipe(
          shaky((whole) => ({
            stat: (file) =>
              Effect.tap(whole.stat(file), () =>
                Effect.suspend(() => {
                  if (wasFrozen() || file !== lockOf("t")) return Effect.void
                  freeze()
                  return fs.rename(other, file)
                }))
          }))
        )
        yield* fs.writeFileString(other, "other")
        yield* Effect.withClock(Effect.scoped(lock.acquire("t")), moved)
        expect([wasFrozen(), yield* fs.readFileString(lockOf("t"))]).toEqual([true, "other"])
      })
    ))

  it.scoped("does not take a task that is let go of, and held again, for lost", () =>
    inDirectory(({ directory, fs, lockOf, beats }) =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const first = yield* Scope.make()
        let told: Effect.Effect<boolean> | undefined
        let begins = false
        const again = Effect.map(Effect.suspend(() => Scope.extend(lock.acquire("t"), scope)), ({ lost }) => {
          told = isTold(lost)
        })
        const lock: BindLock.Driver = yield* FileLock.make(directory).pipe(
          shaky((whole) => ({
            stat: (file) =>
              Effect.suspend(() => {
                if (!begins || file !== lockOf("t")) return whole.stat(file)
                begins = false
                return Scope.close(first, Exit.void).pipe(
                  Effect.zipRight(Effect.exit(whole.stat(file))),
                  Effect.zipLeft(Effect.orDie(again)),
                  Effect.flatten
                )
              })
          }))
        )
        yield* lock.acquire("lost")
        yield* Scope.extend(lock.acquire("t"), first)
        yield* fs.remove(lockOf("lost"))
        begins = true
        yield* beats(2)
        expect([yield* told ?? Effect.succeed("never"), yield* fs.exists(lockOf("t"))]).toEqual([false, true])
      })
    ))

  it.scoped("a lock that was made, though that failed, is let go of with the next sign of life", () =>
    inDirectory(({ directory, fs, beats }) =>
      Effect.gen(function*() {
        const once = failingOnce()
        const lock = yield* FileLock.make(directory).pipe(shaky(() => ({ link: (a, b) => once(fs.link(a, b)) })))
        expect(yield* Effect.flip(Effect.scoped(lock.acquire("t")))).toMatchObject({ _tag: "BindLockError" })
        yield* beats(2)
        const other = yield* FileLock.make(directory)
        yield* other.acquire("t")
      })
    ))

  it.scoped("a lock that is gone, though that failed, is not let go of again once it is another one", () =>
    inDirectory(({ directory, fs, lockOf, beats }) =>
      Effect.gen(function*() {
        const once = failingOnce()
        const lock = yield* FileLock.make(directory).pipe(shaky(() => ({ remove: (file) => once(fs.remove(file)) })))
        yield* Effect.scoped(lock.acquire("t"))
        const { lost } = yield* lock.acquire("t")
        yield* beats(2)
        expect([yield* isTold(lost), yield* fs.exists(lockOf("t"))]).toEqual([false, true])
      })
    ))

  it.scoped("a lock that could not be let go of goes with its engine", () =>
    inDirectory(({ directory, fs }) =>
      Effect.gen(function*() {
        let fails = true
        const remove = (file: string) => fails ? Effect.fail(failure) : fs.remove(file)
        yield* Effect.scoped(Effect.gen(function*() {
          const lock = yield* FileLock.make(directory).pipe(shaky(() => ({ remove })))
          yield* Effect.scoped(lock.acquire("t"))
          fails = false
        }))
        expect(yield* fs.readDirectory(`${directory}/locks`)).toEqual([])
      })
    ))

  it.scoped("a take that could not be removed is in nobody's way after the next sign of life", () =>
    inDirectory(({ directory, fs, lockOf, beats }) =>
      Effect.gen(function*() {
        let fails = true
        let looks = 0
        const lock = yield* FileLock.make(directory).pipe(
          shaky(() => ({
            readFileString: (file) =>
              file === lockOf("t") && ++looks === 2 ? Effect.fail(failure) : fs.readFileString(file),
            remove: (file) => fails ? Effect.fail(failure) : fs.remove(file)
          }))
        )
        yield* fs.writeFileString(lockOf("t"), yield* lineOf(directory, "999999999"))
        expect(yield* Effect.flip(Effect.scoped(lock.acquire("t")))).toMatchObject({ _tag: "BindLockError" })
        fails = false
        yield* beats(2)
        expect(yield* fs.readDirectory(`${directory}/takes`)).toEqual([])
        const other = yield* FileLock.make(directory)
        yield* other.acquire("t")
      })
    ))

  it.scoped("a take that was made, though that failed, goes with its engine", () =>
    inDirectory(({ directory, fs, lockOf }) =>
      Effect.gen(function*() {
        const failing = (to: string) => to.endsWith(".take") ? Effect.fail(failure) : Effect.void
        yield* Effect.scoped(Effect.gen(function*() {
          const lock = yield* FileLock.make(directory).pipe(
            shaky(() => ({ link: (from, to) => Effect.zipRight(fs.link(from, to), failing(to)) }))
          )
          yield* fs.writeFileString(lockOf("t"), yield* lineOf(directory, "999999999"))
          expect(yield* Effect.flip(Effect.scoped(lock.acquire("t")))).toMatchObject({ _tag: "BindLockError" })
        }))
        expect(yield* fs.readDirectory(`${directory}/takes`)).toEqual([])
      })
    ))

  it.scoped("takes nothing over that another engine holds, since this one looked and was frozen", () =>
    inDirectory(({ clock, directory, fs, lockOf, pass }) =>
      Effect.gen(function*() {
        const other = `${directory}/locks/other`
        const { freeze, moved, wasFrozen } = freezing(clock)
        let looks = 0
        // A lease that is longer than the test takes.
        const lock = yield* FileLock.make(directory, { lease: "1 day" }).pipe(
          shaky((whole) => ({
            stat: (file) =>
              Effect.tap(whole.stat(file), () =>
                Effect.suspend(() => {
                  if (file !== lockOf("t") || ++looks !== 2) return Effect.void
                  freeze()
                  return fs.rename(other, file)
                }))
          })),
          Effect.withClock(moved)
        )
        yield* fs.writeFileString(other, yield* lineOf(directory))
        yield* fs.writeFileString(lockOf("t"), yield* lineOf(directory, "999999999"))
        const bound = yield* Effect.flip(Effect.withClock(Effect.scoped(lock.acquire("t")), moved)).pipe(
          Effect.raceFirst(Effect.forever(Effect.zipRight(pass, turn)))
        )
        expect([wasFrozen(), bound]).toMatchObject([true, { _tag: "TaskBoundError" }])
      })
    ))

  it.scoped("writes nothing for a look at a holder of whose process nothing is known", () =>
    inDirectory(({ directory, fs }) =>
      Effect.gen(function*() {
        const sizes = Effect.gen(function*() {
          const files = yield* fs.readDirectory(`${directory}/locks`)
          return yield* Effect.forEach(files, (name) =>
            Effect.map(fs.stat(`${directory}/locks/${name}`), ({ size }) => size))
        })
        const one = yield* elsewhere(FileLock.make(directory))
        const other = yield* elsewhere(FileLock.make(directory))
        yield* one.acquire("t")
        const before = yield* sizes
        for (let look = 0; look < 5; look++) {
          expect(Option.isSome(yield* other.holder("t"))).toBe(true)
          expect(yield* Effect.flip(other.acquire("t"))).toMatchObject({ _tag: "TaskBoundError" })
        }
        expect(yield* sizes).toEqual(before)
      })
    ))

  it.scoped("an engine's file does not grow by all signs that it ever gave, and says at all times who lives", () =>
    inDirectory(({ directory, fs, lockOf }) =>
      Effect.gen(function*() {
        const one = yield* elsewhere(FileLock.make(directory))
        const other = yield* elsewhere(FileLock.make(directory))
        const { holder: { name } } = yield* one.acquire("t")
        yield* fs.writeFileString(lockOf("silent"), yield* lineOf(directory, "999999999"))
        yield* fs.utimes(lockOf("silent"), 0, 0)
        let longest = 0
        // Of who is silent it can be told only with a sign of one's own.
        const sign = Effect.zipRight(
          one.holder("silent"),
          Effect.map(fs.stat(lockOf("t")), ({ size }) => {
            longest = Math.max(longest, Number(size))
          })
        )
        const signs = yield* Effect.fork(Effect.repeatN(sign, 2500))
        const seen = new Set<string>()
        while (Option.isNone(yield* Fiber.poll(signs))) {
          seen.add(Option.getOrThrow(yield* other.holder("t")).name)
        }
        yield* Fiber.join(signs)
        expect([[...seen], longest > 1000, longest < 2000]).toEqual([[name], true, true])
      })
    ))

  for (const hangs of ["stat", "writeAll"] as const) {
    it.scoped(`a task is lost in time where the file system does not answer (${hangs})`, () =>
      inDirectory(({ directory, beats, pass }) =>
        Effect.gen(function*() {
          const answers = yield* Effect.makeLatch(true)
          const lock = yield* FileLock.make(directory).pipe(
            shaky((whole) => ({
              open: (file, options) =>
                Effect.map(whole.open(file, options), (handle) =>
                  new Proxy(handle, {
                    get: (_, key) =>
                      key === "stat" && hangs === key
                        ? answers.whenOpen(handle.stat)
                        : key === "writeAll" && hangs === key
                        ? (bytes: Uint8Array) => answers.whenOpen(handle.writeAll(bytes))
                        : Reflect.get(handle, key, handle)
                  }))
            }))
          )
          const { lost } = yield* lock.acquire("t")
          yield* beats(1)
          yield* answers.close
          // Ten seconds' lease, of which two may have passed; a tenth of a second each.
          yield* Effect.repeatN(Effect.zipRight(pass, turn), 70)
          const early = yield* isTold(lost)
          yield* Effect.repeatN(Effect.zipRight(pass, turn), 60)
          expect([early, yield* isTold(lost)]).toEqual([false, true])
          expect(yield* lost).toMatch(/the file system does not answer/)
          yield* answers.open
        })
      ))
  }
})
