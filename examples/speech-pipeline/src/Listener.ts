/**
 * The listener: takes audio frames from a client, finds the words in them and tells the client, and has everything stored
 * by the pusher over a link of the session's own. What was admitted is stored although the link breaks, or is counted as
 * lost and told.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as SpillwayServer from "@spillway/node/SpillwayServer"
import * as WebSocketRoute from "@spillway/node/WebSocketRoute"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as CloseReason from "spillway/CloseReason"
import * as Label from "spillway/Label"
import * as Link from "spillway/Link"
import * as Message from "spillway/Message"
import * as Metrics from "spillway/Metrics"
import * as Overflow from "spillway/Overflow"
import * as Prometheus from "spillway/Prometheus"
import type { Inbound, Session } from "spillway/Session"
import * as Sessions from "spillway/Sessions"
import * as Telemetry from "spillway/Telemetry"
import * as Audio from "./Audio.js"
import * as Frames from "./Frames.js"
import { Held } from "./Held.js"
import { layer as ledgerLayer, Ledger } from "./Ledger.js"
import { type Segment, Segmenter } from "./Segmenter.js"
import { Settings } from "./Settings.js"

const label = Label.make("pusher_link")

/** Sessions of links are apart from those of clients: a server that drains still needs its links. */
class LinkSessions extends Context.Tag("@spillway-examples/speech-pipeline/LinkSessions")<
  LinkSessions,
  Sessions.SessionsShape
>() {}

/** A link gets to flush and close within the time that a session gives its finalizers. */
const linkSessionsLayer = Layer.scoped(
  LinkSessions,
  Sessions.make({ flushTimeout: "2 seconds", closeTimeout: "1 second", inboxBytesMax: 64 * 1024 })
).pipe(Layer.provide([Overflow.layerDefault, Telemetry.layerNoop]))

/** Items on their way to the pusher at once. The link keeps a hundred and drops the oldest, so that none waits before it. */
const uploadsMax = 128

/** Speaker samples that are held; the oldest is given up. */
const samplesMax = 100

const encoder = new TextEncoder()

const status = (value: string) => Message.jsonOf({ type: "status", status: value })

/** What `answer` of the link needs: the results that the pusher sends. */
const answer = ({ data }: Inbound) =>
  Option.map(Option.fromNullable(Frames.readResult(data)), (id) => ({ id, value: undefined as void }))

/** What a session knows of its audio: synchronous, fed by one fiber. */
class Intake {
  readonly segmenter = new Segmenter()
  private waiting: Array<Uint8Array> = []
  private chunks = 0
  frames = 0

  constructor(readonly chunkFrames: number) {}

  /** Takes a frame; a chunk when one is full. */
  push(pcm: Uint8Array, now: number): Frames.Item | undefined {
    this.frames++
    this.waiting.push(pcm)
    return this.waiting.length >= this.chunkFrames ? this.chunk(now) : undefined
  }

  /** What is left, as a chunk. */
  chunk(now: number): Frames.Item | undefined {
    if (this.waiting.length === 0) return undefined
    const payload = new Uint8Array(this.waiting.length * Audio.frameBytes)
    this.waiting.forEach((pcm, index) => payload.set(pcm, index * Audio.frameBytes))
    this.waiting = []
    return { kind: "audio", seq: this.chunks++, at: now, payload }
  }
}

const openLink = (session: Session) =>
  Effect.gen(function*() {
    const settings = yield* Settings
    const url = `ws://${settings.host}:${settings.pusherPort}/link?session=${session.id}`
    return yield* Effect.provideServiceEffect(
      Link.make<void>({ label, url, answer, backoff: settings.linkBackoff, degradedFor: settings.linkDegradedFor }),
      Sessions.Sessions,
      LinkSessions
    ).pipe(Effect.orDie)
  })

/** Uploads items until there are no more, many at once; each is stored, or lost and told. */
const uploader = ({ items, open, session }: Pipeline, link: Link.Link<void>) =>
  Effect.flatMap(Ledger, (ledger) => {
    const settled = (item: Frames.Item, type: "stored" | "lost") =>
      Effect.zipRight(Effect.sync(() => open.delete(item)), ledger[type])
    const tell = (type: "stored" | "lost", { kind, seq }: Frames.Item) =>
      session.send(Message.jsonOf({ type, kind, seq }, { lane: "bulk" }))
    const upload = (item: Frames.Item) =>
      link.request((id) => Frames.request(item, id)).pipe(
        Effect.matchEffect({
          onSuccess: () => Effect.zipRight(settled(item, "stored"), tell("stored", item)),
          onFailure: () => Effect.zipRight(settled(item, "lost"), tell("lost", item))
        })
      )
    return Stream.runDrain(
      Stream.mapEffect(Mailbox.toStream(items), upload, { concurrency: uploadsMax, unordered: true })
    )
  })

interface Pipeline {
  readonly session: Session
  readonly intake: Intake
  readonly items: Mailbox.Mailbox<Frames.Item>
  /** Admitted, and neither stored nor lost yet. */
  readonly open: Set<Frames.Item>
  readonly samples: Held<Frames.Item>
  /** The handler has read everything. */
  readonly inboundDone: Deferred.Deferred<void>
}

const admit = ({ items, open }: Pipeline, item: Frames.Item) =>
  Effect.flatMap(Ledger, (ledger) => {
    open.add(item)
    return Effect.zipRight(ledger.admitted, items.offer(item))
  })

/** When tasks and link are over, what is still open was lost: the grace of the session was too short for it. */
const settleAtEnd = ({ open, session }: Pipeline) =>
  Effect.flatMap(Ledger, (ledger) =>
    Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const left = open.size
        open.clear()
        return left === 0
          ? Effect.void
          : Effect.zipRight(
            Effect.replicateEffect(ledger.lost, left, { discard: true }),
            Effect.logWarning(`session ${session.id}: ${left} items were not stored in time`)
          )
      })
    ))

const onSegment = (pipeline: Pipeline, segment: Segment) =>
  Effect.gen(function*() {
    const at = yield* Clock.currentTimeMillis
    const { samples, session } = pipeline
    yield* session.send(Message.jsonOf({ type: "segment", ...segment }))
    const payload = encoder.encode(JSON.stringify({ session: session.id, ...segment }))
    yield* admit(pipeline, { kind: "transcript", seq: segment.index, at, payload })
    samples.add({ kind: "speakerSample", seq: segment.index, at, payload }, at)
  })

const onFrame = (pipeline: Pipeline) => ({ binary, data }: Inbound) =>
  Effect.gen(function*() {
    const { intake, session } = pipeline
    if (!binary || data.byteLength !== Audio.frameBytes) return yield* session.close(CloseReason.unsupportedData)
    const chunk = intake.push(data, yield* Clock.currentTimeMillis)
    if (chunk !== undefined) yield* admit(pipeline, chunk)
    const segment = intake.segmenter.push(data)
    if (segment !== undefined) yield* onSegment(pipeline, segment)
  })

/** What was not a whole chunk or segment when the audio ended. */
const finishInbound = (pipeline: Pipeline) =>
  Effect.gen(function*() {
    const segment = pipeline.intake.segmenter.flush()
    if (segment !== undefined) yield* onSegment(pipeline, segment)
    const chunk = pipeline.intake.chunk(yield* Clock.currentTimeMillis)
    if (chunk !== undefined) yield* admit(pipeline, chunk)
    yield* Deferred.succeed(pipeline.inboundDone, undefined)
  })

/**
 * Samples go out when they are old enough. At shutdown nobody waits for that: the gate is skipped, for what is held would
 * be lost. Ends the uploads when everything that is to be stored is on its way.
 */
const sampler = (pipeline: Pipeline) =>
  Effect.gen(function*() {
    const { sampleInterval } = yield* Settings
    const { items, samples, session } = pipeline
    for (let isShutdown = false; !isShutdown;) {
      isShutdown = yield* session.sleepUntilShutdown(sampleInterval)
      // The handler may still be working off what was received before.
      if (isShutdown) yield* Deferred.await(pipeline.inboundDone)
      for (const sample of samples.take(yield* Clock.currentTimeMillis, isShutdown)) yield* admit(pipeline, sample)
    }
    yield* items.end
  })

/** Does something now and then, and a last time at shutdown. */
const regularly = <E, R>(
  session: Session,
  interval: Parameters<Session["sleepUntilShutdown"]>[0],
  what: Effect.Effect<unknown, E, R>
) => Effect.repeat(Effect.zipLeft(session.sleepUntilShutdown(interval), what), { until: (isShutdown) => isShutdown })

const usage = ({ intake, session }: Pipeline) =>
  Effect.gen(function*() {
    const { usageInterval } = yield* Settings
    const ledger = yield* Ledger
    let recorded = 0
    yield* regularly(
      session,
      usageInterval,
      Effect.suspend(() => {
        const frames = intake.frames - recorded
        recorded = intake.frames
        return ledger.used(frames * Audio.frameMillis)
      })
    )
  })

const heartbeats = (session: Session, link: Link.Link<void>) =>
  Effect.flatMap(Settings, ({ heartbeatInterval }) => {
    const ping = Message.text("ping", { lane: "control", key: "ping" })
    return regularly(session, heartbeatInterval, Effect.zip(session.send(ping), link.send(Frames.heartbeat)))
  })

export const handler = (session: Session) =>
  Effect.gen(function*() {
    const { chunkFrames, sampleAge } = yield* Settings
    yield* session.send(status("initiating"))
    const pipeline: Pipeline = {
      session,
      intake: new Intake(chunkFrames),
      items: yield* Mailbox.make<Frames.Item>(),
      open: new Set(),
      samples: new Held(Duration.toMillis(sampleAge), samplesMax),
      inboundDone: yield* Deferred.make<void>()
    }
    // The first finalizer runs last, after that of the link.
    yield* settleAtEnd(pipeline)
    const link = yield* openLink(session)
    yield* session.fork("uploader", "finite", uploader(pipeline, link))
    yield* session.fork("sampler", "finite", sampler(pipeline))
    yield* session.fork("usage", "lifetime", usage(pipeline))
    yield* session.fork("heartbeats", "lifetime", heartbeats(session, link))
    yield* session.send(status("ready"))
    yield* Effect.ensuring(session.runForEach(onFrame(pipeline)), finishInbound(pipeline))
  })

const listen = Effect.flatMap(
  Settings,
  ({ sessionsMax }) => WebSocketRoute.upgrade(handler, { sessionsMax, payloadBytesMax: 4_096, origins: "any" })
)

const stats = Effect.gen(function*() {
  const sessions = yield* Sessions.Sessions
  const links = yield* LinkSessions
  return HttpServerResponse.unsafeJson({ sessions: sessions.size, links: links.size, ...yield* (yield* Ledger).read })
})

const router = HttpRouter.empty.pipe(
  HttpRouter.get("/listen", listen),
  HttpRouter.get("/stats", stats),
  HttpRouter.get("/metrics", Effect.map(Prometheus.text, (text) => HttpServerResponse.text(text)))
)

/** The listener on whatever HTTP server and dialer there are. */
export const layer = Layer.unwrapEffect(
  Effect.map(Settings, ({ receiveTimeout, taskGrace }) =>
    HttpServer.serve(router).pipe(
      Layer.provideMerge(SpillwayServer.layer({ receiveTimeout, taskGrace })),
      Layer.provideMerge(Layer.merge(ledgerLayer, linkSessionsLayer)),
      Layer.provide([Overflow.layerDefault, Metrics.layer])
    ))
)
