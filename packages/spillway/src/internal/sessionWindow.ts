/** Waiting for the peer to confirm what is on its way, where a session has a delivery window. */
import type { DeliveryWindow } from "./deliveryWindow.js"
import type { OutboxCore } from "./outbox.js"
import type { SessionHost } from "./sessionHost.js"
import type { Item } from "./sessionItem.js"
import type { WriterOwner } from "./sessionWriter.js"

/** A writer, as far as it may wait for a pong. */
export interface WindowedWriter {
  readonly owner: WriterOwner
  readonly host: SessionHost
  readonly outbox: OutboxCore<Item>
  readonly window: DeliveryWindow | undefined
  readonly inFlight: boolean
  readonly progress: number
  /** The window is full, and messages wait for the peer to confirm what is on its way. */
  unconfirmed: boolean
  onOffered(): void
}

/** The window is full: nothing is written until a pong comes, for which the peer has as long as for taking a byte. */
export const awaitPong = (writer: WindowedWriter, window: DeliveryWindow, now: number): boolean => {
  if (writer.outbox.queue.queuedItems === 0) return true
  window.holdBack()
  if (!writer.unconfirmed) {
    const { host, owner } = writer
    writer.unconfirmed = true
    owner.timers.sendStarted(now, writer.progress)
    host.arm(owner, owner.timers.stallCheckAt)
  }
  return false
}

/** Waits for no pong any more: there is room, or none will be seen for a while. */
export const goOn = (writer: WindowedWriter): void => {
  if (!writer.unconfirmed) return
  writer.unconfirmed = false
  if (!writer.inFlight) writer.owner.timers.sendDone()
  if (writer.outbox.queue.queuedItems > 0) writer.onOffered()
}

/** A pong came. Whether it confirms what was written. */
export const delivered = (writer: WindowedWriter, payload: Uint8Array | undefined, now: number): boolean => {
  const { window } = writer
  if (window?.heard(payload, now) !== true) return false
  if (window.room > 0) goOn(writer)
  return true
}
