import { SqliteClient } from "@effect/sql-sqlite-node"
import { describeSqlContracts } from "../support/sqlContracts.ts"

describeSqlContracts("SQLite", SqliteClient.layer({ filename: ":memory:" }), ["arrivals"])
