/** A client over all of its connections: when one ends, the next goes on behind the last fill. */
import * as Effect from "effect/Effect"
import * as Client from "./Client.js"
import type { Quote } from "./Market.js"
import { Viewer } from "./Viewer.js"

/** What a client has to have once it has read everything: the last prices, and so many fills. */
export interface Last {
  readonly quotes: ReadonlyArray<Quote>
  readonly fills: number
}

export class Follower {
  readonly viewer = new Viewer()
  connections = 0
  private client: Client.Client | undefined
  private isStalled = false

  constructor(private readonly place: string) {}

  /** Never ends. A connection that the server refuses is tried again, as one that it closes is. */
  readonly follow: Effect.Effect<never> = Effect.gen(this, function*() {
    const client = yield* Client.connect(this.place, this.viewer)
    this.connections++
    this.client = client
    yield* client.stall(this.isStalled)
    yield* client.closed
  }).pipe(
    Effect.scoped,
    Effect.ignore,
    Effect.zipRight(Effect.sleep("200 millis")),
    Effect.forever
  )

  /** Stops reading, or reads on: this connection and those after it. */
  stall(isStalled: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isStalled = isStalled
      return this.client?.stall(isStalled) ?? Effect.void
    })
  }

  /** How many prices it does not have as they are. */
  wrong({ quotes }: Pick<Last, "quotes">): number {
    return quotes.filter(({ cents, n, symbol }) => {
      const price = this.viewer.prices.get(symbol)
      return price?.n !== n || price.cents !== cents
    }).length
  }

  /** Whether it has come to the end. */
  isUpToDate(last: Last): boolean {
    return this.viewer.after === last.fills && this.wrong(last) === 0
  }
}
