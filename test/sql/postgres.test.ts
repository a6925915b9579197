import { describeSqlContracts, sharedServer } from "../support/sqlContracts.ts"

describeSqlContracts("Postgres", sharedServer())
