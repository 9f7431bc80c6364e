/**
 * Fifty clients, five of which stop reading, while 2,000 messages a second of 1 KiB are published: the five cost their
 * bound and are ended, the others miss nothing that matters.
 */
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import WebSocket from "ws"
import { build, type Client, isContiguous, Server, sleep, until } from "./support.js"

const outboxBytesMax = 1_048_576

/** What one session may hold: its bound, the bytes below the lanes, and the control reserve. */
const sessionBytesMax = outboxBytesMax + 2 * 65_536

const text = "x".repeat(1024)

/** Of 100 messages this many are critical and important; the rest is bulk. */
const share = { critical: 2, important: 28 }

const perSecond = 2_000

/** Half of what an outbox holds. Readers on a machine without a free processor may be this far behind, and no further. */
const behindMax = 500

let server: Server

beforeAll(build)

afterEach(() => server?.stop())

/** A reader that keeps numbers and throws the rest away: parsing 90,000 frames a second would measure this process. */
class Reader {
  readonly seqs: Record<string, Array<number>> = { critical: [], important: [], bulk: [] }
  readonly ws: WebSocket

  constructor(url: string) {
    this.ws = new WebSocket(`${url.replace("http", "ws")}/ws?topics=load`, { skipUTF8Validation: true })
    this.ws.on("error", () => {})
    this.ws.on("message", (data: Buffer) => {
      const found = /"lane":"(\w+)","seq":(\d+)/.exec(data.toString("latin1", 0, 90))
      if (found !== null) this.seqs[found[1]!]!.push(Number(found[2]))
    })
  }
}

/** How many messages the slowest reader has come to; what was shed on the way is counted. */
const slowest = (readers: ReadonlyArray<Reader>): number =>
  Math.min(...readers.map(({ seqs }) => Object.values(seqs).reduce((sum, lane) => sum + (lane.at(-1) ?? 0), 0)))

/**
 * Publishes at the rate for a time: `critical` over HTTP, as only the server's side may, the rest as a client. Slower where
 * the readers get no processor: then everybody is a slow client, and `important` is shed as it should be.
 */
const publish = async (millis: number, readers: ReadonlyArray<Reader>) => {
  const publisher = await server.open("/ws")
  const counts = { critical: 0, important: 0, bulk: 0 }
  const posts: Array<Promise<unknown>> = []
  const begin = performance.now()
  // Enough in any case to fill what the kernel holds for a stalled client, and its outbox.
  for (let sent = 0; performance.now() - begin < millis || sent < 5_000;) {
    const due = Math.min(
      Math.floor((performance.now() - begin) * perSecond / 1000),
      slowest(readers) + behindMax
    )
    for (; sent < due; sent++) {
      const at = sent % 100
      const lane = at < share.critical ? "critical" : at < share.critical + share.important ? "important" : "bulk"
      counts[lane]++
      if (lane === "critical") posts.push(server.publish("load", { lane, data: text }).then((r) => r.arrayBuffer()))
      else publisher.say(`{"type":"publish","topic":"load","lane":"${lane}","data":"${text}"}`)
    }
    await sleep(5)
  }
  await Promise.all(posts)
  await publisher.handled()
  publisher.ws.close()
  return { counts, seconds: (performance.now() - begin) / 1000 }
}

interface Seen {
  looks: number
  bytesMax: number
  totalBytesMax: number
  residentBytesMax: number
  delayMillisMax: number
}

/** Looks at the stalled sessions until told to stop. All at a time: a look may take long on a busy machine. */
const watch = async (ids: ReadonlyArray<string>, seen: Seen, done: () => boolean) => {
  while (!done()) {
    const looks = await Promise.all(ids.map(async (id) => (await fetch(`${server.url}/stats?session=${id}`)).json()))
    seen.looks++
    for (const stats of looks as ReadonlyArray<any>) {
      seen.delayMillisMax = Math.max(seen.delayMillisMax, stats.eventLoopDelay.maxMillis)
      seen.totalBytesMax = Math.max(seen.totalBytesMax, stats.outbox.bytes)
      seen.residentBytesMax = Math.max(seen.residentBytesMax, stats.process.residentBytes)
      if (stats.session === null) continue
      seen.bytesMax = Math.max(seen.bytesMax, stats.session.queuedBytes + stats.session.inFlightBytes)
    }
    await sleep(100)
  }
}

const openStalled = async () => {
  const clients = await Promise.all(Array.from({ length: 5 }, () => server.open("/ws?topics=load")))
  const welcomes = await Promise.all(clients.map((client: Client) => client.first("welcome")))
  for (const client of clients) client.stall()
  return { clients, ids: welcomes.map(({ session }) => session as string) }
}

const scenario = async (environment: Record<string, string>, millis: number) => {
  server = await Server.start(environment)
  const readers = Array.from({ length: 45 }, () => new Reader(server.url))
  const { clients, ids } = await openStalled()
  await until(async () => (await server.json("/stats")).topics.subscriptions === 50 || undefined)
  const residentBytes = (await server.json("/stats")).process.residentBytes
  const seen: Seen = {
    looks: 0,
    bytesMax: 0,
    totalBytesMax: 0,
    residentBytesMax: 0,
    delayMillisMax: 0
  }
  let done = false
  const watching = watch(ids, seen, () => done)
  const published = await publish(millis, readers)
  // The readers are still here; the stalled ones are not.
  const stats = await until(async () => {
    const stats = await server.json("/stats")
    return stats.sessions === 45 && stats.outbox.items === 0 ? stats : undefined
  }, 60_000).finally(() => {
    done = true
  })
  await watching
  await until(
    () => readers.every(({ seqs }) => seqs["critical"]!.length >= published.counts.critical) || undefined,
    60_000
  )
  for (const client of clients) client.ws.terminate()
  for (const reader of readers) reader.ws.terminate()
  const exits = stats.closed.filter(({ id }: { id: string }) => ids.includes(id)).map(({ exit }: any) => exit)
  report(published, seen, residentBytes, readers)
  const metrics = await (await server.get("/metrics")).text()
  const marked = Number(/^spillway_slow_marks_total (\d+)$/m.exec(metrics)?.[1])
  return { readers, stats, marked, exits: exits as ReadonlyArray<string>, seen, published, residentBytes }
}

const MiB = (bytes: number) => `${(bytes / 1_048_576).toFixed(1)} MiB`

const report = (
  published: Awaited<ReturnType<typeof publish>>,
  seen: Seen,
  residentBytes: number,
  readers: ReadonlyArray<Reader>
) => {
  const total = published.counts.critical + published.counts.important + published.counts.bulk
  const bulk = readers.map(({ seqs }) => seqs["bulk"]!.length / published.counts.bulk)
  process.stdout.write(
    `published ${total} in ${published.seconds.toFixed(1)} s (${Math.round(total / published.seconds)}/s); ` +
      `largest stalled session ${MiB(seen.bytesMax)}, all outboxes ${MiB(seen.totalBytesMax)}, ` +
      `RSS ${MiB(residentBytes)} -> ${MiB(seen.residentBytesMax)}; ` +
      `bulk received by the slowest reader ${(Math.min(...bulk) * 100).toFixed(1)} %; ` +
      `event loop delayed by up to ${seen.delayMillisMax} ms; ${seen.looks} looks\n`
  )
}

const check = (
  { exits, marked, published, readers, residentBytes, seen, stats }: Awaited<ReturnType<typeof scenario>>
) => {
  for (const { seqs } of readers) {
    for (const lane of ["critical", "important"] as const) {
      assert.strictEqual(seqs[lane]!.length, published.counts[lane], lane)
      assert.isTrue(isContiguous(seqs[lane]!), lane)
    }
  }
  assert.isAbove(seen.bytesMax, outboxBytesMax / 2, "the stalled sessions did fill up")
  assert.isAtMost(seen.bytesMax, sessionBytesMax)
  assert.isBelow(seen.residentBytesMax - residentBytes, 5 * sessionBytesMax + 150 * 1_048_576)
  assert.isAtLeast(marked, 5, "the stalled sessions were marked slow")
  assert.strictEqual(exits.length, 5)
  assert.strictEqual(stats.stuckTasks, 0)
  assert.strictEqual(stats.uncaughtErrors, 0)
}

describe("clients that stop reading", () => {
  it("are ended by the send timeout, bounded until then, and cost the others nothing that matters", async () => {
    const result = await scenario({}, 8_000)
    check(result)
    assert.deepStrictEqual([...new Set(result.exits)], ["SendTimeout"])
  })

  it("are ended as slow consumers where the policy says so", async () => {
    const result = await scenario({ GATEWAY_SLOW_CONSUMER: "disconnect", GATEWAY_SEND_TIMEOUT: "8 seconds" }, 6_000)
    check(result)
    assert.deepStrictEqual([...new Set(result.exits)], ["SlowConsumer"])
  })
})
