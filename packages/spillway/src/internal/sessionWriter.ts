/**
 * The outbound side of a session: offers into the lanes, gathered writes out of them, what is in flight, and the counts.
 *
 * ```
 * offer ─▶ lanes ─▶ (connection holds nothing) ─▶ at most 64 KiB, most urgent first ─▶ connection ─▶ kernel
 * ```
 */
import type { Exit } from "../Exit.js"
import * as Frame from "../Frame.js"
import * as Lane from "../Lane.js"
import type { Message } from "../Message.js"
import type { Outcome } from "../Outcome.js"
import * as Outcomes from "../Outcome.js"
import type { Connection } from "../Transport.js"
import { belowLaneBytes } from "../Transport.js"
import { DeliveryWindow } from "./deliveryWindow.js"
import type { ShedReason } from "./laneQueue.js"
import { CONFLATED } from "./laneQueue.js"
import { OutboxCore, outcomeOf } from "./outbox.js"
import { Pressure } from "./pressure.js"
import type { Hosted, SessionHost } from "./sessionHost.js"
import { frameOf, type Item, Tracked } from "./sessionItem.js"
import type { SessionTimers } from "./sessionTimers.js"
import { awaitPong, goOn, type WindowedWriter } from "./sessionWindow.js"
import type { Batch } from "./sharedBatch.js"
import { Slow } from "./slow.js"

/** What the writer needs of its session. */
export interface WriterOwner extends Hosted {
  readonly host: SessionHost
  readonly connection: Connection
  readonly timers: SessionTimers
  /** Nothing is read from the peer, and so none of its pongs. */
  readonly isReadingPaused: boolean
  requestEnd(exit: Exit): void
  becameSlow(why: "slow sends" | "stalled"): void
}

/** Writes of one pump before it lets others run: with the below-lane bound, 1 MiB. */
const batchesPerPump = 16

type ByLane = readonly [number, number, number, number]

export class SessionWriter implements WindowedWriter {
  // What every shared write looks at comes first, so that it lies together: with many sessions all of it is cold.
  readonly outbox: OutboxCore<Item>
  private dirty = false
  inFlight = false
  /** The close frame is out, or about to be: nothing leaves the lanes any more. */
  private stopped = false
  linkAlive = true
  readonly host: SessionHost
  private readonly connection: Connection
  sentBytes = 0
  sends = 0
  inFlightBytes = 0
  /** What the ledger of all sessions was last told. */
  private chargedBytes = 0
  readonly pressure: Pressure
  readonly slow: Slow
  /** Whether the hub sends only the latest of each topic that waits: set for a consumer that lags. */
  conflates = false
  private isThrottled = false
  /** No more offers: the outbox is being flushed, or was. */
  sealed = false
  readonly window: DeliveryWindow | undefined
  unconfirmed = false
  sendMillisTotal = 0
  /** Messages by lane of a write that the kernel did not take at once, and of one that was lost with the link. */
  inFlightByLane: ByLane | undefined = undefined
  lostByLane: ByLane | undefined = undefined
  /** Called when nothing is queued or in flight any more, while the ending flushes. */
  onDrained: (() => void) | undefined = undefined
  /** The last message that was shed: its lane, how, and when (-1: none yet). */
  lastShedLane: Lane.LaneIndex = 0
  lastShedReason: ShedReason | "rejected" = "rejected"
  lastShedAt = -1
  private sendStartedAt = 0
  private tracked: Array<Tracked> | undefined = undefined

  constructor(readonly owner: WriterOwner) {
    const { host } = owner
    this.host = host
    this.connection = owner.connection
    this.outbox = new OutboxCore<Item>(host.queueOptions, this, undefined, host.batchLimits)
    this.pressure = new Pressure(host.marks)
    this.slow = new Slow(host.slow)
    const { deliveryDelay } = host.options
    this.window = deliveryDelay === Infinity ? undefined : new DeliveryWindow(deliveryDelay)
  }

  unsafeOffer(message: Message): Outcome {
    return this.offerAt(message, this.now)
  }

  /** `unsafeOffer` by whoever knows what time it is. */
  offerAt(message: Message, now: number): Outcome {
    if (this.sealed) return Outcomes.rejected("Closed")
    const lane = Lane.toIndex(message.lane)
    const bytes = this.bytesOf(message, lane)
    const code = this.outbox.offer(message.frame, bytes, lane, message.key, message.maxAgeMillis, now)
    return this.offered(code, message.frame, lane, now)
  }

  bytesOf(message: Message, lane: Lane.LaneIndex): number {
    const frame = message.frame
    return frame.tail === undefined ? frame.byteLength : Frame.byteLengthWith(frame, this.outbox.queue.nextSeq(lane))
  }

  /** Takes note of what became of an offer. */
  offered(code: number, frame: Frame.Frame, lane: Lane.LaneIndex, now: number): Outcome {
    if (code >= CONFLATED) this.host.ledger.hold(frame)
    else this.noteShed(lane, "rejected")
    this.updatePressure()
    if (code >= CONFLATED && lane !== 0) this.noteTraffic(now)
    return outcomeOf(code)
  }

  /** Asks first: nearly always nobody wants to know, and every object that is not looked at makes a broadcast cheaper. */
  private noteTraffic(at: number): void {
    if (this.host.options.idleTimeout !== Infinity) this.owner.timers.lastTrafficAt = at
  }

  /** After each change of what is queued or in flight. */
  private updatePressure(): void {
    this.charge()
    const { countedBytes, countedItems } = this.outbox.queue
    const { calmBytes, calmItems } = this.host
    if (countedItems <= calmItems && countedBytes <= calmBytes && !this.pressure.isPressed) return
    if (this.pressure.update(this.outbox.queue.fillRatio) && this.pressure.isPressed) {
      this.host.telemetry.pressureEntered()
    }
  }

  get now(): number {
    return this.host.clock.unsafeCurrentTimeMillis()
  }

  private charge(): void {
    const bytes = this.outbox.queue.queuedBytes + this.inFlightBytes
    this.host.ledger.chargedBytes += bytes - this.chargedBytes
    this.chargedBytes = bytes
  }

  /** Outbox hook: something became takeable. */
  onOffered(): void {
    if (this.dirty || this.inFlight || this.stopped || !this.linkAlive) return
    this.dirty = true
    this.host.schedule(this)
  }

  /** Outbox hook: a queued message was shed. */
  onShed(item: Item, lane: Lane.LaneIndex, reason: ShedReason): void {
    this.host.ledger.release(frameOf(item))
    this.noteShed(lane, reason)
    if (item instanceof Tracked) {
      item.settle({ _tag: reason === "evicted" ? "Evicted" : reason === "expired" ? "Expired" : "Conflated" })
    }
  }

  private noteShed(lane: Lane.LaneIndex, reason: ShedReason | "rejected"): void {
    this.lastShedLane = lane
    this.lastShedReason = reason
    this.lastShedAt = this.now
  }

  /** Outbox hook: a lane whose policy is to disconnect is full. */
  onDisconnect(): void {
    this.owner.requestEnd({ _tag: "SlowConsumer", why: "lane full" })
  }

  get isReady(): boolean {
    return !this.inFlight && this.outbox.isIdle && this.connection.isOpen !== false
  }

  /** Late binding: nothing is taken while bytes of an earlier write are in the process; it can be overtaken or shed. */
  pump(now: number = this.now): void {
    const shared = this.outbox.takeShared(now)
    if (shared !== undefined) return this.writeShared(shared, now)
    // Taking may admit waiting offers; this pump sees them itself.
    this.dirty = true
    const isEmpty = this.writeBatches(now)
    this.dirty = false
    if (isEmpty === undefined) this.onOffered()
    else if (isEmpty) this.emptied()
  }

  /** Nothing is queued and nothing in flight. */
  private emptied(): void {
    if (this.onDrained !== undefined) this.onDrained()
    if (this.sealed || this.stopped || this.inFlight || this.window !== undefined) return
    if (!this.isThrottled && !this.slow.isSlow && !this.conflates && this.linkAlive) this.outbox.rest()
  }

  /** As `writeBatch`, of what other sessions write as well: it goes on to be idle, unless the kernel does not take it. */
  private writeShared(batch: Batch<Item>, now: number): void {
    const { connection, host } = this
    const items = batch.order()
    this.dirty = false
    this.noteTraffic(batch.lastAt)
    host.telemetry.sojourn(batch.leadLane, now - batch.leadAt)
    connection.cork()
    for (const item of items) {
      host.ledger.release(item as Frame.Frame)
      connection.write(item as Frame.Frame, 0)
    }
    if (connection.uncork()) {
      host.ledger.chargedBytes -= batch.bytes
      this.sentBytes += batch.bytes
      this.sends++
      host.telemetry.sendCompleted(0)
      return
    }
    this.inFlightBytes = this.chargedBytes = batch.bytes
    this.outbox.stir()
    this.clogged(now, [0, batch.critical, batch.important, batch.bulk])
  }

  /** The connection did not take everything at once. */
  private clogged(now: number, byLane: ByLane): void {
    const { host, owner } = this
    this.inFlight = true
    this.sendStartedAt = now
    this.inFlightByLane = byLane
    owner.timers.sendStarted(now, this.progress)
    host.arm(owner, owner.timers.stallCheckAt)
  }

  /** Outbox hook: what was charged while it was shared is in the lanes now. */
  onUnshared(bytes: number, lastAt: number): void {
    this.chargedBytes += bytes
    this.noteTraffic(lastAt)
  }

  /** `true`: nothing is left; `false`: the connection is busy or gone; `undefined`: others shall run first. */
  private writeBatches(now: number): boolean | undefined {
    for (let batch = 0; batch < batchesPerPump; batch++) {
      if (this.inFlight || this.stopped || !this.linkAlive) return false
      const window = this.window
      if (window?.room === 0 && !this.owner.isReadingPaused) return awaitPong(this, window, now)
      if (!this.writeBatch(now)) return true
      if (this.outbox.queue.queuedItems === 0 && this.outbox.waiterCount === 0) return !this.inFlight
    }
    return undefined
  }

  /** Hands at most `belowLaneBytes` (or one larger message) to the connection. `false` when there was nothing to send. */
  private writeBatch(now: number): boolean {
    const { connection, host, outbox, owner } = this
    const queue = outbox.queue
    let item = outbox.take(now)
    if (item === undefined) {
      // What was queued may just have expired.
      this.updatePressure()
      return false
    }
    const window = this.window
    const roomMax = window === undefined || owner.isReadingPaused
      ? belowLaneBytes
      : Math.min(belowLaneBytes, window.room)
    let room = roomMax
    let control = 0
    let critical = 0
    let important = 0
    let bulk = 0
    host.telemetry.sojourn(queue.lastLane, now - queue.lastEnqueuedAt)
    const first = window?.begin(now)
    if (first !== undefined) connection.ping(first)
    connection.cork()
    do {
      room -= queue.lastBytes
      if (queue.lastLane === 2) important++
      else if (queue.lastLane === 3) bulk++
      else if (queue.lastLane === 1) critical++
      else control++
      let frame = item
      if (frame instanceof Tracked) {
        ;(this.tracked ??= []).push(frame)
        frame = frame.frame
      }
      host.ledger.release(frame)
      connection.write(frame, queue.lastSeq)
      item = outbox.take(now, room)
    } while (item !== undefined)
    this.inFlightBytes = roomMax - room
    this.sendStartedAt = now
    this.updatePressure()
    const isTaken = connection.uncork()
    const ping = window?.wrote(this.inFlightBytes, now)
    if (ping !== undefined) connection.ping(ping)
    if (isTaken) this.sent(now)
    else this.clogged(now, [control, critical, important, bulk])
    return true
  }

  /** Whether messages wait for the kernel or for the peer. */
  get isWaiting(): boolean {
    return this.inFlight || this.unconfirmed
  }

  /** Moves as long as the kernel takes bytes, or the peer confirms that they came. */
  get progress(): number {
    return this.connection.writeProgress + (this.window?.confirmedBytes ?? 0)
  }

  /** Connection event: the kernel has taken everything. */
  onFlushed(): void {
    if (!this.inFlight) return
    this.inFlight = false
    const now = this.host.clock.unsafeCurrentTimeMillis()
    this.owner.timers.sendTaken(now)
    this.sent(now)
    if (this.outbox.queue.queuedItems > 0) this.onOffered()
    else this.emptied()
  }

  private sent(now: number): void {
    this.inFlightByLane = undefined
    this.sentBytes += this.inFlightBytes
    this.inFlightBytes = 0
    this.charge()
    const duration = now - this.sendStartedAt
    this.sends++
    this.sendMillisTotal += duration
    this.host.telemetry.sendCompleted(duration)
    if (this.tracked !== undefined) {
      const tracked = this.tracked
      this.tracked = undefined
      for (const item of tracked) item.settle({ _tag: "Sent" })
    }
    if (this.slow.note(duration, now) && this.slow.isSlow) this.owner.becameSlow("slow sends")
  }

  /** Sheds everything queued in the lanes from this one down. Returns how many messages. */
  shed(from: 2 | 3): number {
    const shed = this.outbox.shed(from, this.now)
    // Nobody waits for a pong any more, if nothing waits.
    if (this.outbox.queue.queuedItems === 0) goOn(this)
    this.updatePressure()
    return shed
  }

  /** Halves the outbox and doubles the send timeout, or restores both. Holds for the running session, at once. */
  throttle(isOn: boolean): void {
    const { bytesMax, itemsMax } = this.host.queueOptions
    const { sendTimeout } = this.host.options
    this.isThrottled = isOn
    this.outbox.resize(isOn ? Math.ceil(itemsMax / 2) : itemsMax, isOn ? Math.ceil(bytesMax / 2) : bytesMax, this.now)
    this.owner.timers.sendTimeout = isOn ? sendTimeout * 2 : sendTimeout
    this.updatePressure()
  }

  conflate(isOn: boolean): void {
    this.conflates = isOn
    this.outbox.stir()
  }

  /** Takes no more offers; those that wait are told. */
  seal(): void {
    this.sealed = true
    this.outbox.closeWaiters()
  }

  /** Writes no more: what is still queued when the close frame goes out was too late. */
  stop(): void {
    this.outbox.stir()
    this.stopped = true
  }

  /** Gives up what was not sent, counts it, and tells whoever waits. */
  giveUp(): void {
    this.sealed = true
    for (const returned of this.outbox.close()) {
      this.host.ledger.release(frameOf(returned.item))
      if (returned.item instanceof Tracked) returned.item.settle({ _tag: "Undelivered" })
    }
    this.lostByLane ??= this.inFlightByLane
    this.inFlightByLane = undefined
    this.inFlightBytes = 0
    for (const item of this.tracked ?? []) item.settle({ _tag: "Undelivered" })
    this.tracked = undefined
    this.updatePressure()
  }

  /** Nothing queued and nothing in flight. */
  get isDrained(): boolean {
    return !this.inFlight && this.outbox.queue.queuedItems === 0
  }

  /** The link is gone: nothing is sent any more, and a task that waits for it must not use up its grace. */
  linkDown(): void {
    this.inFlight = false
    this.unconfirmed = false
    this.giveUp()
    if (this.onDrained !== undefined) this.onDrained()
  }
}
