/**
 * Type tests: `*.test-d.ts` against the built declarations. Run by `npm run check:full`.
 */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    passWithNoTests: true,
    // Named here, or vitest would find the projects of vitest.workspace.ts by itself.
    projects: [{
      test: {
        name: "types",
        include: [],
        typecheck: {
          enabled: true,
          only: true,
          tsconfig: "tsconfig.types.json",
          include: ["packages/*/test/**/*.test-d.ts"]
        }
      }
    }]
  }
})
