/**
 * Writes WebSocket frames of a server beside `ws`: final, unmasked, not compressed (RFC 6455, 5.2), gathered into runs.
 *
 * A run is what one connection sends in one go. When a publication went to many sessions, their runs are the same frames,
 * compared by reference (and by number, where a frame carries one): it is encoded and joined once, and every connection
 * writes the same bytes, in one system call.
 *
 * ```
 * begin ─▶ the last runs: does one start with this frame? ── it goes on the same ─▶ at its end: shared, nothing was copied
 *                     └ no: a run of its own                    └ it differs: a run of its own from there on
 * ```
 *
 * Only for connections without compression, where `ws` itself writes nothing but whole control frames, so that no frame
 * falls into another; and only while the WebSocket is open, so that no data follows a close frame.
 */
import type * as Net from "node:net"
import * as Frame from "spillway/Frame"

/**
 * Payloads up to this size are copied behind their header, into one buffer with their neighbours; larger ones follow it as
 * a buffer of their own. Copying 16 KiB costs about what one more buffer in a gathering system call does.
 */
const copiedBytesMax = 16_384

/** Finished runs that are kept to be shared, and the bytes of one: together the memory that this module may hold. */
const keptMax = 4
const keptBytesMax = 80 * 1024

const textOpcode = 0x81
const binaryOpcode = 0x82

const headerBytes = (payloadBytes: number): number => payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10

/** Writes a header and returns where it ends. */
const writeHeader = (into: Buffer, at: number, payloadBytes: number, binary: boolean): number => {
  into[at] = binary ? binaryOpcode : textOpcode
  if (payloadBytes < 126) into[at + 1] = payloadBytes
  else if (payloadBytes < 65536) {
    into[at + 1] = 126
    into.writeUInt16BE(payloadBytes, at + 2)
  } else {
    into[at + 1] = 127
    into.writeUIntBE(0, at + 2, 2)
    into.writeUIntBE(payloadBytes, at + 4, 6)
  }
  return at + headerBytes(payloadBytes)
}

export class Run {
  /** Bytes on the wire. */
  wireBytes = 0
  /** `undefined` while frames may be added. */
  private chunks: ReadonlyArray<Buffer> | undefined = undefined
  private readonly frames: Array<Frame.Frame> = []
  private readonly seqs: Array<number> = []

  get length(): number {
    return this.frames.length
  }

  get isFinished(): boolean {
    return this.chunks !== undefined
  }

  /** Whether the frame at this place is the same one, with the same number if it carries one. */
  isAt(at: number, frame: Frame.Frame, seq: number): boolean {
    return this.frames[at] === frame && (frame.tail === undefined || this.seqs[at] === seq)
  }

  add(frame: Frame.Frame, seq: number): void {
    const payloadBytes = Frame.byteLengthWith(frame, seq)
    this.frames.push(frame)
    this.seqs.push(seq)
    this.wireBytes += headerBytes(payloadBytes) + payloadBytes
  }

  /** A new run of the first frames of this one. */
  firstOf(length: number): Run {
    const run = new Run()
    for (let i = 0; i < length; i++) run.add(this.frames[i]!, this.seqs[i]!)
    return run
  }

  /** Takes no more frames; the bytes are made once. */
  finish(): ReadonlyArray<Buffer> {
    return this.chunks ??= this.join()
  }

  private join(): ReadonlyArray<Buffer> {
    const chunks: Array<Buffer> = []
    for (let i = 0; i < this.frames.length;) i = this.joinFrom(i, chunks)
    return chunks
  }

  /** One buffer of this frame and those after it that are small, and of the header of a large one. Returns the next. */
  private joinFrom(from: number, chunks: Array<Buffer>): number {
    let end = from
    let bytes = 0
    let large: Uint8Array | undefined = undefined
    while (end < this.frames.length && large === undefined) {
      const frame = this.frames[end]!
      const payloadBytes = Frame.byteLengthWith(frame, this.seqs[end]!)
      bytes += headerBytes(payloadBytes)
      if (payloadBytes > copiedBytesMax) large = Frame.toBytes(frame, this.seqs[end]!)
      else bytes += payloadBytes
      end++
    }
    const joined = Buffer.allocUnsafe(bytes)
    let at = 0
    for (let i = from; i < end; i++) {
      const frame = this.frames[i]!
      const payload = i === end - 1 && large !== undefined ? large : Frame.toBytes(frame, this.seqs[i]!)
      at = writeHeader(joined, at, payload.byteLength, frame.binary)
      if (payload === large) continue
      joined.set(payload, at)
      at += payload.byteLength
    }
    chunks.push(joined)
    // Not copied: it must not be changed afterwards.
    if (large !== undefined) chunks.push(Buffer.from(large.buffer, large.byteOffset, large.byteLength))
    return end
  }
}

/** The last runs that were finished, newest at `next - 1`. Nothing depends on what is in it but the cost of a write. */
const kept: Array<Run | undefined> = Array.from({ length: keptMax }, () => undefined)
let next = 0

const keep = (run: Run): void => {
  if (run.wireBytes > keptBytesMax) return
  kept[next] = run
  next = (next + 1) % keptMax
}

/** The frames of one gathered write, while they are written one by one. */
export class Gathering {
  private run: Run | undefined = undefined
  /** Frames written so far. */
  private written = 0

  /** Bytes on the wire that were written and not yet handed to the socket. */
  get wireBytes(): number {
    const run = this.run
    return run === undefined ? 0 : this.written === run.length ? run.wireBytes : run.firstOf(this.written).wireBytes
  }

  add(frame: Frame.Frame, seq: number): void {
    let run = this.run ?? startingWith(frame, seq)
    if (run === undefined) run = new Run()
    else if (run.isFinished) {
      if (this.written < run.length && run.isAt(this.written, frame, seq)) {
        this.run = run
        this.written++
        return
      }
      run = run.firstOf(this.written)
    }
    run.add(frame, seq)
    this.run = run
    this.written++
  }

  /** Hands everything to the socket, in as few system calls as possible. */
  flush(socket: Net.Socket): void {
    let run = this.run
    if (run === undefined) return
    if (run.isFinished && this.written < run.length) run = run.firstOf(this.written)
    this.clear()
    if (!run.isFinished) keep(run)
    const chunks = run.finish()
    if (chunks.length === 1) return void socket.write(chunks[0]!)
    socket.cork()
    for (const chunk of chunks) socket.write(chunk)
    socket.uncork()
  }

  clear(): void {
    this.run = undefined
    this.written = 0
  }
}

/** As good as all writes begin when none is going on: one `Gathering` serves them, and a connection at rest needs none. */
let spare: Gathering | undefined = undefined

/** For one gathered write. */
export const begin = (): Gathering => {
  const gathering = spare ?? new Gathering()
  spare = undefined
  return gathering
}

/** Ends a gathered write: hands what is left of it to the socket, if there is one to take it. */
export const end = (gathering: Gathering, socket: Net.Socket | undefined): void => {
  if (socket === undefined) gathering.clear()
  else gathering.flush(socket)
  spare = gathering
}

const startingWith = (frame: Frame.Frame, seq: number): Run | undefined => {
  for (let i = 1; i <= keptMax; i++) {
    const run = kept[(next + keptMax - i) % keptMax]
    if (run !== undefined && run.isAt(0, frame, seq)) return run
  }
  return undefined
}
