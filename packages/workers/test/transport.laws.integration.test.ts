/** The contract of the port, on real processes (L3). The laws of a layer run side by side: mostly they wait. */
import { describe, it } from "@effect/vitest"
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as WorkerLaws from "@spillway/workers/WorkerLaws"
import * as Effect from "effect/Effect"
import { hasPython, node, nodeMsgPack, python, pythonMsgPack } from "./processes.js"

const { payloadBytesMax } = ProcessWorkers.defaults

const layers = [
  ["Node", true, node()],
  ["Python", hasPython, python()],
  ["Node in MessagePack", true, nodeMsgPack()],
  ["Python in MessagePack", hasPython, pythonMsgPack()]
] as const

/** Each law has a transport of its own, which counts its own processes. */
const holds = (options: ProcessWorkers.Options) => ({ check, sentence }: WorkerLaws.Law) =>
  Effect.scoped(check({ transport: ProcessWorkers.make(options), processesPerWorker: 1, payloadBytesMax })).pipe(
    Effect.mapError((violation) => new Error(`${sentence}: ${violation.message}`))
  )

for (const [name, isThere, options] of layers) {
  describe.skipIf(!isThere)("laws of WorkerTransport", () => {
    it.live(`A139 all laws hold for L3 ${name}`, () =>
      Effect.forEach(WorkerLaws.all, holds(options), { concurrency: 4, discard: true }))
  })
}
