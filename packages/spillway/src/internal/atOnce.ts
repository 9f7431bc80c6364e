/**
 * Runs an effect without resuming its fiber, as far as that needs no fiber: successes, synchronous steps, suspended
 * construction and sequences of these. Most handlers of a message are no more than that, and to resume a fiber costs more
 * than all the rest of a message.
 *
 * At every point what is left is again an effect, so the first step of any other kind (a failure, a service, a wait, a
 * change of interruptibility, a generator) goes to the fiber together with everything behind it.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { type YieldWrap, yieldWrapGet } from "effect/Utils"

/** Steps after which an effect is left to its fiber, which yields to others. */
const stepsMax = 32

type Any = Effect.Effect<any>

/** The four steps as Effect 3 stores them. Not public, hence `canStep`. */
type Step =
  | { readonly _op: "Success"; readonly effect_instruction_i0: unknown }
  | { readonly _op: "Sync"; readonly effect_instruction_i0: () => unknown }
  | { readonly _op: "Commit"; readonly commit: () => Any }
  | {
    readonly _op: "OnSuccess"
    readonly effect_instruction_i0: Any
    readonly effect_instruction_i1: (value: unknown) => Any
  }
  | { readonly _op: "Iterator"; readonly effect_instruction_i0: Iterator<YieldWrap<Any>> }

/** A generator from its next step on. */
const follow = (generator: Iterator<YieldWrap<Any>>, value: unknown): Any => {
  const yielded = generator.next(value as undefined)
  if (yielded.done === true) return Effect.succeed(yielded.value)
  return Effect.flatMap(yieldWrapGet(yielded.value), (next) => follow(generator, next))
}

/** What is left of the effect, or its success. Throws what a step throws. */
const step = (effect: Any): Any => {
  let current = effect
  let after: Array<(value: unknown) => Any> | undefined = undefined
  for (let steps = 0; steps < stepsMax; steps++) {
    const op = current as unknown as Step
    if (op._op === "Commit") current = op.commit()
    else if (op._op === "OnSuccess") {
      ;(after ??= []).push(op.effect_instruction_i1)
      current = op.effect_instruction_i0
    } else if (op._op === "Success" || op._op === "Sync") {
      const value = op._op === "Sync" ? op.effect_instruction_i0() : op.effect_instruction_i0
      const next = after?.pop()
      if (next === undefined) return op._op === "Success" ? current : Effect.succeed(value)
      current = next(value)
    } else if (op._op === "Iterator") current = follow(op.effect_instruction_i0, undefined)
    else break
  }
  return after === undefined ? current : after.reduceRight<Any>((left, next) => Effect.flatMap(left, next), current)
}

/** Where `Fiber.getCurrentFiber` looks. */
const place = globalThis as { "effect/FiberCurrent"?: Fiber.RuntimeFiber<any, any> | undefined }

const stepIn = (effect: Any, fiber: Fiber.RuntimeFiber<any, any>): Any => {
  const outer = place["effect/FiberCurrent"]
  place["effect/FiberCurrent"] = fiber
  try {
    return fiber.currentTracer.context(() => step(effect), fiber)
  } catch (thrown) {
    // The fiber knows what it makes of it.
    return Effect.sync(() => {
      throw thrown
    })
  } finally {
    place["effect/FiberCurrent"] = outer
  }
}

/** Whether this version of Effect stores its steps as expected. If not, everything is left to the fiber. */
const canStep: boolean = Effect.runSync(Effect.withFiberRuntime((fiber) => {
  const probe = Effect.flatMap(
    Effect.suspend(() => Effect.succeed(1)),
    (one) => Effect.sync(() => [one, Option.getOrNull(Fiber.getCurrentFiber()) === fiber])
  )
  const left = stepIn(probe, fiber)
  return Effect.succeed(Exit.isExit(left) && Exit.isSuccess(left) && String(left.value) === "1,true")
}))

/** Runs the effect in the place of its fiber, which waits. Returns what is left for the fiber, `undefined` if nothing is. */
export const runAtOnce = <E, R>(
  effect: Effect.Effect<unknown, E, R>,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): Effect.Effect<unknown, E, R> | undefined => {
  if (!canStep) return effect
  const left = stepIn(effect as Any, fiber)
  return Exit.isExit(left) && Exit.isSuccess(left) ? undefined : left
}
