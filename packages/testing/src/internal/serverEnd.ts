/**
 * The server's end of a memory connection: `Connection`, sentence by sentence.
 *
 * ```
 * open ──close()──▶ closing ──peer's close, end of stream, reset, terminate()──▶ closed
 *   └────────────── peer's close, end of stream, reset, violation, terminate() ──▲
 * ```
 */
import * as Frame from "spillway/Frame"
import type * as Transport from "spillway/Transport"
import { eof, frameBytes, type Wire, type WireItem } from "./wire.js"

const noPayload = new Uint8Array(0)

export class ServerEnd implements Transport.Connection {
  readonly kind = "memory"
  state: "open" | "closing" | "closed" = "open"
  private events: Transport.ConnectionEvents | undefined = undefined
  private end: Transport.ConnectionEnd | undefined = undefined
  private reported = false
  private paused = false
  /** A reset has arrived. It is noticed by reading or writing, as by a real process. */
  private broken = false
  private delivering = false
  /** Position whose entry into the socket buffer is to be told; -1 when nothing is owed. */
  private flushMark = -1

  constructor(readonly wire: Wire, readonly protocol: string, readonly remoteAddress: string) {}

  attach(events: Transport.ConnectionEvents): void {
    if (this.events !== undefined) return
    this.events = events
    this.openGate()
    this.deliver(this.wire.now(), true)
    this.wire.touch()
  }

  cork(): void {
    // Time passes for what was written before, not for what comes now.
    this.wire.now()
    this.wire.toClient.cork()
  }

  write(frame: Frame.Frame, seq: number): void {
    if (this.state !== "open") return
    const data = Frame.toBytes(frame, seq)
    const item: WireItem = { _tag: "Message", data, binary: frame.binary }
    this.wire.send(this.wire.toClient, item, frameBytes(data.byteLength, false), data.byteLength)
  }

  uncork(): boolean {
    const out = this.wire.toClient
    out.uncork()
    out.fill(this.wire.now())
    this.wire.touch()
    // While the connection is ending writes have no effect, so it is not `true` that they were taken.
    if (this.state !== "open") return false
    if (out.buffered === 0) return true
    this.flushMark = out.written
    return false
  }

  get bufferedBytes(): number {
    if (this.state === "closed") return 0
    this.wire.now()
    return this.wire.toClient.buffered
  }

  get writeProgress(): number {
    if (this.state !== "closed") this.wire.now()
    return this.wire.toClient.entered
  }

  pause(): void {
    if (this.state !== "open") return
    this.paused = true
    this.wire.now()
    this.wire.toServer.reading = false
  }

  resume(): void {
    if (this.state === "closed" || !this.paused) return
    this.paused = false
    const now = this.wire.now()
    this.openGate()
    this.deliver(now, true)
    this.wire.touch()
  }

  ping(payload: Uint8Array = noPayload): void {
    if (this.state === "open") this.control({ _tag: "Ping", payload }, payload.byteLength)
  }

  close(code: number, reason: string): void {
    if (this.state !== "open") return
    this.state = "closing"
    this.paused = false
    this.control({ _tag: "Close", code, reason }, 2 + Frame.text(reason).byteLength)
    this.openGate()
  }

  terminate(): void {
    if (this.state === "closed") return
    this.finish({ _tag: "Local" })
    this.wire.toClient.discard()
    if (!this.wire.dead) this.wire.resetAtClient = this.wire.now() + this.wire.toClient.options.latencyMillis
    this.wire.touch()
  }

  /** Position in the stream to the client that the pump waits for. */
  get mark(): number {
    return this.flushMark
  }

  private noticesReset(): boolean {
    if (this.state === "closed") return false
    if (this.wire.toClient.buffered > 0) return this.events !== undefined
    return !this.paused && (this.events !== undefined || this.state === "closing")
  }

  private onReset(): void {
    this.wire.resetAtServer = Infinity
    if (this.broken || this.state === "closed") return
    this.broken = true
    this.wire.toServer.discard()
    this.wire.toClient.break()
  }

  /** Everything that is due. Called by the pump, never inside a call from the session. */
  step(now: number): void {
    if (this.flushMark >= 0 && this.wire.toClient.entered >= this.flushMark && this.isHeard()) {
      this.flushMark = -1
      this.events!.onFlushed()
    }
    this.deliver(now, false)
    if (now >= this.wire.resetAtServer) this.onReset()
    if (this.broken && this.noticesReset()) this.breakDown()
    this.report()
  }

  private isHeard(): boolean {
    return this.events !== undefined && this.state !== "closed"
  }

  private openGate(): void {
    this.wire.toServer.reading = !this.paused && !this.broken && this.state !== "closed" &&
      (this.events !== undefined || this.state === "closing")
  }

  private control(item: WireItem, payloadBytes: number): void {
    this.wire.send(this.wire.toClient, item, frameBytes(payloadBytes, false), payloadBytes)
    this.wire.toClient.fill(this.wire.now())
    this.wire.touch()
  }

  /**
   * Reads what has arrived, frame by frame. `messagesOnly` is for `attach` and `resume`, inside which nothing but
   * messages may be told. A `resume` inside `onMessage` returns at once: the loop that called `onMessage` goes on.
   */
  private deliver(now: number, messagesOnly: boolean): void {
    if (this.delivering) return
    this.delivering = true
    const pipe = this.wire.toServer
    for (;;) {
      pipe.rush(now)
      const item = pipe.peek()
      if (item === undefined || (messagesOnly && item._tag !== "Message")) break
      pipe.shift()
      this.handle(item)
    }
    this.delivering = false
  }

  private handle(item: WireItem): void {
    switch (item._tag) {
      case "Message":
        if (this.state === "open") this.events!.onMessage(item.data, item.binary)
        return
      case "Ping":
        return
      case "Pong":
        if (this.isHeard()) this.events!.onPong(item.payload)
        return
      case "Close":
        if (this.state === "closing") return this.leave({ _tag: "Local" })
        this.control(item, item.code === 1005 ? 0 : 2 + Frame.text(item.reason).byteLength)
        return this.leave({ _tag: "PeerClose", code: item.code, reason: item.reason })
      case "Violation":
        if (this.state === "closing") return
        this.control({ _tag: "Close", code: item.code, reason: "" }, 2)
        return this.leave({ _tag: "ProtocolError", code: item.code, message: item.message })
      case "Eof":
        return this.leave(this.state === "closing" ? { _tag: "Local" } : { _tag: "PeerEof" })
      case "Torn":
        this.wire.drop()
        this.onReset()
        return this.breakDown()
    }
  }

  /** The end after which the stream to the client still drains and is then ended. */
  private leave(end: Transport.ConnectionEnd): void {
    this.wire.toClient.write(eof, 1)
    this.finish(end)
  }

  private breakDown(): void {
    this.finish(this.state === "closing" ? { _tag: "Local" } : { _tag: "PeerReset", message: "read ECONNRESET" })
    this.wire.toClient.discard()
  }

  /** The one way to `closed`. */
  private finish(end: Transport.ConnectionEnd): void {
    this.state = "closed"
    this.end = end
    this.flushMark = -1
    this.wire.toServer.discard()
    this.report()
  }

  private report(): void {
    if (this.end === undefined || this.reported || this.events === undefined) return
    this.reported = true
    this.events.onClose(this.end)
  }
}
