/** What is logged, as lines. */
import { Effect, Logger } from "effect"

/** The layer that takes the place of the default logger, and the lines it fills: level, marks, message. */
export const recorder = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ annotations, logLevel, message }) => {
    const marks = [...annotations].map(([key, value]) => `${key}=${String(value)}`).sort()
    lines.push([logLevel.label, ...marks, [message].flat().map(String).join(" ")].join(" "))
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

/** What is logged while an effect runs. */
export const logged = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<ReadonlyArray<string>, E, R> =>
  Effect.suspend(() => {
    const { layer, lines } = recorder()
    return Effect.as(Effect.provide(effect, layer), lines)
  })
