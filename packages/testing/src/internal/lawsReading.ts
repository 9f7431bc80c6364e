/**
 * Laws of what a connection tells its session: messages, pauses, pongs.
 */
import * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import type * as Transport from "spillway/Transport"
import type { LawHarness } from "../LawHarness.js"
import {
  type Check,
  check,
  clogged,
  LawViolation,
  open,
  openAttached,
  quiet,
  type Recorder,
  same,
  until,
  within,
  write
} from "./lawKit.js"

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, index) => `message ${from + index}`)

const sendAll = (
  harness: LawHarness,
  client: { readonly send: (text: string) => Effect.Effect<void, Error> },
  texts: ReadonlyArray<string>
) => within(harness, Effect.forEach(texts, client.send, { discard: true }), "the peer sends its messages")

export const inOrder = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, events } = yield* openAttached(harness)
    const texts = ["", "a", "é €", "x".repeat(125), "y".repeat(126), "z".repeat(60_000), ...numbers(0, 40)]
    const bytes = Uint8Array.from([0, 255, 128, 10])
    yield* sendAll(harness, client, texts)
    yield* within(harness, client.sendBinary(bytes), "the peer sends its message")
    yield* within(harness, client.sendBinary(new Uint8Array(0)), "the peer sends its message")
    yield* within(harness, client.send("last"), "the peer sends its message")
    yield* until(harness, () => events.messages.length >= texts.length + 3, "all messages are delivered")
    yield* quiet(harness)
    yield* same(events.texts.filter((_, index) => !events.messages[index]!.binary), [...texts, "last"], "texts")
    const binaries = events.messages.flatMap((message) => message.binary ? [[...message.data]] : [])
    yield* same(binaries, [[...bytes], []], "binary messages")
    yield* check(!events.messages.at(-1)!.binary, "the last message is not the one that was sent last")
  })

export const bytesAreTheReceivers = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, events } = yield* openAttached(harness)
    const bytes = Uint8Array.from({ length: 300 }, (_, index) => index % 256)
    // Every other message is overwritten by its receiver as soon as it comes.
    events.hook = (event) => {
      if (event._tag === "Message" && events.messages.length % 2 === 1) event.data.fill(7)
    }
    for (let i = 0; i < 40; i++) yield* within(harness, client.sendBinary(bytes), "the peer sends its message")
    yield* until(harness, () => events.messages.length === 40, "all messages are delivered")
    for (const [index, message] of events.messages.entries()) {
      const expected = index % 2 === 0 ? Uint8Array.from({ length: 300 }, () => 7) : bytes
      yield* same([...message.data], [...expected], `message ${index} once the others were delivered`)
    }
  })

/** A116. */
export const keptUntilAttached = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* open(harness)
    yield* sendAll(harness, client, numbers(0, 100))
    yield* quiet(harness)
    connection.attach(events)
    yield* sendAll(harness, client, numbers(100, 20))
    yield* until(harness, () => events.messages.length >= 120, "all messages are delivered")
    yield* quiet(harness)
    yield* same(events.texts, numbers(0, 120), "messages")
  })

export const endKeptUntilAttached = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* open(harness)
    yield* sendAll(harness, client, numbers(0, 3))
    yield* client.close(1001, "gone")
    yield* quiet(harness)
    connection.attach(events)
    yield* check(events.end === undefined, "onClose was called inside attach")
    yield* until(harness, () => events.end !== undefined, "the end is reported")
    yield* same(events.texts, numbers(0, 3), "messages before the end")
    yield* same(events.end, { _tag: "PeerClose", code: 1001, reason: "gone" }, "end")
    const other = yield* open(harness)
    other.connection.terminate()
    other.connection.attach(other.events)
    yield* until(harness, () => other.events.end !== undefined, "the end is reported")
    yield* quiet(harness)
    yield* same(other.events.log, [{ _tag: "Close", end: { _tag: "Local" } }], "events")
  })

const pausesInside = (connection: Transport.Connection, events: Recorder, at: number) => {
  events.hook = () => {
    if (events.messages.length === at) connection.pause()
  }
}

export const pauseStopsDelivery = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* openAttached(harness)
    pausesInside(connection, events, 3)
    yield* sendAll(harness, client, numbers(0, 20))
    yield* until(harness, () => events.messages.length >= 3, "the first messages are delivered")
    yield* quiet(harness)
    yield* same(events.messages.length, 3, "messages delivered after a pause inside onMessage")
    pausesInside(connection, events, 7)
    connection.resume()
    yield* until(harness, () => events.messages.length >= 7, "the next messages are delivered")
    yield* quiet(harness)
    yield* same(events.messages.length, 7, "messages delivered after a pause inside onMessage inside resume")
    events.hook = () => {}
    connection.resume()
    yield* until(harness, () => events.messages.length >= 20, "the rest is delivered")
    yield* quiet(harness)
    connection.pause()
    yield* sendAll(harness, client, numbers(20, 10))
    yield* quiet(harness)
    yield* same(events.messages.length, 20, "messages delivered after a pause")
    connection.resume()
    yield* until(harness, () => events.messages.length >= 30, "the rest is delivered")
    yield* quiet(harness)
    yield* same(events.texts, numbers(0, 30), "messages")
  })

export const pauseHidesControl = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* openAttached(harness)
    connection.pause()
    connection.ping()
    yield* quiet(harness)
    yield* sendAll(harness, client, numbers(0, 3))
    yield* client.close(1000, "")
    yield* quiet(harness)
    yield* same(events.log.length, 0, "events while paused")
    connection.resume()
    yield* until(harness, () => events.end !== undefined, "the end is reported")
    // The peer sent its pong when it came to it: before its messages, or between them.
    const tags = events.log.map((event) => event._tag)
    yield* same(tags.filter((tag) => tag !== "Pong"), ["Message", "Message", "Message", "Close"], "events")
    yield* same(events.count("Pong"), 1, "pongs")
    yield* same(events.texts, numbers(0, 3), "messages")
  })

export const droppedAfterClose = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* openAttached(harness)
    yield* client.stall
    yield* quiet(harness)
    connection.close(1000, "")
    yield* sendAll(harness, client, numbers(0, 5))
    yield* quiet(harness)
    yield* same(events.messages.length, 0, "messages delivered after close")
    yield* client.unstall
    yield* until(harness, () => events.end !== undefined, "the peer answers")
    yield* same(events.log, [{ _tag: "Close", end: { _tag: "Local" } }], "events")
  })

export const pongIsReported = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* openAttached(harness)
    connection.ping()
    yield* until(harness, () => events.count("Pong") > 0, "the pong is reported")
    yield* quiet(harness)
    yield* same(events.count("Pong"), 1, "pongs")
    yield* client.stall
    yield* quiet(harness)
    connection.ping()
    yield* quiet(harness)
    yield* same(events.count("Pong"), 1, "pongs of a peer that does not read")
  })

export const pongReturnsPayload = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events } = yield* openAttached(harness)
    const payloads = [new Uint8Array([1, 2, 3, 4]), new Uint8Array(125).fill(7), new Uint8Array(0)]
    const returned = () => events.log.flatMap((event) => event._tag === "Pong" ? [Array.from(event.payload ?? [])] : [])
    for (const [i, payload] of payloads.entries()) {
      connection.ping(payload)
      yield* until(harness, () => events.count("Pong") > i, "the pong is reported")
    }
    yield* same(returned(), payloads.map((payload) => Array.from(payload)), "payloads of pongs")
    yield* client.stall
    yield* quiet(harness)
    for (const byte of [8, 9]) connection.ping(new Uint8Array([byte]))
    yield* client.unstall
    // A peer may answer only the last of several pings.
    yield* until(harness, () => returned().at(-1)?.[0] === 9, "the last ping is answered")
  })

/** What the frames that carry a ping and a word take in the process. */
const pingBytes = 64

/** A peer that does not read, with a ping behind data that the kernel has not taken. It may find room meanwhile: again then. */
const pingedBehindData = (harness: LawHarness) =>
  Effect.gen(function*() {
    for (let attempt = 0; attempt < 5; attempt++) {
      const pair = yield* clogged(harness)
      pair.connection.ping()
      write(pair.connection, [Frame.text("after the ping")])
      yield* quiet(harness)
      const owed = pair.connection.bufferedBytes
      if (owed > pingBytes) return { ...pair, owed }
    }
    return yield* Effect.fail(
      new LawViolation({ what: "the data before a ping is taken although the peer does not read" })
    )
  })

export const pingOvertakesNothing = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, events, owed } = yield* pingedBehindData(harness)
    yield* same(events.count("Pong"), 0, "pongs while the data before the ping is not taken")
    let leftAtPong = -1
    events.hook = (event) => {
      if (event._tag === "Pong") leftAtPong = connection.bufferedBytes
    }
    yield* client.unstall
    yield* until(harness, () => events.count("Pong") > 0, "the pong is reported")
    yield* check(leftAtPong < owed, "the pong came although no byte was taken since the ping")
    yield* check(
      leftAtPong <= pingBytes,
      `the pong came while ${leftAtPong} bytes written before were left in the process`
    )
  })
