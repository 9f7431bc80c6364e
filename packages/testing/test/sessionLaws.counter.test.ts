/**
 * The laws of sessions can fail: each of these is wrong in one way, and is caught by what the law says of it.
 */
import { assert, describe, it } from "@effect/vitest"
import type { LawHarness } from "@spillway/testing/LawHarness"
import * as SessionLaws from "@spillway/testing/SessionLaws"
import * as Effect from "effect/Effect"
import type { Connection } from "spillway/Transport"
import { harness } from "./utils/memoryHarness.js"

const way = (name: string): SessionLaws.Way => SessionLaws.all.find((one) => one.name === name)!

/** A transport whose connections have some members replaced. */
const replacing = (members: (inner: Connection) => Partial<Connection>) =>
  Effect.map(harness(), (inner): LawHarness => ({
    ...inner,
    connect: Effect.map(inner.connect, ({ client, connection }) => {
      const replaced = members(connection)
      const get = (target: Connection, key: string | symbol): unknown => {
        if (key in replaced) return Reflect.get(replaced, key)
        const value: unknown = Reflect.get(target, key)
        return typeof value === "function" ? value.bind(target) : value
      }
      return { client, connection: new Proxy(connection, { get }) }
    })
  }))

const caught = (name: string, make: ReturnType<typeof replacing>, broken: SessionLaws.Way, by: RegExp) =>
  it.scoped(`${name} (${broken.name})`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(SessionLaws.check(broken, yield* make))
      assert.match(error.message, by)
    }))

const wrong = (name: string, changed: Partial<SessionLaws.Way>) => ({ ...way(name), ...changed })
const never = "the handler never returns"

describe("an ending is caught that", () => {
  caught("sends another code", replacing((c) => ({ close: () => c.close(4000, "") })), way(never), /code at the peer/)
  caught(
    "is never told",
    replacing((c) => ({
      attach: (events) =>
        c.attach({
          onMessage: (data, binary) => events.onMessage(data, binary),
          onFlushed: () => events.onFlushed(),
          onPong: () => events.onPong(),
          onClose: () => {}
        }),
      terminate: () => {}
    })),
    way(never),
    /milliseconds|never ended|close/
  )
  caught(
    "leaves the connection open",
    replacing(() => ({ close: () => {}, terminate: () => {} })),
    way(never),
    /milliseconds/
  )
  caught("has another exit", harness(), wrong(never, { tag: "Completed" }), /exit/)
  caught("takes longer", harness(), wrong("a finalizer hangs", { tookMillis: 4_999 }), /milliseconds/)
  caught("forces nobody", harness(), wrong("a task hangs", { forced: 0 }), /interrupted/)
  caught(
    "leaves a fiber",
    harness(),
    wrong(never, { handler: () => Effect.zipRight(Effect.forkDaemon(Effect.never), Effect.never) }),
    /fibers/
  )
  caught("leaves bytes in the process", replacing(() => ({ bufferedBytes: 7 })), way("the peer resets"), /bytes/)
})

describe("the order of the steps", () => {
  it.scoped("is caught when the connection is gone before the flush", () =>
    Effect.gen(function*() {
      const broken = yield* replacing((c) => ({ attach: (events) => (c.attach(events), c.terminate()) }))
      const error = yield* Effect.flip(SessionLaws.checkOrder(broken))
      assert.match(error.message, /order of the steps/)
    }))
})
