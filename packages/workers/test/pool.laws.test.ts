/** Any mixture of operations, interruptions, checkouts and faults conserves the workers. */
import { assert, describe, it } from "@effect/vitest"
import { settle } from "@spillway/testing/Settle"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import type { WorkerError } from "@spillway/workers/WorkerError"
import type { LinkFault } from "@spillway/workers/WorkerTransport"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { makePool, makeRig, whileTimePasses } from "./support.js"

type Command =
  | {
    readonly _tag: "execute"
    readonly millis: number
    readonly session: number | undefined
    readonly strict: boolean
  }
  | { readonly _tag: "checkout"; readonly session: number | undefined }
  | { readonly _tag: "interrupt"; readonly at: number }
  | { readonly _tag: "fault"; readonly at: number; readonly fault: LinkFault }
  | { readonly _tag: "refuse"; readonly starts: number }
  | { readonly _tag: "pass"; readonly millis: number }

const session = FastCheck.option(FastCheck.nat(3), { nil: undefined })

const fault: FastCheck.Arbitrary<LinkFault> = FastCheck.constantFrom(
  { _tag: "kill" },
  { _tag: "hang" },
  { _tag: "slow", delayMillis: 300 },
  { _tag: "corrupt" },
  { _tag: "tear" },
  { _tag: "partition" }
)

const command: FastCheck.Arbitrary<Command> = FastCheck.oneof(
  {
    weight: 6,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("execute" as const),
      millis: FastCheck.nat(900),
      session,
      strict: FastCheck.boolean()
    })
  },
  { weight: 2, arbitrary: FastCheck.record({ _tag: FastCheck.constant("checkout" as const), session }) },
  { weight: 2, arbitrary: FastCheck.record({ _tag: FastCheck.constant("interrupt" as const), at: FastCheck.nat(20) }) },
  {
    weight: 2,
    arbitrary: FastCheck.record({ _tag: FastCheck.constant("fault" as const), at: FastCheck.nat(5), fault })
  },
  { weight: 1, arbitrary: FastCheck.record({ _tag: FastCheck.constant("refuse" as const), starts: FastCheck.nat(3) }) },
  { weight: 5, arbitrary: FastCheck.record({ _tag: FastCheck.constant("pass" as const), millis: FastCheck.nat(2000) }) }
)

/** Answers of all runs: a law about nothing proves nothing. */
let total = 0

const size = 3
const overflow = 1

/** How a workload may end: with its own answer, or one of the errors that say why not. */
const isExplained = (error: WorkerError): boolean => error._tag !== "RemoteError" && error._tag !== "NotEncodable"

const run = (commands: ReadonlyArray<Command>) =>
  Effect.gen(function*() {
    const rig = makeRig({ startTime: "20 millis" })
    const making = yield* Effect.fork(
      makePool({ size, overflow, operationTimeout: "1500 millis", restartsMax: 4 }, rig)
    )
    yield* TestClock.adjust("20 millis")
    const pool = yield* Fiber.join(making)
    const fibers: Array<Fiber.RuntimeFiber<void>> = []
    /** Workers that somebody has for himself. */
    const owned = new Set<string>()
    let answers = 0
    const start = (body: Effect.Effect<unknown, WorkerError, Scope.Scope>) =>
      Effect.map(
        Effect.fork(
          Effect.scoped(body).pipe(Effect.match({
            onFailure: (error) => assert.isTrue(isExplained(error), error.message),
            onSuccess: () => void answers++
          }))
        ),
        (fiber) => void fibers.push(fiber)
      )
    const act = (command: Command, index: number): Effect.Effect<unknown> => {
      switch (command._tag) {
        case "execute": {
          const options = {
            session: command.session === undefined ? undefined : `s${command.session}`,
            affinity: command.strict ? "strictQueue" as const : "hint" as const
          }
          return start(
            Effect.map(pool.execute("echo", { index, millis: command.millis }, options), (answer) =>
              assert.deepStrictEqual(answer, { index, millis: command.millis }, "everybody gets his own answer")).pipe(
                Effect.zipRight(pool.execute("sleep", { millis: command.millis }, options))
              )
          )
        }
        case "checkout":
          return start(Effect.gen(function*() {
            const options = command.session === undefined ? {} : { session: `s${command.session}` }
            const checkout = yield* pool.checkout(options)
            assert.isFalse(owned.has(checkout.workerId), "a worker is checked out once")
            owned.add(checkout.workerId)
            yield* Effect.addFinalizer(() =>
              Effect.sync(() =>
                owned.delete(checkout.workerId)
              )
            )
            yield* checkout.execute("sleep", { millis: 100 })
          }))
        case "interrupt": {
          const fiber = fibers[command.at]
          return fiber === undefined ? Effect.void : Fiber.interruptFork(fiber)
        }
        case "fault": {
          const link = [...rig.links.values()].at(-1 - command.at)
          return Effect.sync(() => link?.inject(command.fault))
        }
        case "refuse":
          return Effect.sync(() => void (rig.refusals += command.starts))
        case "pass":
          return TestClock.adjust(command.millis)
      }
    }
    for (const [index, command] of commands.entries()) {
      yield* act(command, index)
      yield* settle
      yield* pool.check
      const status = yield* pool.status
      assert.strictEqual(status.live, status.idle + status.busy + status.starting + status.stopping)
      assert.strictEqual(status.live - status.overflow + status.failed, size, "each place has a worker or none")
      assert.isAtMost(status.live, size + overflow)
    }
    // The faults are over: what hangs is found out by its deadline or by three probes.
    yield* TestClock.adjust("3 minutes")
    const open = fibers.filter((fiber) => fiber.unsafePoll() === null)
    assert.lengthOf(open, 0, "every operation has ended")
    yield* Effect.forEach(fibers, (fiber) =>
      Effect.flatMap(
        Fiber.await(fiber),
        (exit) => exit._tag === "Failure" && exit.cause._tag === "Die" ? exit : Effect.void
      ))
    const status = yield* pool.status
    assert.deepInclude(status, { live: size, idle: size, busy: 0, degraded: 0, failed: 0, waiting: 0 })
    total += answers
  })

describe("laws of a pool", () => {
  it.effect.prop(
    "A130 workers are conserved, never given out twice, and all are back when the faults are over",
    {
      commands: FastCheck.array(command, { minLength: 5, maxLength: 40 })
    },
    ({ commands }) => Effect.withClock(whileTimePasses(run(commands)), VirtualClock.make()),
    {
      fastCheck: { seed: 130, numRuns: 20 },
      timeout: 60_000
    }
  )

  it("and they were about something: operations were answered", () => assert.isAbove(total, 50))
})
