/**
 * Hostile input of every kind, from a seed. Each attack leaves nothing open by itself, except what it holds on purpose
 * until `release`.
 */
import {
  binary,
  build,
  close,
  forEach,
  more,
  Peer,
  ping,
  pong,
  type Random,
  range,
  text,
  upgradeRequest
} from "./raw.js"

export interface Arena {
  readonly port: number
  readonly random: Random
  /** Multiplies the amounts. */
  readonly scale: number
  /** Counts what was sent. */
  sent: number
  /** Peers that are held open until the end of the attack. */
  readonly held: Array<Peer>
}

type Attack = (arena: Arena) => Promise<void>

const times = (arena: Arena, count: number): Array<number> => range(Math.max(1, Math.round(count * arena.scale)))

/** Sends and forgets: waits until the kernel has it, the server has ended the connection, or half a second is over. */
const throwAt = async (arena: Arena, peer: Peer, ...parts: ReadonlyArray<Uint8Array | string>): Promise<void> => {
  for (const part of parts) {
    arena.sent += part.length
    if (peer.closed) continue
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 500)
      peer.socket.write(part, () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

/** Opens, sends, and leaves in one of three ways. */
const hitAndRun = async (
  arena: Arena,
  path: string | undefined,
  ...parts: ReadonlyArray<Uint8Array | string>
): Promise<void> => {
  const peer = path === undefined ? Peer.connect(arena.port) : await Peer.open(arena.port, path)
  await throwAt(arena, peer, ...parts)
  leave(arena, peer)
}

const leave = (arena: Arena, peer: Peer): void => {
  const how = arena.random.below(3)
  if (how === 0) peer.reset()
  else if (how === 1) peer.destroy()
  else {
    peer.socket.end()
    peer.socket.once("end", () => peer.destroy())
    arena.held.push(peer)
  }
}

const each = (arena: Arena, count: number, f: (i: number) => Promise<void>): Promise<void> =>
  forEach(times(arena, count), 8, f)

const request = (lines: ReadonlyArray<string>): string => [...lines, "", ""].join("\r\n")

const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

/** Handshakes that are wrong in one way each. */
export const malformed: ReadonlyArray<string> = [
  request([
    "GET /ws HTTP/1.0",
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    key
  ]),
  request(["GET /ws HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key]),
  request([
    "GET /ws HTTP/1.1",
    "Host: a",
    "Host: b",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    key
  ]),
  request(["GET /ws HTTP/1.1", "Host: a", "Upgrade: h2c", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key]),
  request([
    "GET /ws HTTP/1.1",
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 12",
    key
  ]),
  request(["GET /ws HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade", key]),
  request(["GET /ws HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]),
  request([
    "GET /ws HTTP/1.1",
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: c2hvcnQ="
  ]),
  request([
    "GET /ws HTTP/1.1",
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    key,
    key
  ]),
  request([
    "POST /ws HTTP/1.1",
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    key,
    "Content-Length: 0"
  ]),
  request([
    "GET /nope HTTP/1.1",
    "Host: a",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    key
  ]),
  upgradeRequest("/ws", ["Origin: https://evil.example"]),
  upgradeRequest("/ws", ["Origin: null"]),
  upgradeRequest("/ws", ["Sec-WebSocket-Protocol: a, a"]),
  upgradeRequest("/ws", ["Sec-WebSocket-Protocol: ,;\"("]),
  upgradeRequest("/ws", ["Content-Length: 5"]),
  upgradeRequest("/ws", ["Transfer-Encoding: chunked"]),
  upgradeRequest("/ws?topics=,,%00,%ff"),
  upgradeRequest("/ws?topics=" + "a,".repeat(200)),
  upgradeRequest("/ws/../../etc/passwd"),
  "GET /ws HTTP/1.1\r\nHost : a\r\n\r\n",
  "GET /ws HTTP/9.9\r\n\r\n",
  "GET\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
]

/** Not handshakes but what stands around them. */
const bombs = (random: Random): ReadonlyArray<string> => [
  upgradeRequest("/ws", [`X-Long: ${"x".repeat(60_000)}`]),
  upgradeRequest("/ws", range(4_000).map((i) => `X-${i}: ${i}`)),
  upgradeRequest(`/${"a".repeat(40_000)}`),
  upgradeRequest("/ws", [`Sec-WebSocket-Protocol: ${"a ".repeat(6_000)}b`]),
  upgradeRequest("/ws", [`Sec-WebSocket-Extensions: ${"permessage-deflate; ".repeat(700)}`]),
  upgradeRequest("/ws", [`Sec-WebSocket-Extensions: ${"=\\\"".repeat(4_000)}`]),
  upgradeRequest("/ws", [`Cookie: ${random.bytes(4_000).toString("base64")}`, `Origin: http://${"a.".repeat(3_000)}`]),
  `POST /publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n${"x".repeat(70_000)}`,
  `POST /publish/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n${"x".repeat(1_000)}`,
  `POST /publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n`
]

const deep = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`

/** Text that is JSON or nearly, none of it a frame of the gateway's protocol. */
export const badTexts: ReadonlyArray<string> = [
  "",
  " ",
  "null",
  "true",
  "0",
  "-1e999",
  "\"\"",
  "[]",
  "{}",
  "[[]]",
  "{\"type\":null}",
  "{\"type\":{}}",
  "{\"type\":[\"ping\"]}",
  "{",
  "{\"type\":\"ping\"",
  "{\"type\":\"ping\"}}",
  "nul",
  "'ping'",
  "NaN",
  "\u0000",
  "\ufeff{\"type\":\"ping\"}",
  "\"\\ud800\"",
  "{\"type\":\"publish\",\"topic\":\"\\ud800\",\"data\":1}",
  "{\"__proto__\":{\"type\":\"ping\"}}",
  "{\"type\":\"publish\",\"topic\":\"__proto__\",\"data\":1}",
  "{\"type\":\"publish\",\"topic\":\"a\",\"lane\":\"critical\",\"data\":1}",
  "{\"type\":\"publish\",\"topic\":\"a\",\"lane\":\"control\",\"data\":1}",
  "{\"type\":\"publish\",\"topic\":\"a\",\"lane\":0,\"data\":1}",
  "{\"type\":\"publish\",\"topic\":\"a\",\"lane\":\"__proto__\",\"data\":1}",
  "{\"type\":\"publish\",\"topic\":\"a\",\"key\":{\"toString\":1},\"data\":1}",
  "{\"type\":\"publish\",\"topic\":\"a\"}",
  "{\"type\":\"publish\",\"topic\":\"alerts\",\"data\":\"forged\"}",
  "{\"type\":\"subscribe\"}",
  "{\"type\":\"subscribe\",\"topics\":{\"length\":1e9}}",
  "{\"type\":\"subscribe\",\"topics\":[null]}",
  "{\"type\":\"subscribe\",\"topics\":[[\"a\"]]}",
  `{"type":"subscribe","topics":[${range(129).map((i) => `"t${i}"`).join(",")}]}`,
  `{"type":"subscribe","topics":["${"a".repeat(60_000)}"]}`,
  "{\"type\":\"toString\"}",
  "{\"type\":\"constructor\"}",
  `{"type":${deep(10_000)}}`,
  deep(30_000),
  "[".repeat(60_000),
  "{\"a\":".repeat(10_000),
  "9".repeat(60_000),
  `{"${"k".repeat(60_000)}":1}`,
  `{"type":"${"\\u0000".repeat(9_000)}"}`
]

/** These are frames of the protocol: their data is hostile, and nobody has to mind. */
const hostileData: ReadonlyArray<string> = [
  `{"type":"publish","topic":"constructor","data":{"__proto__":{"admin":true},"constructor":{"prototype":{}}}}`,
  `{"type":"publish","topic":"toString","data":${deep(2_000)}}`,
  `{"type":"publish","topic":"a","data":1e999}`,
  `{"type":"publish","topic":"a","data":"\\ud800\\u2028</script>"}`,
  `{"type":"publish","topic":"a","key":"__proto__","data":[]}`,
  `{"type":"subscribe","topics":["constructor","hasOwnProperty","valueOf"]}`
]

/** A frame that is right in most ways. */
const almostFrame = (random: Random): Buffer => {
  const control = random.below(4) === 0
  const size = random.pick([0, 1, 5, 125, 126, 300, 2_000])
  const frame = build({
    opcode: random.below(5) === 0 ? random.below(16) : control ? random.pick([8, 9, 10]) : random.pick([0, 1, 2]),
    fin: random.below(3) > 0,
    rsv: random.below(12) === 0 ? random.below(8) : 0,
    payload: random.below(2) === 0 ? random.bytes(size) : "a".repeat(size),
    mask: random.below(12) === 0 ? false : random.bytes(4),
    ...(random.below(20) === 0 ? { announce: BigInt(random.below(65536)), lengthAs: 64 as const } : {})
  })
  for (let flips = random.below(10) === 0 ? 1 + random.below(3) : 0; flips > 0; flips--) {
    frame[random.below(frame.length)]! ^= 1 << random.below(8)
  }
  return random.below(12) === 0 ? frame.subarray(0, random.below(frame.length + 1)) : frame
}

/** By name. The amounts of one round add up to more than a million bytes. */
export const attacks: Readonly<Record<string, Attack>> = {
  "random bytes instead of a handshake": (arena) =>
    each(arena, 40, () => hitAndRun(arena, undefined, arena.random.bytes(2_000))),
  "random bytes after a handshake": (arena) =>
    each(arena, 60, (i) => hitAndRun(arena, i % 2 === 0 ? "/ws" : "/echo", arena.random.bytes(2_000))),
  "HS2: malformed handshakes": (arena) =>
    each(arena, 400, (i) => hitAndRun(arena, undefined, malformed[i % malformed.length]!)),
  "HS1: handshakes cut anywhere": (arena) =>
    each(arena, 200, () => {
      const whole = upgradeRequest("/ws?topics=host")
      return hitAndRun(arena, undefined, whole.slice(0, arena.random.below(whole.length + 1)))
    }),
  "HS6: header and body bombs": (arena) =>
    each(arena, 10, (i) => hitAndRun(arena, undefined, bombs(arena.random)[i % 10]!)),
  "HS4: handshakes that never finish": (arena) =>
    each(arena, 100, async (i) => {
      const peer = Peer.connect(arena.port)
      const whole = i % 2 === 0
        ? upgradeRequest("/ws")
        : "POST /publish/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1"
      await throwAt(arena, peer, whole.slice(0, 20 + arena.random.below(whole.length - 20)))
      arena.held.push(peer)
    }),
  "frames cut anywhere": (arena) =>
    each(arena, 100, () => {
      const whole = text("x".repeat(arena.random.pick([1, 200, 2_000])))
      return hitAndRun(arena, "/echo", whole.subarray(0, arena.random.below(whole.length)))
    }),
  "FR5: ping floods that are not read": (arena) =>
    each(arena, 8, async () => {
      const peer = await Peer.open(arena.port, "/ws")
      peer.socket.pause()
      for (const _ of range(10)) await throwAt(arena, peer, Buffer.concat(range(50).map(() => ping("p".repeat(125)))))
      leave(arena, peer)
    }),
  "FR6: pong floods": (arena) =>
    each(
      arena,
      8,
      () => hitAndRun(arena, "/echo", ...range(4).map(() => Buffer.concat(range(500).map(() => pong("x")))))
    ),
  "FR2: tiny fragments without end": (arena) =>
    each(
      arena,
      8,
      () =>
        hitAndRun(
          arena,
          "/echo",
          text("a", false),
          ...range(3).map(() => Buffer.concat(range(500).map(() => more("b", false))))
        )
    ),
  "FR3: messages that never finish": (arena) =>
    each(arena, 20, async (i) => {
      const peer = await Peer.open(arena.port, "/echo")
      const part = "u".repeat(8_000)
      await throwAt(
        arena,
        peer,
        i % 2 === 0 ? text(part, false) : build({ opcode: 2, announce: 60_000n, payload: part })
      )
      arena.held.push(peer)
    }),
  "FR1: lengths beyond every limit": (arena) =>
    each(
      arena,
      30,
      (i) =>
        hitAndRun(
          arena,
          "/echo",
          build({ opcode: 2, announce: [65537n, 2n ** 53n, 2n ** 63n][i % 3]!, lengthAs: 64 }),
          arena.random.bytes(500)
        )
    ),
  "FR12, FR13: bad JSON": (arena) => each(arena, 2, () => hitAndRun(arena, "/ws", ...badTexts.map((bad) => text(bad)))),
  "FR13: hostile data in good frames": (arena) =>
    each(arena, 20, () => hitAndRun(arena, "/ws?topics=constructor,a", ...hostileData.map((bad) => text(bad)))),
  "FR14: types confused": (arena) =>
    each(
      arena,
      40,
      (i) =>
        hitAndRun(
          arena,
          "/ws",
          ...(i % 2 === 0
            ? [binary("{\"type\":\"ping\"}")]
            : [text("{\"type\":\"pi", false), more("ng\"}"), binary(arena.random.bytes(500))])
        )
    ),
  "FR15: very many topics": (arena) =>
    each(
      arena,
      10,
      (i) =>
        hitAndRun(
          arena,
          "/ws",
          ...range(20).map((j) =>
            text(JSON.stringify({ type: "subscribe", topics: range(10).map((k) => `t${i}-${j}-${k}`) }))
          )
        )
    ),
  "FR7: messages faster than answers are read": (arena) =>
    each(arena, 4, async () => {
      const peer = await Peer.open(arena.port, "/ws")
      peer.socket.pause()
      for (const _ of range(5)) {
        await throwAt(
          arena,
          peer,
          Buffer.concat(range(500).map(() => text("{\"type\":\"ping\"}")))
        )
      }
      leave(arena, peer)
    }),
  "FR8: almost frames": (arena) =>
    each(
      arena,
      250,
      (i) => hitAndRun(arena, i % 2 === 0 ? "/echo" : "/ws?topics=a", ...range(10).map(() => almostFrame(arena.random)))
    ),
  "P6: data after the close": (arena) =>
    each(arena, 40, () => hitAndRun(arena, "/echo", close(1000), text("x".repeat(500)), close(9)))
}

export const release = (arena: Arena): void => {
  for (const peer of arena.held) peer.reset()
  arena.held.length = 0
}
