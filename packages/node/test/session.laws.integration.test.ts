/**
 * The ways of a session to end over loopback: those that take no time. The others run on the memory transport.
 */
import * as SessionLaws from "@spillway/testing/SessionLaws"
import { harness } from "./wsHarness.js"

SessionLaws.laws("ws", harness(), { live: true, faults: ["resetMidFrame"], timeoutMillis: 60_000 })
