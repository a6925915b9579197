/**
 * A fresh session for every attempt: `Stage.provide` builds its layer when an attempt begins and releases it when the
 * attempt ends. The first attempt ends in a deadlock and its transaction is rolled back; the second has one of its own.
 *
 *     node --import tsx examples/session_cm.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Context, Effect, Exit, Layer, Ref, Schedule, Schema } from "effect"
import { CheckMate, CheckMateEngine, Stage, State } from "effect-checkmate"
import { isMain } from "./isMain.ts"

class Deadlock extends Schema.TaggedError<Deadlock>()("Deadlock", { statement: Schema.String }) {}

/** The pool lives as long as the program. */
class Pool extends Context.Tag("session/Pool")<Pool, { readonly opened: Ref.Ref<number> }>() {}

const layerPool = Layer.effect(Pool, Effect.map(Ref.make(0), (opened) => ({ opened })))

/** A session lives as long as one attempt. */
class Session extends Context.Tag("session/Session")<Session, {
  readonly id: number
  readonly execute: (statement: string) => Effect.Effect<void>
}>() {}

const layerSession = Layer.scoped(
  Session,
  Effect.gen(function*() {
    const { opened } = yield* Pool
    const id = yield* Ref.updateAndGet(opened, (count) => count + 1)
    const say = (text: string) => Console.log(`  session ${id}  ${text}`)
    yield* Effect.acquireRelease(say("begin"), (_, exit) => say(Exit.isSuccess(exit) ? "commit" : "rollback"))
    return { id, execute: say }
  })
)

const Import = State.make({
  rows: Schema.Int,
  session: Schema.Int
})

const load = Stage.make(Import, "load", {
  requires: ["rows"],
  provides: ["session"],
  retry: Schedule.recurs(3),
  execute: ({ rows }) =>
    Effect.gen(function*() {
      const session = yield* Session
      const { attempt } = yield* Stage.Context
      const statement = `insert ${rows} rows`
      yield* session.execute(statement)
      if (attempt === 1) return yield* new Deadlock({ statement })
      return { session: session.id }
    })
}).pipe(Stage.provide(layerSession))

export const cm_factory_session = () => CheckMate.make("session", { state: Import, input: ["rows"], stages: [load] })

const program = Effect.gen(function*() {
  const { session } = yield* CheckMateEngine.run(cm_factory_session(), { taskId: "import-1", input: { rows: 500 } })
  const { stages } = yield* CheckMateEngine.get("import-1")
  yield* Console.log(`Loaded by session ${session}, in attempt ${stages[0]?.attempts}`)
})

if (isMain(import.meta.url)) {
  program.pipe(
    Effect.provide(Layer.merge(CheckMateEngine.layerMemory, layerPool)),
    NodeRuntime.runMain
  )
}
