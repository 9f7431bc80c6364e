/** Viewers of the jobs of a node, over a network in memory. */
import type { MemoryClient } from "@spillway/testing/MemoryClient"
import * as MemoryTransport from "@spillway/testing/MemoryTransport"
import { settle } from "@spillway/testing/Settle"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Overflow, Sessions, Telemetry, Transport } from "spillway"
import type { EventLog } from "../src/EventLog.js"
import type { JobRunner } from "../src/JobRunner.js"
import type { JobStore } from "../src/JobStore.js"
import * as JobViewer from "../src/JobViewer.js"
import * as JobWire from "../src/JobWire.js"
import { closeInTime, type World } from "./runnerSupport.js"

const decode = Schema.decodeUnknownSync(Schema.parseJson(JobWire.Frame))

export interface Viewer {
  readonly client: MemoryClient
  readonly session: import("spillway").Session.Session
  /** Everything that it was sent, decoded with the published schema. */
  readonly frames: Effect.Effect<ReadonlyArray<JobWire.Frame>>
}

export const seqsOf = (frames: ReadonlyArray<JobWire.Frame>): ReadonlyArray<number> =>
  frames.flatMap((frame) => frame.type === "event" ? [frame.data.seq] : [])

export const statesOf = (frames: ReadonlyArray<JobWire.Frame>): ReadonlyArray<JobWire.State> =>
  frames.flatMap((frame) => frame.type === "state" ? [frame.data] : [])

export const viewing = (
  world: World,
  context: Context.Context<JobRunner | EventLog | JobStore>,
  options: import("spillway").SessionOptions.SessionOptions = JobViewer.sessionOptions()
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const network = yield* Layer.buildWithScope(MemoryTransport.layer(), scope)
    const services = yield* Layer.buildWithScope(
      Sessions.layer(options).pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop])),
      scope
    ).pipe(Effect.orDie)
    yield* Scope.addFinalizer(world.scope, closeInTime(scope))
    const sessions = Context.get(services, Sessions.Sessions)
    const memory = Context.get(network, MemoryTransport.MemoryTransport)
    const transport = Context.get(network, Transport.Transport)
    const view = (jobId: string, viewer?: JobViewer.Options, link?: MemoryTransport.ConnectOptions) =>
      Effect.gen(function*() {
        const client = yield* memory.connect(link)
        const connection = yield* transport.accept
        const session = yield* Effect.provide(sessions.open(connection, JobViewer.handler(jobId, viewer)), context)
        yield* settle
        const frames = Effect.map(client.received, (messages) => messages.map(({ text }) => decode(text)))
        const found: Viewer = { client, session, frames }
        return found
      }).pipe(Effect.orDie)
    return { sessions, view }
  })
