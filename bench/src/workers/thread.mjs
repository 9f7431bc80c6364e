/** A worker thread of Spillway that echoes. */
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import * as ThreadRunner from "@spillway/workers/ThreadRunner"
import * as Effect from "effect/Effect"

const main = Effect.scoped(ThreadRunner.serve({ echo: (args) => Effect.succeed(args) }, { idle: "block" }))

Effect.runFork(Effect.provide(main, NodeWorkerRunner.layer))
