import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Registry from "../../src/internal/registry.ts"

it.effect("who waits for a task's next change is told of it, also where another forgets one that it was told of before", () =>
  Effect.gen(function*() {
    const registry = yield* Registry.make
    const before = registry.nextOf("t")
    yield* registry.tell("t")
    const next = registry.nextOf("t")
    before.forget()
    expect(next.hasHappened()).toBe(false)
    yield* registry.tell("t")
    expect(next.hasHappened()).toBe(true)
  }))
