/**
 * The deadlines of one session, as numbers that the sweeper looks at. A message that proves life is one assignment; no
 * timer is started or stopped for it.
 *
 * - idle: no traffic in either direction (messages, pongs).
 * - receive: nothing heard from the peer; while we ourselves pause reading, nothing read by the handler.
 * - pong: nothing heard since a ping; suspended while we pause reading, because pongs are not seen then, and put off
 *   from each time at which a write that had to wait made progress, because the ping is behind what such a peer reads:
 *   first in the process, then in the socket buffers.
 * - expiry: what the session was allowed with is over, whatever the peer does.
 * - resume: the peer sent too much and is not read from until then; meanwhile neither its silence nor its pongs count.
 * - send: no byte of a write taken by the kernel, sampled once a second.
 */
import type { Exit } from "../Exit.js"
import type { Message } from "../Message.js"
import type { Outcome } from "../Outcome.js"
import { heartbeatMessage, type Stats } from "../Session.js"
import type { Resolved } from "../SessionOptions.js"
import type { Connection } from "../Transport.js"
import type { Slow } from "./slow.js"

/** What the deadlines act on. */
export interface TimedSession {
  readonly connection: Connection
  readonly stats: Stats
  readonly writer: { readonly isWaiting: boolean; readonly progress: number; readonly slow: Slow }
  readonly inbox: { readonly paused: boolean }
  unsafeOffer(message: Message): Outcome
  requestEnd(exit: Exit): void
  becameSlow(why: "stalled"): void
  trim(): void
  unthrottle(): void
}

/** How often the progress of a stalled write is looked at. */
const stallSampleMillis = 1000

/**
 * A sweeper that woke up later than this was itself stalled, and so was the reading of pongs: the peer gets the benefit
 * of the doubt once more (a CPU-bound handler of 2 s otherwise ends every healthy session).
 */
const stallMillis = 100

/** How long the verdict is put off then; one turn of the event loop would do. */
const secondChanceMillis = 1000

export class SessionTimers {
  lastTrafficAt: number
  lastHeartbeatAt: number | undefined = undefined
  stallCheckAt = Infinity
  expiresAt: number
  /** While the peer is not read from because it sent too much: until when. */
  resumeAt = Infinity
  private lastHeardAt: number
  private nextPingAt: number
  private pongDueAt = Infinity
  /** Progress of the write when the pong was asked for. */
  private pingProgress = 0
  /** When a write that had to wait was last seen to make progress, which needs a peer that reads. */
  private takenAt = -Infinity
  private nextHeartbeatAt: number
  private notBefore = 0
  /** Of the running session; `throttle` doubles it. */
  sendTimeout: number
  private progress = 0
  private progressAt = 0

  constructor(private readonly options: Resolved, now: number, firstPingAt: number, expiresAt = Infinity) {
    this.sendTimeout = options.sendTimeout
    this.expiresAt = expiresAt
    this.lastTrafficAt = now
    this.lastHeardAt = now
    this.nextPingAt = firstPingAt
    this.nextHeartbeatAt = now + options.heartbeatInterval
  }

  /** Anything arrived. */
  heard(now: number): void {
    this.lastHeardAt = now
    this.pongDueAt = Infinity
  }

  /** Reading is paused, or the handler took a message while it is: from now on its slowness counts, not the peer's. */
  paused(now: number): void {
    this.heard(now)
  }

  get isThrottled(): boolean {
    return this.resumeAt !== Infinity
  }

  /** Starts anew at `now` what ran on while the peer was not read from. */
  resumed(now: number): void {
    this.resumeAt = Infinity
    this.heard(now)
    this.lastTrafficAt = now
  }

  sendStarted(now: number, progress: number): void {
    this.progress = progress
    this.progressAt = now
    this.stallCheckAt = now + Math.min(stallSampleMillis, this.sendTimeout)
  }

  /** The kernel has taken what it had not taken at once. */
  sendTaken(now: number): void {
    this.takenAt = now
    this.sendDone()
  }

  sendDone(): void {
    this.stallCheckAt = Infinity
  }

  /** How long the write that was started has made no progress. */
  stalledMillis(now: number, progress: number): number {
    if (progress !== this.progress) {
      this.progress = progress
      this.progressAt = now
    }
    return now - this.progressAt
  }

  /** Earliest time at which `onDue` has something to do, given what is known now. */
  get nextDueAt(): number {
    const { idleTimeout, receiveTimeout } = this.options
    const silence = Math.min(this.lastTrafficAt + idleTimeout, this.lastHeardAt + receiveTimeout)
    return Math.max(
      this.notBefore,
      Math.min(
        this.isThrottled ? this.resumeAt : silence,
        this.expiresAt,
        this.nextPingAt,
        this.pongDueAt,
        this.nextHeartbeatAt,
        this.stallCheckAt
      )
    )
  }

  onDue(session: TimedSession, now: number, lateMillis: number): void {
    if (now >= this.resumeAt) {
      this.resumed(now)
      session.unthrottle()
    }
    const verdict = this.verdict(session, now)
    if (verdict !== undefined) {
      const isAboutPeer = verdict._tag === "ReceiveTimeout"
      if (isAboutPeer && lateMillis > stallMillis && this.notBefore === 0) {
        this.notBefore = now + secondChanceMillis
        return
      }
      session.requestEnd(verdict)
      return
    }
    this.notBefore = 0
    if (now >= this.nextPingAt) this.ping(session, now)
    if (now >= this.nextHeartbeatAt) this.heartbeat(session, now)
  }

  private verdict(session: TimedSession, now: number): Exit | undefined {
    const { idleTimeout, pongTimeout, receiveTimeout } = this.options
    const { sendTimeout } = this
    const isPaused = session.inbox.paused
    if (now >= this.expiresAt) return { _tag: "Expired" }
    if (now >= this.stallCheckAt) {
      const { progress } = session.writer
      if (progress !== this.progress) {
        this.progress = progress
        this.progressAt = now
      }
      const stalledFor = now - this.progressAt
      // First, as a sweeper that is late may find both in one look: whoever is given up for it was marked slow.
      if (stalledFor * 2 >= sendTimeout && session.writer.slow.mark()) session.becameSlow("stalled")
      if (stalledFor >= sendTimeout) return { _tag: "SendTimeout" }
      this.stallCheckAt = Math.min(now + stallSampleMillis, this.progressAt + sendTimeout)
    }
    if (now >= this.pongDueAt) {
      this.pongDueAt = isPaused || this.isThrottled ? Infinity : this.takenSincePing(session, now) + pongTimeout
      if (now >= this.pongDueAt) return { _tag: "ReceiveTimeout", waitedFor: "pong" }
    }
    if (this.isThrottled) return undefined
    if (now >= this.lastHeardAt + receiveTimeout) {
      return { _tag: "ReceiveTimeout", waitedFor: isPaused ? "handler" : "data" }
    }
    if (now >= this.lastTrafficAt + idleTimeout) return { _tag: "IdleTimeout" }
    return undefined
  }

  /** When the peer was last seen to take bytes. A slow one has not even read the ping; but it takes bytes, so it lives. */
  private takenSincePing(session: TimedSession, now: number): number {
    const { isWaiting, progress } = session.writer
    if (isWaiting && progress !== this.pingProgress) this.takenAt = now
    this.pingProgress = progress
    return this.takenAt
  }

  private ping(session: TimedSession, now: number): void {
    const { pingInterval, pongTimeout } = this.options
    this.nextPingAt = now + pingInterval
    session.trim()
    session.connection.ping()
    if (session.inbox.paused || this.isThrottled || this.pongDueAt !== Infinity) return
    this.pongDueAt = now + pongTimeout
    this.pingProgress = session.writer.progress
  }

  private heartbeat(session: TimedSession, now: number): void {
    const { heartbeat, heartbeatInterval } = this.options
    this.nextHeartbeatAt = now + heartbeatInterval
    this.lastHeartbeatAt = now
    session.unsafeOffer((heartbeat ?? heartbeatMessage)(session.stats, now))
  }
}
