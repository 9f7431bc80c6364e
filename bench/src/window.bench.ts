/**
 * What an urgent message waits for behind bulk on a link of 8 Mbit/s, without and with `deliveryDelay`, and what that costs
 * in throughput. The server sends 16 KiB frames of `bulk` as fast as they are taken, and a small `critical` one each half
 * second.
 *
 * It fails when an urgent message takes more than 80 ms in the median, or more than 5 % of the throughput is lost.
 *
 * The link is the loopback of a network namespace behind `tc tbf` where that is permitted (root on Linux), else a proxy
 * in this process that lets through so many bytes a second; the result says which.
 *
 * `npx tsx bench/src/window.bench.ts [--json FILE] [--seconds N] [--mbit N] [--delay MS] [--proxy]`
 */
import * as ChildProcess from "node:child_process"
import { fileURLToPath } from "node:url"
import { claim, parse, printMachine, writeResults } from "./report.js"
import { type Figures, measure } from "./window/measure.js"

const usage = "npx tsx bench/src/window.bench.ts [--json FILE] [--seconds N] [--mbit N] [--delay MS] [--proxy]"

const { delay, inside, json, mbit, proxy, seconds } = parse(usage, {
  seconds: 20,
  mbit: 8,
  delay: 50,
  // The proxy also where a namespace is permitted.
  proxy: false,
  // Set by this program for itself: it is inside of the namespace.
  inside: false
})

/** What is claimed, for 8 Mbit/s: the median of what is urgent, and the share of the throughput that it costs. */
const urgentMillisMax = 80
const lostMax = 0.05

const sh = (...command: ReadonlyArray<string>): boolean =>
  ChildProcess.spawnSync(command[0]!, command.slice(1), { stdio: "ignore" }).status === 0

/** A namespace whose loopback has this rate, a round trip of next to nothing, and a queue of 100 ms as a router has. */
const shaped = (name: string): boolean =>
  sh("ip", "netns", "add", name) &&
  sh("ip", "-n", name, "link", "set", "lo", "mtu", "1500", "up") &&
  sh(
    "tc",
    "-n",
    name,
    "qdisc",
    "add",
    "dev",
    "lo",
    "root",
    "tbf",
    "rate",
    `${mbit}mbit`,
    "burst",
    "16kb",
    "latency",
    "100ms"
  )

const runInside = async (name: string): Promise<ReadonlyArray<Figures>> => {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2), "--inside"]
  const child = ChildProcess.spawn("ip", ["netns", "exec", name, process.execPath, ...args], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  let output = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
  await new Promise((resolve) => child.once("close", resolve))
  return JSON.parse(output) as ReadonlyArray<Figures>
}

/** One after the other: they would share the link. */
const measureBoth = async (bytesPerSecond: number | undefined): Promise<ReadonlyArray<Figures>> => {
  const millis = seconds * 1000
  const without = await measure({ deliveryDelay: undefined, millis, bytesPerSecond })
  const withWindow = await measure({ deliveryDelay: delay, millis, bytesPerSecond })
  return [without, withWindow]
}

const measureAll = async (): Promise<{ readonly link: string; readonly figures: ReadonlyArray<Figures> }> => {
  const name = `spillway-window-${process.pid}`
  try {
    if (!proxy && shaped(name)) return { link: "tc tbf in a network namespace", figures: await runInside(name) }
  } finally {
    sh("ip", "netns", "del", name)
  }
  return { link: "a pacing proxy", figures: await measureBoth(mbit * 125_000) }
}

const print = (link: string, figures: ReadonlyArray<Figures>): void => {
  const [without, withWindow] = figures as readonly [Figures, Figures]
  printMachine(`${seconds} s, ${mbit} Mbit/s, ${link}`)
  console.log("                     urgent   p50 ms   p90 ms   max ms   bulk Mbit/s")
  for (const [name, each] of [["without", without], [`deliveryDelay ${delay} ms`, withWindow]] as const) {
    const numbers = [each.p50, each.p90, each.max].map((millis) => millis.toFixed(0).padStart(9)).join("")
    console.log(
      `${name.padEnd(20)} ${String(each.urgent).padStart(6)}${numbers}   ${each.bulkMbit.toFixed(2).padStart(11)}`
    )
  }
  const lost = 1 - withWindow.bulkMbit / without.bulkMbit
  console.log(`throughput lost: ${(lost * 100).toFixed(1)} %`)
  claim(`what is urgent takes at most ${urgentMillisMax} ms in the median`, withWindow.p50 <= urgentMillisMax)
  claim(`less than ${lostMax * 100} % of the throughput is lost`, lost < lostMax)
}

if (inside) {
  process.stdout.write(JSON.stringify(await measureBoth(undefined)))
  process.exit(0)
}

const { figures, link } = await measureAll()
print(link, figures)
writeResults(json, { parameters: { seconds, mbit, delay }, results: { link, figures } })
process.exit()
