import * as TransportLaws from "@spillway/testing/TransportLaws"
import { harness } from "./utils/memoryHarness.js"

TransportLaws.laws("memory", harness())

TransportLaws.laws(
  "memory over a slow link",
  harness({ bytesPerSecond: 4_000_000, latency: "7 millis", capacityBytes: 100_000 })
)
