/**
 * Writes a WebSocket frame of a server beside `ws`: final, unmasked, not compressed (RFC 6455, 5.2).
 *
 * `ws` hands header and payload to the socket as two buffers, which costs a gathering system call per message; a small
 * frame in one buffer costs a plain one (about an eighth of the whole cost of an echo). Only for connections without
 * compression, where `ws` itself writes nothing but whole control frames, so that no frame falls into another; and only
 * while the WebSocket is open, so that no data follows a close frame.
 */
import type * as Net from "node:net"

/** Payloads up to this size are copied behind their header; larger ones follow it as a buffer of their own. */
const copiedBytesMax = 4096

const textOpcode = 0x81
const binaryOpcode = 0x82

const headerBytes = (payloadBytes: number): number => payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10

const writeHeader = (into: Buffer, payloadBytes: number, binary: boolean): void => {
  into[0] = binary ? binaryOpcode : textOpcode
  if (payloadBytes < 126) into[1] = payloadBytes
  else if (payloadBytes < 65536) {
    into[1] = 126
    into.writeUInt16BE(payloadBytes, 2)
  } else {
    into[1] = 127
    into.writeUIntBE(0, 2, 2)
    into.writeUIntBE(payloadBytes, 4, 6)
  }
}

/** Hands one frame to the socket. The payload is not copied when it is large: it must not be changed afterwards. */
export const writeFrame = (socket: Net.Socket, payload: Uint8Array, binary: boolean): void => {
  const payloadBytes = payload.byteLength
  const header = headerBytes(payloadBytes)
  if (payloadBytes <= copiedBytesMax) {
    const frame = Buffer.allocUnsafe(header + payloadBytes)
    writeHeader(frame, payloadBytes, binary)
    frame.set(payload, header)
    socket.write(frame)
    return
  }
  const head = Buffer.allocUnsafe(header)
  writeHeader(head, payloadBytes, binary)
  socket.write(head)
  socket.write(payload)
}
