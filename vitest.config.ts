import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import projects from "./vitest.workspace.js"

export default defineConfig({
  test: {
    projects,
    // `--expose-gc` is for tests that count what is left on the heap.
    poolOptions: { forks: { maxForks: Math.min(availableParallelism(), 4), minForks: 1, execArgv: ["--expose-gc"] } },
    teardownTimeout: 10_000,
    coverage: { provider: "v8", include: ["packages/*/src/**/*.ts"], reporter: ["text-summary", "html"] }
  }
})
