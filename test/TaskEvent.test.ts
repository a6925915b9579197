import { describe, expect, it } from "@effect/vitest"
import { DateTime, Either, FastCheck, Predicate, Schema, SchemaAST as AST } from "effect"
import { TaskEvent } from "effect-checkmate"
import type { UnreadableError } from "effect-checkmate/CheckMateError"
import { json, tagsOf, valuesOf } from "./support/arbitraries.ts"

const events = valuesOf(TaskEvent.TaskEvent)
const at = DateTime.unsafeMake("2026-01-02T03:04:05.678Z")
const succeeded: TaskEvent.TaskEvent = { _tag: "StageSucceeded", at, stage: "index", output: { indexed: 3 } }

/** JSON that does not claim a version. */
const unversioned = json.filter((value) => !Predicate.hasProperty(value, "v"))

const refusal = (text: string, position = 7): UnreadableError =>
  Either.getOrThrow(Either.flip(TaskEvent.decode("docs", position, text)))

/** The fields of records that may be left out. */
const optional = new Set(
  TaskEvent.TaskEvent.members.flatMap(({ ast }) => AST.getPropertySignatures(ast))
    .filter(({ isOptional }) => isOptional).map(({ name }) => String(name))
)

describe("TaskEvent", () => {
  it("is tested with every event there is", () => {
    expect(new Set(FastCheck.sample(events, { numRuns: 2000, seed: 1 }).map((event) => event._tag))).toEqual(
      tagsOf(TaskEvent.TaskEvent)
    )
  })

  describe("encode", () => {
    it("writes what people can read: the version, the tag, and times as ISO 8601", () => {
      expect(TaskEvent.encode(succeeded)).toBe(
        `{"v":1,"_tag":"StageSucceeded","at":"2026-01-02T03:04:05.678Z","stage":"index","output":{"indexed":3}}`
      )
    })

    it.prop("writes one line, and just what the schema would", { event: events }, ({ event }) => {
      const text = TaskEvent.encode(event)
      expect(text).not.toMatch(/[\n\r]/)
      expect(JSON.parse(text)).toStrictEqual({
        v: TaskEvent.version,
        ...JSON.parse(JSON.stringify(Schema.encodeSync(TaskEvent.TaskEvent)(event)))
      })
    }, { timeout: 30_000, fastCheck: { numRuns: 500 } })
  })

  describe("decode", () => {
    it.prop("reads back the event that was encoded", { event: events }, ({ event }) => {
      const read = Either.getOrThrow(TaskEvent.decode("docs", 0, TaskEvent.encode(event)))
      expect(read).toStrictEqual(event)
      expect(TaskEvent.encode(read)).toBe(TaskEvent.encode(event))
    }, { timeout: 30_000, fastCheck: { numRuns: 1000 } })

    it.prop(
      "says which version a newer record needs and which this one reads, whatever else stands in it",
      { version: FastCheck.integer({ min: TaskEvent.version + 1, max: 1_000_000 }), body: json },
      ({ body, version }) => {
        for (const event of [succeeded, { _tag: "Unheard" }, { body }]) {
          const error = refusal(JSON.stringify({ v: version, ...event }))
          expect(error).toMatchObject({
            _tag: "JournalVersionError",
            taskId: "docs",
            version,
            supported: TaskEvent.version
          })
          expect(error.message).toContain(`"docs" is of format ${version}`)
          expect(error.message).toContain(`reads up to format ${TaskEvent.version}`)
          expect(error.message).toContain("Upgrade effect-checkmate")
        }
      }
    )

    it.prop(
      "calls what is not JSON damaged, names the record and says what to do",
      { garbage: FastCheck.string(), position: FastCheck.nat() },
      ({ garbage, position }) => {
        for (const text of ["", `${garbage}{`, TaskEvent.encode(succeeded).slice(0, -1)]) {
          const error = refusal(text, position)
          expect(error).toMatchObject({
            _tag: "JournalDamagedError",
            taskId: "docs",
            location: `record ${position}`,
            problem: "the record is not JSON"
          })
          expect(error.message).toContain(`"docs" is damaged at record ${position}`)
          expect(error.message).toContain("Nothing was changed. Restore it from a backup, or remove the task")
        }
      }
    )

    it.prop("calls JSON that is no event damaged, and names the record", { value: unversioned }, ({ value }) => {
      for (const other of [value, [value], { v: 1, _tag: "Unheard", value }, { v: 1, value }]) {
        const error = refusal(JSON.stringify(other))
        expect(error).toMatchObject({ _tag: "JournalDamagedError", taskId: "docs", location: "record 7" })
        expect(error.message).toContain("Restore it from a backup")
      }
    })

    it.prop(
      "calls an event that lacks a field, or holds something else in it, damaged, and names the field",
      { event: events, pick: FastCheck.nat() },
      ({ event, pick }) => {
        const record: Record<string, unknown> = JSON.parse(TaskEvent.encode(event))
        const fields = Object.keys(record).filter((field) => field !== "v" && !optional.has(field))
        const field = fields[pick % fields.length] ?? ""
        const { [field]: _, ...rest } = record
        for (const wrong of [rest, { ...record, [field]: null }, { ...record, [field]: [[3]] }]) {
          const error = refusal(JSON.stringify(wrong))
          expect(error).toMatchObject({ _tag: "JournalDamagedError", location: "record 7" })
          expect(error.message).toContain(field)
        }
      },
      { timeout: 30_000, fastCheck: { numRuns: 300 } }
    )

    it("calls a record without its version, or with one that is no whole number, damaged", () => {
      for (const v of [undefined, null, "1", "2", 0, -1, 0.5, 1.5, {}]) {
        expect(TaskEvent.decode("docs", 7, JSON.stringify({ ...succeeded, v })), JSON.stringify({ v })).toMatchObject({
          _tag: "Left",
          left: { _tag: "JournalDamagedError", location: "record 7" }
        })
      }
    })

    it("says what is wrong in a message short enough to read", () => {
      const { at, stage } = JSON.parse(TaskEvent.encode(succeeded))
      const wrong = [
        3,
        { v: 1, _tag: "Unheard" },
        { v: 1, _tag: "TaskPaused" },
        { v: 1, _tag: "StageStarted", at, stage, attempt: "one" },
        { v: 1, _tag: "AttemptFailed", at, stage, failure: { kind: "Nonsense" }, next: { _tag: "GiveUp" } }
      ]
      for (const record of wrong) {
        expect(refusal(JSON.stringify(record)).message.length, JSON.stringify(record)).toBeLessThan(800)
      }
    })

    it.prop("is total: no text makes it throw", { text: FastCheck.string(), value: json }, ({ text, value }) => {
      for (const input of [text, JSON.stringify(value), JSON.stringify({ v: value, ...succeeded })]) {
        expect(["Left", "Right"]).toContain(TaskEvent.decode("docs", 0, input)._tag)
      }
    })
  })
})
