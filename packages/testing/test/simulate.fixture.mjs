/**
 * `npm run simulate`, with a fault in the core: what is shed leaves a byte behind in the count.
 */
import * as Effect from "effect/Effect"
import { exitOnFailure } from "../../../scripts/lib/process.mjs"
import { campaign, read } from "../../../scripts/lib/simulation.mjs"
import * as Simulation from "../src/Simulation.js"

// The very module that sessions use, whichever build it is of.
const { LaneQueue } = await import(new URL("internal/laneQueue.js", import.meta.resolve("spillway/Lane")).href)
const { shed } = LaneQueue.prototype
LaneQueue.prototype.shed = function(ring, aged) {
  shed.call(this, ring, aged)
  this.countedBytes++
  this.queuedBytes++
}

campaign(Simulation, Effect, read(process.argv.slice(2))).catch(exitOnFailure)
