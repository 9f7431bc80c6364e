/** What the peers are to the rest of the bench: a server that publishes, and a protocol by which a client subscribes to it. */

/** Ends every payload, so that a message is found, whole, wherever a protocol puts it into its frames. */
export const marker = "spillway-bench!"

/** The client's side of a protocol, as far as a subscriber needs it. What it says is shorter than 126 bytes. */
export interface Protocol {
  readonly path: string
  /** What a client says first. */
  readonly hello?: string
  /** Whether each frame is a message, or the messages are found by their marker, several in one frame or one in several. */
  readonly counts: "frames" | "markers"
  /** What a client answers to every frame. */
  readonly acknowledgement?: string
  /** A ping of the protocol's own, within frames, and its answer. */
  readonly ping?: { readonly question: string; readonly answer: string }
}

const plain: Protocol = { path: "/", counts: "frames" }

/** The peers that can be asked for. */
export const protocols = {
  floor: plain,
  ws: plain,
  spillway: plain,
  socketio: { path: "/socket.io/?EIO=4&transport=websocket", hello: "40", counts: "frames" },
  platform: plain,
  // A frame is a chunk of the stream, and the server sends no other before it has been acknowledged.
  rpc: {
    path: "/",
    hello: JSON.stringify({ _tag: "Request", id: "1", tag: "Subscribe", headers: [] }),
    counts: "markers",
    acknowledgement: JSON.stringify({ _tag: "Ack", requestId: "1" })
  },
  nats: {
    path: "/",
    hello: "CONNECT {\"verbose\":false}\r\nSUB m 1\r\n",
    counts: "markers",
    ping: { question: "PING\r\n", answer: "PONG\r\n" }
  }
} satisfies { readonly [peer: string]: Protocol }

export type Peer = keyof typeof protocols

/** A server that is listening, and how it gives one payload to all who are connected. */
export interface Running {
  readonly port: number
  readonly publish: (payload: Buffer) => void
  // What there is when the server is a process other than the one that publishes.
  /** Resolves when the server has given to all what was published so far. */
  readonly tickDone?: () => Promise<void>
  /** CPU seconds of the server so far. */
  readonly cpuSeconds?: () => number
  /** Ends the server, and with it the process that publishes. */
  readonly stop?: () => void
}
