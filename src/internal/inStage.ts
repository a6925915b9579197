/** What every stage may use while it runs: a Scope, its Context, a span, and marks on its logs. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Stage from "../Stage.ts"
import { type Ended, spanned } from "./inContext.ts"
import * as layers from "./layers.ts"
import { type Session, stageOf } from "./session.ts"

/** A stage's name as a part of its key, which ends where it seems to. */
const keyPart = (name: string): string => name.replace(/[%/]/g, encodeURIComponent)

const contextOf = (session: Session, stage: Stage.Any): Stage.Context["Type"] => {
  const { attempts, round } = stageOf(session, stage.name)
  const context: Stage.Context["Type"] = {
    taskId: session.taskId,
    stage: stage.name,
    attempt: attempts,
    idempotencyKey: `${session.taskId}/${keyPart(stage.name)}${round === 0 ? "" : `/${round}`}`,
    fencingToken: session.journal.epoch,
    progress: (progress) =>
      Effect.suspend(() => {
        if (session.reporter !== context) return Effect.void
        session.progress = progress
        return session.changed()
      })
  }
  return context
}

const withServices = (
  outer: Context.Context<never>,
  scope: Scope.Scope,
  context: Stage.Context["Type"],
  span: Tracer.Span
): Context.Context<never> => {
  // One copy, where `Context.add` makes one for each.
  const services = new Map(outer.unsafeMap)
  services.set(Scope.Scope.key, scope)
  services.set(Stage.Context.key, context)
  services.set(Tracer.ParentSpan.key, span)
  return Context.unsafeMake(services)
}

/**
 * Runs a stage's effect with what every stage may use: a Scope, its Context, a span, and marks on its logs. It must not
 * be interrupted itself; the effect it runs may be.
 */
export const inStage = <A, E, R>(
  self: Effect.Effect<A, E, R | Stage.Context | Scope.Scope>,
  session: Session,
  stage: Stage.Any,
  name: string,
  scope: Scope.Scope
): Effect.Effect<Ended<A, E>, never, R> => {
  const context = contextOf(session, stage)
  session.reporter = context
  const attributes = { task: session.taskId, stage: stage.name, attempt: context.attempt }
  // Set, not scoped: the next attempt sets its own, and the fiber runs this one task.
  const mark = FiberRef.update(
    FiberRef.currentLogAnnotations,
    (marks) => HashMap.set(HashMap.set(marks, "stage", stage.name), "attempt", context.attempt)
  )
  return spanned(
    Effect.zipRight(mark, self),
    name,
    attributes,
    (outer, span) => withServices(outer, scope, context, span),
    (cause) => Cause.map(cause, layers.unwrapped)
  )
}
