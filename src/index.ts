/**
 * @since 0.1.0
 */

export * as BindLock from "./BindLock.ts"
export * as CheckMate from "./CheckMate.ts"
export * as CheckMateEngine from "./CheckMateEngine.ts"
export * as CheckMateError from "./CheckMateError.ts"
export * as Failure from "./Failure.ts"
export * as Stage from "./Stage.ts"
export * as StageStatus from "./StageStatus.ts"
export * as State from "./State.ts"
export * as Task from "./Task.ts"
export * as TaskEvent from "./TaskEvent.ts"
export * as TaskIO from "./TaskIO.ts"
export * as TaskStatus from "./TaskStatus.ts"
