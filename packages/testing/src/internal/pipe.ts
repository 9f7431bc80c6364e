/**
 * One direction of a connection: a FIFO of frames over a socket buffer of bounded size, under virtual time.
 *
 * ```
 *   write      socket buffer (capacityBytes)       link (latency, bytesPerSecond)      reader (readRate)
 * ────────▶ written ─────────────────────▶ entered ──────────────────────▶ arrived ─────────────────▶ read
 *           └ process buffer: written - entered    └──────── at most capacityBytes: entered - read ───┘
 * ```
 *
 * The four numbers are positions in the byte stream. They move in steps of one millisecond (`advance`), and within an
 * instant where a rate is infinite (`rush`, called by the pump alone, so that nothing is delivered inside the call that
 * wrote it). A byte keeps its room in the socket buffer until the reader has it, as in TCP.
 *
 * Positions of arrival and reading are kept in thousandths of bytes: a rate in bytes per second is then a whole number
 * of them per millisecond, and the arithmetic is exact.
 */
export interface PipeOptions {
  readonly capacityBytes: number
  readonly bytesPerSecond: number
  readonly latencyMillis: number
  /** Draws what is added to the latency of the bytes that enter now. They never overtake those before them. */
  readonly jitterMillis?: (() => number) | undefined
}

interface Entry<A> {
  readonly end: number
  readonly item: A
}

export class Pipe<A> {
  private entries: Array<Entry<A>> = []
  private inFlight: Array<{ end: number; readonly at: number }> = []
  /** Frames that travel longer: where they begin, in order. */
  private held: Array<{ readonly from: number; readonly millis: number }> = []
  private stalledUntil = 0
  private available = 0
  private arrived = 0
  private readAt = 0
  private last = 0
  private corkedAt = Infinity
  /** Bytes written by the process. */
  written = 0
  /** Bytes that the socket buffer has taken, ever. */
  entered = 0
  /** Bytes per second that the reader takes; `Infinity` is at once. */
  readRate = Infinity
  /** Whether the reader reads at all. */
  reading = false
  /** Nothing arrives any more, for ever (half-open). */
  frozen = false
  /** The socket buffer takes nothing any more (reset). */
  broken = false
  /** Position at which reading stops. */
  trap = Infinity

  constructor(readonly options: PipeOptions, now: number) {
    this.last = now
  }

  /** Bytes that are still in the process. */
  get buffered(): number {
    return this.written - this.entered
  }

  /** Whole bytes that the reader has taken. */
  get read(): number {
    return Math.floor(this.readAt / 1000)
  }

  /** Bytes anywhere between the writer and the reader. */
  get bytes(): number {
    return this.written - this.read
  }

  /** Whether the frame written last waits in the process, and what it is. */
  get lastBuffered(): A | undefined {
    const entry = this.entries.at(-1)
    return entry !== undefined && entry.end > this.entered ? entry.item : undefined
  }

  cork(): void {
    if (this.corkedAt === Infinity) this.corkedAt = this.written
  }

  uncork(): void {
    this.corkedAt = Infinity
  }

  /** Appends a frame; `fill` or the next step moves it on. Returns the position of its end. */
  write(item: A, byteLength: number): number {
    this.written += byteLength
    this.entries.push({ end: this.written, item })
    return this.written
  }

  /** Moves bytes into the socket buffer as far as there is room. */
  fill(now: number): void {
    if (this.broken) return
    const next = Math.min(this.written, this.corkedAt, this.read + this.options.capacityBytes)
    if (next <= this.entered) return
    this.entered = next
    const soonest = now + this.options.latencyMillis + (this.options.jitterMillis?.() ?? 0)
    let at = soonest
    while (this.held.length > 0 && this.held[0]!.from < next) {
      const { from, millis } = this.held.shift()!
      this.depart(from, at)
      at = soonest + millis
    }
    this.depart(next, at)
  }

  /** The frame written next travels this much longer, and with it all that comes after. */
  hold(millis: number): void {
    this.held.push({ from: this.written, millis })
  }

  /** Nothing arrives before this time, neither what is on the way nor what comes. */
  stall(until: number): void {
    this.stalledUntil = Math.max(this.stalledUntil, until)
  }

  /** Brings the positions to the time `now`, one millisecond after the other. */
  advance(now: number): void {
    while (this.last < now) {
      if (this.tick(this.last + 1)) {
        this.last++
        continue
      }
      // Nothing moved, so nothing will before the next bytes arrive.
      const at = this.frozen
        ? Infinity
        : this.last < this.stalledUntil
        ? this.stalledUntil
        : this.inFlight[0]?.at ?? Infinity
      this.last = Math.min(now, Math.max(this.last + 1, at - 1))
    }
  }

  /** Moves what takes no time, up to the end of the next frame. */
  rush(now: number): void {
    do {
      this.arrive(this.options.bytesPerSecond === Infinity ? Infinity : 0, now)
      this.consume(this.readRate === Infinity ? Infinity : 0)
    } while (this.fills(now))
  }

  /** The next frame that the reader has in full. */
  peek(): A | undefined {
    const entry = this.entries[0]
    return entry !== undefined && this.reading && entry.end * 1000 <= this.readAt ? entry.item : undefined
  }

  /** Removes the frame that `peek` returned. */
  shift(): void {
    this.entries.shift()
  }

  /**
   * A time before which no frame is complete at the reader and the position `mark` does not enter the socket buffer;
   * `Infinity` when neither happens by itself. May be too early, never too late.
   */
  nextAt(mark: number): number {
    let needed = Math.min(this.entries[0]?.end ?? Infinity, this.trap)
    if (mark > this.entered) needed = Math.min(needed, mark - this.options.capacityBytes)
    if (needed > Math.min(this.written, this.corkedAt) || !this.reading || this.frozen) return Infinity
    if (this.broken && needed > this.entered) return Infinity
    needed *= 1000
    const readMillis = Math.max(0, Math.ceil((needed - this.readAt) / this.readRate))
    const linkMillis = Math.max(0, Math.ceil((needed - this.arrived) / this.options.bytesPerSecond))
    let at = this.last + Math.max(1, readMillis, linkMillis)
    if (needed > this.available * 1000 && this.inFlight.length > 0) {
      const covering = this.inFlight.find((segment) => segment.end * 1000 >= needed) ?? this.inFlight[0]!
      at = Math.max(at, covering.at)
    }
    return needed > this.arrived ? Math.max(at, this.stalledUntil) : at
  }

  /** Drops every byte on the way and takes no more. */
  discard(): void {
    this.break()
    this.entries = []
    this.written = this.entered
  }

  /** Drops what the socket buffer holds and lets nothing more in; what is left in the process stays there. */
  break(): void {
    this.abandon()
    this.broken = true
  }

  /** The reader is gone: drops what the socket buffer holds. It fills once more and then takes nothing. */
  abandon(): void {
    this.entries = this.entries.filter((entry) => entry.end > this.entered)
    this.inFlight = []
    this.held = []
    this.available = this.entered
    this.arrived = this.entered * 1000
    this.readAt = this.arrived
    this.reading = false
    this.trap = Infinity
  }

  /** Every invariant of this structure that does not hold. */
  check(): ReadonlyArray<string> {
    const wrong: Array<string> = []
    if (this.entered > this.written) wrong.push("more entered than was written")
    if (this.arrived > this.entered * 1000) wrong.push("more arrived than entered")
    if (this.readAt > this.arrived) wrong.push("more read than arrived")
    if (this.entered - this.read > this.options.capacityBytes) wrong.push("the socket buffer is over its capacity")
    for (let i = 1; i < this.entries.length; i++) {
      if (this.entries[i]!.end < this.entries[i - 1]!.end) wrong.push("frames out of order")
    }
    return wrong
  }

  private tick(at: number): boolean {
    const { arrived, entered, readAt } = this
    const rate = this.options.bytesPerSecond
    // What comes all at once, comes at the end of the millisecond: a reader with a rate begins with it in the next one.
    if (rate === Infinity && this.readRate < Infinity) this.consume(this.readRate)
    this.arrive(rate, rate === Infinity ? at : at - 1)
    if (rate < Infinity || this.readRate === Infinity) this.consume(this.readRate)
    this.fill(at)
    // What has just found room on a link without a rate is there, whether or not anybody looks in this instant.
    if (rate === Infinity) this.arrive(rate, at)
    return arrived !== this.arrived || readAt !== this.readAt || entered !== this.entered
  }

  private fills(now: number): boolean {
    const before = this.entered
    this.fill(now)
    return this.entered > before
  }

  private depart(end: number, at: number): void {
    const newest = this.inFlight.at(-1)
    if (end <= (newest?.end ?? this.available)) return
    // In order: a byte that left later arrives no earlier.
    if (newest !== undefined && newest.at >= at) newest.end = end
    else this.inFlight.push({ end, at })
  }

  /** `step` is in thousandths of bytes. */
  private arrive(step: number, now: number): void {
    if (this.frozen || now < this.stalledUntil) return
    while (this.inFlight.length > 0 && this.inFlight[0]!.at <= now) this.available = this.inFlight.shift()!.end
    this.arrived = Math.min(this.available * 1000, this.arrived + step)
  }

  private consume(step: number): void {
    if (!this.reading) return
    let limit = Math.min(this.arrived, this.trap * 1000)
    // A reader without a rate takes one frame at a time, so that a pause leaves the others in the socket buffer.
    if (step === Infinity && this.entries.length > 0) limit = Math.min(limit, this.entries[0]!.end * 1000)
    this.readAt = Math.max(this.readAt, Math.min(limit, this.readAt + step))
  }
}
