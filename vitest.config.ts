import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"
import projects from "./vitest.workspace.js"

export default defineConfig({
  test: {
    projects,
    poolOptions: {
      // Live tests, in processes of their own. `--expose-gc` is for tests that count what is left on the heap.
      forks: { maxForks: Math.min(availableParallelism() + 2, 4), minForks: 1, execArgv: ["--expose-gc"] },
      // Unit tests, side by side with the live ones, which mostly wait.
      threads: { maxThreads: Math.min(availableParallelism(), 4), minThreads: 1, isolate: false }
    },
    teardownTimeout: 10_000,
    coverage: { provider: "v8", include: ["packages/*/src/**/*.ts"], reporter: ["text-summary", "html"] }
  }
})
