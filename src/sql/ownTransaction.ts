/** The transactions of a store's own, told from those that callers of the engine have begun. */

import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type { Outside } from "../TaskIO/Encoded.ts"

/** A transaction of the store's own. Fibers that outlive it still have it in their context. */
export interface Own {
  readonly client: SqlClient.SqlClient
  readonly connection: Connection
  isOver: boolean
}

/** The store's own transaction, told from those that callers of the engine may have begun. */
export class OwnTransaction extends Context.Tag("checkmate/sql/OwnTransaction")<OwnTransaction, Own>() {}

/** The transaction of the store's own that an effect is called in, if it is in one. */
export const ownOf = (client: SqlClient.SqlClient, context: Context.Context<never>): Own | undefined => {
  const own = Option.getOrUndefined(Context.getOption(context, OwnTransaction))
  return own?.client === client && !own.isOver ? own : undefined
}

const transactionKeys: ReadonlyArray<string> = [OwnTransaction.key, SqlClient.TransactionConnection.key]

/** Takes an effect out of the transaction that it is called in. */
export const outside: Outside = (self) =>
  Effect.withFiberRuntime(({ currentContext }) => {
    if (!transactionKeys.some((key) => currentContext.unsafeMap.has(key))) return self
    const services = [...currentContext.unsafeMap].filter(([key]) => !transactionKeys.includes(key))
    return Effect.locally(self, FiberRef.currentContext, Context.unsafeMake(new Map(services)))
  })

/** What asks in a transaction for what has to wait until that is over would wait for ever. */
export const notWithin =
  (client: SqlClient.SqlClient) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.withFiberRuntime<A, E | SqlError, R>(({ currentContext }) =>
      ownOf(client, currentContext) === undefined ? self : Effect.fail(
        new SqlError({
          message:
            "SQLite does one thing at a time, now the transactional stage that asks for this: ask in another stage"
        })
      )
    )
