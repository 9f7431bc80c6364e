/** What a pool and its threads say to each other: arrays, which are cloned fastest. */
import type { MessagePort } from "node:worker_threads"

/** A value whose buffers are handed over with it. */
export class Transferred {
  constructor(readonly value: unknown, readonly buffers: ReadonlyArray<ArrayBuffer>) {}
}

export const unwrap = (value: unknown): readonly [value: unknown, buffers: ReadonlyArray<ArrayBuffer>] =>
  value instanceof Transferred ? [value.value, value.buffers] : [value, none]

export const none: ReadonlyArray<ArrayBuffer> = Object.freeze([])

export type ToWorker =
  /** The first message: counters of what was sent each way, and where replies go. */
  | readonly [kind: "open", sent: Int32Array, replies: MessagePort]
  | readonly [kind: "request", id: number, command: string, args: unknown]
  /** So many progress messages were taken. */
  | readonly [kind: "taken", count: number]
  /** Finish what was asked, and say so. */
  | readonly [kind: "stop"]
  /** Hang for ever; for chaos. */
  | readonly [kind: "hang"]

export type ToPool =
  | readonly [kind: "success", id: number, result: unknown]
  | readonly [kind: "failure", id: number, type: string, explanation: string]
  | readonly [kind: "progress", id: number, value: unknown]
  | readonly [kind: "stopped"]
  | readonly [kind: "hangs"]

/** Places in the counters: how many messages were sent, each counted after it was. They wrap. */
export const toWorkerCount = 0
export const toPoolCount = 1

/** Whether there is a message that was counted and not taken yet. */
export const hasMore = (sent: Int32Array, place: number, taken: number): boolean =>
  ((Atomics.load(sent, place) - taken) | 0) > 0

/** Progress messages that may be on the way. */
export const progressItemsMax = 64
