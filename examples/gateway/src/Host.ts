/**
 * Readings of this machine and this process: load, processors, memory, network, and the delay of the event loop.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Os from "node:os"
import * as PerfHooks from "node:perf_hooks"

/** One value. `detail` holds what it was made of. */
export interface Reading {
  readonly metric: string
  readonly value: number
  readonly unit: string
  readonly timestamp: number
  readonly detail: Readonly<Record<string, number>>
}

export interface EventLoopDelay {
  readonly meanMillis: number
  readonly maxMillis: number
}

/** Counters of all network interfaces but the loopback, since the machine started. */
export interface NetworkCounters {
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly receivedPackets: number
  readonly sentPackets: number
}

/** What two readings are compared by. */
interface Previous {
  readonly at: number
  readonly busy: number
  readonly total: number
  readonly network: NetworkCounters | undefined
}

export interface HostShape {
  /** All values now. Rates are over the time since the last call. Cannot fail: what this machine does not tell is left out. */
  readonly read: Effect.Effect<ReadonlyArray<Reading>>
  /** Delay of the event loop in the last whole second. */
  readonly eventLoopDelay: Effect.Effect<EventLoopDelay>
}

export class Host extends Context.Tag("@spillway-examples/gateway/Host")<Host, HostShape>() {}

/**
 * Sums the lines of `/proc/net/dev`: `eth0: bytes packets errs drop fifo frame compressed multicast bytes packets ...`
 */
export const parseNetDev = (text: string): NetworkCounters => {
  const sum = { receivedBytes: 0, sentBytes: 0, receivedPackets: 0, sentPackets: 0 }
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":")
    if (colon < 0 || line.slice(0, colon).trim() === "lo") continue
    const columns = line.slice(colon + 1).trim().split(/\s+/).map(Number)
    if (columns.length < 10 || columns.some(Number.isNaN)) continue
    sum.receivedBytes += columns[0]!
    sum.receivedPackets += columns[1]!
    sum.sentBytes += columns[8]!
    sum.sentPackets += columns[9]!
  }
  return sum
}

/** Milliseconds that the processors were busy and existed, since the machine started. */
const processorTimes = () => {
  let busy = 0
  let total = 0
  for (const { times } of Os.cpus()) {
    const used = times.user + times.nice + times.sys + times.irq
    busy += used
    total += used + times.idle
  }
  return { busy, total }
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

const cores = Math.max(1, Os.availableParallelism())

const loadReading = (timestamp: number): Reading => {
  const [one = 0, five = 0, fifteen = 0] = Os.loadavg()
  return {
    metric: "load",
    value: round(one / cores, 3),
    unit: "per core",
    timestamp,
    detail: { one, five, fifteen, cores }
  }
}

const memoryReading = (timestamp: number): Reading => {
  const totalBytes = Os.totalmem()
  const usedBytes = totalBytes - Os.freemem()
  const residentBytes = process.memoryUsage.rss()
  return {
    metric: "memory",
    value: round(usedBytes / totalBytes, 4),
    unit: "ratio",
    timestamp,
    detail: { usedBytes, totalBytes, residentBytes }
  }
}

const cpuReading = (previous: Previous, next: Previous): Reading => ({
  metric: "cpu",
  // The kernel counts in ticks of 10 ms: two readings may see the same numbers.
  value: next.total > previous.total ? round((next.busy - previous.busy) / (next.total - previous.total), 4) : 0,
  unit: "ratio",
  timestamp: next.at,
  detail: { cores }
})

const networkReadings = (previous: Previous, next: Previous): ReadonlyArray<Reading> => {
  if (next.network === undefined || previous.network === undefined) return []
  const seconds = (next.at - previous.at) / 1000
  const rate = (now: number, before: number) => seconds > 0 ? round(Math.max(0, now - before) / seconds, 0) : 0
  const { receivedBytes, receivedPackets, sentBytes, sentPackets } = next.network
  const reading = (metric: string, value: number, bytes: number, packets: number): Reading => ({
    metric,
    value,
    unit: "bytes per second",
    timestamp: next.at,
    detail: { bytes, packets }
  })
  return [
    reading("network in", rate(receivedBytes, previous.network.receivedBytes), receivedBytes, receivedPackets),
    reading("network out", rate(sentBytes, previous.network.sentBytes), sentBytes, sentPackets)
  ]
}

const millis = (nanos: number): number => Number.isFinite(nanos) ? round(nanos / 1e6, 2) : 0

/** Resolution of the histogram: a delay of the event loop is what is beyond it. */
const resolutionMillis = 10

const delayOf = (histogram: PerfHooks.IntervalHistogram): EventLoopDelay => ({
  meanMillis: Math.max(0, round(millis(histogram.mean) - resolutionMillis, 2)),
  maxMillis: Math.max(0, round(millis(histogram.max) - resolutionMillis, 2))
})

const delayReading = (delay: EventLoopDelay, timestamp: number): Reading => ({
  metric: "event loop delay",
  value: delay.maxMillis,
  unit: "ms",
  timestamp,
  detail: { meanMillis: delay.meanMillis }
})

/** A histogram of the event loop's delay that lives as long as the layer. */
const histogram = Effect.acquireRelease(
  Effect.sync(() => {
    const made = PerfHooks.monitorEventLoopDelay({ resolution: resolutionMillis })
    made.enable()
    return made
  }),
  (made) => Effect.sync(() => made.disable())
)

export const layer: Layer.Layer<Host, never, FileSystem.FileSystem> = Layer.scoped(
  Host,
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const delays = yield* histogram
    const network = files.readFileString("/proc/net/dev").pipe(
      Effect.map(parseNetDev),
      Effect.option,
      Effect.map(Option.getOrUndefined)
    )
    const observe = Effect.gen(function*() {
      const at = yield* Clock.currentTimeMillis
      return { at, ...processorTimes(), network: yield* network } satisfies Previous
    })
    let previous = yield* observe
    let windowStart = previous.at
    let lastWindow: EventLoopDelay = { meanMillis: 0, maxMillis: 0 }
    const eventLoopDelay = Effect.map(Clock.currentTimeMillis, (now) => {
      if (now - windowStart >= 1000) {
        lastWindow = delayOf(delays)
        delays.reset()
        windowStart = now
      }
      return lastWindow
    })
    const read = Effect.gen(function*() {
      const next = yield* observe
      const delay = yield* eventLoopDelay
      const before = previous
      previous = next
      return [
        loadReading(next.at),
        cpuReading(before, next),
        memoryReading(next.at),
        delayReading(delay, next.at),
        ...networkReadings(before, next)
      ]
    })
    return { read, eventLoopDelay }
  })
)
