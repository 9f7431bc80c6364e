/**
 * One session on a link with a rate, in virtual time, under a load that is the same for every policy: what arrives, how
 * old it is by then, and what was shed.
 */
import { layer as memoryLayer, MemoryTransport } from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as TestClock from "effect/TestClock"
import type { Lane } from "spillway/Lane"
import * as Message from "spillway/Message"
import type * as Overflow from "spillway/Overflow"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import { Transport } from "spillway/Transport"
import { quantile } from "../report.js"

export interface Load {
  readonly name: string
  /** What the link carries, and what is offered to it in bytes a second, at each time. */
  readonly bytesPerSecond: number
  readonly offered: (seconds: number) => number
  /** When the peer does not read. */
  readonly isStalled?: (seconds: number) => boolean
}

const steady = (rate: number) => (): number => rate

/** For so long of each period at one rate, else at another. */
const bursts = (period: number, long: number, high: number, low: number) => (seconds: number): number =>
  seconds % period < long ? high : low

const linkBytes = 50_000

/** The loads of the comparison: links that keep up, at times or always, and links that never do. */
export const loads: ReadonlyArray<Load> = [
  { name: "half of what the link carries", bytesPerSecond: linkBytes, offered: steady(linkBytes / 2) },
  {
    name: "bursts that are over in a second",
    bytesPerSecond: linkBytes,
    offered: bursts(5, 0.4, linkBytes * 2.5, linkBytes / 4)
  },
  {
    name: "bursts of five seconds",
    bytesPerSecond: linkBytes,
    offered: bursts(30, 5, linkBytes * 3, linkBytes / 4)
  },
  {
    name: "stalls of three seconds",
    bytesPerSecond: linkBytes,
    offered: steady(linkBytes / 2),
    isStalled: (seconds) => seconds % 20 >= 17
  },
  { name: "1.5 times", bytesPerSecond: linkBytes, offered: steady(linkBytes * 1.5) },
  { name: "3 times", bytesPerSecond: linkBytes, offered: steady(linkBytes * 3) },
  { name: "10 times", bytesPerSecond: linkBytes, offered: steady(linkBytes * 10) },
  { name: "3 times, on a slow link", bytesPerSecond: linkBytes / 10, offered: steady(linkBytes * 0.3) }
]

export interface LaneResult {
  readonly offered: number
  readonly delivered: number
  /** Age on arrival in milliseconds. */
  readonly p50: number
  readonly p99: number
}

export interface Result {
  readonly critical: LaneResult
  readonly important: LaneResult
  readonly bulk: LaneResult
  readonly bytesDelivered: number
}

const messageBytes = 250
const stepMillis = 20
/** Below the lanes; small, so that the lanes are what is compared. */
const capacityBytes = 2_000

const letters = { c: "critical", i: "important", b: "bulk" } as const

/** 5 % critical, 25 % important, 70 % bulk, drawn at random. */
const laneAt = (drawn: number): Lane => drawn < 0.05 ? "critical" : drawn < 0.3 ? "important" : "bulk"

/** Runs a load for so many seconds of virtual time, and ten more in which nothing is offered. */
export const run = (
  load: Load,
  policy: Layer.Layer<Overflow.Overflow>,
  seconds: number,
  seed: number
): Effect.Effect<Result, unknown> =>
  Effect.gen(function*() {
    const memory = yield* MemoryTransport
    const transport = yield* Transport
    const sessions = yield* Sessions.Sessions
    const client = yield* memory.connect({ toClient: { bytesPerSecond: load.bytesPerSecond, capacityBytes } })
    const session = yield* sessions.open(yield* transport.accept, () => Effect.never)
    let owed = 0
    for (let millis = 0; millis < (seconds + 10) * 1_000; millis += stepMillis) {
      const now = yield* Clock.currentTimeMillis
      yield* load.isStalled?.(millis / 1_000) === true ? client.stall : client.unstall
      if (millis < seconds * 1_000) owed += load.offered(millis / 1_000) * stepMillis / 1_000
      for (; owed >= messageBytes; owed -= messageBytes) {
        const lane = laneAt(yield* Random.next)
        session.unsafeOffer(Message.text(`${lane[0]}${now} `.padEnd(messageBytes, "x"), { lane }))
      }
      yield* settle
      yield* TestClock.adjust(stepMillis)
    }
    yield* settle
    const ages = { critical: [] as Array<number>, important: [] as Array<number>, bulk: [] as Array<number> }
    const received = yield* client.received
    for (const { at, text } of received) {
      const lane = letters[text[0] as keyof typeof letters]
      ages[lane].push(at - Number(text.slice(1, text.indexOf(" "))))
    }
    const laneOf = (lane: keyof typeof ages): LaneResult => {
      const sorted = ages[lane].sort((a, b) => a - b)
      return {
        offered: session.stats.lanes[lane].offered,
        delivered: sorted.length,
        p50: quantile(sorted, 0.5),
        p99: quantile(sorted, 0.99)
      }
    }
    yield* session.close()
    return {
      critical: laneOf("critical"),
      important: laneOf("important"),
      bulk: laneOf("bulk"),
      bytesDelivered: received.length * messageBytes
    }
  }).pipe(
    Effect.provide(
      Layer.mergeAll(
        memoryLayer(),
        // A peer that stalls is not given up within the time that this takes.
        Sessions.layer({ sendTimeout: "1 minute", pingInterval: "1 hour" }).pipe(
          Layer.provide([policy, Telemetry.layerNoop])
        )
      )
    ),
    Effect.withRandom(Random.make(seed)),
    Effect.withClock(VirtualClock.make())
  )
