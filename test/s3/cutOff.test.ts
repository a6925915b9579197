/** What a removal that was cut off has left of a task in a bucket. These need no server. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as S3 from "effect-checkmate/s3"
import { abc, Ledger } from "../support/pipelines.ts"
import { append, type Asked, listed, make, options, refusal } from "./madeUpStore.ts"

/** A store that, once it is cut off, refuses what comes after the mark that a task was removed. */
const cutOff = () => {
  let marked: boolean | undefined
  const isMark = ({ headers, key, method }: Asked) =>
    method === "PUT" && key.startsWith("p/journal/") && headers["if-none-match"] === "*"
  const store = make((asked) =>
    Effect.sync(() => {
      if (
        marked === undefined || asked.method === "GET" || !/^(p\/(journal|mail)\/.*)?$/.test(asked.key)
      ) return undefined
      if (marked) return refusal(403, "AccessDenied")
      marked = isMark(asked)
      return undefined
    })
  )
  const cut = <A, E, R>(removal: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      marked = false
      return Effect.ensuring(
        Effect.flip(removal),
        Effect.sync(() => {
          marked = undefined
        })
      )
    })
  const left = () =>
    [...store.objects].flatMap(([key, { body }]) => {
      const text = new TextDecoder().decode(body)
      return /^p\/(journal|mail)\//.test(key) && !text.includes(`"removed"`) ? [text] : []
    })
  return { ...store, cut, left }
}

describe("S3: a removal that was cut off after its mark", () => {
  it.live("leaves records to the removal of the next task of that id, those in slots that stay filled among them", () =>
    Effect.gen(function*() {
      const store = cutOff()
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      // Of eight claims some carry records of those before.
      for (let number = 0; number < 8; number++) yield* append(driver, "t", `"record ${number}"`)
      expect(yield* store.cut(driver.remove("t"))).toMatchObject({ _tag: "TaskIOError" })
      expect(store.left().filter((text) => text.includes(`"claim"`) && text.includes("record")).length).toBeGreaterThan(
        0
      )
      yield* append(driver, "t", `"anew"`)
      yield* driver.remove("t")
      expect(store.left()).toEqual([])
    }))

  it.live("is gone on with by an engine that is asked again", () =>
    Effect.gen(function*() {
      const store = cutOff()
      yield* Effect.gen(function*() {
        yield* CheckMateEngine.run(abc(new Ledger()), { taskId: "t", input: { seed: 1 } })
        expect(yield* store.cut(CheckMateEngine.remove("t"))).toMatchObject({ _tag: "TaskIOError" })
        expect(store.left()).not.toEqual([])
        expect(yield* Effect.flip(CheckMateEngine.remove("t"))).toMatchObject({ _tag: "TaskNotFoundError" })
        expect(store.left()).toEqual([])
      }).pipe(Effect.provide(Layer.provide(S3.layer(options), store.layer)))
    }))

  it.live("shows a task in no list, and one that is begun anew since once", () =>
    Effect.gen(function*() {
      let isCut = false
      const store = make(({ key, method }) =>
        Effect.succeed(
          isCut && method === "DELETE" && key.startsWith("p/task/") ? refusal(403, "AccessDenied") : undefined
        )
      )
      const driver = yield* Effect.provide(S3.makeTaskIO(options), store.layer)
      for (const [taskId, status] of [["s", "Failed"], ["t", "Running"]] as const) {
        yield* append(driver, taskId, "1", { status })
        isCut = true
        expect(yield* Effect.flip(driver.remove(taskId))).toMatchObject({ _tag: "TaskIOError" })
        expect(yield* listed(driver)).toEqual([])
        isCut = false
        yield* append(driver, taskId, "2")
        expect(yield* listed(driver)).toEqual([`${taskId} Running`])
        yield* driver.remove(taskId)
        expect([...store.objects.keys()].filter((key) => key.startsWith("p/task/"))).toEqual([])
      }
    }))
})
