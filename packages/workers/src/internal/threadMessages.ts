/** What a pool and its threads say to each other: arrays, which are cloned fastest. */

/** A value whose buffers are handed over with it. */
export class Transferred {
  constructor(readonly value: unknown, readonly buffers: ReadonlyArray<ArrayBuffer>) {}
}

export const unwrap = (value: unknown): readonly [value: unknown, buffers: ReadonlyArray<ArrayBuffer>] =>
  value instanceof Transferred ? [value.value, value.buffers] : [value, none]

export const none: ReadonlyArray<ArrayBuffer> = Object.freeze([])

export type ToWorker =
  /** The first message: what is rung after each other one. */
  | readonly [kind: "bell", bell: Int32Array]
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

/** Progress messages that may be on the way. */
export const progressItemsMax = 64
