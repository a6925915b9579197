/** Runs every example that is a program, and fails if one does. `npm run examples` does this. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const directory = mkdtempSync(path.join(os.tmpdir(), "checkmate-examples-"))
const ingest = ["ingest_cm.ts", "node_modules/effect", "--directory", directory]

/** The arguments of each run, and what its output must show. */
const runs: ReadonlyArray<{ readonly args: ReadonlyArray<string>; readonly shows: ReadonlyArray<string> }> = [
  { args: ingest, shows: ["Indexing", "Documents indexed", "The journal", "The best chunks"] },
  { args: [...ingest, "--query", "fibers"], shows: ["has succeeded already", `The best chunks for "fibers"`] },
  { args: ["backend.ts", "--demo"], shows: ["Cancelled", "events data: ", "TaskNotFoundError", "it succeeded"] },
  { args: ["saga_cm.ts"], shows: ["The task is RolledBack", "refunds the money", "releases the goods"] },
  { args: ["session_cm.ts"], shows: ["session 1  rollback", "session 2  commit"] },
  { args: ["transfer_cm.ts"], shows: ["Kill 1:", "Done: 30 of 30 transfers are made, each once"] },
  { args: ["custom_task_io.ts"], shows: ["refused a write of epoch 1", "The second engine: 2026-10"] }
]

let failed = 0
for (const { args: [file = "", ...args], shows } of runs) {
  const { error, signal, status, stderr, stdout } = spawnSync(
    process.execPath,
    ["--import", "tsx", path.join("examples", file), ...args],
    { encoding: "utf8", timeout: 120_000 }
  )
  const missing = shows.filter((text) => !stdout.includes(text))
  const passed = status === 0 && missing.length === 0
  console.log(`${passed ? "PASS" : "FAIL"}  ${[file, ...args].join(" ")}`)
  if (passed) continue
  failed++
  console.log(`exit code ${status}, signal ${signal}`, error ?? "", missing.length > 0 ? { missing } : "")
  console.log(stdout + stderr)
}

rmSync(directory, { recursive: true, force: true })
process.exitCode = failed === 0 ? 0 : 1
