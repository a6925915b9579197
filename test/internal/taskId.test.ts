import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck, Random, TestClock } from "effect"
import { checkTaskId, makeTaskId } from "../../src/internal/taskId.ts"

const letters = Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
const signs = Array.from("._-@+=")
const safe = FastCheck.tuple(
  FastCheck.constantFrom(...letters),
  FastCheck.array(FastCheck.constantFrom(...letters, ...signs), { maxLength: 199 })
).map(([first, rest]) => first + rest.join(""))

const refusal = (taskId: string) => Effect.flip(checkTaskId(taskId))

describe("checkTaskId", () => {
  it.effect.prop(
    "takes every id of the safe set, up to 200 characters",
    { taskId: safe },
    ({ taskId }) => checkTaskId(taskId)
  )

  it.effect.prop(
    "refuses every id with any other character, and says which are safe",
    {
      before: safe,
      other: FastCheck.oneof(
        FastCheck.fullUnicode(),
        FastCheck.constantFrom(...Array.from("/\\ :*?\"<>|~$%&#!;,'`^()[]{}\n\r\t\0"))
      )
        .filter((character) => !/[A-Za-z0-9._@+=-]/.test(character)),
      after: safe
    },
    ({ after, before, other }) =>
      Effect.gen(function*() {
        for (const taskId of [other, before.slice(0, 50) + other, other + after.slice(0, 50), `a${other}b`]) {
          const error = yield* refusal(taskId)
          expect(error).toMatchObject({
            _tag: "InvalidTaskIdError",
            taskId,
            problem: "has characters outside the safe set"
          })
          expect(error.message).toContain("starting with a letter or digit")
        }
      })
  )

  it.effect("refuses what untyped code gives in place of one", () =>
    Effect.gen(function*() {
      for (const [given, shown] of [[42, "42"], [null, "null"], [undefined, "undefined"], [{}, "{}"]] as const) {
        const error = yield* refusal(given as unknown as string)
        expect(error).toMatchObject({ _tag: "InvalidTaskIdError", taskId: shown, problem: "is no string" })
      }
    }))

  it.effect("refuses ids that would reach elsewhere, hide, or be read as options", () =>
    Effect.gen(function*() {
      const hostile = [
        ".",
        "..",
        "../docs",
        "..\\docs",
        "/etc/passwd",
        "docs/../..",
        "C:\\docs",
        ".hidden",
        "-rf",
        "_x",
        "=x",
        "@x",
        "~",
        "$HOME",
        "`id`",
        "a\0b",
        "docs\n",
        "\ndocs",
        "docs ",
        "docs\u202e",
        "ﾄ",
        "é",
        "🙂",
        "docs%2f..",
        "a:b",
        "a;b"
      ]
      for (const taskId of hostile) expect((yield* refusal(taskId))._tag, taskId).toBe("InvalidTaskIdError")
    }))

  it.effect("refuses ids that are empty or too long, and says so without repeating all of it", () =>
    Effect.gen(function*() {
      expect((yield* refusal("")).message).toContain("is empty")
      yield* checkTaskId("x".repeat(200))
      expect((yield* refusal("x".repeat(201))).message).toContain("has 201 characters")
      const error = yield* refusal("x".repeat(100_000))
      expect(error.message).toContain("has 100000 characters")
      expect(error.message.length).toBeLessThan(400)
    }))

  it.effect("takes every character that its message offers, and offers every character it takes", () =>
    Effect.gen(function*() {
      const { message } = yield* refusal("/")
      const offered = message.replace(/^.*Use 1 to 200 of the characters /s, "").replace(/, starting with.*$/s, "")
      const single = offered.split(" ").filter((part) => part.length === 1)
      for (const character of single) yield* checkTaskId(`a${character}`)
      const taken: Array<string> = []
      for (let code = 33; code < 127; code++) {
        const character = String.fromCharCode(code)
        if (/[A-Za-z0-9]/.test(character)) continue
        if ((yield* Effect.either(checkTaskId(`a${character}`)))._tag === "Right") taken.push(character)
      }
      expect([...single].sort()).toEqual(taken.sort())
    }))
})

describe("makeTaskId", () => {
  const seeded = (seed: string) => Effect.withRandom(makeTaskId, Random.make(seed))

  it.effect.prop(
    "makes safe UUIDs of version 7 that hold the time",
    { millis: FastCheck.integer({ min: 0, max: Date.UTC(3000) }), seed: FastCheck.string() },
    ({ millis, seed }) =>
      Effect.gen(function*() {
        yield* TestClock.setTime(millis)
        const id = yield* seeded(seed)
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        expect(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(millis)
        yield* checkTaskId(id)
      })
  )

  it.effect.prop(
    "makes ids that are sorted by time, whatever chance adds",
    {
      times: FastCheck.array(FastCheck.integer({ min: 0, max: Date.UTC(3000) }), { minLength: 2, maxLength: 8 }),
      seed: FastCheck.string()
    },
    ({ seed, times }) =>
      Effect.gen(function*() {
        const sorted = [...new Set(times)].sort((left, right) => left - right)
        const ids: Array<string> = []
        for (const [index, time] of sorted.entries()) {
          yield* TestClock.setTime(time)
          ids.push(yield* seeded(`${seed}${index}`))
        }
        expect([...ids].sort()).toEqual(ids)
      }),
    { timeout: 30_000, fastCheck: { numRuns: 40 } }
  )

  it.effect("makes a different id each time, also within a millisecond", () =>
    Effect.gen(function*() {
      const ids = yield* Effect.replicateEffect(makeTaskId, 2_000)
      expect(new Set(ids).size).toBe(2_000)
    }))

  it.effect("lets chance fill every digit that time and version leave", () =>
    Effect.gen(function*() {
      const ids = yield* Effect.replicateEffect(makeTaskId, 2_000)
      for (
        const [position, most] of [[15, 16], [16, 16], [17, 16], [19, 4], [20, 16], [24, 16], [28, 16], [
          35,
          16
        ]] as const
      ) {
        expect(new Set(ids.map((id) => id[position])).size, `digit ${position}`).toBe(most)
      }
    }))
})
