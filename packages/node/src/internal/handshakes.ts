/**
 * The sockets of an `http.Server` between their `upgrade` event and either the WebSocket or the end.
 *
 * Node takes its own listeners off the socket before that event, so until `ws` has put on its own nobody hears a reset:
 * an `error` event without a listener ends the process. Here they are kept: what came with the handshake (`head`),
 * which listener ties the platform's handler fiber to the socket, and until when the handshake must be over.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as Http from "node:http"
import type * as Net from "node:net"
import { EqualDeadlines } from "./equalDeadlines.js"

export interface Handshake {
  readonly owner: Handshakes
  /** Bytes that arrived in the same packet as the handshake. */
  readonly head: Buffer
  /** Tells whether any part of an answer has left. */
  readonly bytesWrittenBefore: number
  /** Number of the socket's `close` listeners without the one that the platform adds last. */
  closeListenersBefore: number
  /** The platform's `close` listener, which keeps the whole handler fiber. Known from the next tick on. */
  platformClose: (() => void) | undefined
}

/** Keyed by socket rather than kept on it: neither Node's nor `ws`'s objects change shape. Entries go with `settle`. */
const pendingSockets = new WeakMap<object, Handshake>()

export interface Limits {
  readonly handshakeTimeoutMillis: number
  readonly pendingHandshakesMax: number
}

export class Handshakes {
  private readonly open: EqualDeadlines<Net.Socket>

  constructor(readonly server: Http.Server, private readonly limits: Limits) {
    this.open = new EqualDeadlines(limits.handshakeTimeoutMillis, abandonOverdue)
  }

  get pending(): number {
    return this.open.size
  }

  begin(socket: Net.Socket, head: Buffer): void {
    socket.on("error", ignore)
    const closeListenersBefore = socket.listenerCount("close") + 1
    socket.on("close", settleClosed)
    socket.on("end", onEarlyEnd)
    const handshake: Handshake = {
      owner: this,
      head,
      bytesWrittenBefore: socket.bytesWritten,
      closeListenersBefore,
      platformClose: undefined
    }
    pendingSockets.set(socket, handshake)
    process.nextTick(findPlatformClose, socket, handshake)
    if (this.open.size >= this.limits.pendingHandshakesMax) return abandon(socket, handshake)
    this.open.add(socket)
  }

  delete(socket: Net.Socket): void {
    this.open.delete(socket)
  }
}

/** The handshake of a socket that is neither upgraded nor closed. */
export const find = (socket: object): Handshake | undefined => pendingSockets.get(socket)

/** Ends the guard's part: from here on the socket belongs to its WebSocket, or is closed. */
export const settle = (socket: Net.Socket, handshake: Handshake): void => {
  pendingSockets.delete(socket)
  handshake.owner.delete(socket)
  socket.off("close", settleClosed)
  socket.off("end", onEarlyEnd)
}

/**
 * Takes the platform's `close` listener off an upgraded socket. It holds the handler fiber with everything that the
 * request had, for as long as the socket lives, and its one purpose is to interrupt that fiber, which is done.
 */
export const releaseHandler = (socket: Net.Socket, handshake: Handshake): void => {
  // The guard's `error` listener stayed until `ws` had its own.
  socket.off("error", ignore)
  handshake.closeListenersBefore = socket.listenerCount("close")
  // The handler may have come here before the platform got to add its listener.
  process.nextTick(dropPlatformClose, socket, handshake)
}

/** Marks the platform's response as ended without writing: whatever the handler answers must not reach the WebSocket. */
export const silence = (request: HttpServerRequest.HttpServerRequest, socket: Net.Socket): void => {
  const response = NodeHttpServerRequest.toServerResponse(request)
  // The platform's listener would end the socket.
  response.removeAllListeners("finish")
  response.detachSocket(socket)
  response.end()
}

function findPlatformClose(socket: Net.Socket, handshake: Handshake): void {
  // With further `upgrade` listeners it would be a guess which one is the platform's.
  if (handshake.owner.server.listenerCount("upgrade") !== 2) return
  if (socket.listenerCount("close") <= handshake.closeListenersBefore) return
  handshake.platformClose = socket.listeners("close").at(-1) as () => void
}

function dropPlatformClose(socket: Net.Socket, handshake: Handshake): void {
  if (handshake.platformClose !== undefined) socket.off("close", handshake.platformClose)
}

function ignore(): void {
  // Node destroys the socket after `error`; `close` tells whoever has to know.
}

function settleClosed(this: Net.Socket): void {
  const handshake = pendingSockets.get(this)
  if (handshake !== undefined) settle(this, handshake)
}

/** A peer that ends its side cannot become a WebSocket: closing at once interrupts the handler fiber. */
function onEarlyEnd(this: Net.Socket): void {
  // An answer that is already on its way is still delivered.
  if (!this.writableEnded) this.destroy()
}

/** Not `end`: the platform interrupts the handler fiber of a socket only if it closes without having been ended. */
const abandon = (socket: Net.Socket, handshake: Handshake): void => {
  if (socket.writable && socket.bytesWritten === handshake.bytesWrittenBefore) socket.write(unavailable)
  socket.destroy()
}

const abandonOverdue = (socket: Net.Socket): void => {
  const handshake = pendingSockets.get(socket)
  if (handshake !== undefined) abandon(socket, handshake)
}

/** Answer where there is no handler to give one. */
export const unavailable =
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
