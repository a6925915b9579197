import { SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Identity from "../../src/internal/processIdentity.ts"

const me: Identity.ProcessIdentity = { boot: "boot", namespace: "pid:[1]", pid: "7", startTime: "100" }
const other: Identity.ProcessIdentity = { ...me, pid: "42", startTime: "555" }

/** What proc(5) shows of a process; its name may hold what looks like the end of it. */
const statOf = (state: string, startTime: string): string =>
  `42 (a) S 1 (b) ${state} ${Array.from({ length: 18 }, (_, index) => index).join(" ")} ${startTime} 0 0\n`

const missing = (reason: SystemError["reason"]) =>
  Effect.fail(new SystemError({ reason, module: "FileSystem", method: "readFileString" }))

/** Whether a process is alive, as a machine tells on which its file is this. */
const judged = (
  file: ReturnType<typeof missing> | string,
  { first = true, of = other, self = Option.some(me) }: {
    readonly first?: boolean
    readonly of?: Identity.ProcessIdentity | null
    readonly self?: Option.Option<Identity.ProcessIdentity>
  } = {}
) => {
  const fs = FileSystem.makeNoop({
    readFileString: (path) =>
      path !== "/proc/42/stat" ? missing("NotFound") : typeof file === "string" ? Effect.succeed(file) : file,
    exists: (path) => Effect.succeed(first && path === "/proc/1/stat")
  })
  return Effect.map(Identity.isAlive(fs, self, of), Option.getOrNull)
}

describe("Whether a process is alive", () => {
  it.effect("is told by its state, and that it began when it said", () =>
    Effect.gen(function*() {
      expect(yield* judged(statOf("S", "555"))).toBe(true)
      expect(yield* judged(statOf("R", "555"))).toBe(true)
      expect(yield* judged(statOf("S", "556"))).toBe(false)
      // It has ended, and nobody has asked how.
      expect(yield* judged(statOf("Z", "555"))).toBe(false)
      expect(yield* judged(statOf("X", "555"))).toBe(false)
    }))

  it.effect("is told by its absence where others can be seen, and not by what cannot be read", () =>
    Effect.gen(function*() {
      expect(yield* judged(missing("NotFound"))).toBe(false)
      expect(yield* judged(missing("NotFound"), { first: false })).toBe(null)
      expect(yield* judged(missing("Busy"))).toBe(null)
    }))

  it.effect("is not told of a process of another boot or namespace, nor where nothing is known", () =>
    Effect.gen(function*() {
      const alive = statOf("S", "555")
      expect(yield* judged(alive, { of: { ...other, boot: "another" } })).toBe(null)
      expect(yield* judged(alive, { of: { ...other, namespace: "pid:[2]" } })).toBe(null)
      expect(yield* judged(alive, { of: null })).toBe(null)
      expect(yield* judged(alive, { self: Option.none() })).toBe(null)
    }))
})
