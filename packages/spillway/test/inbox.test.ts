import { assert, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Inbound, Inbox, type Reader } from "../src/internal/inbox.js"

it.prop("the ring is a queue: items and bytes agree with an array after every step", [
  FastCheck.array(FastCheck.oneof(FastCheck.nat(20), FastCheck.constant(-1)), { maxLength: 400 })
], ([steps]) => {
  const inbox = new Inbox()
  const model: Array<Inbound> = []
  for (const bytes of steps) {
    if (bytes >= 0) {
      const message = new Inbound(new Uint8Array(bytes), true)
      inbox.push(message)
      model.push(message)
    } else assert.strictEqual(inbox.poll(), model.shift())
    assert.strictEqual(inbox.items, model.length)
    assert.strictEqual(inbox.bytes, model.reduce((sum, { data }) => sum + data.byteLength, 0))
  }
  assert.strictEqual(inbox.received, steps.filter((bytes) => bytes >= 0).length)
})

it("a reader that is gone gives its place to the next one", () => {
  const inbox = new Inbox()
  const woken: Array<string> = []
  const wait = (name: string, isGone: boolean) =>
    inbox.wait({ isGone, wake: () => woken.push(name) } as unknown as Reader)
  wait("gone", true)
  wait("next", false)
  inbox.push(new Inbound(new Uint8Array(1), true))
  assert.deepStrictEqual(woken, ["next"])
})

it("every waiting reader is woken once, by a message or by the end", () => {
  const inbox = new Inbox()
  const woken: Array<string> = []
  const wait = (name: string) => inbox.wait({ isGone: false, wake: () => woken.push(name) } as unknown as Reader)
  for (const name of ["a", "b", "c"]) wait(name)
  inbox.push(new Inbound(new Uint8Array(1), true))
  inbox.push(new Inbound(new Uint8Array(1), true))
  assert.deepStrictEqual(woken, ["a", "b", "c"])
  wait("d")
  inbox.close()
  assert.deepStrictEqual(woken, ["a", "b", "c", "d"])
})
