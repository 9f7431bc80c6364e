/**
 * The test projects: the unit tests of all packages and examples (one project, since each loads Effect anew and they run one
 * after the other), for each package those that need a process of their own (`*.alone.test.ts`), for each package and
 * example its live tests (`*.integration.test.ts`), and the repository's own rules (`tidy`). `npm run check` runs all but
 * the live ones; `npx vitest run packages/spillway` those of a folder.
 */
import { defineWorkspace } from "vitest/config"
import { alone, live, unit, workspaces } from "./vitest.shared.js"

const nameOf = (dir: string): string => dir.split("/").at(-1)!

export default defineWorkspace([
  unit("unit", ".", ["packages/*/test/**/*.test.ts", "examples/*/test/**/*.test.ts", "bench/test/**/*.test.ts"]),
  ...workspaces("packages").map((dir) => alone(nameOf(dir), dir)),
  ...[...workspaces("packages"), ...workspaces("examples"), "bench"].map((dir) => live(nameOf(dir), dir)),
  unit("tidy", "scripts", ["**/*.test.ts"])
])
