/**
 * The data plane of a session: offers in, gathered writes out, inbound messages, timers and flags. Synchronous and plain;
 * the only effects are the shells at the public edge that turn "would wait" into suspension. How a session ends is in
 * `sessionEnding`, its supervised tasks in `sessionTasks`.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CloseReason from "../CloseReason.js"
import { type DrainReport, type Exit, precedence } from "../Exit.js"
import type { Message } from "../Message.js"
import type { Delivery, Outcome } from "../Outcome.js"
import type * as Session from "../Session.js"
import { TypeId } from "../Session.js"
import type { OpenOptions } from "../Sessions.js"
import type { Connection, ConnectionEnd, ConnectionEvents } from "../Transport.js"
import { suspended, wokenWithin } from "./bounded.js"
import { type InboundLimit, inboundLimit } from "./inboundLimit.js"
import { Inbound, Inbox, Reader } from "./inbox.js"
import type { Ending } from "./sessionEnding.js"
import { type Hosted, type Reading, type SessionHost, timeOf } from "./sessionHost.js"
import { deliver, send } from "./sessionSend.js"
import { stats } from "./sessionStats.js"
import { forkTask, type TaskRecord } from "./sessionTasks.js"
import { SessionTimers } from "./sessionTimers.js"
import { delivered, goOn } from "./sessionWindow.js"
import { SessionWriter } from "./sessionWriter.js"

/** Another reader took the message first. */
const taken = new Error("taken")

const isTaken = (cause: Cause.Cause<never>): boolean => Option.contains(Cause.dieOption(cause), taken)

const noOptions: OpenOptions = {}

const ignore = (): void => {}

export class SessionImpl implements Session.Session, Hosted, ConnectionEvents {
  readonly [TypeId]: TypeId = TypeId
  dueAt = Infinity
  heapIndex = -1
  state: Session.State = "open"
  exit: Exit | undefined = undefined
  /** Whether the exit is final. Until then an exit of higher precedence may still replace it. */
  decided = false
  /** Time by which the whole ending is to be over; set by a server that drains. */
  deadlineAt = Infinity
  /** Set while finalizers run: the time by which they are to be over, and whether one was given up. */
  finalizersEndAt = 0
  finalizersCut = false
  /** Fibers in the scope that ignored interruption. */
  stuckForks = 0
  endingSoFar: Ending | undefined = undefined
  report: DrainReport | undefined = undefined
  readonly writer: SessionWriter
  readonly inbox = new Inbox()
  readonly timers: SessionTimers
  private readonly limit: InboundLimit | undefined
  /** Whether anybody ever read an inbound message; a handler that never did gets no time to read at the end. */
  reads = false
  handler: TaskRecord | undefined = undefined
  tasks: Set<TaskRecord> | undefined = undefined
  /** Called when a task has ended, while the ending waits for tasks. */
  onTaskEnd: (() => void) | undefined = undefined
  /** Called when the link is gone, while the ending waits for the peer's close. */
  onLinkDown: (() => void) | undefined = undefined
  private shutdownWaiters: Array<() => void> | undefined = undefined
  private exitWaiters: Array<(report: DrainReport) => void> | undefined = undefined

  constructor(
    readonly host: SessionHost,
    readonly id: string,
    readonly connection: Connection,
    /** Scope of the handler's resources; its last finalizer drains the outbox and closes the connection. */
    readonly scope: Scope.CloseableScope,
    readonly openedAt: number,
    firstPingAt: number,
    private readonly opened: OpenOptions = noOptions
  ) {
    this.timers = new SessionTimers(host.options, openedAt, firstPingAt, opened.expiresAt)
    this.limit = inboundLimit(host.options)
    this.writer = new SessionWriter(this)
  }

  get protocol(): string {
    return this.connection.protocol
  }
  get remoteAddress(): string {
    return this.connection.remoteAddress
  }
  get identity(): string | undefined {
    return this.opened.identity
  }
  get expiresAt(): number | undefined {
    const { expiresAt } = this.timers
    return expiresAt === Infinity ? undefined : expiresAt
  }
  get pressure(): boolean {
    return this.writer.pressure.isPressed
  }
  get slow(): boolean {
    return this.writer.slow.isSlow
  }
  get queuedItems(): number {
    return this.writer.outbox.queue.queuedItems
  }
  get stats(): Session.Stats {
    return stats(this)
  }
  get taskNames(): ReadonlyArray<string> {
    const names = this.tasks === undefined ? [] : [...this.tasks].map((record) => record.name)
    return this.handler === undefined || this.handler.done ? names : [this.handler.name, ...names]
  }
  get linkAlive(): boolean {
    return this.writer.linkAlive
  }
  get isReadingPaused(): boolean {
    return this.inbox.paused || this.timers.isThrottled
  }
  get isEnding(): boolean {
    return this.exit !== undefined
  }

  // ---- outbound ----------------------------------------------------------------------------------------------------

  unsafeOffer(message: Message): Outcome {
    return this.writer.unsafeOffer(message)
  }

  send(message: Message): Effect.Effect<Outcome> {
    return send(this.writer, message)
  }

  deliver(message: Message): Effect.Effect<Delivery> {
    return deliver(this.writer, message)
  }

  /** For one message to many sessions: the clock is asked once for all sessions of a host. */
  offerAt(message: Message, reading: Reading): Outcome {
    return this.writer.offerAt(message, timeOf(this.host, reading))
  }

  /** Connection event: the kernel has taken everything. */
  onFlushed(): void {
    this.writer.onFlushed()
  }

  becameSlow(why: "slow sends" | "stalled"): void {
    this.host.telemetry.slowEntered()
    this.log(Effect.logWarning(`session is slow (${why})`))
    if (this.host.options.slowConsumer === "disconnect") this.requestEnd({ _tag: "SlowConsumer", why })
  }

  // ---- inbound -----------------------------------------------------------------------------------------------------

  /** Connection event: one message. */
  onMessage(data: Uint8Array, binary: boolean): void {
    const { inbox, timers } = this
    const now = this.host.clock.unsafeCurrentTimeMillis()
    timers.heard(now)
    timers.lastTrafficAt = now
    if (this.limit !== undefined) this.meter(this.limit, now, data.byteLength)
    if (inbox.closed) {
      inbox.dropped++
      return
    }
    inbox.push(new Inbound(data, binary))
    const { inboxBytesMax, inboxItemsMax } = this.host.options
    if (!inbox.paused && (inbox.items >= inboxItemsMax || inbox.bytes >= inboxBytesMax)) {
      inbox.paused = true
      timers.paused(now)
      this.connection.pause()
      goOn(this.writer)
    }
  }

  /** Connection event: the peer answered a ping. */
  onPong(payload?: Uint8Array): void {
    const now = this.host.clock.unsafeCurrentTimeMillis()
    // An answer that we asked for with what we sent is not the peer's message.
    const isOurs = delivered(this.writer, payload, now)
    if (!isOurs && this.limit !== undefined) this.meter(this.limit, now, 0)
    this.timers.heard(now)
    if (this.host.options.idleActivity !== "messages") this.timers.lastTrafficAt = now
  }

  /** Counts what arrived. It is kept in any case; a peer that is over its limit is not read from for a while, or has to go. */
  private meter(limit: InboundLimit, now: number, byteLength: number): void {
    const waitMillis = limit.take(now, byteLength)
    if (waitMillis === 0 || this.isEnding) return
    if (this.host.options.inboundExcess === "disconnect") return this.requestEnd({ _tag: "RateLimited" })
    this.timers.resumeAt = now + waitMillis
    this.host.arm(this, this.timers.resumeAt)
    this.connection.pause()
    goOn(this.writer)
  }

  /** Connection event: the peer sent a ping, which the connection has answered. */
  onPing(): void {
    const now = this.host.clock.unsafeCurrentTimeMillis()
    if (this.limit !== undefined) this.meter(this.limit, now, 0)
    this.timers.heard(now)
  }

  /** The time that the peer was not read from is over. */
  unthrottle(): void {
    if (!this.inbox.paused) this.connection.resume()
  }

  /** The next message that was received, or `undefined`. Reads the socket again when there is room. */
  poll(): Inbound | undefined {
    const { inbox } = this
    this.reads = true
    const message = inbox.poll()
    if (message !== undefined && inbox.paused) {
      const now = this.host.clock.unsafeCurrentTimeMillis()
      const { inboxBytesMax, inboxItemsMax } = this.host.options
      this.timers.paused(now)
      if (inbox.items <= inboxItemsMax >> 1 && inbox.bytes <= inboxBytesMax >> 1) {
        inbox.paused = false
        if (!this.timers.isThrottled) this.connection.resume()
      }
    }
    return message
  }

  get receive(): Effect.Effect<Option.Option<Session.Inbound>> {
    return Effect.withFiberRuntime((fiber) => {
      const reader = new Reader(fiber, this.inbox)
      // The message leaves the inbox in the step in which this effect succeeds: any step in between would be a point at
      // which an interruption loses it. Hence the throw, in the rare case that another reader was faster.
      const polled = Effect.sync(() => {
        const message = this.poll()
        if (message === undefined) throw taken
        return Option.some(message)
      })
      const next: Effect.Effect<Option.Option<Session.Inbound>> = Effect.suspend(() => {
        this.reads = true
        if (this.inbox.items > 0) {
          return Effect.catchAllCause(polled, (cause) => isTaken(cause) ? next : Effect.failCause(cause))
        }
        return this.inbox.closed ? Effect.succeedNone : Effect.flatMap(reader.suspend, () => next)
      })
      return next
    })
  }

  get messages(): Stream.Stream<Session.Inbound> {
    return Stream.repeatEffectOption(Effect.flatMap(
      this.receive,
      Option.match({
        onNone: () => Effect.fail(Option.none()),
        onSome: Effect.succeed
      })
    ))
  }

  runForEach<E = never, R = never>(
    f: (message: Session.Inbound) => Effect.Effect<unknown, E, R> | void
  ): Effect.Effect<void, E, R> {
    return Effect.withFiberRuntime((fiber) => {
      const reader = new Reader(fiber, this.inbox, f)
      let ended = false
      return Effect.whileLoop<unknown, E, R>({
        while: () => !ended,
        body: () => {
          const message = this.poll()
          if (message !== undefined) return f(message) ?? Effect.void
          ended = this.inbox.closed
          return ended ? Effect.void : reader.suspend
        },
        step: ignore
      })
    })
  }

  // ---- life --------------------------------------------------------------------------------------------------------

  fork<E, R>(
    name: string,
    kind: Session.TaskKind,
    task: Effect.Effect<unknown, E, R>
  ): Effect.Effect<boolean, never, R> {
    return forkTask(this, name, kind, task)
  }

  close(reason: CloseReason.CloseReason = CloseReason.normal): Effect.Effect<void> {
    return Effect.sync(() => this.requestEnd({ _tag: "ClosedByServer", reason }))
  }

  renew(expiresAt: number | undefined): Effect.Effect<boolean> {
    return Effect.sync(() => {
      if (this.isEnding) return false
      this.timers.expiresAt = expiresAt ?? Infinity
      this.host.arm(this, this.timers.nextDueAt)
      return true
    })
  }

  /** Asks for the end. The first wins, unless one of higher precedence comes before the decision. */
  requestEnd(exit: Exit): void {
    if (this.exit === undefined) {
      this.exit = exit
      this.host.startEnding(this)
    } else if (!this.decided && precedence(exit) < precedence(this.exit)) this.exit = exit
  }

  /** Connection event: the link is gone. */
  onClose(end: ConnectionEnd): void {
    this.writer.linkAlive = false
    this.timers.sendDone()
    this.requestEnd({ _tag: "Disconnected", end })
    this.inbox.close()
    this.writer.linkDown()
    if (this.onLinkDown !== undefined) this.onLinkDown()
  }

  onDue(now: number, lateMillis: number): void {
    if (this.isEnding) return
    // What it shares with others is traffic as well.
    if (this.host.options.idleTimeout !== Infinity) this.writer.outbox.stir()
    this.timers.onDue(this, now, lateMillis)
    if (!this.isEnding) this.host.arm(this, this.timers.nextDueAt)
  }

  /** Starts the ending: the exit is final, sleepers wake, readers get what is left. */
  shutDown(): Exit {
    this.decided = true
    this.state = "draining"
    this.inbox.close()
    const waiters = this.shutdownWaiters
    this.shutdownWaiters = undefined
    if (waiters !== undefined) { for (const wake of waiters) wake() }
    return this.exit!
  }

  ended(report: DrainReport): void {
    this.report = report
    this.state = "closed"
    this.inbox.clear()
    const waiters = this.exitWaiters
    this.exitWaiters = undefined
    if (waiters !== undefined) { for (const wake of waiters) wake(report) }
  }

  /** It has left everything that its owner keeps. */
  left(): void {
    this.opened.onEnded?.()
  }

  get awaitExit(): Effect.Effect<DrainReport> {
    return suspended<DrainReport>((resume) => {
      if (this.report !== undefined) return resume(Effect.succeed(this.report))
      const wake = (report: DrainReport) => resume(Effect.succeed(report))
      ;(this.exitWaiters ??= []).push(wake)
      return () => {
        this.exitWaiters = this.exitWaiters?.filter((other) => other !== wake)
      }
    })
  }

  get awaitShutdown(): Effect.Effect<void> {
    return suspended<void>((resume) => this.onShutdown(() => resume(Effect.void)))
  }

  sleepUntilShutdown(duration: Duration.DurationInput): Effect.Effect<boolean> {
    return Effect.suspend(() =>
      this.decided
        ? Effect.succeed(true)
        : Duration.toMillis(duration) <= 0
        ? Effect.succeed(false)
        : wokenWithin((wake) => this.onShutdown(wake), duration)
    )
  }

  private onShutdown(wake: () => void): () => void {
    if (this.decided) {
      wake()
      return ignore
    }
    ;(this.shutdownWaiters ??= []).push(wake)
    return () => {
      this.shutdownWaiters = this.shutdownWaiters?.filter((other) => other !== wake)
    }
  }

  /** Gives back memory that a burst left behind. */
  trim(): void {
    this.writer.outbox.queue.trim()
  }

  log(effect: Effect.Effect<void>): void {
    this.host.fork(Effect.annotateLogs(effect, "session", this.id), Context.empty())
  }
}
