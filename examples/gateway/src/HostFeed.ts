/**
 * The server's own publisher: readings of this machine on the topic `host`, one message for each metric in the lane
 * `bulk`, of which a slow session gets the latest; and alerts on the topic `alerts` in the lane `critical`.
 *
 * Both topics keep their current values, so a new subscriber sees the machine, and every alert that is raised, at once.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Alerts from "./Alerts.js"
import { Host } from "./Host.js"
import { Settings, type SettingsShape } from "./Settings.js"
import { Topics } from "./Topics.js"

export const hostTopic = "host"

export const alertsTopic = "alerts"

/** The thresholds of the configuration, without those that are off. */
const watches = (settings: SettingsShape): ReadonlyArray<Alerts.Watch> => {
  const delay = settings.alertEventLoopDelay
  const all = [
    { metric: "load", threshold: settings.alertLoad, unit: "per core" },
    { metric: "memory", threshold: settings.alertMemory, unit: "ratio" },
    { metric: "event loop delay", threshold: delay && Duration.toMillis(delay), unit: "ms" }
  ]
  return all.flatMap(({ metric, threshold, unit }) => threshold === undefined ? [] : [{ metric, threshold, unit }])
}

const make = Effect.gen(function*() {
  const settings = yield* Settings
  const topics = yield* Topics
  const host = yield* Host
  const watched = watches(settings)
  let raised = Alerts.none

  const publishAlert = (alert: Alerts.Alert) =>
    alert.state === "raised"
      // Without a key for conflation: a session that is slow gets every crossing, not only the latest.
      ? topics.publishKept(alertsTopic, alert.metric, { lane: "critical", data: alert })
      : Effect.zipRight(
        topics.forget(alertsTopic, alert.metric),
        topics.publish(alertsTopic, { lane: "critical", data: alert })
      )

  const tick = Effect.gen(function*() {
    const readings = yield* host.read
    yield* Effect.forEach(
      readings,
      (reading) => topics.publishKept(hostTopic, reading.metric, { lane: "bulk", key: reading.metric, data: reading }),
      { discard: true }
    )
    const values = new Map(readings.map((reading) => [reading.metric, reading.value]))
    const now = yield* Clock.currentTimeMillis
    const next = Alerts.step(raised, watched, values, { clearRatio: settings.alertClearRatio, now })
    raised = next.raised
    yield* Effect.forEach(next.alerts, publishAlert, { discard: true })
  })

  // A reading that fails must not end the feed; it is a defect, so it is logged with its cause.
  yield* tick.pipe(
    Effect.catchAllCause((cause) => Effect.logError("The host feed skipped a reading.", cause)),
    Effect.repeat(Schedule.fixed(settings.feedInterval)),
    Effect.forkScoped
  )
})

export const layer: Layer.Layer<never, never, Settings | Topics | Host> = Layer.scopedDiscard(make)
