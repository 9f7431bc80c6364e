/**
 * Whether the peer is in the middle of a message, and since when. `ws` keeps what it has of an unfinished message for as
 * long as the peer likes and tells nobody, so the bytes are followed here, beside `ws`, by their frame headers alone.
 *
 * Only a peer whose last chunk ended inside a frame or between two fragments is watched: one that sends whole messages
 * costs a look at each header and no more.
 */
import { EqualDeadlines } from "./equalDeadlines.js"

const finBit = 0x80
const maskBit = 0x80
const controlBit = 0x08

/** What is left of a frame header, or none. */
const enum Header {
  First,
  Second,
  /** The extended length. */
  Length
}

/** Follows the frames of one direction of a connection (RFC 6455, 5.2). What breaks the protocol is for `ws` to find. */
export class FrameTracker {
  private header: Header = Header.First
  private first = 0
  private maskBytes = 0
  /** Bytes of the extended length that are to come. */
  private lengthBytes = 0
  /** Bytes of the mask and the payload that are to come; while the extended length is read, that length. */
  private left = 0
  private fragmented = false

  /** Inside a frame, or between the fragments of a message. */
  get isUnfinished(): boolean {
    return this.fragmented || this.left > 0 || this.header !== Header.First
  }

  /** Takes the next bytes. Returns whether a message, or a control frame outside of one, ended in them. */
  feed(chunk: Uint8Array): boolean {
    let ended = false
    for (let at = 0; at < chunk.length;) {
      if (this.header === Header.First && this.left > 0) {
        const taken = Math.min(this.left, chunk.length - at)
        this.left -= taken
        at += taken
      } else this.readHeader(chunk[at++]!)
      if (this.header === Header.First && this.left === 0) ended = this.endFrame() || ended
    }
    return ended
  }

  private readHeader(byte: number): void {
    switch (this.header) {
      case Header.First:
        this.first = byte
        this.header = Header.Second
        return
      case Header.Second: {
        const length = byte & 127
        this.maskBytes = (byte & maskBit) === 0 ? 0 : 4
        this.lengthBytes = length === 126 ? 2 : length === 127 ? 8 : 0
        this.header = this.lengthBytes === 0 ? Header.First : Header.Length
        this.left = this.lengthBytes === 0 ? length + this.maskBytes : 0
        return
      }
      case Header.Length:
        this.left = this.left * 256 + byte
        if (--this.lengthBytes > 0) return
        this.left += this.maskBytes
        this.header = Header.First
    }
  }

  private endFrame(): boolean {
    if ((this.first & controlBit) === 0) this.fragmented = (this.first & finBit) === 0
    return !this.fragmented
  }
}

/**
 * Whether these bytes, from the start of a frame on, are whole frames and leave no message unfinished; `false` also for a
 * frame of 64 KiB or more. What nearly every chunk is, at the cost of a look at its headers.
 */
export const isWhole = (chunk: Uint8Array): boolean => {
  let at = 0
  while (at < chunk.length) {
    if ((chunk[at]! & (finBit | controlBit)) === 0) return false
    // Beyond the end a byte reads as 0, and then the frame ends beyond it as well.
    const second = chunk[at + 1]!
    const length = second & 127
    if (length === 127) return false
    const payload = length < 126 ? length : 2 + (chunk[at + 2]! << 8 | chunk[at + 3]!)
    at += ((second & maskBit) === 0 ? 2 : 6) + payload
  }
  return at === chunk.length
}

/** Whose messages are watched. */
export interface Watched {
  /** A message was not finished in time. */
  overdue(): void
}

/** The deadlines of all messages of one upgrader or dialer. */
export const watchAssemblies = (timeoutMillis: number): EqualDeadlines<Watched> =>
  new EqualDeadlines(timeoutMillis, (watched) => watched.overdue())

/** Watches one peer's messages. It is told of the pauses: what we do not read, the peer cannot finish. */
export class Assembly {
  /** While a message is unfinished. */
  private tracker: FrameTracker | undefined = undefined
  private watching = false

  constructor(private readonly deadlines: EqualDeadlines<Watched>, private readonly watched: Watched) {}

  received(chunk: Uint8Array, paused: boolean): void {
    if (this.tracker === undefined && isWhole(chunk)) return
    const tracker = this.tracker ??= new FrameTracker()
    const ended = tracker.feed(chunk)
    if (!tracker.isUnfinished) {
      this.tracker = undefined
      this.stop()
    } else if (!paused && (ended || !this.watching)) this.start()
  }

  /** Reading again: the peer has its whole time once more. */
  resume(): void {
    if (this.tracker !== undefined) this.start()
  }

  stop(): void {
    if (!this.watching) return
    this.watching = false
    this.deadlines.delete(this.watched)
  }

  private start(): void {
    this.watching = true
    this.deadlines.add(this.watched)
  }
}
