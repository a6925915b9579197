import { SqliteClient } from "@effect/sql-sqlite-node"
import { Layer } from "effect"
import * as Sql from "effect-checkmate/sql"
import { describeSqlContracts } from "../support/sqlContracts.ts"
import { describeTurns } from "../support/turns.ts"

const client = SqliteClient.layer({ filename: ":memory:" })

describeSqlContracts("SQLite", client, ["arrivals"])

describeTurns("SQLite", Layer.provide(Sql.layer(), client))
