import * as SessionLaws from "@spillway/testing/SessionLaws"
import { harness } from "./utils/memoryHarness.js"

const faults = ["resetMidFrame", "halfOpen", "violate"] as const

SessionLaws.laws("memory", harness(), { faults })
