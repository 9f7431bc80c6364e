/** What is measured: isolation from stalled readers, scale, the sustained maximum, and overload. */
import { createHistogram } from "node:perf_hooks"
import { Client, type Latency, measuring } from "./client.js"
import { type LaneName, lanes, type Order, type Peer, type Reading, Server } from "./protocol.js"

export interface Percentiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

/** Waits for what is still on its way, at most for ten seconds. */
const until = async (isSo: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !isSo(); i++) await sleep(50)
}

const countOf = ({ received }: Client): number => lanes.reduce((sum, lane) => sum + received[lane], 0)

const countOfAll = (clients: ReadonlyArray<Client>): number => clients.reduce((sum, client) => sum + countOf(client), 0)

const megabyte = 1_000_000

/** In milliseconds, of these lanes together. */
const percentiles = (latency: Latency, of: ReadonlyArray<LaneName> = lanes): Percentiles => {
  const histogram = createHistogram()
  for (const lane of of) if (latency[lane].count > 0) histogram.add(latency[lane])
  const at = (percent: number): number => histogram.percentile(percent) / 1000
  return { p50: at(50), p95: at(95), p99: at(99) }
}

const byLane = <A>(f: (lane: LaneName) => A): { readonly [L in LaneName]: A } => ({
  critical: f("critical"),
  important: f("important"),
  bulk: f("bulk")
})

const order = (perSecond: number, seconds: number, bytes: number, others: Partial<Order> = {}): Order => ({
  perSecond,
  seconds,
  bytes,
  shares: { critical: 0, important: 1 },
  numbered: false,
  ...others
})

/** Publishes, and measures how old the messages are that these clients get. */
const run = async (server: Server, clients: ReadonlyArray<Client>, what: Order): Promise<Percentiles> => {
  const latency = measuring(clients)
  const before = countOfAll(clients)
  const { bulk, critical, important } = await server.publish(what)
  await until(() => countOfAll(clients) - before >= (critical + important + bulk) * clients.length)
  return percentiles(latency)
}

/** Looks at the server at intervals while something goes on. */
const watching = async <A>(server: Server, intervalMillis: number, during: Promise<A>) => {
  const readings: Array<Reading> = []
  const look = setInterval(() => void server.read().then((reading) => readings.push(reading)), intervalMillis)
  try {
    return { result: await during, readings }
  } finally {
    clearInterval(look)
  }
}

export interface Isolation {
  readonly before: Percentiles
  readonly during: Percentiles
  /** Growth of the resident size, from the run without stalled ones to the peak of the one with them. */
  readonly grownMegabytes: number
  /** What the 90 that read received of all that was published meanwhile. */
  readonly fastReceived: number
}

/** 100 sessions, 1,000 messages of 1 KiB a second; then ten stop reading. */
export const isolation = async (peer: Peer, seconds: number): Promise<Isolation> => {
  const server = await Server.start(peer)
  const clients = await Client.connectAll(server.port, 100)
  const stalled = clients.slice(0, 10)
  const fast = clients.slice(10)
  await run(server, fast, order(1_000, 3, 1_024))
  const before = await run(server, fast, order(1_000, seconds, 1_024))
  const { rssBytes } = await server.collect()
  for (const client of stalled) client.setPace(0)
  const receivedBefore = fast.reduce((sum, { received }) => sum + received.important, 0)
  const { readings, result } = await watching(server, 500, run(server, fast, order(1_000, seconds, 1_024)))
  const peak = Math.max(...readings.map((reading) => reading.rssBytes))
  const received = fast.reduce((sum, client) => sum + client.received.important, 0) - receivedBefore
  const outcome: Isolation = {
    before,
    during: result,
    grownMegabytes: (peak - rssBytes) / megabyte,
    fastReceived: received / (fast.length * 1_000 * seconds)
  }
  for (const client of clients) client.close()
  await server.stop()
  return outcome
}

export interface Scale {
  readonly without: Percentiles
  readonly withSlow: Percentiles
  readonly delayP99Millis: number
  readonly sessions: number
  /** A slow one is closed when a ping stands behind more than it reads within the pong timeout. */
  readonly slowClosed: number
  readonly othersClosed: number
  /** What each kind received of all that was published meanwhile. */
  readonly fastReceived: number
  readonly slowReceived: number
}

/** 500 streams and 1,800 idle sessions; then a tenth of the streams reads slowly. */
export const scale = async (seconds: number, streams = 500, idleCount = 1_800): Promise<Scale> => {
  const server = await Server.start("spillway")
  const idle = await Client.connectAll(server.port, idleCount, "/idle")
  const clients = await Client.connectAll(server.port, streams)
  const slow = clients.slice(0, streams / 10)
  const fast = clients.slice(streams / 10)
  const what = order(60, seconds, 1_024, { shares: { critical: 0.02, important: 0.3 } })
  await run(server, fast, order(60, Math.min(3, seconds), 1_024))
  const without = await run(server, fast, what)
  // About a tenth of what is published.
  for (const client of slow) client.setPace(6_000)
  const before = { fast: countOfAll(fast), slow: countOfAll(slow) }
  await server.read()
  const withSlow = await run(server, fast, what)
  const reading = await server.read()
  const published = 60 * seconds
  const fastReceived = (countOfAll(fast) - before.fast) / (fast.length * published)
  const slowClosed = slow.filter(({ isOpen }) => !isOpen).length
  const othersClosed = [...idle, ...fast].filter(({ isOpen }) => !isOpen).length
  const slowReceived = (countOfAll(slow) - before.slow) / (slow.length * published)
  for (const client of [...idle, ...clients]) client.close()
  await server.stop()
  return {
    without,
    withSlow,
    delayP99Millis: reading.delayP99Millis,
    sessions: reading.sessions!.sessions,
    slowClosed,
    othersClosed,
    fastReceived,
    slowReceived
  }
}

export interface Sustained {
  /** Deliveries a second to 100 sessions that were still carried, and at which it was tried next and was not. */
  readonly deliveriesMax: number
  readonly notCarried: number
  /** At 80 % of it. */
  readonly deliveries: number
  readonly latency: { readonly [L in LaneName]: Percentiles }
  /** Of `critical` alone at 50 a second, with nothing else under way. */
  readonly idle: Percentiles
  readonly delayP99Millis: number
  readonly cpuShare: number
  /** Messages of `critical` and `important` that were not delivered. */
  readonly lost: number
}

const mix = { critical: 0.05, important: 0.35 }

const shedOf = ({ sessions }: Reading, lane: LaneName): number => {
  const { conflated, evicted, expired, rejected, undelivered } = sessions!.totals.lanes[lane]
  return evicted + rejected + conflated + expired + undelivered
}

/** 100 sessions, 128 B: the rate goes up by a third until it is not kept, or anything is shed; then 80 % of the last. */
export const sustained = async (seconds: number): Promise<Sustained> => {
  const server = await Server.start("spillway")
  const count = 100
  const clients = await Client.connectAll(server.port, count)
  const idle = await run(server, clients, order(50, 4, 128, { shares: { critical: 1, important: 0 } }))
  let shedBefore = 0
  const isCarried = async (perSecond: number): Promise<boolean> => {
    const latency = measuring(clients)
    const published = await server.publish(order(perSecond, 2, 128, { shares: mix }))
    await sleep(200)
    const reading = await server.read()
    // Late at its end, or the messages are old: more comes than goes.
    const shed = lanes.reduce((sum, lane) => sum + shedOf(reading, lane), 0)
    const isNew = shed > shedBefore
    shedBefore = shed
    return published.seconds < 2.1 && !isNew && percentiles(latency).p99 < 100
  }
  let perSecond = 400
  // What else the machine does may spoil a turn.
  const isCarriedOnce = async (rate: number): Promise<boolean> => await isCarried(rate) || isCarried(rate)
  while (perSecond < 1e6 && await isCarriedOnce(perSecond * 4 / 3)) perSecond *= 4 / 3
  const rate = Math.round(perSecond * 0.8)
  await sleep(1_000)
  const atStart = await server.read()
  const receivedBefore = clients.map(({ received }) => ({ ...received }))
  const latency = measuring(clients)
  const published = await server.publish(order(rate, seconds, 128, { shares: mix }))
  await sleep(1_000)
  const atEnd = await server.read()
  const lost = clients.reduce((sum, { received }, i) => {
    const before = receivedBefore[i]!
    return sum + published.critical - (received.critical - before.critical) +
      published.important - (received.important - before.important)
  }, 0)
  for (const client of clients) client.close()
  await server.stop()
  return {
    deliveriesMax: Math.round(perSecond * count),
    notCarried: Math.round(perSecond * 4 / 3 * count),
    deliveries: rate * count,
    latency: byLane((lane) => percentiles(latency, [lane])),
    idle,
    delayP99Millis: atEnd.delayP99Millis,
    cpuShare: (atEnd.cpuSeconds - atStart.cpuSeconds) / (published.seconds + 1),
    lost
  }
}

export interface Overload {
  /** Resident megabytes: the greatest of the first third, from the fill of all buffers on, and of the last third. */
  readonly early: number
  readonly late: number
  readonly sessions: number
  readonly criticalMissing: number
  /** By lane: what the server says that it shed, and what the clients saw as gaps in the numbers. */
  readonly shed: { readonly [L in LaneName]: number }
  readonly gaps: { readonly [L in LaneName]: number }
  readonly recoveredAfterSeconds: number | undefined
  readonly afterwards: Percentiles
  readonly delayP99Millis: number
}

const isCalm = ({ sessions }: Reading): boolean => {
  const { outboxItems, pressuredSessions, slowSessions } = sessions!.totals
  return pressuredSessions === 0 && slowSessions === 0 && outboxItems === 0
}

/** Sessions that read so many MiB a second each are offered three times that. */
export const overload = async (seconds: number, sessions = 20, mebibytes = 1): Promise<Overload> => {
  const server = await Server.start("spillway")
  const clients = await Client.connectAll(server.port, sessions)
  const calm = order(50, 2, 1_024, { numbered: true, shares: { critical: 0.2, important: 0.4 } })
  const first = await server.publish(calm)
  for (const client of clients) client.setPace(mebibytes * 2 ** 20)
  const flood = order(3_072 * mebibytes, seconds, 1_024, { numbered: true, shares: { critical: 0.02, important: 0.2 } })
  await server.read()
  const { readings, result: second } = await watching(server, 1_000, server.publish(flood))
  const rss = readings.map(({ rssBytes }) => rssBytes / megabyte)
  const endedAt = performance.now()
  const sum = (f: (client: Client) => number): number => clients.reduce((total, client) => total + f(client), 0)
  let critical = first.critical + second.critical
  const isMissing = (): number => critical * clients.length - sum(({ received }) => received.critical)
  // A light load goes on as it does in life: what is slow recovers by sending. What was written before is read first.
  let recoveredAfterSeconds: number | undefined = undefined
  for (let i = 0; i < 100 && recoveredAfterSeconds === undefined; i++) {
    critical += (await server.publish({ ...calm, seconds: 0.2, shares: { critical: 1, important: 0 } })).critical
    await sleep(50)
    if (isMissing() === 0 && isCalm(await server.read())) {
      recoveredAfterSeconds = (performance.now() - endedAt) / 1000
    }
  }
  const latency = measuring(clients)
  const before = countOfAll(clients)
  const third = await server.publish(calm)
  critical += third.critical
  await until(() => countOfAll(clients) - before >= clients.length * (third.critical + third.important + third.bulk))
  const reading = await server.read()
  const outcome: Overload = {
    early: Math.max(...rss.slice(Math.floor(rss.length / 6), Math.ceil(rss.length / 2))),
    late: Math.max(...rss.slice(Math.floor(rss.length * 2 / 3))),
    sessions: reading.sessions!.sessions,
    criticalMissing: isMissing(),
    shed: byLane((lane) => shedOf(reading, lane)),
    gaps: byLane((lane) => sum(({ gaps }) => gaps[lane])),
    recoveredAfterSeconds,
    afterwards: percentiles(latency),
    delayP99Millis: Math.max(...readings.map((each) => each.delayP99Millis))
  }
  for (const client of clients) client.close()
  await server.stop()
  return outcome
}
