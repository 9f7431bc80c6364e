/**
 * What a process knows of itself that it does not serve: live Effect fibers and sockets as objects on the heap, and the
 * heap after garbage collection. Loaded into a program before it starts (`node --import`); answers over IPC.
 */
import { fileURLToPath } from "node:url"

export interface Probed {
  readonly fibers: number
  readonly sockets: number
  readonly heapBytes: number
}

/** `v8.queryObjects` collects garbage first, and counts what is reachable. It is newer than the types of Node 20. */
const source = (effectUrl: string): string => `
import * as Net from "node:net"
import * as V8 from "node:v8"
import * as Effect from ${JSON.stringify(effectUrl)}
const Fiber = Effect.runFork(Effect.void).constructor
process.on("message", (message) => {
  if (message !== "probe") return
  const fibers = V8.queryObjects(Fiber, { format: "count" })
  const sockets = V8.queryObjects(Net.Socket, { format: "count" })
  globalThis.gc()
  process.send({ fibers, sockets, heapBytes: process.memoryUsage().heapUsed })
})
process.channel.unref()
`

const effectUrl = new URL("../../../node_modules/effect/dist/esm/Effect.js", import.meta.url)

/** Arguments of `node` that load the probe. */
export const probeArguments = [
  "--expose-gc",
  "--import",
  `data:text/javascript,${encodeURIComponent(source(effectUrl.href))}`
]

export const root = fileURLToPath(new URL("../../..", import.meta.url))
