import { assert, describe, it } from "@effect/vitest"
import * as WorkerState from "@spillway/workers/WorkerState"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"

const state = FastCheck.constantFrom(...WorkerState.states)

const reasons: ReadonlyArray<WorkerState.Reason> = ["checkout", "checkin_success", "error", "shutdown", "timeout"]

/** The table of the specification, written down a second time. */
const allowed = new Set([
  "initializing ready",
  "initializing terminated",
  "ready busy",
  "ready degraded",
  "ready terminating",
  "busy ready",
  "busy degraded",
  "busy terminating",
  "degraded ready",
  "degraded terminating",
  "terminating terminated"
])

const walk = (...states: ReadonlyArray<WorkerState.State>): WorkerState.Machine =>
  states.reduce(
    (machine, to, index) =>
      Either.getOrThrow(
        WorkerState.transition(machine, to, { reason: "error", at: (index + 1) * 10, metadata: { to } })
      ),
    WorkerState.make("w", 0)
  )

describe("WorkerState", () => {
  it("A123 exactly the moves of the table succeed; every other one is refused and changes nothing", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.tuple(state, FastCheck.constantFrom(...reasons), FastCheck.nat(1000))),
        (commands) => {
          let machine = WorkerState.make("w", 0)
          let now = 0
          let moves = 0
          for (const [to, reason, later] of commands) {
            now += later
            const before = machine
            const result = WorkerState.transition(machine, to, { reason, at: now })
            if (!allowed.has(`${before.state} ${to}`)) {
              assert.isTrue(Either.isLeft(result))
              const error = Either.getOrThrow(Either.flip(result))
              assert.deepInclude(error, { _tag: "InvalidTransition", workerId: "w", from: before.state, to })
              continue
            }
            machine = Either.getOrThrow(result)
            moves++
            const [entry] = WorkerState.history(machine)
            const expected = {
              from: before.state,
              to,
              reason,
              at: now,
              durationMillis: now - before.since,
              metadata: {}
            }
            assert.deepStrictEqual(entry, expected)
          }
          assert.strictEqual(machine.transitions, moves)
        }
      ),
      { seed: 123, numRuns: 300 }
    )
  })

  it("A123 a worker takes work when it is ready and healthy, and is to be removed when terminating or terminated", () => {
    for (const name of WorkerState.states) {
      for (const health of ["unknown", "healthy", "unhealthy"] as const) {
        const machine = { ...WorkerState.make("w", 0), state: name, health }
        assert.strictEqual(WorkerState.canAcceptWork(machine), name === "ready" && health === "healthy")
        assert.strictEqual(WorkerState.shouldRemove(machine), name === "terminating" || name === "terminated")
      }
    }
  })

  it("A124 the walk through a life records exactly seven entries, newest first", () => {
    const machine = walk("ready", "busy", "ready", "degraded", "ready", "terminating", "terminated")
    const history = WorkerState.history(machine)
    assert.lengthOf(history, 7)
    assert.deepStrictEqual(history.map(({ from }) => from), [
      "terminating",
      "ready",
      "degraded",
      "ready",
      "busy",
      "ready",
      "initializing"
    ])
    for (const [index, entry] of history.entries()) {
      assert.deepInclude(entry, { reason: "error", durationMillis: 10, at: (7 - index) * 10 })
      assert.deepStrictEqual(entry.metadata, { to: entry.to })
    }
    assert.deepStrictEqual(machine.metadata, { to: "terminated" })
  })

  it("a history keeps the last hundred moves and the count of all", () => {
    const cycles = 500
    const states = Array.from({ length: cycles }, () => ["busy", "ready"] as const).flat()
    const machine = walk("ready", ...states)
    const history = WorkerState.history(machine)
    assert.lengthOf(history, WorkerState.historyItemsMax)
    assert.strictEqual(machine.transitions, 2 * cycles + 1)
    assert.strictEqual(history[0]?.at, (2 * cycles + 1) * 10)
    assert.strictEqual(history.at(-1)?.at, (2 * cycles + 1 - 99) * 10)
    let count = 0
    for (let at = machine.moves; at !== undefined; at = at.before) count++
    assert.isAtMost(count, 2 * WorkerState.historyItemsMax)
  })
})
