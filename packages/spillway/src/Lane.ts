/**
 * The four priority lanes of a session, from most to least urgent: `control`, `critical`, `important`, `bulk`.
 *
 * This module decides the order and nothing else. What happens to a message of a lane when the outbox is full is
 * decided by `Overflow`; how lanes take turns is decided by the lane queue.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A priority lane. `control` carries the runtime's own messages (heartbeats, drain notices), `critical` what must not
 * be lost silently, `important` what matters, `bulk` what may be shed first.
 *
 * @since 0.1.0
 * @category models
 */
export type Lane = "control" | "critical" | "important" | "bulk"

/**
 * All lanes, most urgent first. The position of a lane in this array is its index in counters and reports.
 *
 * @example
 * import { Lane } from "spillway"
 *
 * assert.deepStrictEqual(Lane.all, ["control", "critical", "important", "bulk"])
 *
 * @since 0.1.0
 * @category models
 */
export const all: readonly ["control", "critical", "important", "bulk"] = ["control", "critical", "important", "bulk"]

/**
 * Schema of a lane, for wire frames and configuration.
 *
 * @since 0.1.0
 * @category models
 */
export const LaneSchema: Schema.Schema<Lane> = Schema.Literal(...all)

/**
 * Index of a lane: 0 for `control` to 3 for `bulk`. A smaller index is more urgent.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toIndex = (lane: Lane): LaneIndex =>
  lane === "control" ? 0 : lane === "critical" ? 1 : lane === "important" ? 2 : 3

/**
 * Index of a lane, as used by the data plane.
 *
 * @since 0.1.0
 * @category models
 */
export type LaneIndex = 0 | 1 | 2 | 3

/**
 * Lane of an index.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromIndex = (index: LaneIndex): Lane => all[index]

/**
 * Whether a value is a lane.
 *
 * @since 0.1.0
 * @category guards
 */
export const isLane = (u: unknown): u is Lane =>
  u === "control" || u === "critical" || u === "important" || u === "bulk"

/**
 * One value per lane.
 *
 * @since 0.1.0
 * @category models
 */
export interface PerLane<A> {
  readonly control: A
  readonly critical: A
  readonly important: A
  readonly bulk: A
}

/**
 * Builds a record with one value per lane.
 *
 * @since 0.1.0
 * @category constructors
 */
export const perLane = <A>(f: (lane: Lane, index: LaneIndex) => A): PerLane<A> => ({
  control: f("control", 0),
  critical: f("critical", 1),
  important: f("important", 2),
  bulk: f("bulk", 3)
})
