import { realpathSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** Whether a file was started, rather than imported by another for what it exports. */
export const isMain = (url: string): boolean =>
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url)
