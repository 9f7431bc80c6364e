/**
 * The test projects: for each package and example its unit tests and its live tests (`*.integration.test.ts`), and the
 * repository's own rules (`tidy`). `npm run check` runs all but the live ones.
 */
import { defineWorkspace } from "vitest/config"
import { alone, live, unit, workspaces } from "./vitest.shared.js"

const folders = [...workspaces("packages"), ...workspaces("examples"), "bench"]

export default defineWorkspace([
  ...folders.flatMap((dir) => {
    const name = dir.split("/").at(-1)!
    return [unit(name, dir), alone(name, dir), live(name, dir)]
  }),
  unit("tidy", "scripts", ["**/*.test.ts"])
])
