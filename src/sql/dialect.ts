/**
 * What differs between databases. The tables are the same everywhere, and so is the idea: what has to be decided in the
 * database itself (who may append, who claims, what is removed) is decided by a procedure that lives there, so that it is
 * one statement and one round trip.
 */

/** What every table, index, and procedure of a store is called. */
export interface Names {
  readonly schema: string | undefined
  readonly prefix: string
  /** The name of a thing, quoted and with its schema. */
  readonly of: (thing: string) => string
  /** The same without its schema, for what is created in the schema of its table. */
  readonly bare: (thing: string) => string
}

export const namesOf = (prefix: string, schema: string | undefined): Names => {
  const bare = (thing: string) => `"${prefix}${thing}"`
  return { schema, prefix, bare, of: (thing) => schema === undefined ? bare(thing) : `"${schema}".${bare(thing)}` }
}

/** A step of the tables' history. Steps are only ever added. */
interface Migration {
  readonly name: string
  readonly statements: ReadonlyArray<string>
}

export type Statement = readonly [text: string, parameters: ReadonlyArray<unknown>]

/** An append as procedures take it: texts, but for the three numbers; tags as a JSON array, or null if as before. */
export type Append = readonly [
  taskId: string,
  owner: string,
  position: number,
  count: number,
  records: string,
  status: string,
  checkMate: string,
  createdAt: string,
  updatedAt: string,
  summary: string,
  tags: string | null,
  epoch: number
]

/** Which task's journal is claimed, and who claims it: another one for every claim. */
export interface Claim {
  readonly taskId: string
  readonly owner: string
}

export interface Dialect {
  readonly name: "sqlite" | "pg"
  /** All steps, as they are to be taken where the tables are of a version, or are not there, which is version 0. */
  readonly migrations: (names: Names, version: number) => ReadonlyArray<Migration>
  /** What is said first in the transaction that brings the tables up to date. */
  readonly beforeMigrating: (names: Names) => ReadonlyArray<string>
  /** Answers with one row where the table of a name, with its schema, is there. */
  readonly hasTable: string
  /** Milliseconds since 1970 by the database's clock, as an expression. */
  readonly now: string
  /** A statement that does all appends of a list, or fails with {@link staleWriter} and does none. */
  readonly append: (names: Names) => (appends: ReadonlyArray<Append>) => Statement
  /** That a column is one of a JSON array's texts, as a condition: the parameter is the array. */
  readonly among: (column: string) => string
  /**
   * A statement that reads journals in order, with a row a batch, or one for a task without any: each from the batch on that
   * holds a record, by the tasks' ids.
   */
  readonly journals: (names: Names) => (from: ReadonlyMap<string, number>) => Statement
  /** A statement that claims the journals of a list, in its order, and leaves out those whose row is locked. */
  readonly claim: (names: Names) => (claims: ReadonlyArray<Claim>) => Statement
  /** A statement that claims one, and waits where its row is locked. */
  readonly claimLocked: (names: Names) => (claim: Claim) => Statement
  /** Whether these two answer with the journals. */
  readonly claimReads: boolean
  /** Moves the epochs on, so that the next claim's is a given one at least, which is the parameter. Never back. */
  readonly advance: (names: Names) => string
  /** Leaves a message, once: parameters are its id, the task's id, and the message. */
  readonly send: (names: Names) => string
  /** Removes a task and its mail. */
  readonly remove: (names: Names) => string
  /**
   * Binds tasks that nobody holds: parameters are the engine, and a JSON array of ids. Answers with those that it bound. Need
   * not survive a failure of power, as the next two.
   */
  readonly bind: (names: Names) => string
  /** Lets go of tasks: parameters and answer as with {@link Dialect.bind}. */
  readonly release: (names: Names) => string
  /**
   * What a look in the middle of a write ends in, to see rows as they are by then, not as they were when it began, and to keep
   * them so until it has ended.
   */
  readonly asTheyAre: string
  /** Turns a write that ends in `returning …` into one that need not survive a failure of power, or of the server. */
  readonly lightly: (statement: string) => string
  /** What to say before and after such writes, where the statement itself cannot. */
  readonly aroundLight: readonly [before: string, after: string] | undefined
  /** Turns the question marks of a statement into what the database calls its parameters. */
  readonly parameters: (text: string) => string
}

/** What the database says when an append comes from an overtaken writer, or at a position that is not the end. */
export const staleWriter = "checkmate: stale writer"
