/** Frames of a 4-byte big-endian length and a payload: how they are written, and how they are found in a stream. */

export const headerBytes = 4

export const frameOf = (payload: Uint8Array): Uint8Array => {
  const frame = new Uint8Array(headerBytes + payload.byteLength)
  new DataView(frame.buffer).setUint32(0, payload.byteLength)
  frame.set(payload, headerBytes)
  return frame
}

/** Collects what arrives until there is a frame. Holds no more than one frame of the largest size, and one read. */
export class FrameReader {
  private chunks: Array<Uint8Array> = []
  private heldBytes = 0

  constructor(private readonly payloadBytesMax: number) {}

  get bufferedBytes(): number {
    return this.heldBytes
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return
    this.chunks.push(chunk)
    this.heldBytes += chunk.byteLength
  }

  /** The next payload; `undefined` when there is none yet, a length when that is too much. */
  next(): Uint8Array | number | undefined {
    if (this.heldBytes < headerBytes) return undefined
    const head = this.peek(headerBytes)
    const length = new DataView(head.buffer, head.byteOffset, headerBytes).getUint32(0)
    if (length > this.payloadBytesMax) return length
    if (this.heldBytes < headerBytes + length) return undefined
    this.take(headerBytes)
    return this.take(length)
  }

  private peek(count: number): Uint8Array {
    const [first] = this.chunks
    if (first !== undefined && first.byteLength >= count) return first.subarray(0, count)
    this.chunks = [this.join()]
    return this.chunks[0]!.subarray(0, count)
  }

  private take(count: number): Uint8Array {
    this.heldBytes -= count
    const [first] = this.chunks
    if (count === 0) return new Uint8Array(0)
    if (first !== undefined && first.byteLength >= count) {
      if (first.byteLength === count) this.chunks.shift()
      else this.chunks[0] = first.subarray(count)
      return first.subarray(0, count)
    }
    const taken = new Uint8Array(count)
    let filled = 0
    while (filled < count) {
      const chunk = this.chunks[0]!
      const part = chunk.subarray(0, count - filled)
      taken.set(part, filled)
      filled += part.byteLength
      if (part.byteLength === chunk.byteLength) this.chunks.shift()
      else this.chunks[0] = chunk.subarray(part.byteLength)
    }
    return taken
  }

  private join(): Uint8Array {
    const all = new Uint8Array(this.heldBytes)
    let filled = 0
    for (const chunk of this.chunks) {
      all.set(chunk, filled)
      filled += chunk.byteLength
    }
    return all
  }
}
