import * as OutboxLaws from "@spillway/testing/OutboxLaws"
import * as Overflow from "spillway/Overflow"

const numRuns = 60

OutboxLaws.laws("the default policy", Overflow.layerDefault, { numRuns })

OutboxLaws.laws(
  "everything waits",
  Overflow.layer({
    lanes: { important: { whenFull: "suspend" }, bulk: { whenFull: "suspend" } },
    refuseBulkAbove: 1
  }),
  { numRuns }
)

OutboxLaws.laws(
  "a policy for a feed: the latest by key, old messages expire, nobody waits",
  Overflow.layer({
    lanes: {
      critical: { whenFull: "disconnect" },
      important: { whenFull: "dropOldest", maxAge: "10 millis" },
      bulk: { whenFull: "conflate", maxAge: "5 millis" }
    },
    importantPerBulk: 2,
    refuseBulkAbove: 0.5
  }),
  { numRuns }
)
