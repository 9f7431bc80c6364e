/**
 * A session that writes down what it is told, and a network to put it on.
 */
import * as Faults from "@spillway/testing/Faults"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Frame from "spillway/Frame"
import { type Connection, type ConnectionEvents, Transport } from "spillway/Transport"

class Recorder implements ConnectionEvents {
  readonly log: Array<string> = []
  onMessage(data: Uint8Array): void {
    this.log.push(Frame.toText(Frame.binary(data), 0))
  }
  onFlushed(): void {
    this.log.push("flushed")
  }
  onPong(): void {
    this.log.push("pong")
  }
  onClose(end: { readonly _tag: string }): void {
    this.log.push(end._tag)
  }
}

/** A client and its connection, whose events are in `log`. */
export const open = (options?: MemoryTransport.ConnectOptions) =>
  Effect.gen(function*() {
    const client = yield* (yield* MemoryTransport.MemoryTransport).connect(options)
    const connection = yield* (yield* Transport).accept
    const { log } = yield* attach(connection)
    return { client, connection, log }
  })

export const attach = (connection: Connection) =>
  Effect.sync(() => {
    const recorder = new Recorder()
    connection.attach(recorder)
    return recorder
  })

export const write = (connection: Connection, ...texts: ReadonlyArray<string>): boolean => {
  connection.cork()
  for (const text of texts) connection.write(Frame.text(text), 0)
  return connection.uncork()
}

/** Everything at rest at this time. */
export const at = (millis: number): Effect.Effect<void> =>
  settle.pipe(Effect.zipRight(TestClock.setTime(millis)), Effect.zipRight(settle))

export const faulty = (rules: Faults.Schedule, options?: MemoryTransport.Options) =>
  MemoryTransport.layer(options).pipe(Layer.provideMerge(Faults.layer(rules)))

export const pending = Effect.flatMap(MemoryTransport.MemoryTransport, (memory) => memory.pending)
export const nothing = { connections: 0, backlog: 0, bytes: 0, timers: 0 }
