/**
 * A connection with a watch on it: tells that something happened, and checks how the session uses the port.
 */
import type { Frame } from "spillway/Frame"
import { belowLaneBytes, type Connection, type ConnectionEnd, type ConnectionEvents } from "spillway/Transport"

export interface ConnectionWatch {
  /** Something happened. */
  readonly touched: () => void
  /** A message came from the wire. */
  readonly arrived: (data: Uint8Array) => void
  readonly broken: (law: string, detail: string) => void
}

export class WatchedConnection implements Connection {
  private batchBytes = 0
  private batchFrames = 0
  private corked = false
  private writing = false
  private closing = false

  constructor(private readonly real: Connection, private readonly watch: ConnectionWatch) {}

  get kind(): string {
    return this.real.kind
  }
  get protocol(): string {
    return this.real.protocol
  }
  get remoteAddress(): string {
    return this.real.remoteAddress
  }
  get bufferedBytes(): number {
    return this.real.bufferedBytes
  }
  get writeProgress(): number {
    return this.real.writeProgress
  }

  attach(events: ConnectionEvents): void {
    const { watch } = this
    this.real.attach({
      onMessage: (data, binary) => {
        watch.touched()
        watch.arrived(data)
        events.onMessage(data, binary)
      },
      onFlushed: () => {
        watch.touched()
        this.writing = false
        events.onFlushed()
      },
      onPong: (payload) => {
        watch.touched()
        events.onPong(payload)
      },
      onClose: (end: ConnectionEnd) => {
        watch.touched()
        this.writing = false
        events.onClose(end)
      }
    })
  }

  cork(): void {
    this.watch.touched()
    if (this.corked) this.watch.broken("port", "a gathered write within a gathered write")
    if (this.writing) this.watch.broken("late binding", "messages left the lanes while bytes waited in the process")
    if (this.closing) this.watch.broken("port", "a write after the close frame")
    this.corked = true
    this.batchBytes = 0
    this.batchFrames = 0
    this.real.cork()
  }

  write(frame: Frame, seq: number): void {
    if (!this.corked) this.watch.broken("port", "a write that is not gathered")
    this.batchBytes += frame.byteLength
    this.batchFrames++
    if (this.batchFrames > 1 && this.batchBytes > belowLaneBytes) {
      this.watch.broken("late binding", `${this.batchBytes} bytes left the lanes at once`)
    }
    this.real.write(frame, seq)
  }

  uncork(): boolean {
    if (!this.corked) this.watch.broken("port", "the end of a gathered write that was not begun")
    this.corked = false
    const taken = this.real.uncork()
    this.writing = !taken
    return taken
  }

  pause(): void {
    this.watch.touched()
    this.real.pause()
  }

  resume(): void {
    this.watch.touched()
    this.real.resume()
  }

  ping(payload?: Uint8Array): void {
    this.watch.touched()
    this.real.ping(payload)
  }

  close(code: number, reason: string): void {
    this.watch.touched()
    this.closing = true
    this.real.close(code, reason)
  }

  terminate(): void {
    this.watch.touched()
    this.real.terminate()
  }
}
