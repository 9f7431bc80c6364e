/**
 * Connections of an `http.Server` that have not sent the head of their first request: nothing yet, or a part of it.
 *
 * Node ends them after `headersTimeout`; but a server that is closing looks at that no more, does not count them as idle,
 * and waits for them for as long as they like. Here they count as idle: nobody loses an answer with them.
 */
import type * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"

export class Headless {
  private readonly sockets = new Set<Net.Socket>()
  private readonly forget: (this: Net.Socket) => void

  /** From now on `closeIdleConnections`, which Node calls when the server closes, ends these as well. */
  constructor(server: Http.Server) {
    const { sockets } = this
    this.forget = function() {
      sockets.delete(this)
    }
    server.prependListener(server instanceof Https.Server ? "secureConnection" : "connection", (socket: Net.Socket) => {
      sockets.add(socket)
      socket.on("close", this.forget)
    })
    const closeIdle = server.closeIdleConnections.bind(server)
    server.closeIdleConnections = () => {
      closeIdle()
      for (const socket of sockets) socket.destroy()
    }
  }

  /** A request of the connection has begun. */
  began(socket: Net.Socket): void {
    if (this.sockets.delete(socket)) socket.off("close", this.forget)
  }
}
