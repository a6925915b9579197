/** What the package shows to who installs it. */
import { describe, expect, it } from "@effect/vitest"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as ts from "typescript"

const root = fileURLToPath(new URL("..", import.meta.url))
const exported: Readonly<Record<string, unknown>> = createRequire(import.meta.url)("../package.json").exports

/** The sources of the modules that can be imported. */
const modules = Object.keys(exported)
  .map((name) => name === "." ? "index" : name.slice(2))
  .filter((name) => fs.existsSync(path.join(root, "src", `${name}.ts`)))

/** The comment that a file begins with. */
const headOf = (file: string): string =>
  /^\/\*\*[^]*?\*\//.exec(fs.readFileSync(path.join(root, file), "utf8"))?.[0] ?? ""

describe("the types of every module", () => {
  it("are there", () => {
    expect(modules.length).toBeGreaterThan(20)
  })

  // A comment right before an import that leaves nothing in the types leaves with it: a blank line keeps it.
  for (const name of modules) {
    it(`begin with what the module is for: ${name}`, () => {
      const head = headOf(`src/${name}.ts`)
      expect(head).not.toBe("")
      expect(headOf(`dist/${name}.d.ts`)).toBe(head)
    })
  }
})

// A consumer whose `declaration` is on writes down what it exports by the module that it is declared in.
it("what is a module within another one, or has another name there, stands in a module that can be imported", () => {
  const elsewhere = modules.flatMap((name) => {
    const text = fs.readFileSync(path.join(root, "src", `${name}.ts`), "utf8")
    const from = (file: string) => path.posix.join(path.posix.dirname(name), file)
    const imported = new Map([...text.matchAll(/^import (?:type )?\* as (\w+) from "(\..*)\.ts"$/gm)]
      .map(([, as = "", file = ""]) => [as, from(file)]))
    return [
      ...[...text.matchAll(/^export \* as \w+ from "(.*)\.ts"$/gm)].map(([, file = ""]) => from(file)),
      ...[...text.matchAll(/^export type \w+ = (\w+)\.\w+$/gm)].flatMap(([, as = ""]) => imported.get(as) ?? [])
    ]
  })
  expect(elsewhere).toContain("testing/Crashes")
  expect(elsewhere.filter((name) => !modules.includes(name))).toEqual([])
})

it("unions and summaries are called by their names, where an editor would spell them out", () => {
  const declared = [
    ["StageStatus", "Decision", "Event", "StageStatus"],
    ["Task", "Summary"],
    ["TaskEvent", "TaskEvent"],
    ["TaskIO", "Message"],
    ["TaskStatus", "Event", "Purpose", "TaskStatus"],
    ["testing/Simulation", "Outcome", "Step"]
  ].map(([module = "", ...names]) => ({ file: path.join(root, "dist", `${module}.d.ts`), names }))
  const program = ts.createProgram(declared.map(({ file }) => file), {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    types: []
  })
  const checker = program.getTypeChecker()
  for (const { file, names } of declared) {
    const source = program.getSourceFile(file)
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source)
    const found = module === undefined ? [] : checker.getExportsOfModule(module)
    expect(names.map((name) => {
      const symbol = found.find((symbol) => symbol.name === name)
      return symbol === undefined ? "" : checker.typeToString(checker.getDeclaredTypeOfSymbol(symbol))
    })).toEqual(names)
  }
})

// A consumer whose `declaration` is on cannot write down what it exports where that is called by a name in `internal`.
it("the types of what operations fail with have names that can be imported", () => {
  const named = fs.readdirSync(path.join(root, "dist"), { encoding: "utf8", recursive: true })
    .filter((name) => name.endsWith(".d.ts") && !name.startsWith("internal"))
    .flatMap((name) => fs.readFileSync(path.join(root, "dist", name), "utf8").match(/internal\/\w+\.ts"/g) ?? [])
  // Its types compute others, and are none that stays.
  expect(new Set(named)).toEqual(new Set([`internal/stateMachine.ts"`]))
})
