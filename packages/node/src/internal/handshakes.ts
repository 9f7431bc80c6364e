/**
 * The sockets of an `http.Server` between their `upgrade` event and either the WebSocket or the end.
 *
 * Node takes its own listeners off the socket before that event, so until `ws` has put on its own nobody hears a reset:
 * an `error` event without a listener ends the process. Here they are kept: what came with the handshake (`head`),
 * which listener ties the platform's handler fiber to the socket, and until when the handshake must be over.
 */
import type * as Http from "node:http"
import type * as Net from "node:net"

export interface Handshake {
  readonly owner: Handshakes
  /** Bytes that arrived in the same packet as the handshake. */
  readonly head: Buffer
  /** Milliseconds of the process's monotonic clock. */
  readonly deadline: number
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
  /** All deadlines are equally far, so the oldest socket is the first to be due. */
  private readonly open = new Set<Net.Socket>()
  private timer: ReturnType<typeof setTimeout> | undefined = undefined

  constructor(readonly server: Http.Server, private readonly limits: Limits) {}

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
      deadline: performance.now() + this.limits.handshakeTimeoutMillis,
      bytesWrittenBefore: socket.bytesWritten,
      closeListenersBefore,
      platformClose: undefined
    }
    pendingSockets.set(socket, handshake)
    process.nextTick(findPlatformClose, socket, handshake)
    if (this.open.size >= this.limits.pendingHandshakesMax) return abandon(socket, handshake)
    this.open.add(socket)
    if (this.timer === undefined) this.arm(this.limits.handshakeTimeoutMillis)
  }

  delete(socket: Net.Socket): void {
    this.open.delete(socket)
    if (this.open.size > 0 || this.timer === undefined) return
    clearTimeout(this.timer)
    this.timer = undefined
  }

  /**
   * The one timer of the package, for all handshakes of a server: a guard works on a bare `http.Server`, outside of any
   * Effect runtime, and has to hold also while a handler fiber ignores interruption.
   */
  private arm(millis: number): void {
    // @effect-diagnostics-next-line globalTimers:off
    this.timer = setTimeout(() => this.sweep(), millis)
    this.timer.unref()
  }

  private sweep(): void {
    this.timer = undefined
    const now = performance.now()
    for (const socket of this.open) {
      const handshake = pendingSockets.get(socket)
      if (handshake !== undefined && handshake.deadline > now) return this.arm(Math.ceil(handshake.deadline - now))
      this.open.delete(socket)
      if (handshake !== undefined) abandon(socket, handshake)
    }
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

/** Answer where there is no handler to give one. */
export const unavailable =
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
