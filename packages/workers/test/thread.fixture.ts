/** A worker thread with the reference commands. */
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import * as Effect from "effect/Effect"
import type { Handlers } from "../src/MemoryWorkers.js"
import * as ThreadRunner from "../src/ThreadRunner.js"
import { transfer } from "../src/ThreadWorkers.js"

let count = 0
const ballast: Array<Uint8Array> = []

const field = (args: unknown, key: string): number =>
  typeof args === "object" && args !== null && key in args ? Number((args as Record<string, unknown>)[key]) : 0

const handlers: Handlers = {
  echo: (args) => Effect.succeed(args),
  sleep: (args) => Effect.sleep(field(args, "millis")),
  count: () => Effect.sync(() => ++count),
  fail: () => Effect.fail({ type: "Refused", explanation: "asked to" }),
  spin: (args) =>
    Effect.sync(() => {
      for (const until = performance.now() + field(args, "millis"); performance.now() < until;);
    }),
  progress: (args, { progress }) =>
    Effect.as(Effect.forEach(Array.from({ length: field(args, "items") }, (_, index) => index), progress), "done"),
  /** Counts the bytes up by one, and hands the buffer back. */
  increment: (args) =>
    Effect.sync(() => {
      const bytes = new Uint8Array(args as ArrayBuffer).map((byte) => byte + 1)
      return transfer(bytes.buffer, [bytes.buffer])
    }),
  exhaust_memory: (args) => Effect.sync(() => void ballast.push(new Uint8Array(field(args, "bytes")))),
  crash: () => Effect.sync(() => process.exit(7))
}

Effect.runFork(Effect.scoped(ThreadRunner.serve(handlers)).pipe(Effect.provide(NodeWorkerRunner.layer)))
