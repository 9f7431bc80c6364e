import * as HttpServer from "@effect/platform/HttpServer"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { WebSocket } from "ws"
import * as App from "../src/App.js"

const enter = (url: string, name: string) =>
  Effect.gen(function*() {
    const heard = yield* Queue.unbounded<string>()
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(url)),
      (socket) => Effect.sync(() => socket.terminate())
    )
    socket.on("message", (data: Buffer) => heard.unsafeOffer(data.toString()))
    socket.on("error", (error) => heard.unsafeOffer(String(error)))
    socket.on("open", () => socket.send(JSON.stringify({ _tag: "Enter", name })))
    assert.include(yield* Queue.take(heard), "Members")
    return { heard, say: (text: string) => socket.send(JSON.stringify({ _tag: "Say", text })) }
  })

it.scopedLive("on real sockets two members hear each other", () =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    assert.strictEqual(address._tag, "TcpAddress")
    if (address._tag !== "TcpAddress") return
    const url = `ws://127.0.0.1:${address.port}/room`
    const ada = yield* enter(url, "ada")
    const bob = yield* enter(url, "bob")
    assert.include(yield* Queue.take(ada.heard), "bob")
    ada.say("hello")
    assert.strictEqual(yield* Queue.take(bob.heard), `{"_tag":"Said","by":"ada","text":"hello"}`)
  }).pipe(Effect.provide(App.layer(0))), 30_000)
