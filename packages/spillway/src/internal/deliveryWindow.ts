/**
 * How much may be on its way to the peer: written, and not yet confirmed by a pong. What exceeds it waits in the lanes, where
 * it can still be overtaken or shed; below them nothing is overtaken, and a socket's send buffer holds megabytes.
 *
 * ```
 * written ──▶ a ping each 16 KiB at most, numbered ──▶ kernel, link, peer ──▶ its pong: so much has arrived, in this time
 * ```
 *
 * The window follows the delay that it causes, as LEDBAT does (RFC 6817): below the target it grows with what arrives, above
 * it shrinks, at most by half for a window's worth. The base is the shortest time seen on this connection, whose path
 * does not change; a ping ahead of the first write finds it while nothing stands before it. A pong answers all pings before
 * it, as a peer may leave some out (RFC 6455, 5.5.3).
 */

const bytesMin = 4 * 1024
const bytesStart = 32 * 1024

/** More than this is in no link's delay: 100 Mbit/s for 80 ms. */
const bytesMax = 1024 * 1024

/** Bytes between pings at most: a quarter of what a write may hand over. */
const pingBytesMax = 16 * 1024

/** With nothing unconfirmed, time between pings: what a quiet connection needs to know its shortest time. */
const quietMillis = 1_000

/** Pings that are remembered without an answer: only while nothing is read from the peer are there as many. */
const pingsMax = 256

export class DeliveryWindow {
  /** Bytes that may be on their way. */
  bytes = bytesStart
  /** Bytes confirmed since the session began. It moves as long as the peer reads. */
  confirmedBytes = 0
  private writtenBytes = 0
  private pingedBytes = 0
  private lastPingAt = -Infinity
  private baseMillis = Infinity
  /** Whether the window has held anything back since the last pong: only then there is something to learn from it. */
  private wasHeldBack = false
  /** Pings without an answer: the bytes before them, and when they were sent. The first of them has the number `first`. */
  private readonly marks: Array<number> = []
  private readonly times: Array<number> = []
  private first = 0

  constructor(private readonly targetMillis: number) {}

  /** Bytes that are still allowed; 0: nothing may be written before a pong. */
  get room(): number {
    return Math.max(0, this.bytes - (this.writtenBytes - this.confirmedBytes))
  }

  /** Something waits for room. */
  holdBack(): void {
    this.wasHeldBack = true
  }

  /** Returns the payload of the ping that has to go ahead of the first write; later `undefined`. */
  begin(now: number): Uint8Array | undefined {
    return this.lastPingAt === -Infinity ? this.ping(now) : undefined
  }

  /** Counts what was written. Returns the payload of the ping that has to follow it, or `undefined`. */
  wrote(bytes: number, now: number): Uint8Array | undefined {
    this.writtenBytes += bytes
    const isQuiet = this.marks.length === 0 && now - this.lastPingAt >= quietMillis
    if (!isQuiet && this.writtenBytes - this.pingedBytes < Math.min(pingBytesMax, this.bytes / 4)) return undefined
    return this.ping(now)
  }

  private ping(now: number): Uint8Array {
    // The oldest is forgotten, not the newest left out: else the last pong would leave bytes that no ping stands behind.
    if (this.marks.length === pingsMax) {
      this.marks.shift()
      this.times.shift()
      this.first = (this.first + 1) >>> 0
    }
    this.pingedBytes = this.writtenBytes
    this.lastPingAt = now
    this.marks.push(this.writtenBytes)
    this.times.push(now)
    const payload = new Uint8Array(4)
    new DataView(payload.buffer).setUint32(0, (this.first + this.marks.length - 1) >>> 0)
    return payload
  }

  /** A pong arrived. `false`: it answers none of these pings. */
  heard(payload: Uint8Array | undefined, now: number): boolean {
    if (payload?.byteLength !== 4) return false
    const number = new DataView(payload.buffer, payload.byteOffset).getUint32(0)
    const index = (number - this.first) >>> 0
    if (index >= this.marks.length) return false
    const arrived = this.marks[index]! - this.confirmedBytes
    const millis = now - this.times[index]!
    this.confirmedBytes += arrived
    this.marks.splice(0, index + 1)
    this.times.splice(0, index + 1)
    this.first = (this.first + index + 1) >>> 0
    this.adapt(arrived, millis)
    return true
  }

  private adapt(arrived: number, millis: number): void {
    this.baseMillis = Math.min(this.baseMillis, millis)
    const offTarget = (this.targetMillis - (millis - this.baseMillis)) / this.targetMillis
    const share = Math.min(1, arrived / this.bytes)
    if (offTarget > 0 && this.wasHeldBack) this.bytes += arrived * offTarget / 2
    else if (offTarget < 0) this.bytes *= 1 + Math.max(offTarget, -0.5) * share
    this.bytes = Math.min(bytesMax, Math.max(bytesMin, this.bytes))
    this.wasHeldBack = false
  }
}
