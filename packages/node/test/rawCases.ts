/**
 * Cases from RFC 6455, as data: what is sent, and exactly what comes back. They say nothing about how the bytes travel,
 * so the same cases run whole, cut into single bytes, and in one packet with the handshake.
 */
import { binary, build, close, closeBody, describeFrame, type FrameSpec, more, ping, pong, range, text } from "./raw.js"

export interface Step {
  readonly send: Buffer
  /** Frames that answer it, in order. All of them come before the next step is sent. */
  readonly expect: ReadonlyArray<string>
}

export interface Case {
  readonly name: string
  readonly steps: ReadonlyArray<Step>
  /** Messages that reach the handler. */
  readonly received: number
}

const isData = (frame: string): boolean => frame.startsWith("text") || frame.startsWith("binary")

/** The peer behaves: every step is answered, then it closes with 1000 and sees that code again. */
const fine = (name: string, ...steps: ReadonlyArray<Step>): Case => ({
  name,
  steps: [...steps, { send: close(1000), expect: ["close 1000"] }],
  received: steps.flatMap(({ expect }) => expect).filter(isData).length
})

/** The peer breaks a rule with its last step, and is told so. What was right before was answered. */
const broken = (name: string, code: number, ...sends: ReadonlyArray<Buffer | Step>): Case => {
  const steps = sends.map((send, i): Step => {
    if (!Buffer.isBuffer(send)) return send
    return { send, expect: i === sends.length - 1 ? [`close ${code}`] : [] }
  })
  return { name, steps, received: steps.flatMap(({ expect }) => expect).filter(isData).length }
}

const frame = (spec: FrameSpec): Buffer => build(spec)
const echoed = (send: Buffer, ...expect: ReadonlyArray<string>): Step => ({ send, expect })
const saysText = (payload: Uint8Array | string): string => describeFrame("text", payload)
const saysBinary = (payload: Uint8Array | string): string => describeFrame("binary", payload)
const saysPong = (payload: Uint8Array | string = ""): string => describeFrame("pong", payload)
const all = (...parts: ReadonlyArray<Buffer>): Buffer => Buffer.concat(parts)

const letters = (length: number): Buffer => Buffer.from(range(length).map((i) => 97 + i % 26))
const octets = (length: number): Buffer => Buffer.from(range(length).map((i) => (i * 7 + (i >> 8)) & 255))

/** Payload sizes on both sides of each change of the length field. */
const sizes = [0, 1, 2, 124, 125, 126, 127, 128, 1000, 4095, 4096, 4097, 65535, 65536]

const lengths: ReadonlyArray<Case> = [
  ...sizes.map((size) => fine(`text of ${size} bytes`, echoed(text(letters(size)), saysText(letters(size))))),
  ...sizes.map((size) => fine(`binary of ${size} bytes`, echoed(binary(octets(size)), saysBinary(octets(size))))),
  ...([16, 64] as const).flatMap((lengthAs) =>
    [0, 5, 125].map((size) =>
      fine(
        `a length of ${size} in ${lengthAs} bits is accepted, as by ws, and answered in the shortest form`,
        echoed(frame({ opcode: 1, payload: letters(size), lengthAs }), saysText(letters(size)))
      )
    )
  ),
  fine(
    "a length of 300 in 64 bits",
    echoed(frame({ opcode: 2, payload: octets(300), lengthAs: 64 }), saysBinary(octets(300)))
  ),
  fine("a mask of zeros", echoed(frame({ opcode: 1, payload: "abc", mask: Buffer.alloc(4) }), saysText("abc"))),
  fine(
    "a mask of ones",
    echoed(frame({ opcode: 2, payload: octets(9), mask: Buffer.alloc(4, 255) }), saysBinary(octets(9)))
  ),
  fine(
    "frames of all length encodings in one write come back in order",
    echoed(
      all(...[0, 125, 126, 5, 2000, 1].map((size) => text(letters(size)))),
      ...[0, 125, 126, 5, 2000, 1].map((size) => saysText(letters(size)))
    )
  ),
  fine(
    "100 frames in one write",
    echoed(all(...range(100).map((i) => text(`${i}`))), ...range(100).map((i) => saysText(`${i}`)))
  )
]

const framing: ReadonlyArray<Case> = [
  broken("a text frame without a mask", 1002, frame({ opcode: 1, payload: "abc", mask: false })),
  broken("an empty frame without a mask", 1002, frame({ opcode: 1, mask: false })),
  broken("a ping without a mask", 1002, frame({ opcode: 9, mask: false })),
  broken("a close without a mask", 1002, frame({ opcode: 8, payload: closeBody(1000), mask: false })),
  ...range(7).map((i) =>
    broken(`reserved bits ${i + 1} on text`, 1002, frame({ opcode: 1, payload: "abc", rsv: i + 1 }))
  ),
  ...[1, 2, 4].map((rsv) => broken(`reserved bits ${rsv} on a ping`, 1002, frame({ opcode: 9, payload: "abc", rsv }))),
  ...[1, 2, 4].map((rsv) =>
    broken(`reserved bits ${rsv} on a continuation`, 1002, text("a", false), frame({ opcode: 0, payload: "b", rsv }))
  ),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) =>
    broken(`reserved opcode ${opcode}`, 1002, echoed(text("ok"), saysText("ok")), frame({ opcode, payload: "abc" }))
  ),
  broken("a reserved opcode between fragments", 1002, text("a", false), frame({ opcode: 3 }))
]

const fragments: ReadonlyArray<Case> = [
  fine("text in two fragments", echoed(all(text("ab", false), more("cd")), saysText("abcd"))),
  fine(
    "binary in three fragments",
    echoed(all(binary("ab", false), more("cd", false), more("ef")), saysBinary("abcdef"))
  ),
  fine(
    "text in fragments of one byte",
    echoed(all(text("a", false), ...range(60).map(() => more("b", false)), more("c")), saysText(`a${"b".repeat(60)}c`))
  ),
  fine("fragments that are all empty", echoed(all(text("", false), more("", false), more("")), saysText(""))),
  fine("an empty first fragment", echoed(all(text("", false), more("abc")), saysText("abc"))),
  fine("an empty last fragment", echoed(all(text("abc", false), more("")), saysText("abc"))),
  fine(
    "a ping between fragments is answered first",
    echoed(all(text("ab", false), ping("p"), more("cd")), saysPong("p"), saysText("abcd"))
  ),
  fine(
    "pings and pongs between all fragments",
    echoed(
      all(text("a", false), ping("1"), more("b", false), pong("x"), ping("2"), more("c")),
      saysPong("1"),
      saysPong("2"),
      saysText("abc")
    )
  ),
  fine(
    "two fragmented messages in one write",
    echoed(all(text("a", false), more("b"), binary("c", false), more("d")), saysText("ab"), saysBinary("cd"))
  ),
  {
    name: "a close between fragments ends the message unheard",
    steps: [echoed(all(text("a", false), close(1000)), "close 1000")],
    received: 0
  },
  broken("a fragmented ping", 1002, frame({ opcode: 9, payload: "p", fin: false })),
  broken("a fragmented pong", 1002, frame({ opcode: 10, fin: false })),
  broken("a fragmented close", 1002, frame({ opcode: 8, payload: closeBody(1000), fin: false })),
  broken("a ping of 126 bytes", 1002, ping(letters(126))),
  broken("a pong of 126 bytes", 1002, pong(letters(126))),
  broken("a close of 126 bytes", 1002, close(1000, letters(124))),
  broken("a ping whose length is in 64 bits", 1002, frame({ opcode: 9, payload: "a", lengthAs: 64 })),
  broken("a continuation of nothing", 1002, more("abc")),
  broken("an unfinished continuation of nothing", 1002, more("abc", false)),
  broken("a continuation after a whole message", 1002, echoed(text("a"), saysText("a")), more("b")),
  broken(
    "a continuation after a fragmented message",
    1002,
    echoed(all(text("a", false), more("b")), saysText("ab")),
    more("c")
  ),
  broken("text inside a fragmented text", 1002, text("a", false), text("b")),
  broken("text inside a fragmented binary", 1002, binary("a", false), text("b")),
  broken("binary inside a fragmented text", 1002, text("a", false), binary("b", false))
]

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex")

const validUtf8: Readonly<Record<string, Buffer>> = {
  "two, three and four bytes": Buffer.from("aµ€😀"),
  "Greek": Buffer.from("κόσμε"),
  "U+0000": bytes("00"),
  "U+007F and U+0080": bytes("7f c280"),
  "U+07FF and U+0800": bytes("dfbf e0a080"),
  "U+D7FF and U+E000, beside the surrogates": bytes("ed9fbf ee8080"),
  "U+FFFD": bytes("efbfbd"),
  "U+FFFE and U+FFFF, which are not characters": bytes("efbfbe efbfbf"),
  "U+10000 and U+10FFFF": bytes("f0908080 f48fbfbf"),
  "a byte order mark": bytes("efbbbf 61")
}

const invalidUtf8: Readonly<Record<string, Buffer>> = {
  "a lone continuation byte": bytes("80"),
  "a continuation byte after text": bytes("61 bf"),
  "FE": bytes("fe"),
  "FF": bytes("ff"),
  "overlong slash in two bytes": bytes("c0af"),
  "overlong U+007F": bytes("c1bf"),
  "overlong U+0000": bytes("c080"),
  "overlong slash in three bytes": bytes("e080af"),
  "overlong U+07FF": bytes("e09fbf"),
  "overlong slash in four bytes": bytes("f08080af"),
  "overlong U+FFFF": bytes("f08fbfbf"),
  "surrogate U+D800": bytes("eda080"),
  "surrogate U+DFFF": bytes("edbfbf"),
  "a pair of surrogates": bytes("eda080edb080"),
  "U+110000": bytes("f4908080"),
  "U+1FFFFF": bytes("f7bfbfbf"),
  "five bytes": bytes("f888808080"),
  "six bytes": bytes("fc8480808080"),
  "two bytes cut": bytes("61 ce"),
  "three bytes cut": bytes("e282"),
  "four bytes cut": bytes("f09f98"),
  "a lead byte before ASCII": bytes("c3 28")
}

const utf8: ReadonlyArray<Case> = [
  ...Object.entries(validUtf8).map(([name, payload]) =>
    fine(`valid: ${name}`, echoed(text(payload), saysText(payload)))
  ),
  ...range(Buffer.byteLength("aµ€😀") + 1).map((at) => {
    const payload = Buffer.from("aµ€😀")
    return fine(
      `valid: cut into fragments at byte ${at}`,
      echoed(all(text(payload.subarray(0, at), false), more(payload.subarray(at))), saysText(payload))
    )
  }),
  fine(
    "valid: every byte in a fragment, with pings between",
    echoed(
      all(
        text("", false),
        ...[...Buffer.from("κ€😀")].flatMap((byte) => [more(Buffer.from([byte]), false), ping("p")]),
        more("")
      ),
      ...range(9).map(() => saysPong("p")),
      saysText("κ€😀")
    )
  ),
  ...Object.entries(invalidUtf8).map(([name, payload]) => broken(`invalid: ${name}`, 1007, text(payload))),
  ...Object.entries(invalidUtf8).map(([name, payload]) =>
    broken(`invalid in fragments: ${name}`, 1007, all(text(payload.subarray(0, 1), false), more(payload.subarray(1))))
  ),
  broken("invalid: after a valid message", 1007, echoed(text("ok"), saysText("ok")), text(bytes("ff"))),
  ...Object.entries(invalidUtf8).map(([name, payload]) =>
    fine(`binary may be anything: ${name}`, echoed(binary(payload), saysBinary(payload)))
  )
]

const validCodes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
const invalidCodes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535]

const ends = (name: string, send: Buffer, answer: string): Case => ({
  name,
  steps: [{ send, expect: [answer] }],
  received: 0
})

const reason = (length: number): string => "r".repeat(length)

const closing: ReadonlyArray<Case> = [
  ends("without a body", close(), "close"),
  ...validCodes.map((code) => ends(`with ${code}`, close(code), `close ${code}`)),
  ...invalidCodes.map((code) => ends(`with ${code}, which nobody may send`, close(code), "close 1002")),
  ends("with a body of one byte", frame({ opcode: 8, payload: bytes("03") }), "close 1002"),
  ends("with a reason", close(1000, "bye"), `close 1000 "bye"`),
  ends("with a reason of 123 bytes", close(4000, reason(123)), `close 4000 ${JSON.stringify(reason(123))}`),
  ends("with a reason in UTF-8", close(1000, "κόσμε😀"), `close 1000 "κόσμε😀"`),
  ...Object.entries(invalidUtf8).map(([name, payload]) =>
    ends(`with a reason that is not UTF-8: ${name}`, close(1000, payload), "close 1007")
  ),
  ends("twice", all(close(1000), close(4000)), "close 1000"),
  ends("P6: data after it is not heard", all(close(1000), text("late"), binary("late")), "close 1000"),
  ends("P6: a ping after it is not answered", all(close(1000), ping("late")), "close 1000"),
  ends("P6: broken frames after it change nothing", all(close(1000), bytes("ffffffffff")), "close 1000"),
  fine("after a ping and a pong", echoed(all(ping("a"), pong("b")), saysPong("a")))
]

const pings: ReadonlyArray<Case> = [
  fine("an empty ping", echoed(ping(), saysPong())),
  ...[1, 124, 125].map((size) => fine(`a ping of ${size} bytes`, echoed(ping(letters(size)), saysPong(letters(size))))),
  fine("a ping that is not UTF-8", echoed(ping(bytes("00ff fe80")), saysPong(bytes("00ff fe80")))),
  fine(
    "ten pings in one write, in order",
    echoed(all(...range(10).map((i) => ping(`${i}`))), ...range(10).map((i) => saysPong(`${i}`)))
  ),
  fine(
    "60 pings in one write",
    echoed(all(...range(60).map((i) => ping(`${i}`))), ...range(60).map((i) => saysPong(`${i}`)))
  ),
  fine(
    "unsolicited pongs are not answered",
    echoed(all(pong(), pong("x"), pong(letters(125)), ping("y")), saysPong("y"))
  ),
  fine(
    "a ping between messages",
    echoed(text("a"), saysText("a")),
    echoed(ping("b"), saysPong("b")),
    echoed(text("c"), saysText("c"))
  )
]

/** The limits of the server that the cases run against. */
export const limits = { payloadBytesMax: 65536, fragmentsMax: 64 }

const announced = (length: bigint, lengthAs: 16 | 64): Buffer => frame({ opcode: 2, announce: length, lengthAs })

const limited: ReadonlyArray<Case> = [
  broken("FR1: one byte more than the payload limit", 1009, text(letters(limits.payloadBytesMax + 1))),
  ...[65537n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n].map((length) =>
    broken(`FR1: an announced length of ${length} is refused before any byte of it`, 1009, announced(length, 64))
  ),
  fine(
    "fragments that are the payload limit together",
    echoed(all(binary(octets(32768), false), more(octets(32768))), saysBinary(all(octets(32768), octets(32768))))
  ),
  broken(
    "FR1: fragments that are one byte more together",
    1009,
    all(binary(octets(32768), false), more(octets(32769)))
  ),
  broken(
    "FR1: an unfinished message that grows beyond the limit",
    1009,
    all(text(letters(60000), false), more(letters(6000), false))
  ),
  fine(
    "as many fragments as are allowed",
    echoed(all(text("", false), ...range(limits.fragmentsMax - 2).map(() => more("", false)), more("x")), saysText("x"))
  ),
  broken(
    "FR2: one fragment more than allowed",
    1008,
    all(text("", false), ...range(limits.fragmentsMax).map(() => more("a", false)))
  )
]

/** By group. */
export const cases: Readonly<Record<string, ReadonlyArray<Case>>> = {
  "lengths and masks": lengths,
  "framing": framing,
  "fragments": fragments,
  "UTF-8": utf8,
  "close": closing,
  "ping and pong": pings,
  "limits": limited
}

export const bytesOf = (one: Case): number => one.steps.reduce((sum, step) => sum + step.send.length, 0)
