/** What is asked of a store's database, with patience, and decoded. */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { TaskIOError } from "../CheckMateError.ts"
import type { Database, Rows } from "./database.ts"
import { storeError } from "./failure.ts"

/** Rows that name tasks. */
export const Ids = Schema.Array(Schema.Struct({ task_id: Schema.String }))

export const questionsTo = (database: Database) => {
  const { location } = database
  const failure = (operation: string, taskId?: string) => storeError(operation, location, taskId)

  const decode = <A, I>(operation: string, schema: Schema.Schema<A, I>, taskId?: string) => {
    const decodeRows = Schema.decodeUnknownEither(schema)
    return (rows: Rows): Either.Either<A, TaskIOError> =>
      Either.mapLeft(decodeRows(rows), (issue) =>
        new TaskIOError({
          operation,
          taskId,
          location,
          problem: `the rows are not what was written: ${issue.message}`
        }))
  }

  /** One statement that may be said again, and what it answers. */
  const ask = <A, I>(
    operation: string,
    schema: Schema.Schema<A, I>,
    text: string,
    parameters: ReadonlyArray<unknown>,
    taskId?: string
  ): Effect.Effect<A, TaskIOError> =>
    Effect.flatMap(
      Effect.mapError(database.patiently(database.once(text, parameters)), failure(operation, taskId)),
      decode(operation, schema, taskId)
    )

  const tell = (operation: string, text: string, parameters: ReadonlyArray<unknown>, taskId: string) =>
    Effect.asVoid(Effect.mapError(database.patiently(database.once(text, parameters)), failure(operation, taskId)))

  return { failure, decode, ask, tell }
}
