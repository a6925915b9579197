/**
 * A real transaction pooler in front of a Postgres: PgBouncer, from the PATH, or from Debian's packages, which are
 * downloaded and unpacked; nothing is installed, and root is not needed.
 */
import { Effect, Schedule } from "effect"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { freePort, type Postgres } from "./postgres.ts"

const cache = fileURLToPath(new URL("../../node_modules/.cache/checkmate/pgbouncer", import.meta.url))
const unpacked = path.join(cache, "usr", "sbin", "pgbouncer")

interface Program {
  readonly file: string
  /** Where the libraries are that came with it. */
  readonly libraries: string
}

const works = ({ file, libraries }: Program): boolean =>
  spawnSync(file, ["--version"], { env: { ...process.env, LD_LIBRARY_PATH: libraries } }).status === 0

const librariesIn = (root: string): string => {
  const lib = path.join(root, "usr", "lib")
  return fs.existsSync(lib) ? fs.readdirSync(lib).map((name) => path.join(lib, name)).join(":") : ""
}

/** The program, or what is in the way of having it. */
export const pgbouncer: Program | string = (() => {
  const installed = { file: "pgbouncer", libraries: process.env["LD_LIBRARY_PATH"] ?? "" }
  if (works(installed)) return installed
  const own = () => ({ file: unpacked, libraries: librariesIn(cache) })
  if (fs.existsSync(unpacked) && works(own())) return own()
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-pgbouncer-"))
  try {
    execFileSync("apt-get", ["download", "pgbouncer", "libc-ares2", "libevent-2.1-7"], { cwd: work, stdio: "ignore" })
    fs.mkdirSync(cache, { recursive: true })
    for (const name of fs.readdirSync(work)) execFileSync("dpkg-deb", ["-x", path.join(work, name), cache])
    return works(own()) ? own() : `${unpacked} does not start`
  } catch (error) {
    return `apt-get could not download it (${error instanceof Error ? error.message.split("\n")[0] : String(error)})`
  } finally {
    fs.rmSync(work, { recursive: true })
  }
})()

const answers = (port: number) =>
  Effect.async<void, string>((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.on("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.on("error", () => resume(Effect.fail("not yet")))
  })

/** Starts the pooler with two connections to the server, each lent for one transaction at a time. */
export const pooler = (program: Program, server: Postgres) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-pooler-"))
    fs.chmodSync(directory, 0o755)
    fs.writeFileSync(path.join(directory, "users.txt"), "\"postgres\" \"checkmate\"\n")
    const file = path.join(directory, "pgbouncer.ini")
    fs.writeFileSync(
      file,
      [
        "[databases]",
        `* = host=127.0.0.1 port=${server.port} user=postgres password=checkmate`,
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        `listen_port = ${port}`,
        "unix_socket_dir =",
        "auth_type = any",
        `auth_file = ${path.join(directory, "users.txt")}`,
        "pool_mode = transaction",
        "default_pool_size = 2",
        "max_client_conn = 200"
      ].join("\n")
    )
    const as = os.userInfo().uid === 0 ? ["-u", "postgres"] : []
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(program.file, [...as, file], {
          stdio: "ignore",
          env: { ...process.env, LD_LIBRARY_PATH: program.libraries }
        })
      ),
      (child) =>
        Effect.sync(() => {
          child.kill("SIGKILL")
          fs.rmSync(directory, { recursive: true })
        })
    )
    yield* Effect.retry(answers(port), Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(300))).pipe(
      Effect.orDie
    )
    return { port }
  })
