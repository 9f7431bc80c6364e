/**
 * The client's end of a memory connection: the state machine below `MemoryClient`, and the faults that it can play.
 */
import * as Signal from "./signal.js"
import { eof, frameBytes, torn, type Wire, type WireItem } from "./wire.js"

export interface Received {
  readonly data: Uint8Array
  readonly binary: boolean
  readonly at: number
}

export interface Ended {
  readonly code: number
  readonly reason: string
  readonly clean: boolean
}

export interface ClientBehaviour {
  readonly neverCloses: boolean
  readonly noPong: boolean
  readonly historyMessages: number
}

/** The history is cut in pieces: one by one would cost its length for each message. */
const cutMessages = 16

/** What nobody has taken yet is kept longer than what was taken. */
const untakenMessagesMin = 1_024

const abnormal: Ended = { code: 1006, reason: "", clean: false }

export class ClientEnd {
  private closing = false
  /** The stream to the server has been ended. */
  private finished = false
  private stalled = false
  private broken = false
  private senders: Array<object> = []
  private sendMark = -1
  private inbox: Array<Received> = []
  /** Untaken messages of the history, counted from its end. */
  private untaken = 0
  ended: Ended | undefined = undefined
  receivedCount = 0
  pings = 0
  readonly changed = new Signal.Signal()

  constructor(readonly wire: Wire, readonly behaviour: ClientBehaviour) {
    this.wire.toClient.reading = true
  }

  get history(): ReadonlyArray<Received> {
    return this.inbox
  }

  /** Position in the stream to the server that the pump waits for. */
  get mark(): number {
    return this.senders.length === 0 ? -1 : this.sendMark >= 0 ? this.sendMark : this.wire.toServer.written
  }

  /** Whether this end is open and has not started to close. */
  get canSend(): boolean {
    return this.ended === undefined && !this.closing
  }

  enqueue(): object {
    const ticket = {}
    this.senders.push(ticket)
    return ticket
  }

  /** Whether it is this sender's turn and nothing of its predecessors is left in the process. */
  isTurn(ticket: object): boolean {
    this.wire.now()
    return this.senders[0] === ticket && this.wire.toServer.buffered === 0
  }

  dequeue(ticket: object): void {
    if (this.senders[0] === ticket) this.sendMark = -1
    this.senders = this.senders.filter((other) => other !== ticket)
    this.changed.notify()
  }

  /** Writes a message and returns the position of its end. */
  write(data: Uint8Array, binary: boolean): number {
    this.sendMark = this.append({ _tag: "Message", data, binary }, frameBytes(data.byteLength, true), data.byteLength)
    return this.sendMark
  }

  hasEntered(position: number): boolean {
    this.wire.now()
    return this.wire.toServer.entered >= position
  }

  take(): Received | undefined {
    if (this.untaken === 0) return undefined
    const taken = this.inbox[this.inbox.length - this.untaken--]
    const { length } = this.inbox
    const most = this.behaviour.historyMessages
    if (this.untaken === 0 && length >= most + cutMessages) this.inbox = this.inbox.slice(length - most)
    return taken
  }

  get available(): number {
    return this.untaken
  }

  setStalled(stalled: boolean): void {
    this.wire.now()
    this.stalled = stalled
    this.wire.toClient.reading = !stalled && this.ended === undefined && !this.wire.toClient.broken
    this.wire.touch()
  }

  setRead(bytesPerSecond: number): void {
    this.wire.now()
    this.wire.toClient.readRate = bytesPerSecond
    this.wire.touch()
  }

  /** Starts the close handshake; code 1005 sends a close frame without a code. */
  close(code: number, reason: string, reasonBytes: number): void {
    if (!this.canSend) return
    this.closing = true
    const payloadBytes = code === 1005 ? 0 : 2 + reasonBytes
    this.append({ _tag: "Close", code, reason }, frameBytes(payloadBytes, true), payloadBytes)
    this.changed.notify()
  }

  violate(code: number, message: string): void {
    if (this.canSend) this.append({ _tag: "Violation", code, message }, frameBytes(0, true))
  }

  /** Ends the stream to the server; what comes from there is still read, until it ends its own. */
  eof(): void {
    if (this.ended !== undefined || this.finished) return
    this.closing = true
    this.finished = true
    this.append(eof, 1)
    this.changed.notify()
  }

  reset(): void {
    if (this.ended !== undefined) return
    this.sendReset()
    this.finish(abnormal)
  }

  /** Sends half of a frame and breaks the connection when the server has read it. */
  tear(): void {
    if (this.ended !== undefined || this.finished) return
    this.append(torn, 512)
    this.finish(abnormal)
  }

  /** Breaks the connection after reading this many bytes more. */
  resetAfter(bytes: number): void {
    if (this.ended !== undefined) return
    this.wire.now()
    this.wire.toClient.trap = this.wire.toClient.read + bytes
    this.wire.touch()
  }

  halfOpen(): void {
    this.wire.now()
    this.wire.dead = true
    this.wire.toClient.frozen = true
    this.wire.toServer.frozen = true
    this.wire.resetAtServer = Infinity
    this.wire.resetAtClient = Infinity
    this.wire.touch()
  }

  /** The server's reset has arrived. */
  onReset(): void {
    this.broken = true
    this.wire.toClient.discard()
  }

  /** Everything that is due. Called by the pump. */
  step(now: number): void {
    if (this.ended === undefined && this.broken && !this.stalled) this.finish(abnormal)
    const pipe = this.wire.toClient
    for (;;) {
      pipe.rush(now)
      if (pipe.read >= pipe.trap) {
        pipe.trap = Infinity
        this.reset()
        break
      }
      const item = pipe.peek()
      if (item === undefined) break
      pipe.shift()
      this.handle(item, now)
    }
    this.changed.notify()
  }

  private handle(item: WireItem, now: number): void {
    switch (item._tag) {
      case "Message":
        return this.keep({ data: item.data, binary: item.binary, at: now })
      case "Ping":
        this.pings++
        if (!this.behaviour.noPong && this.canSend) this.answer(item.payload)
        return
      case "Close":
        if (this.behaviour.neverCloses) return
        if (!this.closing) this.append(item, frameBytes(item.code === 1005 ? 0 : 2, true))
        return this.finish({ code: item.code, reason: item.reason, clean: true })
      case "Violation":
        if (this.canSend) this.append({ _tag: "Close", code: item.code, reason: "" }, frameBytes(2, true))
        return this.finish({ code: item.code, reason: item.message, clean: false })
      case "Torn":
        this.wire.drop()
        return this.finish(abnormal)
      case "Eof":
        return this.finish(abnormal)
    }
  }

  /** Of pings that could not be answered yet only the last is (RFC 6455, 5.5.3). */
  private answer(payload: Uint8Array): void {
    const waiting = this.wire.toServer.lastBuffered
    if (waiting?._tag === "Pong" && waiting.payload.byteLength === payload.byteLength) waiting.payload = payload
    else this.append({ _tag: "Pong", payload }, frameBytes(payload.byteLength, true))
  }

  private append(item: WireItem, byteLength: number, payloadBytes = 0): number {
    const position = this.wire.send(this.wire.toServer, item, byteLength, payloadBytes)
    this.wire.toServer.fill(this.wire.now())
    this.wire.touch()
    return position
  }

  private sendReset(): void {
    if (this.wire.dead) return
    this.wire.resetAtServer = this.wire.now() + this.wire.toServer.options.latencyMillis
    this.wire.touch()
  }

  private keep(message: Received): void {
    this.receivedCount++
    this.inbox.push(message)
    this.untaken++
    const most = Math.max(this.behaviour.historyMessages, untakenMessagesMin)
    if (this.inbox.length >= 2 * most) {
      this.inbox = this.inbox.slice(-most)
      this.untaken = Math.min(this.untaken, most)
    }
  }

  private finish(end: Ended): void {
    this.ended = end
    this.wire.toClient.abandon()
    this.wire.touch()
    this.changed.notify()
  }
}
