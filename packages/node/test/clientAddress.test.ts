import { assert, describe, it } from "@effect/vitest"
import { clientAddress } from "../src/internal/clientAddress.js"

const addressOf = (hops: number, forwarded?: string, remoteAddress = "203.0.113.9") =>
  clientAddress({
    headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
    socket: { remoteAddress }
  }, hops)

describe("client address", () => {
  it("HS11 without trusted proxies the header is not looked at", () => {
    assert.strictEqual(addressOf(0, "1.2.3.4"), "203.0.113.9")
  })

  it("HS11 behind one proxy whatever the client made up on the left changes nothing", () => {
    for (const forged of ["", "9.9.9.9, ", "9.9.9.9, 8.8.8.8, ", "unknown, ,, "]) {
      assert.strictEqual(addressOf(1, `${forged}192.0.2.1`), "192.0.2.1")
    }
  })

  it("behind two proxies the second entry from the right counts", () => {
    assert.strictEqual(addressOf(2, "9.9.9.9, 192.0.2.1, 198.51.100.7"), "192.0.2.1")
    assert.strictEqual(addressOf(2, "192.0.2.1"), "192.0.2.1")
  })

  it("without the header, or with an entry that is no address, the socket's address counts", () => {
    assert.strictEqual(addressOf(1), "203.0.113.9")
    for (const entry of ["", "unknown", "_hidden", "999.1.1.1", "1.2.3", "x".repeat(10_000)]) {
      assert.strictEqual(addressOf(1, entry), "203.0.113.9")
    }
  })

  it("ports are cut off, and addresses of one IPv6 subscriber are one", () => {
    assert.strictEqual(addressOf(1, "192.0.2.1:4711"), "192.0.2.1")
    assert.strictEqual(addressOf(1, "[2001:db8::1]:4711"), "2001:db8:0:0::/64")
    for (
      const same of ["2001:db8:0:1::1", "2001:DB8:0:1:ffff::2", "2001:0db8:0000:0001:1:2:3:4", "2001:db8:0:1::%eth0"]
    ) {
      assert.strictEqual(addressOf(0, undefined, same), "2001:db8:0:1::/64")
    }
    assert.strictEqual(addressOf(0, undefined, "::1"), "0:0:0:0::/64")
    assert.strictEqual(addressOf(0, undefined, "2001:db8:1:2:3:4:192.0.2.1"), "2001:db8:1:2::/64")
    assert.notStrictEqual(addressOf(0, undefined, "2001:db8:0:2::1"), addressOf(0, undefined, "2001:db8:0:1::1"))
  })

  it("an IPv4 client of a dual-stack socket has its IPv4 address", () => {
    for (const mapped of ["::ffff:192.0.2.1", "::FFFF:192.0.2.1", "0:0:0:0:0:ffff:192.0.2.1"]) {
      assert.strictEqual(addressOf(0, undefined, mapped), "192.0.2.1")
    }
  })
})
