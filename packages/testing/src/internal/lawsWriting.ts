/**
 * Laws of what a session writes: order, what the kernel took, and how that is told.
 */
import * as Effect from "effect/Effect"
import * as Frame from "spillway/Frame"
import type { LawHarness } from "../LawHarness.js"
import {
  type Check,
  check,
  chunk,
  clog,
  clogged,
  framingMax,
  openAttached,
  quiet,
  same,
  takeN,
  textOf,
  until,
  write,
  writeSmall
} from "./lawKit.js"

const describe = (message: { readonly bytes: Uint8Array; readonly binary: boolean }) =>
  message.binary ? [...message.bytes] : textOf(message.bytes)

export const oneCorkInOrder = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection } = yield* openAttached(harness)
    const shared = Frame.sequenced("{\"seq\":", ",\"é\":1}")
    const bytes = Uint8Array.from([1, 0, 255])
    const seqs = [0, 0, 9, 10, 0, 0, 123456789012, 0]
    const frames = [
      Frame.text("first"),
      Frame.binary(bytes),
      shared,
      shared,
      Frame.text(""),
      Frame.fromBytes(Frame.text("é").data, { binary: false }),
      shared,
      Frame.binary(new Uint8Array(0))
    ]
    write(connection, frames, (index) => seqs[index]!)
    const expected = frames.map((frame, index) => frame.binary ? [...frame.data] : Frame.toText(frame, seqs[index]!))
    yield* same((yield* takeN(harness, client, frames.length)).map(describe), expected, "messages at the peer")
    const many = Array.from({ length: 200 }, (_, index) => Frame.text(`message ${index}`))
    for (let i = 0; i < 200; i += 40) write(connection, many.slice(i, i + 40))
    const texts = (yield* takeN(harness, client, 200)).map(describe)
    yield* same(texts, many.map((frame) => Frame.toText(frame, 0)), "messages of several gathered writes")
  })

export const frameIsNotChanged = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const one = yield* openAttached(harness)
    const other = yield* openAttached(harness)
    const frame = Frame.sequenced("[", "]")
    const copy = [...frame.data, ...frame.tail!]
    for (const seq of [1, 22, 333]) {
      write(one.connection, [frame], () => seq)
      write(other.connection, [frame], () => seq * 1000)
    }
    yield* same((yield* takeN(harness, one.client, 3)).map(describe), ["[1]", "[22]", "[333]"], "messages")
    yield* same((yield* takeN(harness, other.client, 3)).map(describe), ["[1000]", "[22000]", "[333000]"], "messages")
    yield* same([...frame.data, ...frame.tail!], copy, "bytes of the frame afterwards")
  })

export const largeFrame = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection } = yield* openAttached(harness)
    const bytes = new Uint8Array(1_500_000).map((_, index) => index % 251)
    write(connection, [Frame.text("before"), Frame.binary(bytes), Frame.text("after")])
    const [before, large, after] = yield* takeN(harness, client, 3)
    yield* same([textOf(before!.bytes), textOf(after!.bytes)], ["before", "after"], "messages around it")
    yield* check(large!.binary && large!.bytes.byteLength === bytes.byteLength, "the large frame is not complete")
    yield* check(large!.bytes.every((byte, index) => byte === index % 251), "the large frame is damaged")
  })

export const uncorkTellsWhatIsLeft = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* openAttached(harness)
    const { client, connection, events } = pair
    yield* same(connection.bufferedBytes, 0, "bufferedBytes before the first write")
    yield* writeSmall(harness, pair)
    yield* same(connection.bufferedBytes, 0, "bufferedBytes after a frame was taken")
    const flushed = events.count("Flushed")
    yield* quiet(harness)
    yield* same(events.count("Flushed"), flushed, "onFlushed after everything was taken")
    yield* client.stall
    yield* quiet(harness)
    let falses = 0
    for (let i = 0; i < 1024 && falses < 3; i++) {
      const taken = write(connection, [chunk(i)])
      const left = connection.bufferedBytes
      yield* check(taken === (left === 0), `uncork returned ${taken} with bufferedBytes ${left}`)
      if (!taken) falses++
    }
    yield* check(falses > 0, "64 MiB were taken although the peer does not read")
    yield* check(connection.bufferedBytes > 0, "bufferedBytes is 0 although bytes were not taken")
  })

export const bufferedBytesIsExact = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { connection, count } = yield* clogged(harness)
    const most = count * (65_536 + framingMax)
    yield* check(connection.bufferedBytes <= most, `bufferedBytes is ${connection.bufferedBytes}, written were ${most}`)
    const sequenced = Frame.sequenced("x".repeat(500), "y".repeat(500))
    for (const [frame, seq] of [[Frame.text("z".repeat(1000)), 0], [sequenced, 12345], [chunk(0), 0]] as const) {
      const before = connection.bufferedBytes
      const progress = connection.writeProgress
      yield* check(!write(connection, [frame], () => seq), "uncork is true behind bytes that were not taken")
      const grown = connection.bufferedBytes - before
      const length = Frame.byteLengthWith(frame, seq)
      if (connection.writeProgress === progress) {
        yield* check(
          grown >= length && grown <= length + framingMax,
          `${length} bytes raised bufferedBytes by ${grown}`
        )
      }
    }
  })

export const flushedOnce = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, count, events } = yield* clogged(harness)
    let leftWhenFlushed = -1
    events.hook = (event) => {
      if (event._tag === "Flushed") leftWhenFlushed = connection.bufferedBytes
    }
    const before = events.count("Flushed")
    write(connection, [Frame.text("more")])
    write(connection, [Frame.text("last")])
    yield* quiet(harness)
    yield* same(events.count("Flushed"), before, "onFlushed while bytes are not taken")
    yield* client.unstall
    yield* until(harness, () => events.count("Flushed") > before, "onFlushed")
    yield* same(leftWhenFlushed, 0, "bufferedBytes inside onFlushed")
    yield* takeN(harness, client, count + 2)
    yield* quiet(harness)
    yield* same(events.count("Flushed"), before + 1, "calls of onFlushed")
    yield* client.stall
    yield* quiet(harness)
    // Waiting in between gives the kernel the chance to take the rest after all, which is told once as well.
    yield* clog(connection)
    yield* client.unstall
    yield* until(harness, () => events.count("Flushed") > before + 1, "onFlushed of the next write that was not taken")
    yield* quiet(harness)
    yield* same(events.count("Flushed"), before + 2, "calls of onFlushed")
  })

export const progressIffTaken = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const pair = yield* clogged(harness)
    const { client, connection } = pair
    const first = connection.writeProgress
    const left = connection.bufferedBytes
    yield* quiet(harness)
    yield* same(connection.bufferedBytes, left, "bufferedBytes while the peer does not read")
    yield* same(connection.writeProgress, first, "writeProgress although nothing was taken")
    connection.cork()
    connection.write(Frame.text("corked"), 0)
    yield* same(connection.writeProgress, first, "writeProgress after a write that was not taken")
    connection.uncork()
    yield* same(connection.writeProgress, first, "writeProgress after a write that was not taken")
    yield* client.unstall
    let [progress, buffered] = [connection.writeProgress, connection.bufferedBytes]
    for (let i = 0; i < 300 && buffered > 0; i++) {
      yield* until(harness, () => connection.bufferedBytes !== buffered, "bytes are taken")
      yield* check(connection.writeProgress !== progress, "bytes were taken and writeProgress did not change")
      ;[progress, buffered] = [connection.writeProgress, connection.bufferedBytes]
    }
    yield* same(buffered, 0, "bufferedBytes in the end")
    const before = connection.writeProgress
    yield* quiet(harness)
    yield* same(connection.writeProgress, before, "writeProgress of an idle connection")
    yield* writeSmall(harness, pair)
    yield* check(connection.writeProgress !== before, "a frame was taken at once and writeProgress did not change")
  })

export const nothingLostWhenClogged = (harness: LawHarness): Check =>
  Effect.gen(function*() {
    const { client, connection, count } = yield* clogged(harness)
    for (let i = 0; i < 10; i++) write(connection, [chunk(count + i)])
    yield* client.unstall
    const messages = yield* takeN(harness, client, count + 10)
    yield* check(messages.every((message) => message.bytes.byteLength === 65_536), "a message is not complete")
    const numbers = messages.map((message) => Number.parseInt(textOf(message.bytes.subarray(0, 12)), 10))
    yield* same(numbers, Array.from({ length: count + 10 }, (_, index) => index), "numbers of the messages at the peer")
  })
