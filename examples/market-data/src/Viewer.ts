/**
 * What one client has seen, over all of its connections: the last price of each symbol, the fills, and how old prices were
 * when they came. Plain and synchronous; it knows nothing of sockets.
 */
import type * as Protocol from "./Protocol.js"

type Tick = typeof Protocol.Tick.schema.Type
type Depth = typeof Protocol.Depth.schema.Type
type Status = typeof Protocol.Status.schema.Type
type Welcome = typeof Protocol.Welcome.schema.Type
type FillsGone = typeof Protocol.FillsGone.schema.Type

/** Counts by whole milliseconds, up to a minute; exact percentiles at a fixed cost. */
export class Ages {
  private readonly counts = new Uint32Array(60_001)
  private total = 0

  add(millis: number): void {
    this.counts[Math.min(Math.max(0, Math.round(millis)), 60_000)]!++
    this.total++
  }

  addAll({ counts, total }: Ages): void {
    counts.forEach((count, millis) => (this.counts[millis]! += count))
    this.total += total
  }

  /** The age that so large a share does not exceed; `NaN` of none. */
  quantile(share: number): number {
    let left = Math.ceil(this.total * share)
    if (left === 0) return NaN
    return this.counts.findIndex((count) => (left -= count) <= 0)
  }
}

export class Viewer {
  readonly prices = new Map<string, Tick>()
  readonly depths = new Map<string, Depth>()
  /** Replaced by whoever wants to count from now on. */
  ages = new Ages()
  ticksSeen = 0
  depthsSeen = 0
  fillsSeen = 0
  /** Prices that were older than one that was seen before. */
  ticksBack = 0
  /** Fills that were left out, and that came a second time. */
  fillsMissed = 0
  fillsTwice = 0
  /** Prices and depths that were not sent, of all connections. */
  ticksShed = 0
  depthsShed = 0
  welcome: Welcome | undefined
  gone: FillsGone | undefined
  /** The last fill that was seen. */
  after: number | undefined
  private status: Status | undefined

  /** The query of a connection that goes on where the last one ended. */
  get query(): string {
    return this.welcome === undefined ? "" : `?feed=${this.welcome.feed}&after=${this.after}`
  }

  heard(text: string, now: number): void {
    const message = JSON.parse(text) as Protocol.Heard
    switch (message._tag) {
      case "Tick":
        return this.tick(message, now)
      case "Depth":
        this.depthsSeen++
        this.depths.set(message.symbol, message)
        return
      case "Fill":
        return this.fill(message.id)
      case "Status":
        return this.counted(message)
      case "Welcome":
        this.welcome = message
        this.status = undefined
        this.after ??= message.after
        return
      case "FillsGone":
        this.gone = message
    }
  }

  private tick(tick: Tick, now: number): void {
    this.ticksSeen++
    const before = this.prices.get(tick.symbol)
    if (before !== undefined && before.n > tick.n) this.ticksBack++
    this.prices.set(tick.symbol, tick)
    // What was published before the session began says nothing of its lag.
    if (this.welcome !== undefined && tick.at > this.welcome.at) this.ages.add(now - tick.at)
  }

  private fill(id: number): void {
    const expected = (this.after ?? 0) + 1
    if (id < expected) {
      this.fillsTwice++
      return
    }
    this.fillsMissed += id - expected
    this.fillsSeen++
    this.after = id
  }

  private counted(status: Status): void {
    this.ticksShed += status.ticks.shed - (this.status?.ticks.shed ?? 0)
    this.depthsShed += status.depths.shed - (this.status?.depths.shed ?? 0)
    this.status = status
  }
}
