import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FC from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import { runAtOnce } from "../src/internal/atOnce.js"

const seed = Number(process.env["LAWS_SEED"] ?? 20_240_229)
const numRuns = Number(process.env["LAWS_RUNS"] ?? 400)

class Tag extends Context.Tag("Tag")<Tag, number>() {}

/** What an effect does: each kind of step that there is, and each way to put steps together. */
type Program =
  | { readonly _tag: "succeed" | "sync" | "suspend" | "fail" | "throw" | "yield" | "service" | "interrupt" }
  | { readonly _tag: "then" | "gen" | "catch" | "ensuring"; readonly first: Program; readonly second: Program }
  | { readonly _tag: "uninterruptible" | "suspended"; readonly first: Program }

const { program } = FC.letrec<{ program: Program }>((tie) => ({
  program: FC.oneof(
    { maxDepth: 5, depthSize: "large" },
    FC.record({
      _tag: FC.constantFrom(
        "succeed" as const,
        "sync" as const,
        "sync" as const,
        "suspend" as const,
        "fail" as const,
        "throw" as const,
        "yield" as const,
        "service" as const,
        "interrupt" as const
      )
    }),
    FC.record({
      _tag: FC.constantFrom("then" as const, "then" as const, "gen" as const, "catch" as const, "ensuring" as const),
      first: tie("program"),
      second: tie("program")
    }),
    FC.record({
      _tag: FC.constantFrom("uninterruptible" as const, "suspended" as const),
      first: tie("program")
    })
  )
}))

/** The effect of a program. It notes every step and what it got from the step before. */
const toEffect = (self: Program, trace: Array<string>, path = "0"): Effect.Effect<string, string, Tag> => {
  const note = (what: string) => {
    trace.push(`${path} ${what}`)
    return path
  }
  const child = (program: Program, n: number) => toEffect(program, trace, `${path}.${n}`)
  switch (self._tag) {
    case "succeed":
      return Effect.succeed(path)
    case "sync":
      return Effect.sync(() => note("sync"))
    case "suspend":
      return Effect.suspend(() => Effect.succeed(note("suspend")))
    case "fail":
      return Effect.fail(path)
    case "throw":
      return Effect.sync(() => {
        throw new Error(note("throw"))
      })
    case "yield":
      return Effect.as(Effect.yieldNow(), path)
    case "service":
      return Effect.map(Tag, (n) => note(`service ${n}`))
    case "interrupt":
      return Effect.interrupt
    case "then":
      return Effect.flatMap(child(self.first, 1), (got) => {
        note(`then ${got}`)
        return child(self.second, 2)
      })
    case "gen":
      return Effect.gen(function*() {
        const got = yield* child(self.first, 1)
        note(`gen ${got}`)
        const last = yield* child(self.second, 2)
        note(`gen ${last}`)
        return path
      })
    case "catch":
      return Effect.catchAll(child(self.first, 1), (error) => {
        note(`catch ${error}`)
        return child(self.second, 2)
      })
    case "ensuring":
      return Effect.ensuring(child(self.first, 1), Effect.exit(child(self.second, 2)))
    case "uninterruptible":
      return Effect.uninterruptible(child(self.first, 1))
    case "suspended":
      return Effect.suspend(() => child(self.first, 1))
  }
}

const outcome = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit) ? "success" : Cause.pretty(exit.cause).replace(/\n.*/gs, "")

/** Runs what is left of the effect, if anything. */
const runRest = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R> =>
  Effect.withFiberRuntime((fiber) => runAtOnce(effect, fiber) ?? Effect.void)

describe("an effect that is run at once", () => {
  it("does the same steps with the same end as in a fiber, whatever it is made of", async () => {
    let whole = 0
    let parts = 0
    const run = async (effect: Effect.Effect<unknown, string, Tag>) =>
      outcome(await Effect.runPromiseExit(Effect.provideService(effect, Tag, 7)))
    await FC.assert(
      FC.asyncProperty(program, async (program) => {
        const expected: Array<string> = []
        const end = await run(toEffect(program, expected))
        const trace: Array<string> = []
        const effect = Effect.withFiberRuntime<unknown, string, Tag>((fiber) => {
          const left = runAtOnce(toEffect(program, trace), fiber)
          if (left === undefined) whole++
          else parts++
          return left ?? Effect.void
        })
        assert.strictEqual(await run(effect), end)
        assert.deepStrictEqual(trace, expected)
      }),
      { seed, numRuns }
    )
    assert.isAbove(whole, 20)
    assert.isAbove(parts, 20)
  })

  it.effect("needs no fiber where it is synchronous", () =>
    Effect.withFiberRuntime((fiber) => {
      const steps: Array<number> = []
      const note = (n: number) => Effect.sync(() => steps.push(n))
      const effects = [
        Effect.void,
        note(1),
        Effect.suspend(() => note(2)),
        Effect.zipRight(note(3), Effect.asVoid(note(4))),
        Effect.gen(function*() {
          yield* note(5)
          yield* note(6)
        })
      ]
      for (const effect of effects) assert.isUndefined(runAtOnce(effect, fiber))
      assert.deepStrictEqual(steps, [1, 2, 3, 4, 5, 6])
      return Effect.void
    }))

  it.effect("leaves to the fiber what waits, with what comes after it", () =>
    Effect.gen(function*() {
      const deferred = yield* Deferred.make<string>()
      const seen: Array<string> = []
      const effect = Effect.zipRight(
        Effect.sync(() => seen.push("before")),
        Effect.flatMap(Deferred.await(deferred), (value) => Effect.sync(() => seen.push(value)))
      )
      const fiber = yield* Effect.fork(runRest(effect))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(seen, ["before"])
      yield* Deferred.succeed(deferred, "after")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["before", "after"])
    }))

  it.effect("leaves to the fiber what has no end", () =>
    Effect.withFiberRuntime((fiber) => {
      let rounds = 0
      const round = Effect.sync(() => assert.isBelow(rounds++, 1_000))
      const endless: Effect.Effect<never> = Effect.flatMap(round, () => endless)
      assert.isDefined(runAtOnce(endless, fiber))
      assert.isBelow(rounds, 33)
      assert.isAbove(rounds, 0)
      return Effect.void
    }))

  it.effect("is in its fiber for whoever asks, and nobody is afterwards", () =>
    Effect.gen(function*() {
      const mine = yield* Effect.withFiberRuntime<Fiber.RuntimeFiber<unknown, unknown>>(Effect.succeed)
      const other = yield* Effect.fork(Effect.never)
      const seen: Array<unknown> = []
      const ask = Effect.sync(() => {
        seen.push(Fiber.getCurrentFiber())
        throw new Error("boom")
      })
      assert.isDefined(runAtOnce(ask, other))
      const after = Fiber.getCurrentFiber()
      assert.strictEqual((seen[0] as { value?: unknown }).value, other)
      assert.strictEqual(after._tag === "Some" ? after.value : undefined, mine)
      yield* Fiber.interrupt(other)
    }))
})
