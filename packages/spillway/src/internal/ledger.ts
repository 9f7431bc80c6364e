/**
 * What all sessions of an owner hold in memory: the bytes charged to each of them, added up, and the payload bytes of queued
 * frames, each counted once however many outboxes hold it.
 *
 * The count of a frame is kept in the frame itself, which costs next to nothing. A frame that another owner counts, or that
 * is not one of ours, is counted in a map.
 */
import type { Frame } from "../Frame.js"
import { FrameImpl } from "./frameImpl.js"

export class Ledger {
  /** Bytes queued and in flight of all sessions; a frame in a thousand outboxes counts a thousand times. */
  chargedBytes = 0
  /** Payload bytes of queued frames; a frame counts once. */
  heldBytes = 0
  /** Frames counted here because they could not count for themselves. */
  private readonly others = new Map<Frame, number>()

  /** So many outboxes took the frame in. */
  hold(frame: Frame, outboxes = 1): void {
    if (frame instanceof FrameImpl && (this.others.size === 0 || !this.others.has(frame))) {
      if (frame.holder === this) {
        frame.holds += outboxes
        return
      }
      if (frame.holder === undefined) {
        frame.holder = this
        frame.holds = outboxes
        this.heldBytes += frame.byteLength
        return
      }
    }
    this.countOther(frame, outboxes)
  }

  /** A frame left an outbox, in whatever way. */
  release(frame: Frame): void {
    if (frame instanceof FrameImpl && frame.holder === this) {
      if (--frame.holds > 0) return
      frame.holder = undefined
      this.heldBytes -= frame.byteLength
      return
    }
    this.countOther(frame, -1)
  }

  /**
   * A frame may leave before it was said to have come: an offer that waited is admitted, and evicts a newcomer whose own
   * offer has not returned. So a count may be below zero for that long.
   */
  private countOther(frame: Frame, by: number): void {
    const before = this.others.get(frame) ?? 0
    const holds = before + by
    if (holds === 0) this.others.delete(frame)
    else this.others.set(frame, holds)
    if (holds > 0 && before <= 0) this.heldBytes += frame.byteLength
    else if (holds <= 0 && before > 0) this.heldBytes -= frame.byteLength
  }

  /** Frames that are counted in the map. */
  get otherFrames(): number {
    return this.others.size
  }
}
