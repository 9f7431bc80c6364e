/**
 * A slow link: a TCP proxy that lets so many bytes a second through to each client. What has to wait fills the buffers on the
 * way and then stays with the server, as it does in front of a real link. The other direction is fast.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"

const slice = "5 millis"

/** What a link that was idle, or that this process had no time for, may pass at once. */
const burstMillis = 100

class Connection {
  private budget = 0
  private held: Buffer = Buffer.alloc(0)

  constructor(readonly client: Net.Socket, readonly upstream: Net.Socket, private readonly bytesPerSecond: number) {}

  pass(millis: number): void {
    const { bytesPerSecond, client, upstream } = this
    this.budget = Math.min(this.budget + bytesPerSecond * millis / 1_000, bytesPerSecond * burstMillis / 1_000)
    while (this.budget >= 1) {
      if (this.held.byteLength === 0) this.held = upstream.read() as Buffer | null ?? this.held
      if (this.held.byteLength === 0) return
      const part = this.held.subarray(0, Math.floor(this.budget))
      this.held = this.held.subarray(part.byteLength)
      this.budget -= part.byteLength
      client.write(part)
    }
  }
}

/** A link to the port, on a port of its own, until the scope closes. */
export const make = (
  options: { readonly port: number; readonly bytesPerSecond: number }
): Effect.Effect<{ readonly port: number }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const connections = new Set<Connection>()
    const accept = (client: Net.Socket): void => {
      const connection = new Connection(client, Net.connect(options.port, "127.0.0.1"), options.bytesPerSecond)
      connections.add(connection)
      client.pipe(connection.upstream)
      for (const socket of [client, connection.upstream]) {
        socket.on("error", () => {})
        socket.on("close", () => {
          connections.delete(connection)
          client.destroy()
          connection.upstream.destroy()
        })
      }
    }
    const server = yield* Effect.acquireRelease(
      Effect.async<Net.Server>((resume) => {
        const server = Net.createServer(accept).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.sync(() => {
          server.close()
          for (const { client } of connections) client.destroy()
        })
    )
    let lastAt = clock.unsafeCurrentTimeMillis()
    const pass = Effect.sync(() => {
      const now = clock.unsafeCurrentTimeMillis()
      for (const connection of connections) connection.pass(now - lastAt)
      lastAt = now
    })
    yield* Effect.forkScoped(Effect.repeat(pass, Schedule.spaced(slice)))
    return { port: (server.address() as Net.AddressInfo).port }
  })
