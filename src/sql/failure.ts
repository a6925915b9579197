/** What a database says went wrong, and whether it may be better later. */

import type { SqlError } from "@effect/sql/SqlError"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TaskIOError } from "../CheckMateError.ts"

const Caused = Schema.Struct({ code: Schema.optional(Schema.String), message: Schema.optional(Schema.String) })
const causeOf = (error: SqlError): typeof Caused.Type =>
  Option.getOrElse(Schema.decodeUnknownOption(Caused)(error.cause), () => ({}))

/** What the database said, for people. */
export const problemOf = (error: SqlError): string => {
  const { code, message } = causeOf(error)
  const said = message === undefined || message === "" ? error.message : message
  return code === undefined ? said : `${said} (${code})`
}

export const isSaid = (error: SqlError, text: string): boolean => causeOf(error).message?.includes(text) === true

/**
 * SQLite's busy and locked; Postgres's lost connections (08), serialization failures and deadlocks (40), lack of
 * resources (53), shut-downs (57P), servers that may only be read (25006), and what was not done in the time that the server
 * gives it (57014), or its locks (55P03); and what the network says.
 */
const passing =
  /^(SQLITE_BUSY|SQLITE_LOCKED|SQLITE_PROTOCOL|08|40|53|57014|57P|25006|55P03|ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|EAI_AGAIN|ENOENT$)/

/** Whether the same statement may go through later. */
export const isPassing = (error: SqlError): boolean => {
  const { code, message } = causeOf(error)
  return code === undefined ? /connect|terminated/i.test(message ?? error.message) : passing.test(code)
}

/** Turns what a statement failed with into a store's failure. */
export const storeError = (operation: string, location: string, taskId?: string) => (error: SqlError): TaskIOError =>
  new TaskIOError({
    operation,
    taskId,
    location,
    problem: problemOf(error),
    cause: error
  })

/** The database cannot hold a store as it is. */
export const unusable = (location: string, problem: string) =>
  new TaskIOError({ operation: "prepare the database", location, problem })
