/**
 * What helps to prove that work survives: contracts for stores and locks, cuts at every write, faults, simulation.
 * Needs no test framework; `effect-checkmate/testing/vitest` binds the contracts to vitest.
 *
 * @since 0.1.0
 */

export * as BindLockContract from "./testing/BindLockContract.ts"
export * as Contract from "./testing/Contract.ts"
export * as Crashes from "./testing/Crashes.ts"
export * as Faults from "./testing/Faults.ts"
export * as Simulation from "./testing/Simulation.ts"
export * as TaskIOContract from "./testing/TaskIOContract.ts"
export * as TenantContract from "./testing/TenantContract.ts"
