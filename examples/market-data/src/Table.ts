/** What the load prints. */
import type * as ServerProcess from "./ServerProcess.js"
import { Ages } from "./Viewer.js"

export interface Row {
  readonly kind: string
  readonly clients: number
  /** For one client. */
  readonly pricesPerSecond: number
  readonly ages: ReadonlyArray<Ages>
  readonly fillsSeen: number
  readonly fillsMissed: number
  readonly fillsTwice: number
  readonly fillsLeft: number
  readonly depthsSeen: number
  readonly depthsShed: number
  readonly pricesWrong: number
  readonly pricesBack: number
  readonly connections: number
}

/** Whether every client had the right prices in the end, never a price after a newer one, and every fill once. */
export const holds = (rows: ReadonlyArray<Row>): boolean =>
  rows.every(({ fillsLeft, fillsMissed, fillsTwice, pricesBack, pricesWrong }) =>
    fillsLeft + fillsMissed + fillsTwice + pricesBack + pricesWrong === 0
  )

const head = [
  "clients",
  "prices/s each",
  "age p50",
  "p95",
  "p99 ms",
  "fills",
  "missed",
  "twice",
  "depths",
  "shed",
  "wrong prices",
  "connections"
]

const millis = (value: number) => Number.isNaN(value) ? "-" : String(value)

const cells = (row: Row): ReadonlyArray<string> => {
  const ages = new Ages()
  for (const some of row.ages) ages.addAll(some)
  return [
    `${row.clients} ${row.kind}`,
    row.pricesPerSecond.toFixed(0),
    ...[0.5, 0.95, 0.99].map((share) => millis(ages.quantile(share))),
    String(row.fillsSeen),
    String(row.fillsMissed + row.fillsLeft),
    String(row.fillsTwice),
    String(row.depthsSeen),
    String(row.depthsShed),
    String(row.pricesWrong + row.pricesBack),
    String(row.connections)
  ]
}

export const text = (rows: ReadonlyArray<Row>): string => {
  const all = [head, ...rows.map(cells)]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  return all
    .map(([first = "", ...rest]) =>
      [first.padEnd(widths[0]!), ...rest.map((cell, i) => cell.padStart(widths[i + 1]!))].join("  ")
    )
    .join("\n")
}

const MiB = (bytes: number) => `${(bytes / 1_048_576).toFixed(0)} MiB`

export const serverLine = ({ after, before, end, memory, seconds }: {
  readonly before: ServerProcess.Stats
  readonly after: ServerProcess.Stats
  readonly end: ServerProcess.Stats
  readonly seconds: number
  readonly memory: number
}): string => {
  const perSecond = (of: (stats: ServerProcess.Stats) => number) => ((of(after) - of(before)) / seconds).toFixed(0)
  const exits = Object.entries(end.exits).filter(([, count]) => count > 0).map(([tag, count]) => `${count} ${tag}`)
  return [
    `server: ${perSecond(({ published }) => published.ticks)} prices/s`,
    `${perSecond(({ published }) => published.depths)} depths/s`,
    `${perSecond(({ published }) => published.fills)} fills/s`,
    `CPU ${((after.process.cpuMillis - before.process.cpuMillis) / seconds / 10).toFixed(0)} %`,
    `RSS ${MiB(before.process.residentBytes)}, at most ${MiB(memory)}`,
    `closed: ${exits.length === 0 ? "none" : exits.join(", ")}`
  ].join(", ")
}
