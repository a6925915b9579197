/**
 * A backend that runs tasks: an HTTP server that starts, lists, shows, watches and cancels them. What is unfinished when
 * it stops, or is killed, it goes on with when it is started again.
 *
 *     node --import tsx examples/backend.ts [port]     on a free port where none is given
 *     node --import tsx examples/backend.ts --demo     tries itself, and ends
 *
 *     curl -H 'content-type: application/json' -d '{ "month": "2026-10", "pages": 500 }' localhost:3000/tasks
 *     curl localhost:3000/tasks
 *     curl -N localhost:3000/tasks/…/events
 */
import {
  FetchHttpClient,
  FileSystem,
  HttpApi,
  HttpApiBuilder,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpServer,
  HttpServerResponse
} from "@effect/platform"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Deferred, Effect, Layer, Option, Schema, Stream } from "effect"
import { CheckMateEngine, CheckMateError, Failure, Task, TaskStatus } from "effect-checkmate"
import { createServer } from "node:http"
import { isMain } from "./isMain.ts"
import { cm_factory_report, layerServices } from "./report_cm.ts"

// --- what it offers ---------------------------------------------------------------

const { InvalidTaskIdError, TaskNotFoundError, TaskStatusError } = CheckMateError

const Shown = Schema.Struct({
  taskId: Schema.String,
  status: TaskStatus.Tag,
  stages: Schema.Array(Schema.Struct({ name: Schema.String, status: Schema.String, attempts: Schema.Int })),
  pages: Schema.NullOr(Schema.Number)
})

const id = HttpApiSchema.param("id", Schema.String)

class Tasks extends HttpApiGroup.make("tasks")
  .add(
    HttpApiEndpoint.post("start", "/tasks")
      .setPayload(Schema.Struct({ month: Schema.String, pages: Schema.Int }))
      .addSuccess(Schema.Struct({ taskId: Schema.String }), { status: 202 })
  )
  .add(HttpApiEndpoint.get("list", "/tasks").addSuccess(Schema.Array(Task.Summary)))
  .add(HttpApiEndpoint.get("show")`/tasks/${id}`.addSuccess(Shown))
  .add(
    HttpApiEndpoint.get("watch")`/tasks/${id}/events`
      .addSuccess(HttpApiSchema.Text({ contentType: "text/event-stream" }))
  )
  .add(HttpApiEndpoint.post("cancel")`/tasks/${id}/cancel`)
  // CheckMate's errors are schemas, so that an API can declare them as they are.
  .addError(InvalidTaskIdError, { status: 400 })
  .addError(TaskNotFoundError, { status: 404 })
  .addError(TaskStatusError, { status: 409 })
{}

class Api extends HttpApi.make("backend").add(Tasks) {}

// --- how it does it ---------------------------------------------------------------

const isAnswer = Schema.is(Schema.Union(InvalidTaskIdError, TaskNotFoundError, TaskStatusError))

/** Whatever else goes wrong is not the caller's doing: status 500. */
const answer = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.catchAll(effect, (error) => isAnswer(error) ? Effect.fail(error) : Effect.die(error))

const show = ({ progress, stages, task }: CheckMateEngine.View): typeof Shown.Type => ({
  taskId: task.id,
  status: task.status._tag,
  stages: stages.map(({ attempts, name, status }) => ({ name, status: status._tag, attempts })),
  pages: Option.match(progress, { onNone: () => null, onSome: ({ done }) => done })
})

/** Server-sent events, one for each change, until the task has settled, or the server ends. */
const watch = (taskId: string, ending: Deferred.Deferred<void>) =>
  Effect.gen(function*() {
    // So that a task there is none of is a 404.
    yield* CheckMateEngine.get(taskId)
    // The response outlives this effect, so it takes the service along.
    const engine = yield* CheckMateEngine.CheckMateEngine
    const events = engine.watch(taskId).pipe(
      Stream.map((view) => `data: ${JSON.stringify(show(view))}\n\n`),
      Stream.interruptWhenDeferred(ending)
    )
    return HttpServerResponse.stream(Stream.encodeText(events), {
      contentType: "text/event-stream",
      // Not kept for another request, which the server would wait for as it ends.
      headers: { connection: "close" }
    })
  })

const layerTasks = HttpApiBuilder.group(Api, "tasks", (handlers) =>
  Effect.gen(function*() {
    // A server that ends waits for what it streams.
    const ending = yield* Effect.acquireRelease(Deferred.make<void>(), (ending) => Deferred.succeed(ending, undefined))
    return handlers
      .handle("start", ({ payload }) =>
        answer(Effect.map(
          CheckMateEngine.start(cm_factory_report(), { input: payload }),
          ({ taskId }) => ({ taskId })
        )))
      .handle("list", () => answer(CheckMateEngine.find({ limit: 100 })))
      .handle("show", ({ path }) => answer(Effect.map(CheckMateEngine.get(path.id), show)))
      .handleRaw("watch", ({ path }) => answer(watch(path.id, ending)))
      .handle("cancel", ({ path }) => answer(CheckMateEngine.cancel(path.id, { reason: "asked over HTTP" })))
  }))

/** Goes on with what the last server left, while this one serves already. */
const layerResume = Layer.scopedDiscard(Effect.forkScoped(
  Effect.flatMap(
    CheckMateEngine.resumeAll([cm_factory_report()]),
    Effect.forEach(({ failure, taskId }) =>
      Effect.log(
        `Resumed ${taskId}: ${Option.match(failure, { onNone: () => "it succeeded", onSome: Failure.format })}`
      )
    )
  )
))

const layerBackend = (directory: string, port: number) =>
  HttpApiBuilder.serve().pipe(
    HttpServer.withLogAddress,
    Layer.provide(HttpApiBuilder.api(Api)),
    Layer.provide(layerTasks),
    Layer.provide(layerResume),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1" })),
    // First of all: what is asked of a server that listens, and does not serve yet, is never answered.
    Layer.provide(CheckMateEngine.layerFileSystem(directory)),
    Layer.provide(layerServices)
  )

// --- how it is tried ----------------------------------------------------------------

const client = Effect.gen(function*() {
  const baseUrl = yield* HttpServer.addressFormattedWith(Effect.succeed)
  const { tasks } = yield* HttpApiClient.make(Api, { baseUrl })
  return tasks
})

/** Looks at a task until it is in a status, and fails where that takes too long. */
const until = (taskId: string, wanted: TaskStatus.Tag) =>
  Effect.gen(function*() {
    const tasks = yield* client
    const shown = yield* tasks.show({ path: { id: taskId } }).pipe(
      Effect.delay("50 millis"),
      Effect.repeat({ until: ({ status }) => status === wanted }),
      Effect.timeout("20 seconds")
    )
    yield* Console.log(`GET /tasks/${taskId}`, JSON.stringify(shown))
  })

const start = (pages: number) =>
  Effect.gen(function*() {
    const tasks = yield* client
    const { taskId } = yield* tasks.start({ payload: { month: "2026-10", pages } })
    yield* Console.log(`POST /tasks { pages: ${pages} }`, taskId)
    return taskId
  })

const demo = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()

  const unfinished = yield* Effect.gen(function*() {
    const tasks = yield* client
    yield* until(yield* start(5), "Succeeded")

    const long = yield* start(5000)
    yield* until(long, "Running")
    yield* tasks.cancel({ path: { id: long } })
    yield* until(long, "Cancelled")

    const watched = yield* tasks.watch({ path: { id: yield* start(5) } })
    yield* Console.log("GET /tasks/…/events", watched.trim().split("\n").at(-1))

    const missing = yield* Effect.flip(tasks.show({ path: { id: "missing" } }))
    yield* Console.log("GET /tasks/missing", missing._tag, missing.message)
    return yield* start(50)
  }).pipe(Effect.provide(layerBackend(directory, 0)))

  yield* Effect.gen(function*() {
    const tasks = yield* client
    yield* until(unfinished, "Succeeded")
    const list = yield* tasks.list()
    yield* Console.log("GET /tasks", list.map(({ status }) => status).join(", "))
  }).pipe(Effect.provide(layerBackend(directory, 0)))
})

if (isMain(import.meta.url)) {
  const argument = process.argv[2]
  const program = argument === "--demo"
    ? Effect.scoped(demo)
    : Layer.launch(layerBackend(".checkmate", Number(argument ?? 0)))
  program.pipe(
    Effect.provide(Layer.merge(FetchHttpClient.layer, NodeContext.layer)),
    NodeRuntime.runMain
  )
}
