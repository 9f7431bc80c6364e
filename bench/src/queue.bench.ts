/**
 * Queue micro: million offer + take pairs a second on one core, for the lane queue with its bounds, eviction, keys and
 * ages in place, next to four bare rings that have neither.
 *
 * What is measured is CPU time of the process, collector included, so that a neighbour on a shared core counts less.
 * Every case runs in a process of its own (`--case NAME`), which warms up and then reports the median of its rounds. The
 * cases are interleaved over the repetitions, and the median of the repetitions is printed.
 *
 * `npx tsx bench/src/queue.bench.ts [--json FILE] [--repetitions N]`
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { LaneQueue, type LaneQueueOptions } from "../../packages/spillway/src/internal/laneQueue.js"
import type { LaneIndex } from "../../packages/spillway/src/Lane.js"
import { claim, median, parse, printMachine, writeResults } from "./report.js"

const { json, repetitions, ...values } = parse("npx tsx bench/src/queue.bench.ts [--json FILE] [--repetitions N]", {
  repetitions: 5,
  // Set by this program for itself: what to measure in this process.
  case: undefined
})

interface Message {
  readonly id: number
}

/** What both contenders can do. A result below 0 is a refusal. */
interface Contender {
  offer(message: Message, lane: LaneIndex, now: number): number
  take(now: number): Message | undefined
}

const options = (itemsMax: number, maxAgeMs: number): LaneQueueOptions => ({
  itemsMax,
  bytesMax: 1 << 30,
  reserveItems: itemsMax,
  reserveBytes: 1 << 30,
  rules: [
    { whenFull: "evictLower", maxAgeMs: Infinity },
    { whenFull: "evictLower", maxAgeMs: Infinity },
    { whenFull: "evictLower", maxAgeMs },
    { whenFull: "evictLower", maxAgeMs }
  ],
  importantPerBulk: 8,
  refuseBulkAbove: 1
})

let shed = 0
const listener = { onShed: () => void shed++ }

const laneQueue = (itemsMax: number, keyOf: () => unknown): Contender => {
  const queue = new LaneQueue<Message>(options(itemsMax, 60_000), listener)
  return {
    offer: (message, lane, now) => queue.offer(message, 512, lane, keyOf(), Infinity, now),
    take: (now) => queue.take(now)
  }
}

/** The peer: four rings of items, strict priority; no bounds, bytes, numbers, ages, keys or counters. */
class BareRing {
  items: Array<Message | undefined> = new Array<Message | undefined>(8).fill(undefined)
  mask = 7
  head = 0
  tail = 0

  push(message: Message): void {
    if (this.tail - this.head > this.mask) this.grow()
    this.items[this.tail++ & this.mask] = message
  }

  shift(): Message | undefined {
    if (this.head === this.tail) return undefined
    const slot = this.head++ & this.mask
    const message = this.items[slot]
    this.items[slot] = undefined
    return message
  }

  grow(): void {
    const items = new Array<Message | undefined>(this.items.length * 2).fill(undefined)
    for (let i = this.head; i < this.tail; i++) items[i & (items.length - 1)] = this.items[i & this.mask]
    this.items = items
    this.mask = items.length - 1
  }
}

const bareRings = (): Contender => {
  const rings = [new BareRing(), new BareRing(), new BareRing(), new BareRing()] as const
  return {
    offer: (message, lane) => {
      rings[lane].push(message)
      return 0
    },
    take: () => rings[0].shift() ?? rings[1].shift() ?? rings[2].shift() ?? rings[3].shift()
  }
}

/** Lanes of successive messages: one in sixteen is control, two are critical, five important, eight bulk. */
const lanes: ReadonlyArray<LaneIndex> = [3, 2, 3, 1, 3, 2, 3, 2, 3, 0, 3, 2, 3, 1, 3, 2]
const messages: ReadonlyArray<Message> = Array.from({ length: 1024 }, (_, id) => ({ id }))

const cpuNanos = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) * 1000
}

/** `pairs` offers and takes, `burst` of one after `burst` of the other. */
const run = (contender: Contender, pairs: number, burst: number): number => {
  const start = cpuNanos()
  let now = 1_700_000_000_000
  for (let i = 0; i < pairs; i += burst) {
    now += 0.001
    for (let j = i; j < i + burst; j++) contender.offer(messages[j & 1023]!, lanes[j & 15]!, now)
    for (let j = 0; j < burst; j++) if (contender.take(now) === undefined) throw new Error("nothing to take")
  }
  return cpuNanos() - start
}

const drain = (contender: Contender): void => {
  while (contender.take(0) !== undefined);
}

/** Offers to a full queue, half of which evict: what an overloaded session costs. Every message counts as a pair. */
const runOverload = (contender: Contender, pairs: number): number => {
  const start = cpuNanos()
  for (let i = 0; i < pairs; i += 2) {
    contender.offer(messages[i & 1023]!, 3, 0)
    contender.offer(messages[i & 1023]!, 2, 0)
    if ((i & 1023) === 0) drain(contender)
  }
  return cpuNanos() - start
}

const none = () => undefined
/** A key that no queued message has. */
let keys = 0
const nextKey = () => keys = (keys + 1) & 0xfffff
/** Keys as a ticker has them: each comes again, but not while its message waits. */
const nextSymbol = () => keys = (keys + 1) & 0x1ff
const shapes: ReadonlyArray<{ readonly shape: string; readonly deep: number; readonly burst: number }> = [
  { shape: "empty", deep: 0, burst: 1 },
  { shape: "100 deep", deep: 100, burst: 1 },
  { shape: "512 deep", deep: 512, burst: 1 },
  { shape: "100,000 deep", deep: 100_000, burst: 1 },
  { shape: "bursts of 64", deep: 0, burst: 64 }
]

const steady = (contender: Contender, deep: number, burst: number) => {
  for (let i = 0; i < deep; i++) contender.offer(messages[i & 1023]!, lanes[i & 15]!, 1_700_000_000_000)
  return (pairs: number) => run(contender, pairs, burst)
}

const cases: Record<string, () => (pairs: number) => number> = {}
for (const { burst, deep, shape } of shapes) {
  cases[`lane queue, ${shape}`] = () => steady(laneQueue(200_000, none), deep, burst)
  if (deep === 0) cases[`lane queue, 512 keys, ${shape}`] = () => steady(laneQueue(200_000, nextSymbol), deep, burst)
  cases[`lane queue, ever new keys, ${shape}`] = () => steady(laneQueue(200_000, nextKey), deep, burst)
  cases[`four bare rings, ${shape}`] = () => steady(bareRings(), deep, burst)
}
cases["lane queue, overload"] = () => {
  const contender = laneQueue(512, none)
  return (pairs) => runOverload(contender, pairs)
}

const measure = (name: string): number => {
  const round = cases[name]!()
  const pairs = 1 << 20
  for (let i = 0; i < 3; i++) round(pairs)
  return median(Array.from({ length: 7 }, () => pairs / round(pairs) * 1000))
}

const self = fileURLToPath(import.meta.url)

const measureInChild = (name: string): number =>
  Number(execFileSync(process.execPath, [...process.execArgv, self, "--case", name], { encoding: "utf8" }))

const main = () => {
  const names = Object.keys(cases)
  const samples = new Map<string, Array<number>>(names.map((name) => [name, []]))
  for (let i = 0; i < repetitions; i++) for (const name of names) samples.get(name)!.push(measureInChild(name))
  const results = names.map((name) => {
    const values = samples.get(name)!
    return { name, median: median(values), min: Math.min(...values), max: Math.max(...values) }
  })
  printMachine(`million offer + take pairs/s, median (min to max) of ${repetitions} processes\n`)
  for (const { max, median, min, name } of results) {
    console.log(`${name.padEnd(40)} ${median.toFixed(1).padStart(7)}  (${min.toFixed(1)} to ${max.toFixed(1)})`)
  }
  const pairs = (name: string): number => results.find((result) => result.name === name)!.median
  claim("every case makes at least a million pairs a second", results.every(({ median }) => median >= 1))
  const slower = pairs("lane queue, 100 deep") / pairs("lane queue, 100,000 deep")
  claim(`a pair at depth 100,000 takes at most 3 times as long as at depth 100 (${slower.toFixed(2)})`, slower <= 3)
  writeResults(json, { parameters: { unit: "million pairs/s", repetitions }, results })
}

if (values.case === undefined) main()
else console.log(measure(values.case))
