import { afterAll } from "@effect/vitest"
import { start } from "../support/s3.ts"
import { behaviour } from "./behaviour.ts"
import { contracts } from "./contracts.ts"
import { faults } from "./faults.ts"
import { unfit } from "./unfit.ts"

unfit()

const running = await start()

if (typeof running === "string") {
  console.warn(running)
} else {
  afterAll(running.stop)
  contracts(running.server)
  behaviour(running.server)
  faults(running.server)
}
