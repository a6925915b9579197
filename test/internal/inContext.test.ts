import { describe, expect, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import { inContext, inScope, inSpan } from "../../src/internal/inContext.ts"
import { recordSpans, throwing } from "../support/tracer.ts"

class Name extends Context.Tag("test/Name")<Name, string>() {}

const named = (name: string) => Context.add(Name, name)
const nameNow = Effect.map(Effect.serviceOption(Name), Option.getOrUndefined)

describe("inContext", () => {
  it.effect("gives another context, and puts back what was there, whatever comes of it", () =>
    Effect.gen(function*() {
      expect(yield* inContext(nameNow, named("inner"))).toBe("inner")
      expect(yield* nameNow).toBe("outer")
      expect(yield* Effect.flip(inContext(Effect.fail("no"), named("inner")))).toBe("no")
      expect(yield* nameNow).toBe("outer")
      const exit = yield* Effect.exit(inContext(Effect.die("defect"), named("inner")))
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      expect(yield* nameNow).toBe("outer")
    }).pipe(Effect.provideService(Name, "outer")))

  it.effect("and also where what it restores is interrupted", () =>
    Effect.gen(function*() {
      let after: string | undefined
      const begun = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(Effect.uninterruptibleMask((restore) =>
        inContext(restore(Effect.zipRight(begun.open, Effect.never)), named("inner")).pipe(
          Effect.ensuring(Effect.map(nameNow, (name) => {
            after = name
          }))
        )
      ))
      yield* begun.await
      yield* Fiber.interrupt(fiber)
      expect(after).toBe("outer")
    }).pipe(Effect.provideService(Name, "outer")))
})

describe("inScope", () => {
  it.effect("closes its Scope with the Exit, as Effect.scoped does", () =>
    Effect.gen(function*() {
      const exits: Array<string> = []
      const note = Effect.addFinalizer((exit) => Effect.sync(() => void exits.push(exit._tag)))
      expect(yield* inScope(Effect.as(note, 1))).toBe(1)
      expect(yield* Effect.flip(inScope(Effect.zipRight(note, Effect.fail("no"))))).toBe("no")
      expect(exits).toEqual(["Success", "Failure"])
    }))

  it.effect("fails where a finalizer does", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        inScope(Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, Effect.die("finalizer"))))
      )
      expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBe("finalizer")
    }))
})

describe("inSpan", () => {
  it.effect("is a span of the effect and the parent of those in it, as Effect.withSpan makes it", () =>
    Effect.gen(function*() {
      const { spans, tracer } = recordSpans()
      yield* inSpan(Effect.withSpan(Effect.void, "inner"), "outer", {}).pipe(Effect.withTracer(tracer))
      yield* Effect.exit(inSpan(Effect.fail("no"), "failing", {})).pipe(Effect.withTracer(tracer))
      expect(spans).toEqual([
        { name: "outer", parent: undefined, ended: "Success" },
        { name: "inner", parent: "outer", ended: "Success" },
        { name: "failing", parent: undefined, ended: "Failure" }
      ])
    }))

  it.effect("ends where its effect is interrupted", () =>
    Effect.gen(function*() {
      const { spans, tracer } = recordSpans()
      const begun = yield* Effect.makeLatch()
      const fiber = yield* Effect.fork(
        inSpan(Effect.zipRight(begun.open, Effect.never), "cut off", {}).pipe(Effect.withTracer(tracer))
      )
      yield* begun.await
      yield* Fiber.interrupt(fiber)
      expect(spans).toEqual([{ name: "cut off", parent: undefined, ended: "Failure" }])
    }))

  it.effect("fails with what a tracer throws, beside its own failure, as Effect.withSpan does", () =>
    Effect.gen(function*() {
      for (const at of ["span", "end"] as const) {
        for (const self of [Effect.void, Effect.fail("no")]) {
          const exitOf = (spanned: Effect.Effect<void, string>) => Effect.exit(Effect.withTracer(spanned, throwing(at)))
          const exit = yield* exitOf(inSpan(self, "span", {}))
          expect(Exit.isFailure(exit) && [...Cause.defects(exit.cause)]).toEqual([at])
          expect(exit).toEqual(yield* exitOf(Effect.withSpan(self, "span")))
        }
      }
    }))

  it.effect("has times, unless the tracer's are switched off, as Effect.withSpan has", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 second")
      const timed = yield* inSpan(Effect.currentSpan, "timed", {})
      expect(timed.status).toMatchObject({ _tag: "Ended", startTime: 1_000_000_000n, endTime: 1_000_000_000n })
      const untimed = yield* Effect.withTracerTiming(inSpan(Effect.currentSpan, "untimed", {}), false)
      const like = yield* Effect.withTracerTiming(Effect.withSpan(Effect.currentSpan, "untimed"), false)
      for (const { status } of [untimed, like]) expect(status).toMatchObject({ startTime: 0n, endTime: 0n })
    }))
})
