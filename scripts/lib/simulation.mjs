/**
 * The command line of `npm run simulate`, for any build of `Simulation`.
 */
import { Failure } from "./process.mjs"

export const help = `npm run simulate -- [options]

  --seeds N      seeds to run, from --from on                     (20)
  --from N       the first seed                                   (1)
  --seed N       run this one seed and print its fingerprint
  --sessions N   clients at a time                                (100)
  --hours H      simulated hours of faults for each seed          (0.5)
  --pace F       factor of the mean times between what happens    (32)
  --trace        with --seed: print each event
  --json         print the report as JSON instead of a summary
`

const defaults = {
  seeds: 20,
  from: 1,
  seed: undefined,
  sessions: 100,
  hours: 0.25,
  pace: 16,
  trace: false,
  json: false
}

/** The options of a command line. */
export const read = (args) => {
  const options = { ...defaults }
  for (let i = 0; i < args.length; i++) {
    const name = args[i].replace(/^--/, "")
    if (!args[i].startsWith("--") || !(name in options)) throw new Failure(`unknown argument ${args[i]}; see --help`)
    if (name === "trace" || name === "json") {
      options[name] = true
      continue
    }
    const value = Number(args[++i])
    const isWhole = name !== "hours" && name !== "pace"
    if (args[i] === undefined || !Number.isFinite(value) || value <= 0 || (isWhole && !Number.isSafeInteger(value))) {
      throw new Failure(`--${name} needs a ${isWhole ? "whole " : ""}number above 0, not ${args[i] ?? "nothing"}`)
    }
    options[name] = value
  }
  if (options.trace && options.seed === undefined) throw new Failure("--trace needs --seed")
  return options
}

const counts = (title, record) => {
  const entries = Object.entries(record).filter(([, count]) => count > 0)
  console.log(`${title}\n${entries.map(([name, count]) => `  ${String(count).padStart(9)}  ${name}`).join("\n")}`)
}

const summary = (Simulation, report, seconds, cpuSeconds) => {
  const { messages } = report
  const speed = (over) => Math.round((report.simulatedHours * 3600) / over)
  counts("faults that happened", report.faults)
  counts("exits", report.exits)
  counts("shed, by lane", report.sheds)
  counts("paths taken", report.sometimes)
  console.log(
    `\n${report.runs} seeds held: ${report.simulatedHours.toFixed(2)} simulated hours, ${
      report.sessionHours.toFixed(1)
    } ` +
      `session-hours, ${report.sessions} sessions, ${messages.offered} messages offered, ${messages.sent} sent, ` +
      `${messages.received} received, ${report.checks} checks of invariants`
  )
  console.log(
    `density: ${
      (messages.offered / report.sessionHours / 3600).toFixed(2)
    } messages offered per session and second; a ` +
      `session lives for ${(report.sessionHours * 60 / report.sessions).toFixed(1)} minutes`
  )
  console.log(
    `${seconds.toFixed(1)} s real, ${cpuSeconds.toFixed(1)} s of processor: simulated time ran ${
      speed(seconds)
    } times as ` +
      `fast as real time, ${speed(cpuSeconds)} times as fast as processor time`
  )
}

/** With how many seeds a path that never happened is a failure: fewer may just have missed it. */
const seedsForRarePaths = 100

/** Runs the seeds one after the other. Fails with the law that was broken and the line that replays it. */
export const campaign = async (Simulation, { either, runPromise }, options) => {
  const first = options.seed ?? options.from
  const last = options.seed ?? options.from + options.seeds - 1
  const { hours, pace, sessions } = options
  const reports = []
  const startedAt = performance.now()
  const cpuBefore = process.cpuUsage()
  let told = startedAt
  for (let seed = first; seed <= last; seed++) {
    const replay = `npm run simulate -- --seed ${seed} --sessions ${sessions} --hours ${hours} --pace ${pace}`
    const result = await runPromise(either(Simulation.run({
      seed,
      sessions,
      duration: hours * 3_600_000,
      pace,
      keepTrace: options.trace,
      replay
    })))
    if (result._tag === "Left") throw new Failure(`seed ${seed}: ${result.left.message}`)
    reports.push(result.right)
    if (performance.now() - told > 2_000) {
      told = performance.now()
      const hoursDone = reports.reduce((sum, report) => sum + report.sessionHours, 0)
      console.error(`seed ${seed} of ${last}: ${hoursDone.toFixed(0)} session-hours, all laws hold`)
    }
  }
  const seconds = (performance.now() - startedAt) / 1000
  const { system, user } = process.cpuUsage(cpuBefore)
  const report = Simulation.merge(reports)
  if (options.trace) { for (const line of reports[0].trace) console.log(line) }
  if (options.json) console.log(JSON.stringify(report))
  else if (options.seed === undefined) summary(Simulation, report, seconds, (system + user) / 1e6)
  else console.log(`seed ${first} held, fingerprint ${report.fingerprint}`)
  const missed = Simulation.neverHappened(report)
  if (missed.length > 0 && report.runs >= seedsForRarePaths) {
    throw new Failure(`all laws hold, but this never happened: ${missed.join(", ")}`)
  }
}
