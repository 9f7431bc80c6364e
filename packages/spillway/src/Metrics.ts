/**
 * Telemetry through Effect `Metric`: names, types and labels of everything that Spillway measures.
 *
 * Labels come from closed sets (lanes, exits, phases) and are baked into the metric's key once, so that an update costs
 * tens of nanoseconds and the number of series depends on no traffic. Effect keeps metrics in one registry per process,
 * which all runtimes in it share.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"
import * as Schedule from "effect/Schedule"
import { tags } from "./Exit.js"
import * as Lane from "./Lane.js"
import { Sessions } from "./Sessions.js"
import type { AdmissionRefused } from "./SpillwayError.js"
import * as TaskMetrics from "./TaskMetrics.js"
import { type LaneCounts, Telemetry, type TelemetryShape, type Totals } from "./Telemetry.js"

/** What is measured of a lane's messages; the label `outcome`. */
const outcomes = ["offered", "sent", "evicted", "rejected", "conflated", "expired", "undelivered"] as const

const phases = ["tasks", "finalizers", "flush", "close"] as const

const limits: ReadonlyArray<AdmissionRefused["limit"]> = [
  "sessions",
  "acceptRate",
  "address",
  "addressRate",
  "identity"
]

const phaseResults = ["done", "cut", "skipped"] as const

/**
 * Bounds in seconds, from a millisecond to the budgets of an ending. Effect compares bounds by identity: made for each
 * layer anew, the second layer in a process would get series of its own, and the text the same series twice.
 */
const secondsBuckets = MetricBoundaries.fromIterable([
  0.001,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
  30
])

const sessionSecondsBuckets = MetricBoundaries.fromIterable([1, 10, 60, 300, 1_800, 3_600, 21_600, 86_400])

/**
 * Name, type, labels and meaning of one metric. `docs/METRICS.md` is generated from `registry`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RegistryEntry {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly labels: { readonly [name: string]: ReadonlyArray<string> }
  readonly description: string
}

const entry = (
  name: string,
  type: RegistryEntry["type"],
  description: string,
  labels: RegistryEntry["labels"] = {}
): RegistryEntry => ({ name: `spillway_${name}`, type, labels, description })

const entries = {
  sessions: entry("sessions", "gauge", "Sessions that have not ended"),
  opened: entry("sessions_opened_total", "counter", "Sessions opened"),
  exits: entry("session_exits_total", "counter", "Sessions ended, by reason", { reason: tags }),
  duration: entry("session_duration_seconds", "histogram", "Life of a session"),
  messages: entry("messages_total", "counter", "Outbound messages, by lane and by what became of them", {
    lane: Lane.all,
    outcome: outcomes
  }),
  outboxItems: entry("outbox_items", "gauge", "Messages waiting in all outboxes"),
  outboxBytes: entry("outbox_bytes", "gauge", "Bytes waiting in all outboxes, those in flight included"),
  sendDuration: entry("send_duration_seconds", "histogram", "Time until the kernel took a gathered write"),
  sojourn: entry("sojourn_seconds", "histogram", "Time in the outbox of the first message of a gathered write", {
    lane: Lane.all
  }),
  sentBytes: entry("sent_bytes_total", "counter", "Payload bytes sent"),
  receivedMessages: entry("received_messages_total", "counter", "Messages received"),
  receivedBytes: entry("received_bytes_total", "counter", "Payload bytes received"),
  slowSessions: entry("slow_sessions", "gauge", "Sessions marked slow"),
  slowEntered: entry("slow_marks_total", "counter", "How often a session was marked slow"),
  refused: entry("admission_refused_total", "counter", "Newcomers refused, by the limit that was reached", {
    limit: limits
  }),
  pressured: entry("pressured_sessions", "gauge", "Sessions whose outbox is under pressure"),
  pressureEntered: entry("pressure_marks_total", "counter", "How often an outbox came under pressure"),
  phases: entry("drain_phases_total", "counter", "Phases of endings, by how they went", {
    phase: phases,
    result: phaseResults
  }),
  stuckTasks: entry("stuck_tasks", "gauge", "Tasks that ignore interruption and were given up, until they end"),
  abandonedFinalizers: entry("abandoned_finalizers", "gauge", "Finalizers that were given up, until they end"),
  breakerState: entry("breaker_state", "gauge", "State of a breaker: 0 closed, 1 open, 2 half-open", {
    label: TaskMetrics.anyLabel
  }),
  breakerRejections: entry("breaker_rejections_total", "counter", "Calls that a breaker refused", {
    label: TaskMetrics.anyLabel
  }),
  linksDegraded: entry("links_degraded", "gauge", "Links that are degraded or probe", { label: TaskMetrics.anyLabel }),
  linkConnects: entry("link_connects_total", "counter", "Connections that links have opened", {
    label: TaskMetrics.anyLabel
  }),
  linkLost: entry("link_requests_lost_total", "counter", "Requests over links that got no answer", {
    label: TaskMetrics.anyLabel
  })
}

/**
 * All metrics, in the order of the documentation.
 *
 * @since 0.1.0
 * @category metrics
 */
export const registry: ReadonlyArray<RegistryEntry> = [...Object.values(entries), ...TaskMetrics.registry]

type Update = (value: number) => void

const labelsOf = (labels: { readonly [name: string]: string }): ReadonlyArray<MetricLabel.MetricLabel> =>
  Object.entries(labels).map(([name, value]) => MetricLabel.make(name, value))

const counter = (of: RegistryEntry, labels: { readonly [name: string]: string } = {}): Update => {
  const key = MetricKey.counter(of.name, { description: of.description })
  const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, labelsOf(labels)))
  // Reading registers it: a series exists from the start, as zero, and not only after the first event.
  metric.unsafeValue([])
  return (value) => metric.unsafeUpdate(value, [])
}

const gauge = (of: RegistryEntry): Update => {
  const metric = Metric.fromMetricKey(MetricKey.gauge(of.name, { description: of.description }))
  return (value) => metric.unsafeUpdate(value, [])
}

const histogram = (
  of: RegistryEntry,
  bounds: MetricBoundaries.MetricBoundaries,
  labels: { readonly [name: string]: string } = {}
): Update => {
  const key = MetricKey.histogram(of.name, bounds, of.description)
  const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, labelsOf(labels)))
  // Reading registers it: a series exists from the start, as zero, and not only after the first event.
  metric.unsafeValue([])
  return (value) => metric.unsafeUpdate(value, [])
}

const byKey = <K extends string, A = Update>(keys: ReadonlyArray<K>, f: (key: K) => A): { readonly [P in K]: A } =>
  Object.fromEntries(keys.map((key) => [key, f(key)])) as { readonly [P in K]: A }

/** Turns a total that only grows into increments. */
const growing = (update: Update): Update => {
  let last = 0
  return (total) => {
    update(total - last)
    last = total
  }
}

const makeTotals = (): (totals: Totals) => void => {
  const sessions = gauge(entries.sessions)
  const outboxItems = gauge(entries.outboxItems)
  const outboxBytes = gauge(entries.outboxBytes)
  const slowSessions = gauge(entries.slowSessions)
  const pressured = gauge(entries.pressured)
  const stuckTasks = gauge(entries.stuckTasks)
  const abandoned = gauge(entries.abandonedFinalizers)
  const sentBytes = growing(counter(entries.sentBytes))
  const receivedMessages = growing(counter(entries.receivedMessages))
  const receivedBytes = growing(counter(entries.receivedBytes))
  const messages = Lane.perLane((lane) =>
    byKey(outcomes, (outcome) => growing(counter(entries.messages, { lane, outcome })))
  )
  const updateLane = (lane: Lane.Lane, counts: LaneCounts): void => {
    for (const outcome of outcomes) messages[lane][outcome](counts[outcome])
  }
  return (totals) => {
    sessions(totals.sessions)
    outboxItems(totals.outboxItems)
    outboxBytes(totals.outboxBytes)
    slowSessions(totals.slowSessions)
    pressured(totals.pressuredSessions)
    stuckTasks(totals.stuckTasks)
    abandoned(totals.abandonedFinalizers)
    sentBytes(totals.sentBytes)
    receivedMessages(totals.receivedMessages)
    receivedBytes(totals.receivedBytes)
    for (const lane of Lane.all) updateLane(lane, totals.lanes[lane])
  }
}

const make = (): TelemetryShape => {
  const opened = counter(entries.opened)
  const exits = byKey(tags, (reason) => counter(entries.exits, { reason }))
  const duration = histogram(entries.duration, sessionSecondsBuckets)
  const sendDuration = histogram(entries.sendDuration, secondsBuckets)
  const sojourn = Lane.all.map((lane) => histogram(entries.sojourn, secondsBuckets, { lane }))
  const drainPhases = byKey(
    phases,
    (phase) => byKey(phaseResults, (result) => counter(entries.phases, { phase, result }))
  )
  const slowEntered = counter(entries.slowEntered)
  const refused = byKey(limits, (limit) => counter(entries.refused, { limit }))
  const pressureEntered = counter(entries.pressureEntered)
  return {
    sessionStarted: () => opened(1),
    sessionEnded: (report, millis) => {
      exits[report.exit._tag](1)
      duration(millis / 1000)
      for (const phase of phases) drainPhases[phase][report.phases[phase]](1)
    },
    sendCompleted: (millis) => sendDuration(millis / 1000),
    sojourn: (lane, millis) => sojourn[lane]!(millis / 1000),
    pressureEntered: () => pressureEntered(1),
    slowEntered: () => slowEntered(1),
    admissionRefused: (limit) => refused[limit](1),
    totals: makeTotals()
  }
}

/**
 * Telemetry into Effect metrics. Gauges and lane counters follow when a snapshot is taken: by the Prometheus text, or
 * regularly by `layerSync`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Telemetry> = Layer.sync(Telemetry, make)

/**
 * Refreshes gauges and lane counters at an interval (1 s by default), for exporters that read Effect metrics on their
 * own, such as OpenTelemetry. Not needed beside the Prometheus text.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSync = (
  interval: Duration.DurationInput = Duration.seconds(1)
): Layer.Layer<never, never, Sessions> =>
  Layer.scopedDiscard(
    Effect.flatMap(
      Sessions,
      (sessions) => Effect.forkScoped(Effect.repeat(sessions.snapshot, Schedule.spaced(interval)))
    )
  )
