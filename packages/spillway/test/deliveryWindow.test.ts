/** The window of what is on its way, without a session: against a link that is a queue with a rate, and by property. */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { DeliveryWindow } from "../src/internal/deliveryWindow.js"

/** Writes 4 KiB whenever there is room, over a link of a rate and a round trip, for a time. What was seen in its second half. */
const drive = (
  window: DeliveryWindow,
  bytesPerMilli: number,
  roundTripMillis: number,
  millis: number
) => {
  const pongs: Array<{ readonly at: number; readonly payload: Uint8Array }> = []
  let linkFreeAt = 0
  let delivered = 0
  let delayMax = 0
  for (let now = 0; now < millis; now++) {
    while (pongs.length > 0 && pongs[0]!.at <= now) window.heard(pongs.shift()!.payload, now)
    while (window.room > 0) {
      linkFreeAt = Math.max(linkFreeAt, now) + 4_096 / bytesPerMilli
      if (now >= millis / 2) {
        delivered += 4_096
        delayMax = Math.max(delayMax, linkFreeAt - now)
      }
      const payload = window.wrote(4_096, now)
      if (payload !== undefined) pongs.push({ at: linkFreeAt + roundTripMillis, payload })
      // A link without a limit is written to for ever: as much as 64 KiB in a millisecond.
      if (linkFreeAt <= now && delivered > 65_536 * now) break
    }
    window.holdBack()
  }
  return { delayMax, share: delivered / (bytesPerMilli * millis / 2) }
}

describe("DeliveryWindow", () => {
  for (
    const [link, bytesPerMilli, roundTripMillis] of [
      ["8 Mbit/s, 1 ms", 1_000, 1],
      ["8 Mbit/s, 40 ms", 1_000, 40],
      ["1 Mbit/s, 20 ms", 125, 20],
      ["100 Mbit/s, 5 ms", 12_500, 5]
    ] as const
  ) {
    it(`keeps the queue of a link of ${link} near 50 ms, and the link busy`, () => {
      const { delayMax, share } = drive(new DeliveryWindow(50), bytesPerMilli, roundTripMillis, 20_000)
      assert.isAtMost(delayMax, 100 + 2 * 4_096 / bytesPerMilli)
      assert.isAtLeast(share, 0.95)
    })
  }

  it("a ping ahead of the first burst finds the time of the link, where the one behind it would take the burst for it", () => {
    const afterBurst = (begins: boolean): number => {
      const window = new DeliveryWindow(50)
      const ahead = begins ? window.begin(0) : undefined
      assert.isUndefined(begins ? window.begin(0) : undefined, "one ping is enough")
      const behind = window.wrote(32_768, 0)
      window.holdBack()
      if (ahead !== undefined) window.heard(ahead, 20)
      window.heard(behind, 4_116)
      return window.bytes
    }
    assert.isAtMost(afterBurst(true), 16_384)
    assert.isAbove(afterBurst(false), 32_768, "the counter-test")
  })

  it("on a link of 64 kbit/s no more than a few messages are on their way", () => {
    const { delayMax, share } = drive(new DeliveryWindow(50), 8, 20, 60_000)
    assert.isAtMost(delayMax, 2 * 4_096 / 8)
    assert.isAtLeast(share, 0.9)
  })

  it("what a peer confirms is never more than was written, and never goes back, whatever it answers", () => {
    const step = FastCheck.oneof(
      FastCheck.record({ bytes: FastCheck.nat(100_000) }),
      FastCheck.record({ answer: FastCheck.nat(12) }),
      FastCheck.record({ forged: FastCheck.uint8Array({ maxLength: 8 }) })
    )
    FastCheck.assert(FastCheck.property(FastCheck.array(step, { maxLength: 200 }), (steps) => {
      const window = new DeliveryWindow(50)
      const pings: Array<Uint8Array> = []
      let written = 0
      let confirmed = 0
      for (const [now, step] of steps.entries()) {
        if ("bytes" in step) {
          written += step.bytes
          const ping = window.wrote(step.bytes, now)
          if (ping !== undefined) pings.push(ping)
        } else window.heard("answer" in step ? pings[step.answer] : step.forged, now)
        assert.isAtLeast(window.confirmedBytes, confirmed)
        assert.isAtMost(window.confirmedBytes, written)
        confirmed = window.confirmedBytes
      }
      // Whatever was left out or forged: the answer to the last ping opens it again.
      const last = window.wrote(1_048_576, steps.length)
      assert.isDefined(last)
      window.heard(last, steps.length)
      assert.isAbove(window.room, 0)
    }))
  })

  it("pings without an answer are remembered up to a bound; with every ping answered there is room", () => {
    const window = new DeliveryWindow(50)
    const pings = Array.from({ length: 1_000 }, (_, now) => window.wrote(65_536, now))
    assert.isTrue(pings.every((ping) => ping !== undefined))
    assert.isFalse(window.heard(pings[1_000 - 256 - 1], 2_000), "forgotten")
    assert.isTrue(window.heard(pings[1_000 - 256], 2_000), "the oldest that is remembered")
    assert.isTrue(window.heard(pings.at(-1), 2_000))
    assert.strictEqual(window.confirmedBytes, 1_000 * 65_536)
    assert.isAbove(window.room, 0)
    assert.isFalse(window.heard(pings.at(-2), 2_000))
  })

  it("the answer to a heartbeat, and a pong that nobody asked for, confirm nothing", () => {
    const window = new DeliveryWindow(50)
    const ping = window.wrote(65_536, 0)!
    for (const payload of [undefined, new Uint8Array(0), new Uint8Array(3), Uint8Array.of(0, 0, 0, 1)]) {
      assert.isFalse(window.heard(payload, 1))
      assert.strictEqual(window.confirmedBytes, 0)
      assert.strictEqual(window.room, 0)
    }
    assert.isTrue(window.heard(ping, 2))
    assert.strictEqual(window.confirmedBytes, 65_536)
  })
})
