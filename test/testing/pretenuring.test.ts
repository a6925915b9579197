import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { withoutPretenuring } from "../../src/testing/Crashes/pretenuring.ts"

const off = "--no-allocation-site-pretenuring"
const on = "--allocation-site-pretenuring"

/** Another V8 for the length of the Scope, and what its options were set to. */
const otherV8 = (set: (flag: string) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const own: unknown = Reflect.get(process, "getBuiltinModule")
      Reflect.set(process, "getBuiltinModule", () => ({ setFlagsFromString: set }))
      return own
    }),
    (own) => Effect.sync(() => Reflect.set(process, "getBuiltinModule", own))
  )

describe("withoutPretenuring", () => {
  it.scoped("is without it while something runs, and no longer, also where that is interrupted", () =>
    Effect.gen(function*() {
      const flags: Array<string> = []
      yield* otherV8((flag) => flags.push(flag))
      const one = yield* Effect.fork(withoutPretenuring(Effect.never))
      yield* Effect.yieldNow()
      expect(yield* withoutPretenuring(Effect.sync(() => [...flags]))).toEqual([off])
      expect(flags).toEqual([off])
      yield* Fiber.interrupt(one)
      expect(flags).toEqual([off, on])
      expect(yield* withoutPretenuring(Effect.succeed("answer"))).toBe("answer")
      expect(flags).toEqual([off, on, off, on])
    }))

  it.scoped("leaves it to whoever gave Node that option", () =>
    Effect.gen(function*() {
      const flags: Array<string> = []
      yield* otherV8((flag) => flags.push(flag))
      yield* Effect.acquireRelease(
        Effect.sync(() => process.execArgv.push(off)),
        () => Effect.sync(() => process.execArgv.pop())
      )
      yield* withoutPretenuring(Effect.void)
      expect(flags).toEqual([])
    }))

  it.scoped("runs where there is no such option", () =>
    Effect.gen(function*() {
      yield* otherV8(() => {
        throw new Error("not implemented")
      })
      expect(yield* withoutPretenuring(Effect.succeed("answer"))).toBe("answer")
      Reflect.set(process, "getBuiltinModule", undefined)
      expect(yield* withoutPretenuring(Effect.succeed("answer"))).toBe("answer")
    }))
})
