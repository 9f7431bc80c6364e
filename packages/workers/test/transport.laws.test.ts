/** The contract of the port, on workers in memory (L1) and over the real codec (L2). */
import { assert, describe, it } from "@effect/vitest"
import * as Settle from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Codec from "@spillway/workers/Codec"
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as ScriptedWorkers from "@spillway/workers/ScriptedWorkers"
import * as WorkerLaws from "@spillway/workers/WorkerLaws"
import * as Effect from "effect/Effect"
import { ChildProcess } from "node:child_process"
import { reference, whileTimePasses } from "./support.js"

const { payloadBytesMax } = ScriptedWorkers.defaults

const layers: ReadonlyArray<readonly [string, () => WorkerLaws.LawHarness]> = [
  ["L1 memory", () => ({
    transport: MemoryWorkers.make({ worker: reference }),
    processesPerWorker: 0,
    advance: Settle.advance
  })],
  ["L2 JSON", () => ({
    transport: ScriptedWorkers.make({ worker: reference }),
    processesPerWorker: 0,
    advance: Settle.advance,
    payloadBytesMax
  })],
  ["L2 MessagePack, in small pieces, at once", () => ({
    transport: ScriptedWorkers.make({ worker: reference, codec: Codec.msgPack, chunkBytes: 61, delay: 0 }),
    processesPerWorker: 0,
    advance: Settle.advance,
    payloadBytesMax
  })]
]

/** Every start of a process goes through this method. */
const spy = () => {
  const prototype = ChildProcess.prototype as unknown as { spawn: (options: unknown) => unknown }
  const { spawn } = prototype
  let starts = 0
  prototype.spawn = function(options) {
    starts++
    return spawn.call(this, options)
  }
  return { starts: () => starts, restore: () => void (prototype.spawn = spawn) }
}

const run = (law: WorkerLaws.Law, harness: WorkerLaws.LawHarness) =>
  Effect.withClock(whileTimePasses(law.check(harness)), VirtualClock.make())

for (const [name, harness] of layers) {
  describe(`A139 laws of WorkerTransport: ${name}`, () => {
    for (const law of WorkerLaws.all) {
      it.effect(law.sentence, () =>
        Effect.gen(function*() {
          const processes = spy()
          yield* run(law, harness()).pipe(Effect.ensuring(Effect.sync(processes.restore)))
          assert.strictEqual(processes.starts(), 0, "no process was started")
        }))
    }
  })
}

describe("WorkerLaws", () => {
  it.effect("counter: a transport that answers twice, loses its exit or hides a fault is caught", () =>
    Effect.gen(function*() {
      const broken = (name: string) => {
        const { transport } = layers[0]![1]()
        return {
          ...transport,
          spawn: (workerId: string) =>
            Effect.map(transport.spawn(workerId), (link) =>
              new Proxy(link, {
                get: (target, key) => {
                  if (name === "faults" && key === "faults") return {}
                  if (key !== "attach") {
                    const value = Reflect.get(target, key) as unknown
                    return typeof value === "function" ? value.bind(target) : value
                  }
                  return (events: Parameters<typeof link.attach>[0]) =>
                    link.attach({
                      onReply: (reply) => {
                        events.onReply(reply)
                        if (name === "twice") events.onReply(reply)
                      },
                      onViolation: (why) => events.onViolation(why),
                      onExit: (exit) => name === "exit" ? undefined : events.onExit(exit)
                    })
                }
              }))
        }
      }
      for (const [name, word] of [["twice", "once each"], ["exit", "told once"], ["faults", "corrupt"]] as const) {
        const law = WorkerLaws.all.find(({ sentence }) => sentence.includes(word))!
        assert.strictEqual((yield* Effect.either(run(law, layers[0]![1]())))._tag, "Right")
        const found = yield* Effect.either(run(law, { ...layers[0]![1](), transport: broken(name) }))
        assert.strictEqual(found._tag, "Left", name)
      }
    }))
})
