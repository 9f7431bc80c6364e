/** The class behind `Frame`: its bytes, and who counts it as queued (see `ledger`). */
export class FrameImpl {
  /** The ledger that counts this frame, and in how many outboxes it is. */
  holder: unknown = undefined
  holds = 0

  constructor(
    readonly data: Uint8Array,
    readonly tail: Uint8Array | undefined,
    readonly byteLength: number,
    readonly binary: boolean
  ) {}
}
