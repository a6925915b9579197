/**
 * The statements that tasks take, said again by the database's own driver: so long they take without an engine, and no
 * engine that says them can be faster.
 */
import type { SqlClient } from "@effect/sql"
import { Effect, Layer } from "effect"
import { CheckMateEngine } from "effect-checkmate"
import * as Sql from "effect-checkmate/sql"
import { performance } from "node:perf_hooks"
import { answering } from "../support/answering.ts"
import * as bench from "./support.ts"

export interface Statement {
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
}

/** Runs tasks on tables of their own, one store for each name, and gives what was said to the database for them. */
const saidFor = (client: Layer.Layer<SqlClient.SqlClient, unknown>, prefix: string, tasks: number, atOnce: number) => {
  const said: Array<Statement> = []
  const listening = answering(client, (text, parameters) =>
    Effect.sync(() => {
      said.push({ text, parameters })
    }))
  return Effect.gen(function*() {
    // What opening a store says is not of its tasks.
    said.length = 0
    yield* Effect.forEach(
      Array.from({ length: tasks }, (_, index) => `task-${index}`),
      (taskId) => CheckMateEngine.run(bench.pipeline(10), { taskId, input: {} }),
      { concurrency: atOnce, discard: true }
    )
    return [...said]
  }).pipe(Effect.provide(Layer.provide(Sql.layer({ prefix }), listening)))
}

/** How long the statements of tasks take by themselves, in milliseconds: on tables as those were. */
export const againOn = (
  client: Layer.Layer<SqlClient.SqlClient, unknown>,
  options: {
    readonly round: number
    readonly tasks: number
    readonly atOnce: number
    readonly say: (statements: ReadonlyArray<Statement>) => Promise<void>
  }
) =>
  Effect.gen(function*() {
    const [first, again] = [`said_${options.atOnce}_${options.round}_`, `again_${options.atOnce}_${options.round}_`]
    const said = yield* saidFor(client, first, options.tasks, options.atOnce)
    yield* Effect.provide(Effect.scoped(Sql.makeTaskIO({ prefix: again })), client)
    const statements = said.map(({ parameters, text }) => ({ parameters, text: text.replaceAll(first, again) }))
    const start = performance.now()
    yield* Effect.promise(() => options.say(statements))
    return performance.now() - start
  })
