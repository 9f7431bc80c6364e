/**
 * The connection of the `ws` transport: a `ws` WebSocket and the `net.Socket` below it.
 *
 * Listeners of the WebSocket are functions of this module and find their connection through `OwnedSocket.owner`; an idle
 * connection has one closure, no timer and no fiber.
 *
 * What is held back: `ws` hands out every message of a chunk that it has read, also after `pause()`, and what was left in
 * the socket when it closes. Those messages wait in `held` (at most one chunk of the socket) until `resume`, and an
 * orderly end waits behind them, as it would have in the stream. A reset does not wait.
 */
import type * as Net from "node:net"
import * as Frame from "spillway/Frame"
import type { Connection, ConnectionEnd, ConnectionEvents } from "spillway/Transport"
import * as WS from "ws"
import { Assembly, type Watched } from "./assembly.js"
import { sendableCode, toldCode, truncateReason } from "./closeFrame.js"
import type { EqualDeadlines } from "./equalDeadlines.js"
import * as FrameRuns from "./frameRuns.js"
import { libuvHandle } from "./libuvHandle.js"

/** `ws` calls the constructor itself (its option `WebSocket`), so the owner is set right after. */
export class OwnedSocket extends WS.WebSocket {
  owner: WsConnection | undefined

  /**
   * `ws` calls this as well: to answer the peer's close frame, and to tell a peer what it broke. Its `close` event only
   * comes with the end of the socket, which the peer may put off for as long as the close timeout.
   */
  override close(code?: number, data?: string | Buffer): void {
    super.close(code, data)
    this.owner?.answered(code, data)
  }
}

/** Messages that arrived before `attach` or after `pause`; `next` is the first one not delivered. */
class Held {
  readonly data: Array<Uint8Array> = []
  readonly binary: Array<boolean> = []
  next = 0
}

const enum Phase {
  Open,
  /** `close` was called: messages are dropped. */
  Closing,
  /** `onClose` was called. */
  Closed
}

const local: ConnectionEnd = { _tag: "Local" }
const peerEof: ConnectionEnd = { _tag: "PeerEof" }

/** Only read by `ws`, so one of each serves all sends. */
const compressedText = { binary: false, compress: true }
const compressedBinary = { binary: true, compress: true }

/** Stands in for the list of connections whose frames `ws` does not write. Never written. */
const noSends: Array<number> = []

export class WsConnection implements Connection, Watched {
  // What every write looks at comes first, so that it lies together: with many connections all of it is cold.
  private phase: Phase = Phase.Open
  /** `ws` sends a close frame, or has: nothing may follow it. */
  private hasAnswered = false
  private readonly onSent: ((error?: Error | null) => void) | undefined = undefined
  /** What is written between `cork` and `uncork`. */
  private gathering: FrameRuns.Gathering | undefined = undefined
  private readonly socket: Net.Socket
  /** Identifies the last `uncork` that returned `false`. */
  private clog = 0
  private readonly ws: OwnedSocket
  private events: ConnectionEvents | undefined = undefined
  private held: Held | undefined = undefined
  /** How it ended. Set before `onClose` is called when messages have to be delivered first. */
  private end: ConnectionEnd | undefined = undefined
  /** What the peer broke, known before the socket is closed. */
  private violation: ConnectionEnd | undefined = undefined
  private paused = true
  private closedHere = false
  private delivering = false
  /** Where `ws` writes the frames (compression, masks): payload sizes of the sends whose callback is pending, and payload bytes taken. */
  private readonly sending: Array<number> = noSends
  private compressedTaken = 0
  private readonly assembly: Assembly
  private readonly onData = (chunk: Uint8Array): void => {
    if (this.phase === Phase.Open && this.end === undefined) this.assembly.received(chunk, this.paused)
  }

  /** In the role of the client frames are masked, which `ws` does: its callbacks say what was taken, as with compression. */
  constructor(
    ws: OwnedSocket,
    socket: Net.Socket,
    assemblies: EqualDeadlines<Watched>,
    role: "server" | "client" = "server"
  ) {
    this.ws = ws
    this.socket = socket
    this.assembly = new Assembly(assemblies, this)
    if (role === "client" || ws.extensions.includes("permessage-deflate")) {
      this.sending = []
      this.onSent = (error) => this.sent(error)
    }
    ws.owner = this
    ws.on("message", onMessage)
    ws.on("close", onClose)
    ws.on("error", onError)
    ws.on("ping", onPing)
    ws.on("pong", onPong)
    // After `ws` has put on its own, which may pause the connection, and before anything is read.
    socket.on("data", this.onData)
    // Nobody is there to receive: what follows stays in the socket and, beyond its buffer, with the peer.
    ws.pause()
  }

  get kind(): string {
    return "ws"
  }

  get protocol(): string {
    return this.ws.protocol
  }

  get remoteAddress(): string {
    return this.socket.remoteAddress ?? ""
  }

  attach(events: ConnectionEvents): void {
    if (this.events !== undefined || this.phase === Phase.Closed) return
    this.events = events
    this.resume()
  }

  /** Where `ws` writes (compression was agreed on) it hands over one frame at a time; else they are gathered here. */
  cork(): void {
    if (this.onSent !== undefined) this.socket.cork()
    else this.gathering ??= FrameRuns.begin()
  }

  write(frame: Frame.Frame, seq: number): void {
    // Whether the connection is open is asked once, when all of them are handed over.
    if (this.onSent === undefined) return this.gathering?.add(frame, seq)
    if (this.phase !== Phase.Open || this.ws.readyState !== WS.WebSocket.OPEN) return
    const bytes = Frame.toBytes(frame, seq)
    this.sending.push(bytes.byteLength)
    this.ws.send(bytes, frame.binary ? compressedBinary : compressedText, this.onSent)
  }

  /** As `readyState` of `ws` says it, which ends the socket or calls `close`. */
  get isOpen(): boolean {
    return this.phase === Phase.Open && !this.hasAnswered && this.socket.writable
  }

  /** While the connection is ending `write` has no effect, so that is not `true`: `onClose` follows, not `onFlushed`. */
  uncork(): boolean {
    const { gathering, isOpen } = this
    if (this.onSent !== undefined) this.socket.uncork()
    else if (gathering !== undefined) FrameRuns.end(gathering, isOpen ? this.socket : undefined)
    this.gathering = undefined
    if (!isOpen) return false
    // Node hands a write to the kernel at once: nothing left here means that it took every byte.
    if (this.socket.writableLength === 0 && (this.onSent === undefined || this.ws.bufferedAmount === 0)) return true
    const clog = ++this.clog
    // An empty write comes after all others. A closure for clogged connections only.
    if (this.sending.length === 0) this.socket.write("", (error) => this.taken(clog, error))
    return false
  }

  /** Counts a chunk by what is left of it, where libuv tells; a `Writable` counts it whole until its last byte is gone. */
  get bufferedBytes(): number {
    if (this.phase === Phase.Closed) return 0
    const socket = this.socket
    const all = this.ws.bufferedAmount + (this.phase === Phase.Open ? this.gathering?.wireBytes ?? 0 : 0)
    // `ws` counts a message before its compression and its frame after it: only whole messages tell how much is left.
    if (this.onSent !== undefined) return all === 0 ? 0 : this.sending.reduce((sum, bytes) => sum + bytes, 0)
    if (socket.writableLength === 0) return all
    const handle = libuvHandle(socket)
    // Under TLS the handle counts what is encrypted, and what TLS holds is not in it.
    if (handle === undefined || "encrypted" in socket) return all
    return all - socket.writableLength + (socket.bytesWritten - handle.bytesWritten) + handle.writeQueueSize
  }

  /**
   * Bytes taken by the kernel so far; without the libuv handle, bytes of chunks that were taken whole; where messages are
   * compressed, plus the payload bytes of those taken, so that it moves whenever `bufferedBytes` does. It moves in steps:
   * Linux wakes a writer when a third of its send buffer is free, which is about 1 MiB once that has grown.
   */
  get writeProgress(): number {
    const handle = libuvHandle(this.socket)
    const taken = handle === undefined
      ? this.socket.bytesWritten - this.socket.writableLength
      : handle.bytesWritten - handle.writeQueueSize
    return taken + this.compressedTaken
  }

  pause(): void {
    if (this.phase !== Phase.Open) return
    this.paused = true
    this.assembly.stop()
    this.ws.pause()
  }

  resume(): void {
    if (this.events === undefined || this.phase === Phase.Closed) return
    this.paused = false
    // Called from `onMessage`: the loop below is already running.
    if (this.delivering) return
    this.deliverHeld()
    if (this.paused) return
    // Not now: a call from the session does not call back, except with messages.
    if (this.end !== undefined) return process.nextTick(report, this)
    this.assembly.resume()
    this.ws.resume()
  }

  ping(payload?: Uint8Array): void {
    if (this.phase !== Phase.Open || this.ws.readyState !== WS.WebSocket.OPEN) return
    // What was written before it goes before it.
    this.gathering?.flush(this.socket)
    this.ws.ping(payload)
  }

  close(code: number, reason: string): void {
    if (this.phase !== Phase.Open) return
    this.phase = Phase.Closing
    this.held = undefined
    this.paused = false
    this.assembly.stop()
    if (this.end !== undefined) return process.nextTick(report, this)
    // The peer may have been first, which is known only when the socket is closed.
    this.closedHere = this.ws.readyState === WS.WebSocket.OPEN
    if (this.closedHere) this.gathering?.flush(this.socket)
    // A paused socket would not see the peer's answer.
    this.ws.resume()
    this.ws.close(sendableCode(code), truncateReason(reason))
  }

  terminate(): void {
    if (this.phase === Phase.Closed) return
    if (this.phase === Phase.Open) this.phase = Phase.Closing
    this.held = undefined
    this.end ??= local
    this.unwatch()
    this.gathering?.clear()
    this.ws.terminate()
    this.report()
  }

  /** @internal */
  received(data: Uint8Array, binary: boolean): void {
    if (this.phase !== Phase.Open) return
    if (!this.paused && this.held === undefined) return this.events!.onMessage(data, binary)
    this.held ??= new Held()
    this.held.data.push(data)
    this.held.binary.push(binary)
  }

  /** @internal */
  overdue(): void {
    this.violated(1008, "a message was not finished in time")
    this.ws.close(1008, "message not finished in time")
  }

  /** @internal */
  violated(code: number, message: string): void {
    this.violation ??= { _tag: "ProtocolError", code, message }
  }

  /** @internal */
  pinged(): void {
    // `ws` destroys a peer that does not read the answers to its pings, and only then reports the ping.
    if (this.socket.destroyed && !this.closedHere) this.violated(1008, "too many pings without reading the answers")
    else if (this.phase !== Phase.Closed) this.events?.onPing?.()
  }

  /** @internal */
  ponged(payload: Uint8Array): void {
    if (this.phase !== Phase.Closed) this.events?.onPong(payload)
  }

  /** @internal */
  answered(code: number | undefined, reason: string | Buffer | undefined): void {
    this.hasAnswered = true
    // In the next tick, when a broken rule is known as well.
    if (this.phase === Phase.Open) process.nextTick(closed, this, code ?? 1005, Buffer.from(reason as string ?? ""))
  }

  /** @internal */
  closed(code: number, reason: Buffer): void {
    if (this.end !== undefined) return
    const end = this.classify(code, reason)
    this.end = end
    this.unwatch()
    // Before `attach` nothing is lost. Later a reset overtakes what waits for `resume`, which may be never.
    if (this.events !== undefined && (end._tag === "PeerReset" || end._tag === "Local")) this.held = undefined
    if (this.held === undefined) this.report()
  }

  /** @internal */
  report(): void {
    const events = this.events
    if (events === undefined || this.end === undefined || this.phase === Phase.Closed) return
    this.phase = Phase.Closed
    this.events = undefined
    this.held = undefined
    events.onClose(this.end)
  }

  /** Follows no more messages. Whoever still holds the socket after its end does not hold the session with it. */
  private unwatch(): void {
    this.assembly.stop()
    this.socket.off("data", this.onData)
  }

  private classify(code: number, reason: Buffer): ConnectionEnd {
    if (this.closedHere) return local
    if (this.violation !== undefined) return this.violation
    // 1006 is the one code that `ws` reports only when no close frame came.
    if (code !== 1006) return { _tag: "PeerClose", code, reason: reason.toString() }
    if (this.socket.readableEnded) return peerEof
    return { _tag: "PeerReset", message: this.socket.errored?.message ?? "the socket was destroyed" }
  }

  private deliverHeld(): void {
    const held = this.held
    if (held === undefined) return
    this.delivering = true
    while (held.next < held.data.length && !this.paused && this.held === held) {
      const at = held.next++
      this.events!.onMessage(held.data[at]!, held.binary[at]!)
    }
    this.delivering = false
    if (held.next === held.data.length && this.held === held) this.held = undefined
  }

  private taken(clog: number, error: Error | null | undefined): void {
    if (error == null && clog === this.clog && this.phase !== Phase.Closed) this.events?.onFlushed()
  }

  private sent(error: Error | null | undefined): void {
    const bytes = this.sending.shift() ?? 0
    if (error == null) this.compressedTaken += bytes
    if (this.sending.length > 0 || this.clog === 0) return
    this.clog = 0
    this.taken(0, error)
  }
}

function onMessage(this: WS.WebSocket, data: WS.RawData, binary: boolean): void {
  // `ws` delivers one Buffer as long as `binaryType` is not changed.
  ;(this as OwnedSocket).owner!.received(data as Buffer, binary)
}

function onClose(this: WS.WebSocket, code: number, reason: Buffer): void {
  ;(this as OwnedSocket).owner!.closed(code, reason)
}

function onError(this: WS.WebSocket, error: Error): void {
  ;(this as OwnedSocket).owner!.violated(toldCode(error), error.message)
}

function onPing(this: WS.WebSocket): void {
  ;(this as OwnedSocket).owner!.pinged()
}

function onPong(this: WS.WebSocket, payload: Buffer): void {
  ;(this as OwnedSocket).owner!.ponged(payload)
}

const report = (connection: WsConnection): void => connection.report()

const closed = (connection: WsConnection, code: number, reason: Buffer): void => connection.closed(code, reason)
