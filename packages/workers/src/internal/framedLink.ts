/** A link over a pipe of bytes: frames, limits, faults. What carries the bytes is a `Pipe`. */
import * as Effect from "effect/Effect"
import type { Codec } from "../Codec.js"
import { NotEncodable, PayloadTooLarge } from "../WorkerError.js"
import type { LinkEvents, LinkFault, Request, WorkerExit, WorkerLink } from "../WorkerTransport.js"
import { frameOf, FrameReader, headerBytes } from "./frames.js"
import type { RunFork } from "./memoryLink.js"
import { replyOf } from "./messages.js"

/** What carries the bytes of one worker. */
export interface Pipe {
  readonly pid: number | undefined
  readonly bufferedBytes: number
  readonly memoryBytes: Effect.Effect<number | undefined>
  write(bytes: Uint8Array): void
  pause(): void
  resume(): void
  /** No more bytes will come: the worker ends by itself. */
  end(): void
  kill(): void
  /** Stops the worker without ending it; whether that can be done from here. */
  freeze(): boolean
}

/** What a pipe tells. */
export interface PipeEvents {
  onBytes(chunk: Uint8Array): void
  onExit(exit: WorkerExit): void
}

/** Number of the one request that a link makes itself, to make a fault happen inside of the worker. */
const faultRequestId = -1

export class FramedLink implements WorkerLink, PipeEvents {
  readonly faults: { [F in LinkFault["_tag"]]?: number } = {}
  pipe!: Pipe
  private events: LinkEvents | undefined = undefined
  private readonly reader: FrameReader
  private isPaused = false
  private isBroken = false
  private exit: WorkerExit | undefined = undefined
  private hasToldExit = false
  private delayMillis = 0
  private isSilent = false
  private isPartitioned = false
  private damage: "corrupt" | "tear" | undefined = undefined

  constructor(
    private readonly codec: Codec,
    private readonly payloadBytesMax: number,
    private readonly runFork: RunFork
  ) {
    this.reader = new FrameReader(payloadBytesMax)
  }

  get pid(): number | undefined {
    return this.pipe.pid
  }

  get bufferedBytes(): number {
    return this.pipe.bufferedBytes
  }

  get memoryBytes(): Effect.Effect<number | undefined> {
    return this.pipe.memoryBytes
  }

  attach(events: LinkEvents): void {
    this.events = events
    this.runFork(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => this.read())))
  }

  send(request: Request): PayloadTooLarge | NotEncodable | undefined {
    const { args, command, id } = request
    // Absent, as in JSON: codecs have no common word for `undefined`.
    const payload = this.encode(args === undefined ? { id, command } : { id, command, args })
    if (!(payload instanceof Uint8Array)) return new NotEncodable({ command, why: payload.why })
    const { payloadBytesMax } = this
    const payloadBytes = payload.byteLength
    if (payloadBytes > payloadBytesMax) return new PayloadTooLarge({ payloadBytes, payloadBytesMax })
    if (this.exit !== undefined) return undefined
    if (this.isPartitioned) this.happened("partition")
    else this.pipe.write(frameOf(payload))
    return undefined
  }

  pause(): void {
    this.isPaused = true
    this.pipe.pause()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.pipe.resume()
    this.runFork(Effect.zipRight(Effect.yieldNow(), Effect.sync(() => this.read())))
  }

  stop(): void {
    if (this.exit !== undefined) return
    if (this.isPartitioned) this.happened("partition")
    else this.pipe.end()
  }

  kill(): void {
    if (this.exit === undefined) this.pipe.kill()
  }

  inject(fault: LinkFault): void {
    if (this.exit !== undefined) return
    switch (fault._tag) {
      case "kill":
        this.happened("kill")
        return this.kill()
      case "hang":
        if (this.pipe.freeze()) this.happened("hang")
        return
      case "slow":
        this.delayMillis = fault.delayMillis
        return
      case "partition":
        this.isPartitioned = true
        return
      case "exhaustMemory":
        this.send({ id: faultRequestId, command: "exhaust_memory", args: { bytes: fault.bytes } })
        return
      default:
        this.damage = fault._tag
    }
  }

  onBytes(chunk: Uint8Array): void {
    if (this.exit !== undefined || this.isSilent) return
    if (this.isPartitioned) return this.happened("partition")
    if (this.delayMillis <= 0) return this.arrived(this.damaged(chunk))
    this.happened("slow")
    this.runFork(Effect.zipRight(Effect.sleep(this.delayMillis), Effect.sync(() => this.arrived(this.damaged(chunk)))))
  }

  onExit(exit: WorkerExit): void {
    if (this.exit !== undefined) return
    this.exit = exit
    this.read()
  }

  private happened(fault: LinkFault["_tag"]): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1
  }

  private encode(value: unknown): Uint8Array | { readonly why: string } {
    try {
      return this.codec.encode(value)
    } catch (error) {
      return { why: String(error) }
    }
  }

  /** Hits the payload of the frame that begins here; in the middle of a frame the fault waits for the next. */
  private damaged(chunk: Uint8Array): Uint8Array {
    const { damage } = this
    if (damage === undefined || this.reader.bufferedBytes > 0 || chunk.byteLength <= headerBytes) return chunk
    this.damage = undefined
    this.happened(damage)
    if (damage === "tear") {
      this.isSilent = true
      return chunk.subarray(0, headerBytes + ((chunk.byteLength - headerBytes) >> 1))
    }
    const changed = Uint8Array.from(chunk)
    // No message of any codec begins with such a byte.
    changed[headerBytes]! ^= 0x80
    return changed
  }

  private arrived(chunk: Uint8Array): void {
    if (this.exit !== undefined) return
    this.reader.push(chunk)
    this.read()
  }

  private read(): void {
    const { events } = this
    if (events === undefined) return
    while (!this.isPaused && !this.isBroken) {
      const payload = this.reader.next()
      if (payload === undefined) break
      this.take(payload, events)
    }
    // What the worker has said comes before its end. Nobody waits for the rest of a frame any more.
    if (this.exit === undefined || this.hasToldExit || this.isPaused) return
    this.hasToldExit = true
    events.onExit(this.exit)
  }

  private take(payload: Uint8Array | number, events: LinkEvents): void {
    if (typeof payload === "number") {
      return this.broken(`a frame of ${payload} bytes is larger than ${this.payloadBytesMax}`, events)
    }
    let value: unknown
    try {
      value = this.codec.decode(payload)
    } catch (error) {
      return this.broken(`a frame cannot be decoded: ${error}`, events)
    }
    const reply = replyOf(value)
    if (reply === undefined) return this.broken("a frame is no reply", events)
    if (reply.id !== faultRequestId) return events.onReply(reply)
    if (reply._tag === "Success") this.happened("exhaustMemory")
  }

  private broken(why: string, events: LinkEvents): void {
    this.isBroken = true
    events.onViolation(why)
  }
}
