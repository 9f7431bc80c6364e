/** `npm run format`: formats every source file in place and applies the safe fixes of the linter. */
import { install } from "./lib/prepare.mjs"
import { exitOnFailure, runModule } from "./lib/process.mjs"

const format = async () => {
  await install()
  const lint = await runModule("oxlint/bin/oxlint", ["--fix"])
  const dprint = await runModule("dprint/bin.cjs", ["fmt"])
  process.exitCode = lint.code || dprint.code
}

await format().catch(exitOnFailure)
