import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as CloseReason from "../src/CloseReason.js"
import * as Exit from "../src/Exit.js"

const cause = Cause.fail("the password is 1234")

const table: ReadonlyArray<readonly [Exit.Exit, number]> = [
  [{ _tag: "Completed", task: "handler" }, 1000],
  [{ _tag: "LifetimeDone", task: "x" }, 1001],
  [{ _tag: "IdleTimeout" }, 1001],
  [{ _tag: "ReceiveTimeout", waitedFor: "data" }, 1011],
  [{ _tag: "Crashed", task: "x", cause }, 1011],
  [{ _tag: "SendTimeout" }, 4009],
  [{ _tag: "SlowConsumer", why: "stalled" }, 4008],
  [{ _tag: "Overloaded" }, 4015],
  [{ _tag: "RateLimited" }, 4029],
  [{ _tag: "Expired" }, 4010],
  [{ _tag: "ServerDraining", announced: true }, 4001],
  [{ _tag: "ServerDraining", announced: false }, 1001],
  [{ _tag: "ClosedByServer", reason: { code: 4100, reason: "mine" } }, 4100],
  [{ _tag: "Disconnected", end: { _tag: "PeerEof" } }, 1000]
]

it("A114 every exit has the close code of the table, and a reason that may be sent", () => {
  for (const [exit, code] of table) {
    const reason = Exit.toCloseReason(exit)
    assert.strictEqual(reason.code, code, exit._tag)
    assert.isTrue(CloseReason.isSendable(reason.code))
    assert.notInclude(reason.reason, "1234")
  }
  assert.deepStrictEqual(new Set(table.map(([exit]) => exit._tag)), new Set(Exit.tags))
})

it("a reason of the application that may not go on the wire does not", () => {
  for (const code of [1005, 1006, 1015, 0, NaN, 70_000]) {
    const reason = Exit.toCloseReason({ _tag: "ClosedByServer", reason: { code, reason: "é".repeat(100) } })
    assert.deepStrictEqual(reason, { code: 1011, reason: "é".repeat(61) })
  }
})
