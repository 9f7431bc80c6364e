/**
 * What goes over the link between listener and pusher: binary messages with a 32-bit little-endian opcode.
 *
 * | opcode | then |
 * | --- | --- |
 * | 100 heartbeat | nothing |
 * | 101 audio, 102 transcript, 105 speaker sample | request number (u32), sequence number (u32), time (f64), payload |
 * | 201 result | request number (u32): it is stored |
 */
import * as Frame from "spillway/Frame"
import * as Message from "spillway/Message"

export const opcodes = { heartbeat: 100, audio: 101, transcript: 102, speakerSample: 105, result: 201 } as const

export type ItemKind = "audio" | "transcript" | "speakerSample"

/** Something to be stored. `seq` counts items of a kind within a session. */
export interface Item {
  readonly kind: ItemKind
  readonly seq: number
  readonly at: number
  readonly payload: Uint8Array
}

export interface Request extends Item {
  readonly id: number
}

const requestHeaderBytes = 20

export const heartbeat: Message.Message = Message.fromFrame(
  Frame.binary(Uint8Array.of(opcodes.heartbeat, 0, 0, 0)),
  { lane: "control", key: "heartbeat" }
)

/** A request is `critical`: it waits for room rather than being shed. */
export const request = (item: Item, id: number): Message.Message => {
  const bytes = new Uint8Array(requestHeaderBytes + item.payload.byteLength)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, opcodes[item.kind], true)
  view.setUint32(4, id, true)
  view.setUint32(8, item.seq, true)
  view.setFloat64(12, item.at, true)
  bytes.set(item.payload, requestHeaderBytes)
  return Message.fromFrame(Frame.binary(bytes), { lane: "critical" })
}

export const result = (id: number): Message.Message => {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, opcodes.result, true)
  view.setUint32(4, id, true)
  return Message.fromFrame(Frame.binary(bytes), { lane: "critical" })
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const kinds: Readonly<Record<number, ItemKind>> = {
  [opcodes.audio]: "audio",
  [opcodes.transcript]: "transcript",
  [opcodes.speakerSample]: "speakerSample"
}

/** What a pusher receives; `undefined` is malformed. */
export const readRequest = (bytes: Uint8Array): Request | "heartbeat" | undefined => {
  if (bytes.byteLength < 4) return undefined
  const view = viewOf(bytes)
  const opcode = view.getUint32(0, true)
  if (opcode === opcodes.heartbeat) return "heartbeat"
  const kind = kinds[opcode]
  if (kind === undefined || bytes.byteLength < requestHeaderBytes) return undefined
  return {
    kind,
    id: view.getUint32(4, true),
    seq: view.getUint32(8, true),
    at: view.getFloat64(12, true),
    payload: bytes.subarray(requestHeaderBytes)
  }
}

/** The request number of a result; `undefined` for anything else. */
export const readResult = (bytes: Uint8Array): number | undefined =>
  bytes.byteLength === 8 && viewOf(bytes).getUint32(0, true) === opcodes.result
    ? viewOf(bytes).getUint32(4, true)
    : undefined
