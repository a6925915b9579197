/** Options that are times. What is none is a mistake of the program, and dies with words that name the option. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { showValue } from "./json.ts"

/**
 * The time that an option gives, or its default. `NaN`, as of a setting that is missing, is refused where effect takes it
 * for no time at all: tasks would be removed at once, or a lease be over as it begins.
 */
export const duration = (
  option: string,
  given: Duration.DurationInput | undefined,
  otherwise: Duration.DurationInput
): Effect.Effect<Duration.Duration> => {
  const time = given ?? otherwise
  const shown = Number.isNaN(time) ? "NaN" : showValue(time)
  return Option.match(Number.isNaN(time) ? Option.none() : Duration.decodeUnknown(time), {
    onNone: () =>
      Effect.dieMessage(
        `The option "${option}" is ${shown}, which is no duration: give one like "30 seconds", or leave it out`
      ),
    onSome: Effect.succeed
  })
}
