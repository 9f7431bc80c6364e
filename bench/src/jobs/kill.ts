/**
 * Kills a process that writes jobs at random moments, and looks at the file each time: no acknowledged event is missing,
 * places have no gap, nothing appears twice or was invented, nothing follows a terminal event, and in the end every job
 * has been accounted for.
 */
import { EventLog } from "@spillway/jobs/EventLog"
import type { JobEvent } from "@spillway/jobs/JobEvent"
import { isTerminal } from "@spillway/jobs/JobEvent"
import { JobRunner } from "@spillway/jobs/JobRunner"
import { JobStore, type JobStoreShape } from "@spillway/jobs/JobStore"
import * as SqliteStore from "@spillway/jobs/SqliteStore"
import * as Effect from "effect/Effect"
import * as ChildProcess from "node:child_process"
import * as Work from "./work.js"

export interface Options {
  readonly path: string
  readonly rounds: number
  /** Command and arguments of the writer; the path of the file is added. */
  readonly command: ReadonlyArray<string>
  readonly env?: NodeJS.ProcessEnv
  readonly random: () => number
  readonly onRound?: (round: number, totals: Totals) => void
}

export interface Totals {
  kills: number
  acknowledged: number
  events: number
  jobs: number
  resumed: number
  lost: number
}

/** What the writer has said that is durable: the last place of each job. */
type Acknowledged = Map<string, number>

const hear = (acknowledged: Acknowledged, totals: Totals, line: string): void => {
  const [what, jobId, seq] = line.split(" ")
  if (what === "created") acknowledged.set(jobId!, acknowledged.get(jobId!) ?? 0)
  else if (what === "event") {
    totals.acknowledged++
    acknowledged.set(jobId!, Math.max(acknowledged.get(jobId!) ?? 0, Number(seq)))
  } else throw new Error(`the writer says: ${line}`)
}

/** Runs the writer until it has acknowledged something, and kills it a random moment later. */
const killOnce = (options: Options, acknowledged: Acknowledged, totals: Totals): Promise<void> =>
  new Promise((resolve, reject) => {
    const [command, ...rest] = options.command
    const child = ChildProcess.spawn(command!, [...rest, options.path], {
      env: options.env ?? process.env,
      stdio: ["ignore", "pipe", "inherit"]
    })
    const before = totals.acknowledged
    let text = ""
    let isKilled = false
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (text + chunk).split("\n")
      text = lines.pop()!
      try {
        for (const line of lines) hear(acknowledged, totals, line)
      } catch (error) {
        reject(error)
      }
      if (isKilled || totals.acknowledged === before) return
      isKilled = true
      setTimeout(() => child.kill("SIGKILL"), options.random() * 60)
    })
    child.on("error", reject)
    child.on("close", () => {
      totals.kills++
      if (isKilled) resolve()
      else reject(new Error("the writer ended by itself"))
    })
  })

const demand = (condition: boolean, message: string): void => {
  if (!condition) throw new Error(message)
}

const checkLog = (jobId: string, events: ReadonlyArray<JobEvent>, acknowledged: number): void => {
  const at = (text: string) => `job ${jobId}: ${text}`
  demand(events.length >= acknowledged, at(`${acknowledged} acknowledged, ${events.length} there`))
  let counted = 0
  for (const [index, { data, kind, seq }] of events.entries()) {
    demand(seq === index + 1, at(`place ${seq} at ${index + 1}`))
    demand(!isTerminal(kind) || index === events.length - 1, at(`something follows ${kind}`))
    if (kind === "MESSAGE") demand(data === ++counted, at(`counted ${String(data)} instead of ${counted}`))
  }
}

const readAll = (store: JobStoreShape, jobId: string) =>
  Effect.gen(function*() {
    const events: Array<JobEvent> = []
    for (;;) {
      const page = yield* store.read(jobId, events.length, { itemsMax: 1_000, bytesMax: 1e9 })
      if (page.length === 0) return events
      events.push(...page)
    }
  })

/** Looks at every job that was not over at the last look. */
const look = (path: string, acknowledged: Acknowledged, totals: Totals, over: Set<string>) =>
  Effect.gen(function*() {
    const store = yield* SqliteStore.make({ path })
    for (const [jobId, seq] of acknowledged) {
      if (over.has(jobId)) continue
      const events = yield* readAll(store, jobId)
      checkLog(jobId, events, seq)
      const last = events.at(-1)
      if (last === undefined || !isTerminal(last.kind)) continue
      over.add(jobId)
      totals.events += events.length
    }
    totals.jobs = acknowledged.size
  }).pipe(Effect.scoped)

/** Lets every job end, and demands that each did as its policy says. */
const accountForAll = (path: string, acknowledged: Acknowledged, totals: Totals) =>
  Effect.gen(function*() {
    const runner = yield* JobRunner
    const store = yield* JobStore
    yield* EventLog
    for (let offset = 0;;) {
      const { items } = yield* store.list({ offset, limit: 500 })
      if (items.length === 0) break
      offset += items.length
      for (const { id } of items) {
        const { input, name, state } = yield* runner.awaitEnd(id)
        checkLog(id, yield* readAll(store, id), acknowledged.get(id) ?? 0)
        const isLost = state.status === "FAILED" && state.error?.reason === "lost"
        const isDone = state.status === "SUCCEEDED" && state.result === (input as { readonly to: number }).to
        demand(isDone || (isLost && name === Work.Lost.name), `job ${id} (${name}): ${JSON.stringify(state)}`)
        if (isLost) totals.lost++
        if (state.attempt > 1) totals.resumed++
      }
    }
  }).pipe(Effect.provide(Work.layer(path)))

export const killRounds = async (options: Options): Promise<Totals> => {
  const totals: Totals = { kills: 0, acknowledged: 0, events: 0, jobs: 0, resumed: 0, lost: 0 }
  const acknowledged: Acknowledged = new Map()
  const over = new Set<string>()
  for (let round = 1; round <= options.rounds; round++) {
    await killOnce(options, acknowledged, totals)
    await Effect.runPromise(look(options.path, acknowledged, totals, over))
    options.onRound?.(round, totals)
  }
  await Effect.runPromise(accountForAll(options.path, acknowledged, totals))
  return totals
}
