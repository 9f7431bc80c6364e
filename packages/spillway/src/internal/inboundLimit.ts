/**
 * The inbound rate limit of one session: messages and bytes per second. What arrives is never lost: whoever is over the
 * limit is not read from until half of the burst is free again, or is told to go.
 */
import type { Resolved } from "../SessionOptions.js"
import { TokenBucket } from "./tokenBucket.js"

export class InboundLimit {
  private readonly messages: TokenBucket
  private readonly bytes: TokenBucket

  constructor(options: Resolved) {
    const { inboundBurst, inboundBytesPerSecond, inboundMessagesPerSecond } = options
    this.messages = new TokenBucket(inboundMessagesPerSecond, inboundBurst)
    this.bytes = new TokenBucket(inboundBytesPerSecond, inboundBurst)
  }

  /** Counts a message or a pong. Returns for how many milliseconds nothing should be read; 0 when within the limit. */
  take(now: number, byteLength: number): number {
    const messagesConform = this.messages.take(now, 1)
    const bytesConform = this.bytes.take(now, byteLength)
    if (messagesConform && bytesConform) return 0
    return Math.max(1, Math.ceil(Math.max(this.messages.millisUntilHalf(now), this.bytes.millisUntilHalf(now))))
  }
}

/** `undefined` when nothing is limited: a session that has no limit pays nothing for it. */
export const inboundLimit = (options: Resolved): InboundLimit | undefined =>
  options.inboundMessagesPerSecond === Infinity && options.inboundBytesPerSecond === Infinity
    ? undefined
    : new InboundLimit(options)
