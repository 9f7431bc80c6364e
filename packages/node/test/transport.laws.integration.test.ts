/**
 * The laws of the transport port over loopback.
 */
import * as TransportLaws from "@spillway/testing/TransportLaws"
import { selfSigned } from "./certificate.js"
import { harness } from "./wsHarness.js"

TransportLaws.laws("ws", harness(), {
  live: true,
  timeoutMillis: 60_000
})

TransportLaws.laws("ws with compression", harness({ compression: true }, { perMessageDeflate: true }), {
  live: true,
  timeoutMillis: 60_000
})

TransportLaws.laws("wss", harness({}, {}, selfSigned()), {
  live: true,
  timeoutMillis: 60_000
})
