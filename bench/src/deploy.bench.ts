/**
 * Deploy: SIGTERM on a server with 2,000 sessions of which 5 % read nothing, with the default drain (28 s in all). The
 * clients are told to come back within some time of their close, and do so on a second server. Whatever a healthy client
 * did not get, an exit that is late or not 0, and a second in which more than twice the mean came back fail the bench.
 *
 * `npx tsx bench/src/deploy.bench.ts [--json FILE] [--clients N]`
 */
import { claim, parse, printMachine, writeResults } from "./report.js"
import { deploy } from "./server/deploy.js"

const { clients, json } = parse("npx tsx bench/src/deploy.bench.ts [--json FILE] [--clients N]", { clients: 2_000 })

const options = {
  clients,
  deafEvery: 20,
  total: 28_000,
  grace: 2_000,
  reconnectJitter: 5_000,
  flushTimeout: 3_000
}
const figures = await deploy(options)
const { closeCodes, drained: { summary }, healthy } = figures
const wellClosed = (closeCodes["4001"] ?? 0) + (closeCodes["1001"] ?? 0)

/** What is claimed: name, figure, and the least and the most that it may be. */
const claims: ReadonlyArray<readonly [string, number | null, number, number]> = [
  ["exit code", figures.exitCode, 0, 0],
  ["milliseconds from SIGTERM to the end", Math.round(figures.millis), 0, options.total + 3_000],
  [`of ${healthy} healthy clients, got all of critical`, figures.gotCritical, healthy, healthy],
  ["got the hint", figures.gotHint, healthy, healthy],
  ["were closed with 4001 or 1001", wellClosed, healthy, healthy],
  ["came back to the next server", figures.reconnected, healthy, healthy],
  ["peak against mean of coming back, per second", Number(figures.peakToMean.toFixed(2)), 1, 2],
  ["ending at once, before forcing", summary.endingsMost, 1, 128],
  ["terminated at the end", summary.terminated, 0, figures.deaf]
]

printMachine(`${clients} clients, ${figures.deaf} of them deaf, drain ${options.total} ms`)
for (const [what, figure, least, most] of claims) {
  const holds = figure !== null && figure >= least && figure <= most
  claim(`${what.padEnd(50)} ${String(figure).padStart(8)}   ${least} to ${most}`, holds)
}
console.log(`phases: ${JSON.stringify(summary.phases)}, exits: ${JSON.stringify(summary.exits)}`)
console.log(`closes per second:   ${summary.closesPerSecond.join(" ")}`)
console.log(`comings per second:  ${figures.reconnectsPerSecond.join(" ")}`)
writeResults(json, { parameters: options, results: figures })
