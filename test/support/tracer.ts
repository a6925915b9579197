/** A tracer that tells what spans there were. */
import { type Cause, Exit, Option, Tracer } from "effect"

interface SpanSeen {
  readonly name: string
  readonly parent: string | undefined
  /** How it ended; undefined while it has not. */
  ended: string | undefined
}

/** The spans in the order in which they began, what those failed with that did, as they ended, and the attributes' values. */
export const recordSpans = () => {
  const spans: Array<SpanSeen> = []
  const causes: Array<Cause.Cause<unknown>> = []
  const shown: Array<unknown> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const seen: SpanSeen = {
        name,
        parent: Option.getOrUndefined(Option.map(parent, (span) => span._tag === "Span" ? span.name : "?")),
        ended: undefined
      }
      spans.push(seen)
      return {
        _tag: "Span",
        name,
        spanId: name,
        traceId: "trace",
        parent,
        context,
        links,
        kind,
        sampled: true,
        status: { _tag: "Started", startTime },
        attributes: new Map(),
        attribute: (_, value) => void shown.push(value),
        addLinks: () => undefined,
        event: () => undefined,
        end: (_, exit) => {
          seen.ended = exit._tag
          if (Exit.isFailure(exit)) causes.push(exit.cause)
        }
      }
    },
    context: (execution) => execution()
  })
  return { causes, shown, spans, tracer }
}

/** A tracer that throws where a span begins, or ends, of one name or of all: that it does. */
export const throwing = (at: "span" | "end", of?: string) => {
  const { tracer } = recordSpans()
  const fail = (name: string) => {
    if (of === undefined || of === name) throw at
  }
  return Tracer.make({
    ...tracer,
    span: (name, ...rest) => {
      if (at === "span") fail(name)
      const span = tracer.span(name, ...rest)
      return at === "end" ? { ...span, end: () => fail(name) } : span
    }
  })
}
