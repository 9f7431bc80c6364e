/** Counters of the load generator over bytes that may come in any pieces: whole WebSocket frames, and markers inside them. */

/** Counts occurrences of a text in the pieces of a stream. They may be cut anywhere. */
export class MarkerCounter {
  private readonly marker: Buffer
  /** The start of a marker, at the end of what came so far. */
  private begun: Buffer | undefined = undefined

  constructor(marker: string) {
    this.marker = Buffer.from(marker)
  }

  /** Number of markers that ended within this piece. */
  count(piece: Buffer): number {
    const { begun, marker } = this
    const bytes = begun === undefined ? piece : Buffer.concat([begun, piece])
    let found = 0
    let after = 0
    for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, after)) {
      after = at + marker.length
      found++
    }
    this.begun = this.beginning(bytes, after)
    return found
  }

  private beginning(bytes: Buffer, from: number): Buffer | undefined {
    const { marker } = this
    let at = bytes.indexOf(marker[0]!, Math.max(from, bytes.length - marker.length + 1))
    while (at >= 0) {
      // A copy: the whole piece would stay for the sake of its last bytes.
      if (bytes.compare(marker, 0, bytes.length - at, at) === 0) return Buffer.from(bytes.subarray(at))
      at = bytes.indexOf(marker[0]!, at + 1)
    }
    return undefined
  }
}

/** Counts frames of one socket whose header and payload may come in any pieces. */
export class FrameCounter {
  /** Bytes of the current payload that are still to come. */
  private rest = 0
  /** Whether the current frame is a message: pings are not counted. */
  private isMessage = false
  /** A header that came in pieces. */
  private header: Buffer | undefined = undefined

  /** Pings that came since the last look. */
  pings = 0

  /** `content` is given what messages carry, in the pieces in which it comes. */
  constructor(private readonly content?: (piece: Buffer) => void) {}

  /** Number of messages whose payload ended within these bytes. */
  count(data: Buffer): number {
    const bytes = this.header === undefined ? data : Buffer.concat([this.header, data])
    this.header = undefined
    let frames = 0
    let at = 0
    while (at < bytes.length) {
      if (this.rest > 0) {
        const step = Math.min(this.rest, bytes.length - at)
        if (this.isMessage) this.content?.(bytes.subarray(at, at + step))
        at += step
        this.rest -= step
        if (this.rest === 0 && this.isMessage) frames++
        continue
      }
      const short = at + 1 < bytes.length ? bytes[at + 1]! & 127 : -1
      const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10
      if (short < 0 || at + headerBytes > bytes.length) {
        this.header = bytes.subarray(at)
        break
      }
      this.isMessage = (bytes[at]! & 8) === 0
      if ((bytes[at]! & 15) === 9) this.pings++
      this.rest = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6)
      at += headerBytes
      if (this.rest === 0 && this.isMessage) frames++
    }
    return frames
  }
}
