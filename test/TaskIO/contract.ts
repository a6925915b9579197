/** What every TaskIO driver must do, whatever it is made of. Run on each by TaskIO.test.ts. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Exit, FastCheck, Scope, Stream } from "effect"
import type { TaskIO } from "effect-checkmate"

const summaryOf = (taskId: string, more: Partial<TaskIO.EncodedSummary> = {}): TaskIO.EncodedSummary => ({
  taskId,
  checkMate: "contract",
  status: "Running",
  succeeded: 0,
  stages: 1,
  tags: [],
  createdAt: "2026-01-01T00:00:00.000Z",
  updatedAt: "2026-01-01T00:00:00.000Z",
  ...more
})

const record = (value: unknown): string => JSON.stringify({ value })

const openIn = (driver: TaskIO.Encoded, taskId: string) =>
  Effect.flatMap(Scope.make(), (scope) =>
    Effect.map(Scope.extend(driver.open(taskId), scope), (journal) => ({
      ...journal,
      close: Scope.close(scope, Exit.void)
    })))

export const taskIOContract = (
  name: string,
  withDriver: <A, E>(use: (driver: TaskIO.Encoded) => Effect.Effect<A, E, Scope.Scope>) => Effect.Effect<A, unknown>
) => {
  const rule = (title: string, use: (driver: TaskIO.Encoded) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.effect(title, () => withDriver(use))

  describe(`TaskIO contract: ${name}`, () => {
    rule(
      "a task that does not exist has no records, no summary, no mail, and removing it is nothing",
      (driver) =>
        Effect.gen(function*() {
          expect(yield* driver.read("none", 0)).toEqual([])
          expect(Chunk.size(yield* Stream.runCollect(driver.list({})))).toBe(0)
          expect(yield* driver.receive("none")).toEqual([])
          expect(yield* driver.waiting).toEqual([])
          yield* driver.remove("none")
        })
    )

    rule("a journal that was opened and not written to leaves no trace in lists", (driver) =>
      Effect.gen(function*() {
        const journal = yield* openIn(driver, "t")
        expect(journal.records).toEqual([])
        yield* journal.close
        expect(yield* driver.read("t", 0)).toEqual([])
        expect(Chunk.size(yield* Stream.runCollect(driver.list({})))).toBe(0)
      }))

    rule("records come back in order, whole, and from a position on", (driver) =>
      Effect.gen(function*() {
        const journal = yield* openIn(driver, "t")
        yield* journal.append(0, [record(0), record(1)], summaryOf("t"))
        yield* journal.append(2, [record(2)], summaryOf("t"))
        yield* journal.close
        expect(yield* driver.read("t", 0)).toEqual([record(0), record(1), record(2)])
        expect(yield* driver.read("t", 2)).toEqual([record(2)])
        expect(yield* driver.read("t", 3)).toEqual([])
      }))

    rule(
      "what was acknowledged can be read at once, without the journal being closed",
      (driver) =>
        Effect.gen(function*() {
          const journal = yield* openIn(driver, "t")
          yield* journal.append(0, [record(0)], summaryOf("t"))
          expect(yield* driver.read("t", 0)).toEqual([record(0)])
          yield* journal.close
        })
    )

    rule("opening again returns what was acknowledged, under a greater epoch", (driver) =>
      Effect.gen(function*() {
        const first = yield* openIn(driver, "t")
        yield* first.append(0, [record(0)], summaryOf("t"))
        yield* first.close
        const second = yield* openIn(driver, "t")
        expect(second.records).toEqual([record(0)])
        expect(second.epoch).toBeGreaterThan(first.epoch)
        yield* second.append(1, [record(1)], summaryOf("t"))
        yield* second.close
        const third = yield* openIn(driver, "t")
        expect(third.records).toEqual([record(0), record(1)])
        yield* third.close
      }))

    rule(
      "a stale writer is refused as soon as another has opened, and changes nothing",
      (driver) =>
        Effect.gen(function*() {
          const stale = yield* openIn(driver, "t")
          yield* stale.append(0, [record("before")], summaryOf("t"))
          const current = yield* openIn(driver, "t")
          expect(yield* Effect.flip(stale.append(1, [record("stale")], summaryOf("t", { status: "Succeeded" }))))
            .toMatchObject({ _tag: "StaleWriterError", taskId: "t" })
          expect(yield* driver.read("t", 0)).toEqual([record("before")])
          yield* current.append(1, [record("after")], summaryOf("t", { status: "Failed" }))
          expect(yield* Effect.flip(stale.append(1, [record("again")], summaryOf("t")))).toMatchObject({
            _tag: "StaleWriterError"
          })
          expect(yield* driver.read("t", 0)).toEqual([record("before"), record("after")])
          const [summary] = Chunk.toReadonlyArray(yield* Stream.runCollect(driver.list({})))
          expect(summary?.status).toBe("Failed")
          yield* stale.close
          yield* current.close
          expect((yield* openIn(driver, "t")).records).toEqual([record("before"), record("after")])
        })
    )

    rule("a writer that was overtaken before its first append is refused too", (driver) =>
      Effect.gen(function*() {
        const stale = yield* openIn(driver, "t")
        const current = yield* openIn(driver, "t")
        yield* current.append(0, [record("current")], summaryOf("t"))
        expect(yield* Effect.flip(stale.append(0, [record("stale")], summaryOf("t")))).toMatchObject({
          _tag: "StaleWriterError"
        })
        expect(yield* driver.read("t", 0)).toEqual([record("current")])
      }))

    rule("an append at another position than the end is refused", (driver) =>
      Effect.gen(function*() {
        const journal = yield* openIn(driver, "t")
        yield* journal.append(0, [record(0)], summaryOf("t"))
        expect(yield* Effect.flip(journal.append(0, [record(1)], summaryOf("t")))).toMatchObject({
          _tag: "StaleWriterError"
        })
        expect(yield* driver.read("t", 0)).toEqual([record(0)])
      }))

    rule(
      "of many that open at once each has its own epoch, and only the greatest writes",
      (driver) =>
        Effect.gen(function*() {
          const journals = yield* Effect.all(Array.from({ length: 8 }, () => openIn(driver, "t")), {
            concurrency: "unbounded"
          })
          const epochs = journals.map(({ epoch }) => epoch)
          expect(new Set(epochs).size).toBe(8)
          const results = yield* Effect.forEach(
            journals,
            (journal) => Effect.exit(journal.append(0, [record(journal.epoch)], summaryOf("t"))),
            { concurrency: "unbounded" }
          )
          const greatest = Math.max(...epochs)
          expect(journals.filter((_, index) => Exit.isSuccess(results[index] ?? Exit.void)).map(({ epoch }) => epoch))
            .toEqual([greatest])
          expect(yield* driver.read("t", 0)).toEqual([record(greatest)])
        })
    )

    rule("lists the summary of each task's latest append", (driver) =>
      Effect.gen(function*() {
        for (const taskId of ["a", "b"]) {
          const journal = yield* openIn(driver, taskId)
          yield* journal.append(0, [record(0)], summaryOf(taskId))
          yield* journal.append(1, [record(1)], summaryOf(taskId, { status: "Succeeded", tags: ["x"], memo: "m" }))
          yield* journal.close
        }
        const summaries = Chunk.toReadonlyArray(yield* Stream.runCollect(driver.list({})))
        expect(summaries.map(({ taskId }) => taskId).sort()).toEqual(["a", "b"])
        expect(summaries[0]).toMatchObject({ status: "Succeeded", tags: ["x"], memo: "m" })
      }))

    rule("a removed task is gone, with its mail, and its id can be used again", (driver) =>
      Effect.gen(function*() {
        const first = yield* openIn(driver, "t")
        yield* first.append(0, [record("first")], summaryOf("t"))
        yield* first.close
        const second = yield* openIn(driver, "t")
        yield* second.append(1, [record("second")], summaryOf("t"))
        yield* driver.send("t", record("mail"))
        yield* driver.remove("t")
        expect(yield* driver.read("t", 0)).toEqual([])
        expect(yield* driver.receive("t")).toEqual([])
        expect(Chunk.size(yield* Stream.runCollect(driver.list({})))).toBe(0)
        expect(yield* Effect.flip(second.append(2, [record("late")], summaryOf("t")))).toMatchObject({
          _tag: "StaleWriterError"
        })
        const anew = yield* openIn(driver, "t")
        expect(anew.records).toEqual([])
        yield* anew.append(0, [record("anew")], summaryOf("t"))
        expect(yield* driver.read("t", 0)).toEqual([record("anew")])
      }))

    rule("tasks whose ids look alike do not see each other", (driver) =>
      Effect.gen(function*() {
        const ids = ["a", "a.1", "a.1.2", "a-1", "A2", "1", "a@b", "a=b", "a+b", "x".repeat(200)]
        for (const id of ids) {
          const journal = yield* openIn(driver, id)
          yield* journal.append(0, [record(id)], summaryOf(id))
          yield* driver.send(id, record(id))
          yield* journal.close
        }
        for (const id of ids) {
          expect(yield* driver.read(id, 0)).toEqual([record(id)])
          expect((yield* driver.receive(id)).map(({ message }) => message)).toEqual([record(id)])
        }
        yield* driver.remove("a")
        yield* driver.remove("a.1")
        expect((yield* driver.waiting).toSorted()).toEqual(ids.slice(2).toSorted())
        expect(Chunk.size(yield* Stream.runCollect(driver.list({})))).toBe(ids.length - 2)
      }))

    rule("records of any text and of megabytes survive", (driver) =>
      Effect.gen(function*() {
        const texts = [
          ...FastCheck.sample(FastCheck.string({ unit: "binary", maxLength: 200 }), 50),
          "\u2028\u0000\n\r\"\\",
          "\ud800 alone",
          "ü€🎉".repeat(1000),
          "x".repeat(3_000_000)
        ]
        const journal = yield* openIn(driver, "t")
        for (const [index, text] of texts.entries()) yield* journal.append(index, [record(text)], summaryOf("t"))
        yield* journal.close
        expect(yield* driver.read("t", 0)).toEqual(texts.map(record))
        expect(Chunk.size(yield* Stream.runCollect(driver.list({})))).toBe(1)
      }))

    rule(
      "messages wait until they are acknowledged, oldest first, each for its own task",
      (driver) =>
        Effect.gen(function*() {
          yield* driver.send("a", record(1))
          yield* driver.send("a", record(2))
          yield* driver.send("b", record(3))
          expect((yield* driver.waiting).toSorted()).toEqual(["a", "b"])
          const letters = yield* driver.receive("a")
          expect(letters.map(({ message }) => message).sort()).toEqual([record(1), record(2)])
          expect((yield* driver.receive("a")).length).toBe(2)
          yield* driver.acknowledge("a", letters.slice(0, 1).map(({ id }) => id))
          expect((yield* driver.receive("a")).length).toBe(1)
          yield* driver.acknowledge("a", letters.map(({ id }) => id))
          expect(yield* driver.waiting).toEqual(["b"])
        })
    )

    rule("many tasks are written at once without mixing", (driver) =>
      Effect.gen(function*() {
        const ids = Array.from({ length: 30 }, (_, index) => `t-${index}`)
        yield* Effect.forEach(ids, (id) =>
          Effect.gen(function*() {
            const journal = yield* openIn(driver, id)
            for (let position = 0; position < 5; position++) {
              yield* journal.append(position, [record(`${id} ${position}`)], summaryOf(id))
            }
            yield* journal.close
          }), { concurrency: "unbounded" })
        for (const id of ids) {
          expect(yield* driver.read(id, 0)).toEqual([0, 1, 2, 3, 4].map((position) => record(`${id} ${position}`)))
        }
      }))
  })
}
