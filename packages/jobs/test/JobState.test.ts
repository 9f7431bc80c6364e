import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { FairQueue } from "../src/internal/fairQueue.js"
import * as JobEvent from "../src/JobEvent.js"
import * as JobState from "../src/JobState.js"

const kinds: ReadonlyArray<JobEvent.Kind> = ["STARTED", "PROGRESS", "LOG", "MESSAGE", "RESULT", "ERROR", "CANCELLED"]
const statuses: ReadonlyArray<JobState.Status> = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]

const event = (entry: JobEvent.Entry, seq: number): JobEvent.JobEvent => ({
  jobId: "a",
  seq,
  id: String(seq),
  at: seq * 10,
  kind: entry.kind,
  data: entry.data
})

describe("the state of a job", () => {
  it("moves PENDING to RUNNING to one terminal status, or PENDING to CANCELLED, and no other way (A062)", () => {
    const moves = statuses.flatMap((from) => kinds.map((kind) => [from, kind, JobState.after(from, kind)] as const))
    assert.deepStrictEqual(moves.filter(([, , to]) => to !== undefined), [
      ["PENDING", "STARTED", "RUNNING"],
      ["PENDING", "CANCELLED", "CANCELLED"],
      ["RUNNING", "STARTED", "RUNNING"],
      ["RUNNING", "PROGRESS", "RUNNING"],
      ["RUNNING", "LOG", "RUNNING"],
      ["RUNNING", "MESSAGE", "RUNNING"],
      ["RUNNING", "RESULT", "SUCCEEDED"],
      ["RUNNING", "ERROR", "FAILED"],
      ["RUNNING", "CANCELLED", "CANCELLED"]
    ])
  })

  it("progress stays within 0 and 1 and never falls, whatever is said (A083)", () => {
    const values = FastCheck.array(
      FastCheck.oneof(FastCheck.double(), FastCheck.constant("0.9"), FastCheck.constant(null))
    )
    FastCheck.assert(
      FastCheck.property(values, (all) => {
        let state = JobState.step(JobState.initial, event(JobEvent.started(1, "me"), 1))!
        for (const [index, value] of all.entries()) {
          const next = JobState.step(state, event({ kind: "PROGRESS", data: { value } }, index + 2))!
          assert.isTrue(next.progress >= state.progress && next.progress <= 1)
          state = next
        }
      }),
      { seed: 83 }
    )
  })

  it("only a change of status, stage, message or attempt, or of progress by more than a hundredth, is to be seen (A083)", () => {
    const running = JobState.fold([event(JobEvent.started(1, "me"), 1), event(JobEvent.progress(0.5, "scan"), 2)])
    const after = (entry: JobEvent.Entry) => JobState.isVisibleChange(running, JobState.step(running, event(entry, 3))!)
    assert.isFalse(after(JobEvent.log("line")))
    assert.isFalse(after(JobEvent.message({ any: "thing" })))
    assert.isFalse(after(JobEvent.progress(0.51)))
    assert.isTrue(after(JobEvent.progress(0.5101)))
    assert.isTrue(after(JobEvent.progress(0.5, "index")))
    assert.isTrue(after(JobEvent.started(2, "me")))
    assert.isTrue(after(JobEvent.result(null)))
  })

  it("has when it began and ended, what came of it, or why it failed", () => {
    const state = JobState.fold([
      event(JobEvent.started(1, "me"), 1),
      event(JobEvent.started(2, "me"), 2),
      event(JobEvent.error("timeout", "too long"), 3)
    ])
    assert.deepInclude(state, {
      status: "FAILED",
      attempt: 2,
      startedAt: 10,
      completedAt: 30,
      error: { reason: "timeout", message: "too long" }
    })
    assert.isUndefined(JobState.step(state, event(JobEvent.result(1), 4)))
  })
})

describe("the queue of those that wait for a place", () => {
  it("goes round the turns, in order within each, and takes a job once", () => {
    const queue = new FairQueue()
    for (const id of ["a1", "a2", "a3", "a2"]) queue.add(id, "a")
    queue.add("b1", "b")
    assert.isFalse(queue.add("a1", "b"))
    const first = queue.take()
    queue.add("c1", "c")
    queue.remove("a2")
    const rest = Array.from({ length: 4 }, () => queue.take())
    assert.deepStrictEqual([first, ...rest], ["a1", "b1", "a3", "c1", undefined])
    assert.strictEqual(queue.size, 0)
  })
})
