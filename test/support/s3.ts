/** A real S3 server for tests and benchmarks: the one the environment names, or a Ceph of our own for as long as we live. */
import { AwsClient } from "aws4fetch"
import { Redacted } from "effect"
import type { Credentials, S3Options } from "effect-checkmate/s3"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as readline from "node:readline"
import { fileURLToPath } from "node:url"

/** As JSON, for other processes. */
export interface Server {
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly unquotedETags: boolean
}

export interface Running {
  readonly server: Server
  readonly stop: () => Promise<void>
}

/** Options that reach a server, under a prefix of its own. */
export const optionsFor = (
  server: Server,
  prefix: string
): S3Options & { readonly prefix: string; readonly credentials: Credentials } => ({
  endpoint: server.endpoint,
  region: server.region,
  bucket: server.bucket,
  prefix,
  unquotedETags: server.unquotedETags,
  credentials: {
    accessKeyId: Redacted.make(server.accessKeyId),
    secretAccessKey: Redacted.make(server.secretAccessKey)
  }
})

let prefixes = 0
/** A prefix that no other test has. */
export const freshPrefix = (): string => `test-${process.pid}-${Date.now().toString(36)}-${prefixes++}/`

const script = fileURLToPath(new URL("rgw.sh", import.meta.url))

const freePort = async (): Promise<number> => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return address !== null && typeof address === "object" ? address.port : 0
}

const named = (): Server | undefined => {
  const { env } = process
  const endpoint = env["CHECKMATE_TEST_S3_ENDPOINT"]
  return endpoint === undefined ? undefined : {
    endpoint,
    region: env["CHECKMATE_TEST_S3_REGION"] ?? "us-east-1",
    bucket: env["CHECKMATE_TEST_S3_BUCKET"] ?? "checkmate",
    accessKeyId: env["CHECKMATE_TEST_S3_ACCESS_KEY_ID"] ?? "",
    secretAccessKey: env["CHECKMATE_TEST_S3_SECRET_ACCESS_KEY"] ?? "",
    unquotedETags: env["CHECKMATE_TEST_S3_UNQUOTED_ETAGS"] === "true"
  }
}

/** Starts a Ceph once; what it said where it did not come up. */
const startOnce = async (): Promise<Running | string> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "checkmate-s3-"))
  const cache = path.join(os.tmpdir(), `checkmate-ceph-${os.userInfo().uid}`)
  const [monitor, port] = [await freePort(), await freePort()]
  // In a group of its own: a Ctrl-C reaches it as the end of its input, and it takes its own down.
  const child = spawn("bash", [script, cache, path.join(directory, "ceph"), String(monitor), String(port)], {
    stdio: ["pipe", "pipe", "inherit"],
    detached: true
  })
  const exited = once(child, "exit")
  const stop = async () => {
    child.stdin.end()
    await exited
    fs.rmSync(directory, { recursive: true, force: true })
  }
  const said: Array<string> = []
  for await (const line of readline.createInterface({ input: child.stdout })) {
    if (line === "ready") {
      const server: Server = {
        endpoint: `http://127.0.0.1:${port}`,
        region: "us-east-1",
        bucket: "checkmate",
        accessKeyId: "checkmate",
        secretAccessKey: "a-secret-for-tests",
        unquotedETags: true
      }
      return { server, stop }
    }
    said.push(line)
  }
  await stop()
  return said.join(" ")
}

const createBucket = async (server: Server): Promise<void> => {
  const client = new AwsClient({ ...server, service: "s3", retries: 3 })
  const answer = await client.fetch(`${server.endpoint}/${server.bucket}`, { method: "PUT" })
  if (!answer.ok && answer.status !== 409) throw new Error(`no bucket: ${answer.status} ${await answer.text()}`)
}

/** The server, or one plain line that says why there is none and how to get one. */
export const start = async (): Promise<Running | string> => {
  const given = named()
  if (given !== undefined) return { server: given, stop: () => Promise.resolve() }
  let said = ""
  // Again, because a port that was free may not be any more.
  for (let tries = 0; tries < 3; tries++) {
    const started = process.platform === "linux" ? await startOnce() : "missing: Ceph runs on Linux only"
    if (typeof started !== "string") {
      await createBucket(started.server)
      return started
    }
    said = started
    if (said.startsWith("missing: ")) break
  }
  return `S3 is not tested: ${
    said.replace(/^missing: /, "")
  }. Install Debian's radosgw, ceph-mon and ceph-osd, or name a `
    + "server: CHECKMATE_TEST_S3_ENDPOINT, _BUCKET, _REGION, _ACCESS_KEY_ID, _SECRET_ACCESS_KEY, _UNQUOTED_ETAGS=true"
}
