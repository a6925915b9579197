/** Interprets the transition tables of StageStatus and TaskStatus. */

interface Tagged {
  readonly _tag: string
}

interface Handler<in Status, in Event, out Next> {
  // A method, so that a row for one status can stand among the rows for all: the tags pick the right one.
  handle(status: Status, event: Event): Next
}

/**
 * For each status the events it allows, each with the function to the next status.
 */
export type Table<Transitions, Status extends Tagged, Event extends Tagged> = {
  readonly [S in keyof Transitions]: {
    readonly [E in keyof Transitions[S]]: Handler<
      Extract<Status, { readonly _tag: S }>,
      Extract<Event, { readonly _tag: E }>,
      Transitions[S][E]
    >["handle"]
  }
}

type Rows<Status, Event> = Readonly<
  Record<string, Readonly<Record<string, Handler<Status, Event, Status>["handle"]>>>
>

/** What a record itself holds; tags come from data, and one may be called like what every object inherits. */
const own = <A>(record: Readonly<Record<string, A>>, key: string): A | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined

/** The status that follows, or undefined where the event is illegal. */
export const step = <Status extends Tagged, Event extends Tagged>(
  rows: Rows<Status, Event>,
  status: Status,
  event: Event
): Status | undefined => {
  const row = own(rows, status._tag)
  const handle = row === undefined ? undefined : own(row, event._tag)
  return handle?.(status, event)
}

/** The tags of the statuses in which an event is legal. */
type Sources<Transitions, EventTag extends string> = {
  readonly [S in keyof Transitions]: EventTag extends keyof Transitions[S] ? S : never
}[keyof Transitions]

/** The events that are legal in every status that `S` can be. */
export type Legal<Transitions, S extends Tagged, Event extends Tagged> = Event extends Tagged
  ? [S["_tag"]] extends [Sources<Transitions, Event["_tag"]>] ? Event : never
  : never

/** The status that follows. */
export type Next<Transitions, S extends Tagged, Event extends Tagged> = S extends Tagged
  ? S["_tag"] extends keyof Transitions
    ? Event extends Tagged ?
      Event["_tag"] extends keyof Transitions[S["_tag"]] ? Transitions[S["_tag"]][Event["_tag"]] : never
    : never
  : never
  : never
