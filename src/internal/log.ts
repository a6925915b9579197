/** What CheckMate logs by itself. A logger that throws fails what logs; nothing of this may be kept from being done by it. */
import * as Effect from "effect/Effect"

const tolerant =
  (log: (...message: ReadonlyArray<unknown>) => Effect.Effect<void>) =>
  (...message: ReadonlyArray<unknown>): Effect.Effect<void> => Effect.catchAllDefect(log(...message), () => Effect.void)

export const logWarning = tolerant(Effect.logWarning)
export const logInfo = tolerant(Effect.logInfo)
export const logDebug = tolerant(Effect.logDebug)
