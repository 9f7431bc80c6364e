/**
 * `npm run mutate [-- WORD]`: plants each fault of `mutations.mjs` (those whose name contains the word) in a copy of the
 * repository, runs the unit suites of the core and of the kit there, and writes what caught it to `docs/MUTATIONS.md`.
 * The tree itself is not touched, but for that document. Ends with 1 when a fault was not caught.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { table } from "./lib/codegen.mjs"
import { exitOnFailure, Failure, root, run } from "./lib/process.mjs"
import { mutations } from "./mutations.mjs"

const skipped = new Set(["node_modules", ".git", "dist", ".tmp", "docs"])

const copyTree = (to) => {
  Fs.cpSync(root, to, { recursive: true, filter: (path) => !skipped.has(Path.basename(path)) })
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(to, "node_modules"))
}

/** The files that are most likely to catch a fault of a module run first, one by one; all of them only if those did not. */
const nearest = {
  "laneQueue.ts": ["laneQueue.test", "laneQueue.laws"],
  "outbox.ts": ["sharedBatch", "outboxCore", "Outbox.test"],
  "sharedBatch.ts": ["sharedBatch"],
  "deadlines.ts": ["deadlines"],
  "inbox.ts": ["inbox", "SessionInterruption", "Session.test"],
  "drain.ts": ["SessionPrecedence", "Drain", "Sessions.test"],
  "bounded.ts": ["suspended", "Tasks.test", "SessionEnding"],
  "session.ts": ["Session.test", "SessionPrecedence", "SessionLimits"],
  "sessionWriter.ts": [
    "HubSharing",
    "Session.test",
    "SessionDelivery",
    "SessionInterruption",
    "SessionTimers",
    "Session.laws"
  ],
  "sessionWindow.ts": ["SessionDelivery"],
  "sessionSend.ts": ["SessionInterruption", "Session.test"],
  "sessionTasks.ts": ["Session.test", "SessionEnding", "SessionPrecedence"],
  "sessionTimers.ts": ["SessionTimers"],
  "sessionEnding.ts": ["SessionEnding", "SessionPrecedence", "Session.test", "Drain"],
  "registry.ts": ["SessionTimers", "SessionPrecedence", "Sessions.test"]
}

const catcher = async (copy, path) => {
  for (const word of nearest[Path.basename(path)] ?? []) {
    const caught = await runSuites(copy, [word])
    if (caught !== undefined) return caught
  }
  return runSuites(copy, [])
}

/** The name of the first test that failed, or `undefined` when all passed. */
const runSuites = async (copy, words) => {
  const report = Path.join(copy, "report.json")
  Fs.rmSync(report, { force: true })
  const vitest = Path.join(copy, "node_modules/vitest/vitest.mjs")
  const projects = ["unit", "spillway:alone", "testing:alone"].flatMap((name) => ["--project", name])
  const args = [vitest, "run", "--bail=1", ...projects, "--reporter=json"]
  const filters = words.length === 0 ? ["packages/spillway/", "packages/testing/"] : words
  const { code } = await run(process.execPath, [...args, `--outputFile.json=${report}`, ...filters], {
    cwd: copy,
    capture: true
  })
  if (code === 0) return undefined
  const files = Fs.existsSync(report) ? JSON.parse(Fs.readFileSync(report, "utf8")).testResults : []
  for (const file of files) {
    const failed = file.assertionResults.find((test) => test.status === "failed")
    if (failed !== undefined) return `${Path.basename(file.name)}: ${failed.fullName}`
  }
  const unloaded = files.find((file) => file.status === "failed")
  return unloaded === undefined ? "the run as a whole" : `${Path.basename(unloaded.name)} as a whole`
}

const plant = (copy, { from, name, path, to }) => {
  const file = Path.join(copy, path)
  const text = Fs.readFileSync(file, "utf8")
  if (text.split(from).length !== 2) throw new Failure(`"${name}" has no place in ${path} any more`)
  Fs.writeFileSync(file, text.replace(from, () => to))
  return () => Fs.writeFileSync(file, text)
}

const file = Path.join(root, "docs/MUTATIONS.md")

const notRun = "not run yet"
const notCaught = "**not caught**"

/** What the document says about each fault by now. */
const known = () => {
  const rows = Fs.readFileSync(file, "utf8").matchAll(/^\| (.+?) \| `(.+?)` \| (.+?) \|$/gm)
  return new Map([...rows].map(([, name, , caught]) => [name, caught]))
}

const write = (caughtBy) => {
  const rows = mutations.map(({ name, path }) => [name, `\`${Path.basename(path)}\``, caughtBy.get(name) ?? notRun])
  Fs.writeFileSync(
    file,
    `# Mutations

Deliberate faults, planted one at a time in a copy of the core, and the first test of the unit suites of the core and the
kit that failed then. Written by \`npm run mutate\`; \`scripts/mutations.mjs\` has the text of each.

${table(["fault", "in", "caught by"], rows)}
`
  )
}

const help =
  `npm run mutate [-- WORD]: plants the faults whose name contains the word, all without one, in a copy of the
repository, and writes docs/MUTATIONS.md. What it says about other faults stays.`

const mutate = async () => {
  const [word = ""] = process.argv.slice(2)
  if (word === "--help") return console.log(help)
  const chosen = mutations.filter(({ name }) => name.includes(word))
  if (chosen.length === 0) throw new Failure(`no fault has "${word}" in its name`)
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-mutate-"))
  const copy = Path.join(folder, "copy")
  const caughtBy = known()
  let missed = 0
  try {
    copyTree(copy)
    if (word === "") {
      // The whole of the suites is the business of `npm test`.
      const broken = await runSuites(copy, [...new Set(Object.values(nearest).flat())])
      if (broken !== undefined) throw new Failure(`the suites fail without any fault: ${broken}`)
    }
    for (const mutation of chosen) {
      const restore = plant(copy, mutation)
      const caught = await catcher(copy, mutation.path)
      restore()
      if (caught === undefined) missed++
      console.log(caught === undefined ? `NOT CAUGHT: ${mutation.name}` : `caught: ${mutation.name} (${caught})`)
      caughtBy.set(mutation.name, caught ?? notCaught)
      // After each, so that a run that is ended early has not been for nothing.
      write(caughtBy)
    }
    if (missed > 0) throw new Failure(`${missed} of ${chosen.length} faults were not caught`)
    console.log(`all ${chosen.length} faults were caught`)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

mutate().catch(exitOnFailure)
