/** What the endpoints of `JobApi` do. */
import type * as Headers from "@effect/platform/Headers"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { BadRequest, Conflict, NotFound, Unavailable } from "../ApiError.js"
import { EventLog, stream } from "../EventLog.js"
import type * as JobError from "../JobError.js"
import type { JobEvent } from "../JobEvent.js"
import { JobRunner } from "../JobRunner.js"
import * as JobState from "../JobState.js"
import { type JobRecord, JobStore } from "../JobStore.js"
import * as JobWire from "../JobWire.js"

const notFound = ({ message }: JobError.JobNotFound) => Effect.fail(new NotFound({ message }))
const conflict = ({ message }: { readonly message: string }) => Effect.fail(new Conflict({ message }))
const bad = ({ message }: { readonly message: string }) => Effect.fail(new BadRequest({ message }))
const later = ({ message }: { readonly message: string }) => Effect.fail(new Unavailable({ message }))

const find = (jobId: string): Effect.Effect<JobRecord, NotFound | Unavailable, JobStore> =>
  Effect.flatMap(JobStore, (store) => Effect.catchAll(store.get(jobId), later)).pipe(
    Effect.flatMap(Option.match({
      onNone: () => Effect.fail(new NotFound({ message: `job ${jobId} not found` })),
      onSome: (record) => Effect.succeed(record)
    }))
  )

export const create = (payload: {
  readonly name: string
  readonly input: unknown
  readonly id?: string | undefined
  readonly title?: string | undefined
  readonly turn?: string | undefined
  readonly start?: boolean | undefined
}) =>
  Effect.flatMap(JobRunner, (runner) => runner.createEncoded(payload.name, payload.input, payload)).pipe(
    Effect.map(JobWire.fromRecord),
    Effect.catchTags({
      InvalidInput: bad,
      UnknownJob: bad,
      JobExists: conflict,
      JobQueueFull: later,
      StoreFailed: later
    })
  )

export const list = (query: {
  readonly page: number
  readonly page_size: number
  readonly status?: JobState.Status | undefined
  readonly name?: string | undefined
}) =>
  Effect.gen(function*() {
    const { name, page, page_size: size, status } = query
    const store = yield* JobStore
    const { items, total } = yield* store.list({ status, name, offset: (page - 1) * size, limit: size })
    return {
      items: items.map(JobWire.fromRecord),
      total,
      page,
      page_size: size,
      total_pages: Math.ceil(total / size)
    }
  }).pipe(Effect.catchTag("StoreFailed", later))

export const active = Effect.flatMap(
  JobStore,
  (store) => store.list({ status: "RUNNING", offset: 0, limit: 1_000 })
).pipe(
  Effect.map(({ items }) => ({ ids: items.map(({ id }) => id) })),
  Effect.catchTag("StoreFailed", later)
)

export const get = (jobId: string) => Effect.map(find(jobId), JobWire.fromRecord)

export const state = (jobId: string) => Effect.map(find(jobId), (record) => JobWire.fromState(jobId, record.state))

const read = (jobId: string, after: number, limit: number) =>
  Effect.flatMap(EventLog, (log) => Effect.catchAll(log.read(jobId, after, limit), later))

export const timeline = (jobId: string, { limit, offset }: { readonly limit: number; readonly offset: number }) =>
  Effect.gen(function*() {
    const record = yield* find(jobId)
    const events = yield* read(jobId, offset, limit)
    const total = record.state.seq
    return { items: events.map(JobWire.fromEvent), total, limit, offset, has_more: offset + events.length < total }
  })

export const run = (jobId: string) =>
  Effect.flatMap(JobRunner, (runner) => runner.start(jobId)).pipe(
    Effect.zipRight(get(jobId)),
    Effect.catchTags({
      JobNotFound: notFound,
      JobOver: conflict,
      UnknownJob: conflict,
      JobQueueFull: later,
      StoreFailed: later
    })
  )

export const cancel = (jobId: string) =>
  Effect.flatMap(JobRunner, (runner) => runner.cancel(jobId)).pipe(
    Effect.map(JobWire.fromRecord),
    Effect.catchTags({
      JobNotFound: notFound,
      JobOver: conflict,
      IllegalTransition: conflict,
      Fenced: later,
      AppendQueueFull: later,
      EventTooLarge: later,
      StoreFailed: later
    })
  )

export const remove = (jobId: string) =>
  Effect.flatMap(JobRunner, (runner) => runner.remove(jobId)).pipe(
    Effect.catchTags({
      JobNotFound: notFound,
      JobOver: () => Effect.void,
      IllegalTransition: later,
      Fenced: later,
      AppendQueueFull: later,
      EventTooLarge: later,
      StoreFailed: later
    })
  )

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

/** One event as `text/event-stream` has it. JSON has no line breaks. */
export const sseOf = (event: JobEvent): string =>
  `id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(JobWire.fromEvent(event))}\n\n`

const utf8 = new TextEncoder()

/** Those who follow a job share its events, and so their encoded form. */
const encoded = new WeakMap<JobEvent, Uint8Array>()

const bytesOf = (event: JobEvent): Uint8Array => {
  let bytes = encoded.get(event)
  if (bytes === undefined) {
    bytes = utf8.encode(sseOf(event))
    encoded.set(event, bytes)
  }
  return bytes
}

/** A comment, so that whoever is between does not think the connection idle. */
const heartbeat = utf8.encode(": still here\n\n")

const heartbeatSeconds = 15

/** The place that a browser comes back with, which counts more than the one in the address. */
const placeOf = (headers: Headers.Headers, since: number): number => {
  const last = Number(headers["last-event-id"] ?? NaN)
  return Number.isSafeInteger(last) && last >= 0 ? last : since
}

const eventStream = (record: JobRecord, since: number) =>
  Effect.gen(function*() {
    // A browser comes back for ever; this answer stops it.
    const isOver = JobState.isTerminal(record.state.status) && since >= record.state.seq
    if (isOver) return HttpServerResponse.empty({ status: 204 })
    const log = yield* EventLog
    const heartbeats = Stream.as(Stream.fromSchedule(Schedule.spaced(heartbeatSeconds * 1_000)), heartbeat)
    const events = Stream.map(stream(record.id, since), bytesOf).pipe(Stream.provideService(EventLog, log))
    const body = Stream.merge(events, heartbeats, { haltStrategy: "left" })
    return HttpServerResponse.stream(body, {
      contentType: "text/event-stream",
      headers: { "cache-control": "no-store", "x-accel-buffering": "no" }
    })
  })

export const events = (
  jobId: string,
  { limit, since }: { readonly limit: number; readonly since: number },
  headers: Headers.Headers
) =>
  Effect.gen(function*() {
    const record = yield* find(jobId)
    if (headers["accept"]?.includes("text/event-stream") === true) {
      return yield* eventStream(record, placeOf(headers, since))
    }
    const found = yield* read(jobId, since, limit)
    return HttpServerResponse.unsafeJson({ events: found.map(JobWire.fromEvent), total: record.state.seq })
  })
