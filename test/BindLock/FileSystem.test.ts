import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import * as FileLock from "effect-checkmate/BindLock/FileSystem"
import * as LocalDisk from "effect-checkmate/LocalDisk"
import * as Interleaved from "../support/interleaved.ts"
import { failure, shaky } from "../support/shakyFiles.ts"

interface Identity {
  readonly boot: string
  readonly namespace: string
  readonly pid: string
  readonly startTime: string
}

/** A directory in which an engine holds task "t" that is not of this process. */
const heldBy = (change: (own: Identity) => Identity | null, silentSince: Date) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    yield* Effect.scoped(FileLock.make(directory))
    const locks = `${directory}/locks`
    const own = yield* Effect.scoped(Effect.gen(function*() {
      yield* FileLock.make(directory)
      const [file = ""] = yield* fs.readDirectory(locks)
      return JSON.parse(yield* fs.readFileString(`${locks}/${file}`))
    }))
    const file = `${locks}/other.engine`
    yield* fs.writeFileString(
      file,
      `${JSON.stringify({ ...own, nonce: "other", name: "the other", process: change(own.process) })}\n`
    )
    yield* fs.utimes(file, silentSince, silentSince)
    yield* fs.link(file, `${locks}/t.lock`)
    return { directory, file }
  })

const longAgo = new Date(0)
const farAhead = new Date(32_503_680_000_000)
/** Longer than any test takes: what was written just now is no silence. */
const long = { lease: "1 day" } as const

/** Lets time pass in steps, and the file system work between them, until an effect has ended. */
const inTime = <A, E, R>(self: Effect.Effect<A, E, R>, each: Effect.Effect<void> = Effect.void) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    let steps = 0
    while (Option.isNone(yield* Fiber.poll(fiber))) {
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("10 millis")
      yield* each
      steps += 1
    }
    return { steps, exit: yield* Fiber.await(fiber) }
  })

const onFiles = <A, E>(use: Effect.Effect<A, E, NodeContext.NodeContext | Scope.Scope>) =>
  Effect.provide(use, NodeContext.layer)

describe("the lock on files", () => {
  const here = (own: Identity) => own
  const dead = (own: Identity) => ({ ...own, pid: "999999999" })

  for (
    const [what, change] of [
      ["whose process is gone", dead],
      ["whose process id is another process now", (own: Identity) => ({ ...own, startTime: "1" })]
    ] as const
  ) {
    it.scoped(`takes over from a holder ${what}, at once, however lately it gave a sign`, () =>
      onFiles(Effect.gen(function*() {
        const { directory } = yield* heldBy(change, farAhead)
        const lock = yield* FileLock.make(directory)
        // No time passes by the TestClock.
        yield* lock.acquire("t")
        expect(Option.getOrThrow(yield* lock.holder("t")).name).not.toBe("the other")
      })))
  }

  for (
    const [what, change] of [
      ["on another machine", (own: Identity) => ({ ...own, boot: "another" })],
      ["in another process-id namespace", (own: Identity) => ({ ...own, namespace: "pid:[1]", pid: "999999999" })],
      ["on a system that does not tell", () => null]
    ] as const
  ) {
    it.scoped(`does not take a holder ${what} for dead while it gives signs`, () =>
      onFiles(Effect.gen(function*() {
        const { directory } = yield* heldBy(change, new Date())
        const lock = yield* FileLock.make(directory, long)
        expect(yield* Effect.flip(lock.acquire("t"))).toMatchObject({ _tag: "TaskBoundError", holder: "the other" })
      })))

    it.scoped(`takes over from a holder ${what} that was silent for the lease, after two more signs' time`, () =>
      onFiles(Effect.gen(function*() {
        const { directory } = yield* heldBy(change, longAgo)
        const lock = yield* FileLock.make(directory)
        const { exit, steps } = yield* inTime(lock.acquire("t"))
        expect(exit._tag).toBe("Success")
        // Ten seconds' lease: four seconds in steps of ten milliseconds.
        expect(steps).toBeGreaterThanOrEqual(400)
      })))
  }

  it.scoped("takes over from a silent holder whose last sign the file system's clock stamped before it was set back", () =>
    onFiles(Effect.gen(function*() {
      const { directory } = yield* heldBy((own) => ({ ...own, boot: "another" }), farAhead)
      const lock = yield* FileLock.make(directory)
      const { exit, steps } = yield* inTime(lock.acquire("t"))
      expect([exit._tag, steps >= 400]).toEqual(["Success", true])
    })))

  it.scoped("watches a silent holder once for all of its tasks, and anew once it has given a sign", () =>
    onFiles(Effect.gen(function*() {
      const { directory, file } = yield* heldBy((own) => ({ ...own, boot: "another" }), longAgo)
      const fs = yield* FileSystem.FileSystem
      const holds = (taskId: string) => fs.link(file, `${directory}/locks/${taskId}.lock`)
      yield* Effect.forEach(["u", "v", "w"], holds)
      const lock = yield* FileLock.make(directory)
      yield* inTime(lock.acquire("t"))
      // No time passes by the TestClock.
      yield* Effect.forEach(["u", "v"], lock.acquire)
      yield* fs.writeFileString(file, "\n", { flag: "a" })
      yield* fs.utimes(file, longAgo, longAgo)
      const { exit, steps } = yield* inTime(lock.acquire("w"))
      expect([exit._tag, steps >= 400]).toEqual(["Success", true])
    })))

  it.scoped("leaves a task to a holder that only seemed silent, as after a jump of the clock", () =>
    onFiles(Effect.gen(function*() {
      const { directory, file } = yield* heldBy((own) => ({ ...own, boot: "another" }), longAgo)
      const fs = yield* FileSystem.FileSystem
      const lock = yield* FileLock.make(directory)
      const sign = Effect.orDie(fs.writeFileString(file, "\n", { flag: "a" }))
      const { exit } = yield* inTime(lock.acquire("t"), sign)
      expect(exit).toMatchObject({ _tag: "Failure", cause: { error: { _tag: "TaskBoundError" } } })
    })))

  it.scoped("a holder whose file cannot be read is watched like one on another machine", () =>
    onFiles(Effect.gen(function*() {
      const { directory, file } = yield* heldBy(here, longAgo)
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(file, "garbage")
      yield* fs.utimes(file, longAgo, longAgo)
      const lock = yield* FileLock.make(directory)
      const { exit, steps } = yield* inTime(lock.acquire("t"))
      expect([exit._tag, steps >= 400]).toEqual(["Success", true])
    })))

  it.scoped("removes the files of dead engines that hold nothing, and only those", () =>
    onFiles(Effect.gen(function*() {
      const { directory, file } = yield* heldBy(dead, longAgo)
      const fs = yield* FileSystem.FileSystem
      yield* FileLock.make(directory)
      expect(yield* fs.exists(file)).toBe(true)
      yield* fs.remove(`${directory}/locks/t.lock`)
      yield* FileLock.make(directory)
      expect(yield* fs.exists(file)).toBe(false)
      expect((yield* fs.readDirectory(`${directory}/locks`)).length).toBe(2)
    })))

  it.scoped("takes away what dead engines left of their takeovers", () =>
    onFiles(Effect.gen(function*() {
      const { directory, file } = yield* heldBy(dead, longAgo)
      const fs = yield* FileSystem.FileSystem
      // Killed between its take and its lock.
      yield* fs.rename(`${directory}/locks/t.lock`, `${directory}/takes/t.0123456789abcdef.take`)
      yield* FileLock.make(directory)
      expect([yield* fs.readDirectory(`${directory}/takes`), yield* fs.exists(file)]).toEqual([[], false])
    })))

  it.scoped("of two that take over at the same time one at most holds the task, in whatever order their steps mix", () =>
    onFiles(
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const { directory, file } = yield* heldBy(dead, longAgo)
        const files = Interleaved.make(fs, directory, ["a", "b"] as const, TestClock.adjust("50 millis"))
        const holding = new Set<string>()
        const held: Array<string> = []
        const lockOf = (name: "a" | "b") =>
          Effect.provideService(FileLock.make(directory), FileSystem.FileSystem, files.view(name))
        const locks = { a: yield* lockOf("a"), b: yield* lockOf("b") }
        const holds = (name: "a" | "b") => {
          const begin = Effect.sync(() => {
            holding.add(name)
            held.push([...holding].join(" and "))
          })
          const end = Effect.sync(() => holding.delete(name))
          // Whoever works for some steps is met by the other one there.
          const someSteps = Effect.repeatN(files.view(name).stat(directory), 1)
          return Effect.scoped(
            Effect.zipRight(locks[name].acquire("t"), Effect.acquireUseRelease(begin, () => someSteps, () => end))
          )
        }
        const work = { a: holds("a"), b: holds("b") }
        const play = (order: ReadonlyArray<Interleaved.Stretch<"a" | "b">>) =>
          Effect.gen(function*() {
            held.length = 0
            files.steps.length = 0
            const { exits, isComplete } = yield* files.play(work, order)
            const told = files.steps.join("\n")
            expect(["a", "b", "a b", "b a"], told).toContain(held.join(" "))
            for (const exit of exits.values()) {
              if (Exit.isFailure(exit)) expect(exit.cause, told).toMatchObject({ error: { _tag: "TaskBoundError" } })
            }
            expect(yield* fs.readDirectory(`${directory}/takes`), told).toEqual([])
            yield* fs.link(file, `${directory}/locks/t.lock`)
            return isComplete
          })
        yield* Interleaved.everyOrder(["a", "b"], play, 10)
        // One is about to hold the task, and the other does some steps before that, some after it, and the rest once it is held.
        for (const before of [1, 2, 3, 4, /link .*take/]) {
          for (let after = 1; after < 6; after++) {
            yield* play([["b", before], ["a", /rename/], ["b", after], ["a", 2], ["b", 12]])
          }
        }
      }).pipe(Effect.provide(LocalDisk.layer))
    ))

  it.scoped("a taker that was taken for dead meanwhile tries again", () =>
    onFiles(Effect.gen(function*() {
      const { directory } = yield* heldBy(dead, longAgo)
      let renames = 0
      const lock = yield* FileLock.make(directory).pipe(shaky((fs) => ({
        rename: (from, to) => Effect.zipRight(renames++ === 0 ? fs.remove(from) : Effect.void, fs.rename(from, to))
      })))
      const { exit } = yield* inTime(lock.acquire("t"))
      expect([exit._tag, renames]).toEqual(["Success", 2])
    })))

  it.scoped("is not interrupted while it watches a silent holder where its caller is not", () =>
    onFiles(Effect.gen(function*() {
      const { directory } = yield* heldBy((own) => ({ ...own, boot: "another" }), longAgo)
      const lock = yield* FileLock.make(directory)
      let holds = false
      const acquire = Effect.map(Effect.scoped(lock.acquire("t")), () => {
        holds = true
      })
      const fiber = yield* Effect.fork(Effect.uninterruptible(acquire))
      yield* inTime(Effect.sleep("1 second"))
      yield* Fiber.interruptFork(fiber)
      yield* inTime(Fiber.await(fiber))
      expect(holds).toBe(true)
    })))

  it.scoped("takes nothing from a holder of which nothing can be read, or which is hidden from others", () =>
    onFiles(Effect.gen(function*() {
      const { directory } = yield* heldBy(dead, new Date())
      const notThere = new SystemError({ module: "FileSystem", method: "any", reason: "NotFound" })
      const failing = yield* FileLock.make(directory, long).pipe(shaky((fs) => ({
        readFileString: (file) => file.startsWith("/proc/9") ? Effect.fail(failure) : fs.readFileString(file)
      })))
      // As /proc is where it is mounted with hidepid=invisible.
      const hidden = yield* FileLock.make(directory, long).pipe(shaky((fs) => ({
        readFileString: (file) => file.startsWith("/proc/9") ? Effect.fail(notThere) : fs.readFileString(file),
        exists: (file) => file.startsWith("/proc/1/") ? Effect.succeed(false) : fs.exists(file)
      })))
      for (const lock of [failing, hidden]) {
        expect(Option.getOrThrow(yield* lock.holder("t")).name).toBe("the other")
        expect(yield* Effect.flip(lock.acquire("t"))).toMatchObject({ _tag: "TaskBoundError" })
      }
    })))

  it.scoped("a takeover that fails midway is in nobody's way", () =>
    onFiles(Effect.gen(function*() {
      const { directory } = yield* heldBy(dead, longAgo)
      let looks = 0
      const lock = yield* FileLock.make(directory).pipe(shaky((fs) => ({
        readFileString: (file) =>
          file.endsWith("t.lock") && ++looks === 2 ? Effect.fail(failure) : fs.readFileString(file)
      })))
      expect(yield* Effect.flip(Effect.scoped(lock.acquire("t")))).toMatchObject({ _tag: "BindLockError" })
      const other = yield* FileLock.make(directory)
      const { exit } = yield* inTime(Effect.scoped(other.acquire("t")))
      expect(exit._tag).toBe("Success")
    })))

  it.scoped("a take that could not be removed is in its own engine's way no longer than it takes to try again", () =>
    onFiles(Effect.gen(function*() {
      const { directory } = yield* heldBy(dead, longAgo)
      let looks = 0
      let fails = true
      const lock = yield* FileLock.make(directory).pipe(shaky((fs) => ({
        readFileString: (file) =>
          file.endsWith("t.lock") && ++looks === 2 ? Effect.fail(failure) : fs.readFileString(file),
        remove: (file) => {
          if (!fails || !file.endsWith(".take")) return fs.remove(file)
          fails = false
          return Effect.fail(failure)
        }
      })))
      expect(yield* Effect.flip(Effect.scoped(lock.acquire("t")))).toMatchObject({ _tag: "BindLockError" })
      const again = Effect.timeoutOption(Effect.scoped(lock.acquire("t")), "20 seconds")
      const { exit } = yield* inTime(Effect.disconnect(Effect.interruptible(again)))
      expect(exit).toMatchObject({ _tag: "Success", value: { _tag: "Some" } })
    })))

  it.scoped("a lock that could not be let go of is let go of with the next sign of life", () =>
    onFiles(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      let fails = true
      const lock = yield* FileLock.make(directory).pipe(shaky((whole) => ({
        remove: (file) => {
          if (!fails || !file.endsWith("t.lock")) return whole.remove(file)
          fails = false
          return Effect.fail(failure)
        }
      })))
      yield* Effect.scoped(lock.acquire("t"))
      expect(yield* fs.exists(`${directory}/locks/t.lock`)).toBe(true)
      yield* inTime(
        Effect.repeat(Effect.delay(fs.exists(`${directory}/locks/t.lock`), "10 millis"), { while: (there) => there })
      )
      yield* lock.acquire("t")
    })))

  it.scoped("tells of a task that was lost also where a lock cannot be let go of", () =>
    onFiles(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const lock = yield* FileLock.make(directory).pipe(shaky((whole) => ({
        remove: (file) => file.endsWith("left.lock") ? Effect.fail(failure) : whole.remove(file)
      })))
      yield* Effect.scoped(lock.acquire("left"))
      const { lost } = yield* lock.acquire("t")
      // As if another engine had taken it over.
      yield* fs.remove(`${directory}/locks/t.lock`)
      const { exit } = yield* inTime(Effect.timeoutOption(lost, "20 seconds"))
      expect(exit).toMatchObject({ _tag: "Success", value: { _tag: "Some" } })
    })))

  it.scoped("to let go of what was lost takes nothing from whoever holds it now, be it the same engine", () =>
    onFiles(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const lock = yield* FileLock.make(directory)
      const first = yield* Scope.make()
      const { lost } = yield* Scope.extend(lock.acquire("t"), first)
      // As if another engine had taken it over, and let go of it since.
      yield* fs.remove(`${directory}/locks/t.lock`)
      yield* inTime(lost)
      yield* lock.acquire("t")
      yield* Scope.close(first, Exit.void)
      const other = yield* FileLock.make(directory)
      expect(yield* Effect.flip(other.acquire("t"))).toMatchObject({ _tag: "TaskBoundError" })
    })))
})
