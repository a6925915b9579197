import { sqlite, onPostgresRun } from "../test/bench/sql.ts"
if (process.argv[2] !== "pg") await sqlite((...a) => console.log(a.join(" | ")))
if (process.argv[2] !== "sqlite") await onPostgresRun((...a) => console.log(a.join(" | ")))
