/** Given a status, when events happen, then it stands so: the journeys through a state machine, read aloud. */
import { expect } from "@effect/vitest"

interface Tagged {
  readonly _tag: string
}

/** A journey so far. */
interface Journey<Status, Event> {
  readonly when: (...events: ReadonlyArray<Event>) => Journey<Status, Event>
  readonly thenIs: (expected: Status) => Journey<Status, Event>
  readonly thenRefuses: (...events: ReadonlyArray<Event>) => Journey<Status, Event>
}

/** Journeys through the machine that `step` is; an event that is illegal on the way fails the test where it stands. */
export const journeys = <Status extends Tagged, Event extends Tagged>(
  step: (status: Status, event: Event) => Status | undefined
): { readonly given: (status: Status) => Journey<Status, Event> } => {
  const take = (status: Status, event: Event): Status => {
    const next = step(status, event)
    if (next === undefined) throw new Error(`${event._tag} is illegal in ${status._tag}`)
    return next
  }
  const given = (status: Status): Journey<Status, Event> => ({
    when: (...events) => given(events.reduce(take, status)),
    thenIs: (expected) => {
      expect(status).toEqual(expected)
      return given(status)
    },
    thenRefuses: (...events) => {
      for (const event of events) expect(step(status, event), `${event._tag} in ${status._tag}`).toBeUndefined()
      return given(status)
    }
  })
  return { given }
}
