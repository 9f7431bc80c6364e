import { assert, describe, it } from "@effect/vitest"
import * as Alerts from "../src/Alerts.js"
import * as Host from "../src/Host.js"
import * as Origin from "../src/Origin.js"

const watches: ReadonlyArray<Alerts.Watch> = [{ metric: "load", threshold: 10, unit: "per core" }]

/** The states that a sequence of values goes through. */
const alertsOf = (values: ReadonlyArray<number>) => {
  let raised = Alerts.none
  return values.map((value, now) => {
    const next = Alerts.step(raised, watches, new Map([["load", value]]), { clearRatio: 0.8, now })
    raised = next.raised
    return next.alerts.map((alert) => `${alert.state} ${alert.value}`).join()
  })
}

describe("Alerts", () => {
  it("an alert is raised once above its threshold and cleared only below the clearing share", () => {
    assert.deepStrictEqual(alertsOf([9, 10, 11, 12, 9, 8, 7.9, 9, 10.5]), [
      "",
      "",
      "raised 11",
      "",
      "",
      "",
      "cleared 7.9",
      "",
      "raised 10.5"
    ])
  })

  it("a metric without a value keeps its state", () => {
    const raised = new Set(["load"])
    assert.deepStrictEqual(Alerts.step(raised, watches, new Map(), { clearRatio: 0.8, now: 0 }), { raised, alerts: [] })
  })
})

describe("Host", () => {
  it("network counters are the sum of all interfaces but the loopback", () => {
    const text = [
      "Inter-|   Receive                                                |  Transmit",
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
      "    lo: 9999999     999    0    0    0     0          0         0  9999999     999    0    0    0     0       0          0",
      "  eth0:1000      10    0    0    0     0          0         0     200       2    0    0    0     0       0          0",
      "wlan0: 30       3    0    0    0     0          0         0       4       1    0    0    0     0       0          0"
    ].join("\n")
    assert.deepStrictEqual(Host.parseNetDev(text), {
      receivedBytes: 1030,
      receivedPackets: 13,
      sentBytes: 204,
      sentPackets: 3
    })
  })

  it("text that is no table of interfaces counts nothing", () => {
    assert.strictEqual(Host.parseNetDev("nonsense: a b c\n:").receivedBytes, 0)
  })
})

describe("Origin", () => {
  const cases: ReadonlyArray<readonly [string | undefined, string | undefined, ReadonlyArray<string>, boolean]> = [
    [undefined, "a.example", [], true],
    ["http://a.example", "a.example", [], true],
    ["https://A.example:8443", "a.example:8443", [], true],
    ["http://a.example:81", "a.example", [], false],
    ["http://a.example.evil.example", "a.example", [], false],
    ["http://b.example", "a.example", [], false],
    ["http://b.example", "a.example", ["http://b.example"], true],
    ["https://b.example", "a.example", ["http://b.example"], false],
    ["null", "a.example", [], false],
    ["null", "a.example", ["null"], true],
    ["http://b.example", "a.example", ["*"], true],
    ["not an origin", "a.example", [], false],
    ["http://a.example", undefined, [], false]
  ]
  for (const [origin, host, allowed, expected] of cases) {
    it(`origin ${origin} at ${host} with [${allowed.join()}] is ${expected ? "allowed" : "refused"}`, () => {
      assert.strictEqual(Origin.isAllowed(origin, host, allowed), expected)
    })
  }
})
