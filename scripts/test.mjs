/**
 * `npm test`: installs what is missing, builds, and runs the whole suite. Arguments go to vitest: `npm test -- Outbox`.
 * The last line is `N passed, N failed`; the exit code is 0 only when nothing failed.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { build, install, products } from "./lib/prepare.mjs"
import { exitOnFailure, root, runModule } from "./lib/process.mjs"

const report = Path.join(root, ".tmp/test-report.json")

const readReport = () => {
  try {
    return JSON.parse(Fs.readFileSync(report, "utf8"))
  } catch {
    return undefined
  }
}

/**
 * Counts the tests of a report. A file that could not even be loaded counts as one failure, and so does a run that
 * failed for a reason outside every test, such as an error nobody caught.
 */
const count = (result, code) => {
  const files = result?.testResults ?? []
  const unloaded = files.filter((file) => file.status === "failed" && !file.assertionResults.some(isFailed)).length
  const failed = (result?.numFailedTests ?? 0) + unloaded
  return {
    passed: result?.numPassedTests ?? 0,
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: (result?.numPendingTests ?? 0) + (result?.numTodoTests ?? 0)
  }
}

const isFailed = (test) => test.status === "failed"

const test = async () => {
  await install()
  await build(...products())
  Fs.rmSync(report, { force: true })
  const { code } = await runModule("vitest/vitest.mjs", [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2)
  ])
  const { failed, passed, skipped } = count(readReport(), code)
  console.log("")
  if (skipped > 0) console.log(`${skipped} did not run, each with its reason in the output above.`)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = code === 0 && failed === 0 ? 0 : 1
}

await test().catch((error) => {
  process.once("exit", () => console.log("0 passed, 1 failed"))
  exitOnFailure(error)
})
