/** What waits in the lanes of a session: a frame, or one whose producer wants to know its fate. */
import type * as Frame from "../Frame.js"
import type { Delivery } from "../Outcome.js"

/** A queued frame whose producer wants to know its fate. */
export class Tracked {
  constructor(readonly frame: Frame.Frame, readonly settle: (delivery: Delivery) => void) {}
}

export type Item = Frame.Frame | Tracked

export const frameOf = (item: Item): Frame.Frame => item instanceof Tracked ? item.frame : item
