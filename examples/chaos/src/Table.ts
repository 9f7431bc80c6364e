/** What came of it, for a terminal. */
import type * as Chaos from "@spillway/workers/Chaos"
import type { Played, Result } from "./Play.js"

const faultsOf = ({ happened }: Chaos.Report): string =>
  Object.entries(happened).filter(([, count]) => count > 0).map(([kind, count]) => `${count} ${kind}`).join(", ")

/** The cells of one row. */
export const cells = ({ name, report }: Played): ReadonlyArray<string> => [
  name,
  String(report.targeted.length),
  faultsOf(report),
  report.isReal ? "yes" : "NO",
  report.recoveredMillis === undefined ? "NOT IN TIME" : `${report.recoveredMillis} ms`,
  `${report.probesSucceeded} of ${report.probes}`,
  String(report.live)
]

const head = ["scenario", "hit", "faults that happened", "all real", "whole after", "probes", "live"]

const sumOf = (loads: ReadonlyArray<Chaos.LoadReport>, of: (load: Chaos.LoadReport) => number): number =>
  loads.reduce((sum, load) => sum + of(load), 0)

const loadLine = (loads: ReadonlyArray<Chaos.LoadReport>): string => {
  const failed: Record<string, number> = {}
  for (const load of loads) {
    for (const [tag, count] of Object.entries(load.failed)) failed[tag] = (failed[tag] ?? 0) + count
  }
  const [started, succeeded] = [sumOf(loads, (load) => load.started), sumOf(loads, (load) => load.succeeded)]
  const [wrong, late] = [sumOf(loads, (load) => load.wrong), sumOf(loads, (load) => load.late)]
  return `load: ${started} operations, ${succeeded} succeeded, failed ${
    JSON.stringify(failed)
  }, ${wrong} wrong, ${late} late`
}

/** Whether every fault was real, the pool whole each time, and no operation lost, wrong or late. */
export const holds = ({ loads, played }: Result): boolean =>
  played.every(({ report }) => report.isReal && report.recoveredMillis !== undefined && report.probesSucceeded > 0)
  && loads.every(({ failed, late, started, succeeded, wrong }) =>
    wrong === 0 && late === 0 && started === succeeded + Object.values(failed).reduce((sum, count) => sum + count, 0)
  )

export const table = ({ loads, played }: Result): string => {
  const rows = [head, ...played.map(cells)]
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd())
  return [...lines, "", loadLine(loads)].join("\n")
}
