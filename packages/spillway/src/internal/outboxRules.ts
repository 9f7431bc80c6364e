/** The policy as the lanes carry it out: numbers instead of durations. */
import * as Duration from "effect/Duration"
import type { LaneRule, Policy } from "../Overflow.js"
import type { LaneQueueOptions } from "./laneQueue.js"

export const outboxRules = (
  { importantPerBulk, interval, lanes, refuseBulkAbove }: Policy
): Pick<LaneQueueOptions, "rules" | "importantPerBulk" | "refuseBulkAbove"> => {
  const intervalMs = Duration.toMillis(interval)
  const rule = ({ maxAge, target, whenFull }: LaneRule) => ({
    whenFull,
    maxAgeMs: Duration.toMillis(maxAge),
    targetMs: Duration.toMillis(target),
    intervalMs
  })
  const { bulk, control, critical, important } = lanes
  return { rules: [rule(control), rule(critical), rule(important), rule(bulk)], importantPerBulk, refuseBulkAbove }
}
