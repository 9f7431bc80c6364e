/**
 * All connections of one memory transport, and the fiber that moves them: the pump.
 *
 * The pump looks at a connection in the turn after something touched it, and when the next thing is due by the clock.
 * Between two turns it yields, so that nothing is told inside the call that caused it. One timer serves everything.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { PCGRandom } from "effect/Utils"
import { type ClientBehaviour, ClientEnd } from "./clientEnd.js"
import type { PipeOptions } from "./pipe.js"
import { ServerEnd } from "./serverEnd.js"
import * as Signal from "./signal.js"
import { VirtualClockImpl } from "./virtualClock.js"
import { type FrameFaults, Wire } from "./wire.js"

export interface LinkOptions extends ClientBehaviour {
  readonly toClient: PipeOptions
  readonly toServer: PipeOptions
  readonly protocol: string
  readonly remoteAddress: string
  readonly faults: FrameFaults | undefined
}

/** One connection: both ends and what lies between them. */
export class Link {
  readonly server: ServerEnd
  readonly client: ClientEnd
  nextAt = Infinity

  constructor(readonly wire: Wire, options: LinkOptions) {
    this.server = new ServerEnd(wire, options.protocol, options.remoteAddress)
    this.client = new ClientEnd(wire, options)
    wire.faults = options.faults
  }

  /** Nothing will happen on this connection any more. */
  get done(): boolean {
    return this.server.state === "closed" && (this.client.ended !== undefined || this.wire.dead)
  }

  /** Ends both ends at once, whatever the client was made to do. */
  destroy(): void {
    this.wire.resetAtServer = Infinity
    this.client.onReset()
    this.client.setStalled(false)
    this.client.step(this.wire.now())
    this.server.terminate()
    this.wire.resetAtClient = Infinity
  }

  step(): void {
    const now = this.wire.now()
    this.client.step(now)
    this.server.step(now)
    if (now >= this.wire.resetAtClient) {
      this.wire.resetAtClient = Infinity
      this.client.onReset()
      this.client.step(now)
    }
    this.client.changed.notify()
    this.nextAt = this.done ? Infinity : Math.min(
      this.wire.resetAtServer,
      this.wire.resetAtClient,
      this.wire.toClient.nextAt(this.server.mark),
      this.wire.toServer.nextAt(this.client.mark)
    )
  }
}

const shuffled = (links: Array<Link>, random: PCGRandom): ReadonlyArray<Link> => {
  for (let i = links.length - 1; i > 0; i--) {
    const j = random.integer(i + 1)
    ;[links[i], links[j]] = [links[j]!, links[i]!]
  }
  return links
}

export class Network {
  readonly links = new Set<Link>()
  /** What callbacks threw. */
  readonly defects: Array<unknown> = []
  readonly accepted = new Signal.Signal()
  backlog: Array<ServerEnd> = []
  refusing = false
  closed = false
  timerAt = Infinity
  /** Attempts to connect so far. */
  attempts = 0
  /** Clients of duplicated attempts. */
  readonly duplicates: Array<ClientEnd> = []
  /** No connection is due before; the one that was may be gone or later. */
  private soonestAt = Infinity
  private stopTimer: Effect.Effect<void> = Effect.void
  private dirty = new Set<Link>()
  private wake: (() => void) | undefined = undefined
  /** The timer went off while the pump was not waiting. */
  private rung = false

  constructor(
    readonly clock: Clock.Clock,
    readonly backlogConnections: number,
    /** Source of the order within an instant; without one it is that of the touches. */
    private readonly order: PCGRandom | undefined
  ) {}

  connect(options: LinkOptions): Link {
    const wire = new Wire(this.clock, options.toClient, options.toServer, () => this.touch(link))
    const link = new Link(wire, options)
    this.links.add(link)
    this.backlog.push(link.server)
    this.accepted.notify()
    return link
  }

  /** Ends everything, at both ends of each connection. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.closed = true
    this.timerAt = Infinity
    this.accepted.notify()
    return Effect.forEach([...this.links], (link) => this.guarded(Effect.sync(() => link.destroy())), { discard: true })
  }).pipe(
    Effect.zipRight(Effect.sync(() => {
      this.links.clear()
      this.dirty.clear()
      this.backlog = []
    })),
    Effect.zipRight(Effect.suspend(() => this.stopTimer))
  )

  /** Bytes between any writer and its reader. */
  get bytes(): number {
    let bytes = 0
    for (const { wire } of this.links) bytes += wire.toClient.bytes + wire.toServer.bytes
    return bytes
  }

  /** Moves connections, for ever. */
  readonly pump: Effect.Effect<never> = Effect.suspend(() => {
    this.turn()
    if (this.dirty.size > 0) return Effect.yieldNow()
    return Effect.zipRight(this.arm(), this.untilTouched())
  }).pipe((turn) => this.guarded(turn), Effect.forever)

  private guarded(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.catchAllDefect(effect, (defect) => {
      this.defects.push(defect)
      return Effect.logError("a callback of a connection threw", defect)
    })
  }

  private touch(link: Link): void {
    this.dirty.add(link)
    this.awake()
  }

  private turn(): void {
    const now = this.clock.unsafeCurrentTimeMillis()
    if (this.soonestAt <= now) this.findDue(now)
    for (const link of this.order === undefined ? [...this.dirty] : shuffled([...this.dirty], this.order)) {
      this.dirty.delete(link)
      link.step()
      if (link.nextAt < this.soonestAt) this.soonestAt = link.nextAt
      if (link.done) this.links.delete(link)
    }
    if (this.links.size === 0) this.soonestAt = Infinity
  }

  private findDue(now: number): void {
    this.soonestAt = Infinity
    for (const link of this.links) {
      if (link.nextAt <= now) this.dirty.add(link)
      else if (link.nextAt < this.soonestAt) this.soonestAt = link.nextAt
    }
  }

  /** Has the timer go off when the next connection is due. A timer that is early is kept: it costs one look. */
  private arm(): Effect.Effect<void> {
    const at = this.soonestAt
    if (at >= this.timerAt && at !== Infinity || at === this.timerAt) return Effect.void
    const stop = this.stopTimer
    this.stopTimer = Effect.void
    this.timerAt = at
    return at === Infinity ? stop : Effect.zipRight(stop, this.startTimer(at))
  }

  private startTimer(at: number): Effect.Effect<void> {
    const { clock } = this
    if (clock instanceof VirtualClockImpl) {
      this.stopTimer = Effect.sync(clock.unsafeAt(at, () => this.ring()))
      return Effect.void
    }
    const ring = Effect.suspend(() => clock.sleep(Duration.millis(at - clock.unsafeCurrentTimeMillis())))
    return Effect.map(Effect.fork(Effect.zipRight(ring, Effect.sync(() => this.ring()))), (fiber) => {
      this.stopTimer = Effect.asVoid(Fiber.interrupt(fiber))
    })
  }

  private ring(): void {
    this.timerAt = Infinity
    this.stopTimer = Effect.void
    this.rung = true
    this.awake()
  }

  private awake(): void {
    const wake = this.wake
    this.wake = undefined
    wake?.()
  }

  private untilTouched(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.dirty.size > 0 || this.rung) {
        this.rung = false
        return resume(Effect.void)
      }
      this.wake = () => {
        this.rung = false
        resume(Effect.void)
      }
      return Effect.sync(() => {
        this.wake = undefined
      })
    })
  }
}
