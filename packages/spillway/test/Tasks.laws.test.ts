import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Tasks from "../src/Tasks.js"
import { advance, ended, label, settle, timed } from "./taskSupport.js"

/** How a task ends at the moment, and how many turns of the scheduler after the others. */
interface Plan {
  readonly kind: Tasks.TaskKind
  readonly outcome: "ends" | "fails" | "dies" | "interrupted" | "stays"
  readonly yields: number
}

const plan: FastCheck.Arbitrary<Plan> = FastCheck.record({
  kind: FastCheck.constantFrom<Tasks.TaskKind>("lifetime", "finite", "completion"),
  outcome: FastCheck.constantFrom<Plan["outcome"]>("ends", "fails", "dies", "interrupted", "stays"),
  yields: FastCheck.constantFrom(0, 1)
})

const act = (outcome: Plan["outcome"]): Effect.Effect<void, string> => {
  switch (outcome) {
    case "ends":
      return Effect.void
    case "fails":
      return Effect.fail("no")
    case "dies":
      return Effect.die("bug")
    case "interrupted":
      return Effect.interrupt
    case "stays":
      return Effect.never
  }
}

/** Far more turns of the scheduler than any of this takes; no timer, so that many runs are cheap. */
const turns = Effect.replicateEffect(Effect.yieldNow(), 100, { discard: true })

/** The rule, said as naively as possible. */
const expected = (receive: Plan | undefined, background: ReadonlyArray<Plan>): string => {
  if (receive !== undefined && receive.outcome !== "stays") return "Disconnect receive"
  const crash = background.findIndex(({ outcome }) => outcome === "fails" || outcome === "dies")
  if (crash >= 0) return `Crash ${crash}`
  const end = background.findIndex(({ kind, outcome }) => outcome === "ends" && kind !== "finite")
  if (end >= 0) return `${background[end]!.kind === "lifetime" ? "LifetimeDone" : "Completed"} ${end}`
  const stays = [receive, ...background].some((plan) => plan?.outcome === "stays")
  return stays ? "goes on" : receive === undefined && background.length === 0 ? "Empty" : "AllDone"
}

const shown = (exit: Tasks.SupervisorExit<unknown>): string => "task" in exit ? `${exit._tag} ${exit.task}` : exit._tag

describe("superviseTasks", () => {
  it.effect.prop(
    "A088 what ends at once is decided by precedence, then registration, never by the order of scheduling",
    { receive: FastCheck.option(plan, { nil: undefined }), background: FastCheck.array(plan, { maxLength: 6 }) },
    ({ background, receive }) =>
      Effect.gen(function*() {
        const shot = yield* Deferred.make<void>()
        const run = ({ outcome, yields }: Plan) =>
          Deferred.await(shot).pipe(
            Effect.zipRight(Effect.replicateEffect(Effect.yieldNow(), yields, { discard: true })),
            Effect.zipRight(act(outcome))
          )
        const fiber = yield* Effect.forkDaemon(Effect.scoped(Tasks.superviseTasks({
          label,
          mode: "cancel",
          ...(receive === undefined ? {} : { receive: { name: "receive", run: run(receive) } }),
          background: background.map((plan, index) => ({ name: String(index), kind: plan.kind, run: run(plan) }))
        })))
        yield* turns
        yield* Deferred.succeed(shot, undefined)
        yield* turns
        const exit = fiber.unsafePoll()
        const outcome = exit === null ? "goes on" : shown(yield* exit)
        assert.strictEqual(outcome, expected(receive, background))
        if (exit === null) fiber.unsafeInterruptAsFork(fiber.id())
      }),
    { timeout: 60_000, fastCheck: { numRuns: Number(process.env["LAWS_RUNS"] ?? 200) } }
  )
})

describe("drainTasks", () => {
  /** Ends by itself after so long, and acknowledges an interruption after so long. */
  const task = FastCheck.record({
    endsAfter: FastCheck.constantFrom(0, 1_000, 9_999, 10_000, 10_001, 3_600_000),
    ackAfter: FastCheck.constantFrom(0, 1, 1_999, 2_001, 3_600_000)
  })

  it.effect.prop(
    "A091 A092 A093 A094 any mix of tasks: over in time, and every task is in exactly one place of the report",
    {
      tasks: FastCheck.array(task, { maxLength: 6 }),
      mode: FastCheck.constantFrom<"grace" | "cancel">("grace", "cancel"),
      timeout: FastCheck.constantFrom(0, 10_000)
    },
    ({ mode, tasks, timeout }) =>
      Effect.gen(function*() {
        const fibers = yield* Effect.forEach(tasks, ({ ackAfter, endsAfter }, index) =>
          Effect.annotateLogs(
            Effect.forkDaemon(Effect.onInterrupt(Effect.sleep(endsAfter), () => Effect.sleep(ackAfter))),
            "task",
            String(index)
          ))
        yield* settle
        const live = tasks.map((task, index) => ({ ...task, index })).filter(({ endsAfter }) => endsAfter > 0)
        const fiber = yield* timed(Tasks.drainTasks(fibers, { label, mode, timeout, ackTimeout: 2_000 }))
        yield* advance(timeout)
        yield* advance("2 seconds")
        const { exit, took } = yield* ended(fiber)
        const report = yield* exit
        const inTime = live.filter(({ ackAfter, endsAfter }) =>
          // At the very timeout either may come first.
          timeout > 0 && (mode === "grace" ? endsAfter < timeout : ackAfter < timeout)
        )
        const isOnTheLine = live.some(({ endsAfter }) => mode === "grace" && endsAfter === timeout)
        const ackLeft = mode === "grace" || timeout === 0 ? 2_000 : timeout + 2_000
        const stuck = live.filter(({ ackAfter, endsAfter }) =>
          !(timeout > 0 && (mode === "grace" ? endsAfter <= timeout : ackAfter < timeout)) && ackAfter > ackLeft
        )
        assert.isAtMost(took, timeout + 2_000)
        assert.strictEqual(report.drained + report.forced, live.length)
        if (!isOnTheLine) {
          assert.strictEqual(report.drained, inTime.length)
          assert.deepStrictEqual(report.stuck, stuck.map(({ index }) => String(index)))
        }
        assert.strictEqual(report.durationMillis, took)
        yield* advance("2 hours")
      }),
    { timeout: 60_000, fastCheck: { numRuns: Number(process.env["LAWS_RUNS"] ?? 30) } }
  )
})
