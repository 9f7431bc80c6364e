/** The metrics of links, by label. Links with the same label share them. */
import * as Metric from "effect/Metric"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"
import type { Label } from "../Label.js"

const degradedKey = MetricKey.gauge("spillway_links_degraded", { description: "Links that are degraded or probe" })

const connectsKey = MetricKey.counter("spillway_link_connects_total", {
  description: "Connections that links have opened",
  incremental: true
})

const lostKey = MetricKey.counter("spillway_link_requests_lost_total", {
  description: "Requests over links that got no answer",
  incremental: true
})

export class LinkMetrics {
  private static readonly all = new Map<string, LinkMetrics>()

  static of(label: Label): LinkMetrics {
    let metrics = LinkMetrics.all.get(label.name)
    if (metrics === undefined) {
      metrics = new LinkMetrics(label.name)
      LinkMetrics.all.set(label.name, metrics)
    }
    return metrics
  }

  private count = 0
  private readonly degradedGauge
  private readonly connects
  private readonly lost

  private constructor(name: string) {
    const labels = [MetricLabel.make("label", name)]
    this.degradedGauge = Metric.fromMetricKey(MetricKey.taggedWithLabels(degradedKey, labels))
    this.connects = Metric.fromMetricKey(MetricKey.taggedWithLabels(connectsKey, labels))
    this.lost = Metric.fromMetricKey(MetricKey.taggedWithLabels(lostKey, labels))
    this.degraded(0)
  }

  /** A link has become degraded (1), or is so no longer (-1). */
  degraded(change: -1 | 0 | 1): void {
    this.count += change
    this.degradedGauge.unsafeUpdate(this.count, [])
  }

  connected(): void {
    this.connects.unsafeUpdate(1, [])
  }

  requestLost(): void {
    this.lost.unsafeUpdate(1, [])
  }
}
