/**
 * Laws of how a connection ends.
 */
import * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import type * as Transport from "spillway/Transport"
import type { LawClient, LawHarness } from "../LawHarness.js"
import {
  type Check,
  check,
  clogged,
  open,
  openAttached,
  type Pair,
  quiet,
  same,
  takeN,
  textOf,
  until,
  within,
  write
} from "./lawKit.js"

const ended = (harness: LawHarness, pair: Pair, what: string) =>
  until(harness, () => pair.events.end !== undefined, `onClose after ${what}`)

const withoutMessage = (end: Transport.ConnectionEnd | undefined) =>
  end?._tag === "PeerReset" || end?._tag === "ProtocolError" ? { _tag: end._tag } : end

/** A115. */
export const classified = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const cases: ReadonlyArray<readonly [string, (client: LawClient) => Effect.Effect<void>, object]> = [
      ["close 1000", (client) => client.close(1000, "done"), { _tag: "PeerClose", code: 1000, reason: "done" }],
      ["close 1001", (client) => client.close(1001, ""), { _tag: "PeerClose", code: 1001, reason: "" }],
      ["close 4321", (client) => client.close(4321, "é"), { _tag: "PeerClose", code: 4321, reason: "é" }],
      ["close without code", (client) => client.close(), { _tag: "PeerClose", code: 1005, reason: "" }],
      ["eof", (client) => client.eof, { _tag: "PeerEof" }],
      ["reset", (client) => client.reset, { _tag: "PeerReset" }]
    ]
    for (const [what, act, expected] of cases) {
      const pair = yield* openAttached(harness)
      yield* act(pair.client)
      yield* ended(harness, pair, what)
      yield* same(withoutMessage(pair.events.end), expected, `end after ${what}`)
      yield* quiet(harness)
      yield* same(pair.events.log.length, 1, `events after ${what}`)
    }
  })

export const codeArrives = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    for (const [code, reason] of [[1000, ""], [1001, "going away"], [4001, "é".repeat(61)]] as const) {
      const pair = yield* openAttached(harness)
      pair.connection.close(code, reason)
      yield* same(pair.events.log.length, 0, "events inside close")
      const end = yield* within(harness, pair.client.awaitEnd, "the peer sees the end")
      yield* same({ ...end }, { code, reason, clean: true }, "end at the peer")
      yield* ended(harness, pair, "close")
      yield* same(pair.events.log, [{ _tag: "Close", end: { _tag: "Local" } }], "events")
    }
  })

export const answersClose = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* openAttached(harness)
    yield* pair.client.close(1000, "bye")
    const end = yield* within(harness, pair.client.awaitEnd, "the peer sees the end")
    yield* check(end.clean, "the peer's close frame was not answered")
    yield* same(end.code, 1000, "code of the answer")
  })

export const writesBeforeClose = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* openAttached(harness)
    const texts = Array.from({ length: 20 }, (_, index) => `${index}`.padEnd(40_000, "x"))
    write(pair.connection, texts.map(Frame.text))
    pair.connection.close(4002, "last")
    write(pair.connection, [Frame.text("after close")])
    yield* same((yield* takeN(harness, pair.client, 20)).map((message) => textOf(message.bytes)), texts, "messages")
    const end = yield* within(harness, pair.client.awaitEnd, "the peer sees the end")
    yield* same([end.code, end.reason], [4002, "last"], "end at the peer")
    yield* ended(harness, pair, "close")
  })

export const closeBehindBacklog = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* clogged(harness)
    pair.connection.close(1001, "behind")
    yield* quiet(harness)
    yield* same(pair.events.end, undefined, "end while the close frame is behind what the peer does not read")
    yield* pair.client.unstall
    yield* takeN(harness, pair.client, pair.count)
    const end = yield* within(harness, pair.client.awaitEnd, "the peer sees the end")
    yield* same([end.code, end.reason], [1001, "behind"], "end at the peer")
    yield* ended(harness, pair, "close")
    yield* same(pair.events.end, { _tag: "Local" }, "end")
  })

export const closeResumes = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* openAttached(harness)
    pair.connection.pause()
    yield* within(harness, pair.client.send("unread"), "the peer sends its message")
    yield* quiet(harness)
    pair.connection.close(1000, "")
    yield* ended(harness, pair, "close of a paused connection")
    yield* same(pair.events.log, [{ _tag: "Close", end: { _tag: "Local" } }], "events")
    const unattached = yield* open(harness)
    unattached.connection.close(1008, "not you")
    const end = yield* within(harness, unattached.client.awaitEnd, "the peer sees the end")
    yield* same(end.code, 1008, "code at the peer of a connection that was never attached")
  })

/** A117. */
export const terminateEnds = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* openAttached(harness)
    yield* pair.client.stall
    yield* quiet(harness)
    pair.connection.close(1001, "bye")
    yield* quiet(harness)
    yield* same(pair.events.end, undefined, "end although the peer has not answered")
    pair.connection.terminate()
    yield* same(pair.events.end, { _tag: "Local" }, "end when terminate returns")
    yield* pair.client.unstall
    yield* within(harness, pair.client.awaitEnd, "the peer sees the end")
    const stuck = yield* clogged(harness)
    stuck.connection.terminate()
    yield* same(stuck.events.end, { _tag: "Local" }, "end when terminate returns")
    const fresh = yield* openAttached(harness)
    fresh.connection.terminate()
    yield* same(fresh.events.end, { _tag: "Local" }, "end when terminate returns")
    const end = yield* within(harness, fresh.client.awaitEnd, "the peer sees the end")
    yield* check(!end.clean, "the end by terminate is clean for the peer")
  })

export const closedOnce = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const cases: ReadonlyArray<readonly [string, (pair: Pair) => Effect.Effect<unknown>]> = [
      ["close twice", ({ connection: c }) => Effect.sync(() => (c.close(1000, ""), c.close(1001, "")))],
      ["close and terminate", ({ connection: c }) => Effect.sync(() => (c.close(1000, ""), c.terminate()))],
      ["terminate twice", ({ connection: c }) => Effect.sync(() => (c.terminate(), c.terminate()))],
      ["close on both sides", ({ client, connection: c }) =>
        Effect.sync(() => c.close(1000, "")).pipe(Effect.zipRight(client.close(1001, "")))],
      ["eof", ({ client }) =>
        client.eof],
      ["reset", ({ client }) => client.reset],
      [
        "eof and close",
        ({ client, connection: c }) => Effect.zipRight(client.eof, Effect.sync(() => c.close(1000, "")))
      ],
      [
        "reset and close",
        ({ client, connection: c }) => Effect.zipRight(client.reset, Effect.sync(() => c.close(1000, "")))
      ],
      [
        "reset and write",
        ({ client, connection: c }) => Effect.zipRight(client.reset, Effect.sync(() => write(c, [Frame.text("x")])))
      ],
      [
        "reset and terminate",
        ({ client, connection: c }) => Effect.zipRight(client.reset, Effect.sync(() => c.terminate()))
      ],
      [
        "the peer's close and terminate",
        ({ client, connection: c }) => Effect.zipRight(client.close(1000, ""), Effect.sync(() => c.terminate()))
      ]
    ]
    for (const [what, act] of cases) {
      const pair = yield* openAttached(harness)
      yield* act(pair)
      yield* ended(harness, pair, what)
      yield* Effect.sync(() => pair.connection.close(1000, ""))
      yield* Effect.sync(() => pair.connection.terminate())
      yield* quiet(harness)
      yield* same(pair.events.count("Close"), 1, `calls of onClose after ${what}`)
    }
  })

export const silentAfterEnd = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const busy = yield* open(harness)
    yield* within(harness, Effect.forEach(["1", "2", "3", "4"], busy.client.send), "the peer sends its messages")
    yield* quiet(harness)
    busy.events.hook = () => {
      if (busy.events.messages.length === 2) busy.connection.terminate()
    }
    busy.connection.attach(busy.events)
    yield* ended(harness, busy, "terminate inside onMessage")
    const owing = yield* clogged(harness)
    owing.connection.ping()
    owing.connection.terminate()
    yield* owing.client.unstall
    const talking = yield* openAttached(harness)
    talking.connection.ping()
    yield* Effect.forkScoped(Effect.ignore(Effect.forEach(["1", "2", "3", "4"], talking.client.send)))
    talking.connection.terminate()
    yield* quiet(harness)
    yield* quiet(harness)
    for (const pair of [busy, owing, talking]) {
      const tags = pair.events.log.map((event) => event._tag)
      yield* same(tags.indexOf("Close"), tags.length - 1, `place of Close in [${tags.join(" ")}]`)
    }
    yield* same(busy.events.messages.length, 2, "messages of a connection that was terminated inside onMessage")
  })

const everything = (connection: Transport.Connection): void => {
  connection.cork()
  connection.write(Frame.text("x"), 0)
  connection.write(Frame.sequenced("[", "]"), 1)
  connection.uncork()
  connection.pause()
  connection.resume()
  connection.ping()
  connection.close(1000, "")
}

export const harmlessAfterEnd = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const ends: ReadonlyArray<(pair: Pair) => Effect.Effect<unknown>> = [
      ({ connection }) => Effect.sync(() => connection.terminate()),
      ({ connection }) => Effect.sync(() => connection.close(1000, "")),
      ({ client }) => client.close(1000, ""),
      ({ client }) => client.eof,
      ({ client }) => client.reset
    ]
    for (const [index, act] of ends.entries()) {
      const pair = yield* openAttached(harness)
      yield* check(pair.connection.isOpen !== false, "isOpen is false before any end")
      yield* act(pair)
      // Once right away, where the end may be under way, and twice when it is over.
      for (let round = 0; round < 3; round++) {
        const thrown = yield* Effect.flip(Effect.try(() => everything(pair.connection))).pipe(Effect.option)
        yield* same(thrown._tag, "None", `a method after end ${index} throws ${JSON.stringify(thrown)}`)
        if (round === 0) yield* ended(harness, pair, `end ${index}`)
      }
      yield* check(pair.connection.isOpen !== true, `isOpen is true after end ${index}`)
      const numbers = [pair.connection.bufferedBytes, pair.connection.writeProgress]
      yield* check(numbers.every(Number.isFinite), `bufferedBytes and writeProgress after the end are ${numbers}`)
      pair.connection.terminate()
      yield* quiet(harness)
      // What was written before the end may have been taken before it.
      const told = pair.events.log.filter(({ _tag }) => _tag !== "Flushed")
      yield* same(told.length, 1, `events after end ${index}`)
      yield* same(pair.events.log.at(-1)?._tag, "Close", `the last event of end ${index}`)
    }
  })

/** Which events a call may have told before it returns. */
const allowed: Readonly<Record<string, string>> = { attach: "Message", resume: "Message", terminate: "Close" }

export const neverNested = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* open(harness)
    const { client, connection, events } = pair
    let inside = ""
    const nested: Array<string> = []
    events.hook = (event) => {
      if (inside !== "" && allowed[inside] !== event._tag) nested.push(`${event._tag} inside ${inside}`)
    }
    const call = <A>(name: string, f: () => A): A => {
      inside = name
      const result = f()
      inside = ""
      return result
    }
    yield* within(harness, Effect.forEach(["1", "2"], client.send), "the peer sends its messages")
    yield* quiet(harness)
    call("attach", () => connection.attach(events))
    for (let round = 0; round < 5; round++) {
      call("ping", () => connection.ping())
      call("pause", () => connection.pause())
      yield* within(harness, client.send("more"), "the peer sends its message")
      yield* quiet(harness)
      call("uncork", () => write(connection, [Frame.text("x".repeat(300_000))]))
      call("resume", () => connection.resume())
      call("bufferedBytes", () => connection.bufferedBytes + connection.writeProgress)
    }
    yield* takeN(harness, client, 5)
    yield* client.close(1000, "")
    call("uncork", () => write(connection, [Frame.text("x")]))
    call("ping", () => connection.ping())
    call("close", () => connection.close(1000, ""))
    yield* ended(harness, pair, "close")
    call("terminate", () => connection.terminate())
    yield* same(nested, [], "callbacks inside calls")
  })
