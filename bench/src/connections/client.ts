/** The load generator: plain sockets and a frame counter, the same for every server. */
import * as Net from "node:net"

/** Header of a masked client frame with an all-zero mask, so that the payload needs no work. */
const clientFrame = (payload: Buffer): Buffer => {
  const bytes = payload.length
  const header = bytes < 126
    ? Buffer.from([0x81, 0x80 | bytes, 0, 0, 0, 0])
    : Buffer.from([0x81, 0x80 | 126, bytes >> 8, bytes & 255, 0, 0, 0, 0])
  return Buffer.concat([header, payload])
}

const serverFrameBytes = (payloadBytes: number): number => payloadBytes + (payloadBytes < 126 ? 2 : 4)

/** One connection past its handshake. */
export const connect = (port: number): Promise<Net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
    socket.once("error", reject)
    socket.write(
      "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    socket.once("data", (data) => {
      if (!data.toString("latin1").startsWith("HTTP/1.1 101")) reject(new Error(`refused: ${data.toString("latin1")}`))
      else resolve(socket)
    })
  })

export const connectAll = async (port: number, count: number): Promise<Array<Net.Socket>> => {
  const sockets: Array<Net.Socket> = []
  while (sockets.length < count) {
    const batch = Math.min(100, count - sockets.length)
    sockets.push(...await Promise.all(Array.from({ length: batch }, () => connect(port))))
  }
  return sockets
}

/** Keeps `outstanding` messages under way on every socket until `messages` were answered in all. */
export const echo = (
  sockets: ReadonlyArray<Net.Socket>,
  outstanding: number,
  messages: number,
  payloadBytes: number
): Promise<void> =>
  new Promise((resolve, reject) => {
    const frame = clientFrame(Buffer.alloc(payloadBytes, 120))
    const run = Array.from({ length: outstanding + 1 }, (_, n) => Buffer.concat(Array.from({ length: n }, () => frame)))
    const answerBytes = serverFrameBytes(payloadBytes)
    let answered = 0
    let sent = 0
    const finish = (error?: Error): void => {
      for (const socket of sockets) socket.removeAllListeners()
      if (error === undefined) resolve()
      else reject(error)
    }
    const onData = (socket: Net.Socket): (data: Buffer) => void => {
      let rest = 0
      return (data) => {
        rest += data.length
        const frames = Math.floor(rest / answerBytes)
        rest -= frames * answerBytes
        answered += frames
        if (answered >= messages) return finish()
        const more = Math.min(frames, messages - sent)
        if (more > 0) {
          sent += more
          socket.write(run[Math.min(more, outstanding)]!)
        }
      }
    }
    for (const socket of sockets) {
      socket.on("data", onData(socket))
      socket.once("error", finish)
      socket.once("close", () => finish(new Error("closed by the server")))
      sent += outstanding
      socket.write(run[outstanding]!)
    }
  })
