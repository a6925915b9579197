/** A task's summary as drivers keep it, for tests that are about something else. */
export { summaryOf } from "../../src/testing/TaskIOContract/support.ts"
