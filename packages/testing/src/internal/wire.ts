/**
 * What travels on a memory connection, and how many bytes it takes there (RFC 6455, section 5.2).
 */
import type * as Clock from "effect/Clock"
import type { FrameAct, FrameKind } from "../Faults.js"
import { Pipe, type PipeOptions } from "./pipe.js"

export type WireItem =
  | { readonly _tag: "Message"; readonly data: Uint8Array; readonly binary: boolean }
  | { readonly _tag: "Ping"; readonly payload: Uint8Array }
  /** What it answers may be replaced as long as it waits in the process. */
  | { readonly _tag: "Pong"; payload: Uint8Array }
  | { readonly _tag: "Close"; readonly code: number; readonly reason: string }
  /** End of the stream. Takes one byte, as in TCP. */
  | { readonly _tag: "Eof" }
  /** The first half of a frame whose other half never comes: the connection breaks here. */
  | { readonly _tag: "Torn" }
  /** A frame that breaks the protocol or a limit. */
  | { readonly _tag: "Violation"; readonly code: number; readonly message: string }

export const eof: WireItem = { _tag: "Eof" }
export const torn: WireItem = { _tag: "Torn" }

/** Bytes of a frame on the wire. Clients mask their frames, which takes four more. */
export const frameBytes = (payloadBytes: number, masked: boolean): number =>
  payloadBytes + (payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10) + (masked ? 4 : 0)

/** Asked for each frame of a connection; `undefined` leaves it alone. */
export type FrameFaults = (toClient: boolean, kind: FrameKind, payloadBytes: number) => FrameAct | undefined

const kindOf = (item: WireItem): FrameKind | undefined => {
  switch (item._tag) {
    case "Message":
      return "message"
    case "Ping":
      return "ping"
    case "Pong":
      return "pong"
    case "Close":
      return "close"
    default:
      return undefined
  }
}

const isText = (data: Uint8Array): boolean => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(data)
    return true
  } catch {
    return false
  }
}

/** The message with some bits of one byte flipped. Text that is none any more is what a reader makes of it: an error. */
const corrupted = (item: WireItem & { readonly _tag: "Message" }, byteIndex: number, mask: number): WireItem => {
  const data = item.data.slice()
  data[byteIndex % data.byteLength]! ^= mask
  return item.binary || isText(data)
    ? { ...item, data }
    : { _tag: "Violation", code: 1007, message: "invalid UTF-8" }
}

/** What the ends of a connection share: its two directions, the clock, and the way to be looked at by the pump. */
export class Wire {
  readonly toClient: Pipe<WireItem>
  readonly toServer: Pipe<WireItem>
  /** Time at which a reset arrives, `Infinity` when none is under way. */
  resetAtServer = Infinity
  resetAtClient = Infinity
  /** Silence both ways. */
  dead = false
  /** `undefined` unless there are rules for frames. */
  faults: FrameFaults | undefined = undefined

  constructor(
    readonly clock: Clock.Clock,
    toClient: PipeOptions,
    toServer: PipeOptions,
    /** Has the pump look at this connection in its next turn. */
    readonly touch: () => void
  ) {
    const now = clock.unsafeCurrentTimeMillis()
    this.toClient = new Pipe(toClient, now)
    this.toServer = new Pipe(toServer, now)
  }

  /** The time, with both directions brought up to it. */
  now(): number {
    const now = this.clock.unsafeCurrentTimeMillis()
    this.toClient.advance(now)
    this.toServer.advance(now)
    return now
  }

  /** Writes a frame to one of the directions, with the fault that befalls it. Returns the position of its end. */
  send(pipe: Pipe<WireItem>, item: WireItem, byteLength: number, payloadBytes: number): number {
    if (this.faults === undefined || this.dead) return pipe.write(item, byteLength)
    const kind = kindOf(item)
    const fault = kind === undefined ? undefined : this.faults(pipe === this.toClient, kind, payloadBytes)
    switch (fault?._tag) {
      case undefined:
        return pipe.write(item, byteLength)
      case "Delay":
        pipe.hold(fault.millis)
        return pipe.write(item, byteLength)
      case "Stall":
        pipe.stall(this.now() + (fault.millis ?? Infinity))
        return pipe.write(item, byteLength)
      case "Tear":
        return pipe.write(torn, Math.ceil(byteLength / 2))
      case "DropLink":
        // The frame is lost, and both ends are told as soon as the news can have travelled.
        this.drop()
        return pipe.written
      case "Corrupt":
        return pipe.write(
          item._tag === "Message" ? corrupted(item, fault.byteIndex ?? 0, fault.mask ?? 1) : item,
          byteLength
        )
    }
  }

  /** Breaks the connection in the middle of the network. */
  drop(): void {
    const now = this.now()
    this.resetAtServer = now + this.toServer.options.latencyMillis
    this.resetAtClient = now + this.toClient.options.latencyMillis
    this.touch()
  }
}
