/** The program at the top of the README, as it stands there, and as the README says it moves to each other store. */
import { Command } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import type { PlatformError } from "@effect/platform/Error"
import { afterAll, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { program as bundled } from "./support/program.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
const blocksOf = (language: string): ReadonlyArray<string> =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(([, text = ""]) => text)

const [program = ""] = blocksOf("ts")

/** The program with one line exchanged, the import that is shown, and what the comment behind it says besides. */
const moved = (diff: string): string => {
  const lines = diff.split("\n")
  const added = lines.filter((line) => line.startsWith("+")).map((line) => line.slice(1))
  const [removed = ""] = lines.filter((line) => line.startsWith("-")).map((line) => line.slice(1))
  const [imported = "", line = ""] = added
  expect([added.length, program.split(removed).length]).toEqual([2, 2])
  const also = [...imported.matchAll(/ and (\w+) from "([^"]+)"/g)].map(([, name, from]) =>
    `import { ${name} } from "${from}"\n`
  )
  const url = / (\w+) is (Redacted\.make\(.*\))$/.exec(imported)
  const named = url === null ? "" : `import { Redacted } from "effect"\nconst ${url[1]} = ${url[2]}\n`
  return `${imported}\n${also.join("")}${named}${program.replace(removed, line)}`
}

const programs: ReadonlyArray<readonly [name: string, text: string]> = [
  ["files", program],
  ...blocksOf("diff").map((diff) =>
    [/import \* as (\w+)(?:.* and (\w+))?/.exec(diff)?.slice(1).join("") ?? "", moved(diff)] as const
  ),
  ["without", program.replace(/ {2}provides: \["files"\],\n/, "")]
]

// Within the package, so that its own name is found, and where no other tool looks.
fs.mkdirSync(path.join(root, ".checkmate"), { recursive: true })
const directory = fs.mkdtempSync(path.join(root, ".checkmate", "readme-"))
fs.mkdirSync(path.join(directory, "src", "internal"), { recursive: true })
const files = {
  ...Object.fromEntries(programs.map(([name, text]) => [`${name}.ts`, text])),
  "tsconfig.json": JSON.stringify({ extends: "../../test/tsconfig.json", include: ["*.ts"] }),
  "src/internal/one.txt": "of one two",
  "src/internal/other.txt": "and three"
}
for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(directory, name), text)
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

const node = (...args: ReadonlyArray<string>): Effect.Effect<string, PlatformError> =>
  Command.make(process.execPath, ...args).pipe(
    Command.workingDirectory(directory),
    Command.string,
    Effect.provide(NodeContext.layer)
  )
const run = (name: string) => node(bundled(pathToFileURL(path.join(directory, `${name}.ts`))))

/** Without what depends on where a line is cut. */
const plain = (text: string): string => text.replace(/\s+/g, " ").trim()

describe("the program at the top of the README", () => {
  it("has at most 25 lines of code", () => {
    expect(program.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(25)
  })

  it.live("compiles, moved to each store as it is shown, and does not where it is said not to", () =>
    Effect.gen(function*() {
      expect(programs.map(([name]) => name))
        .toEqual(["files", "SqlSqliteClient", "SqlPgClient", "S3FetchHttpClient", "LocalDisk", "without"])
      const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc")
      const said = yield* node(tsc, "--noEmit", "--pretty", "false", "-p", ".")
      const problems = said.split(/^(?=\S)/m).filter((problem) => problem !== "")
      const [shown = ""] = blocksOf("text").filter((text) => text.startsWith("Argument of type"))
      expect(problems.filter((problem) => !problem.startsWith("without.ts"))).toEqual([])
      expect(plain(problems[0] ?? "")).toContain(plain(shown))
    }))

  for (const name of ["files", "SqlSqliteClient"]) {
    it.live(`counts, and what it has counted is not counted anew: ${name}`, () =>
      Effect.gen(function*() {
        const first = yield* run(name)
        fs.renameSync(path.join(directory, "src"), path.join(directory, "moved"))
        const second = yield* run(name)
        fs.renameSync(path.join(directory, "moved"), path.join(directory, "src"))
        expect([first, second]).toEqual(["5 words in 2 files\n", "5 words in 2 files\n"])
      }))
  }
})
