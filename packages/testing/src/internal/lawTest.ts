/** How the suites register their tests. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as VirtualClock from "../VirtualClock.js"

export interface TestOptions {
  readonly live?: boolean
  readonly timeoutMillis?: number
}

/** A group of tests. On the real clock they mostly wait, each with a transport of its own: some run at the same time. */
export const group = (options: TestOptions, name: string, body: () => void): void => {
  const suite = options.live === true ? describe.concurrent : describe
  suite(name, () => {
    body()
  })
}

/** Registers a test: on the real clock, or the same in every run, on a clock and with a random of its own. */
export const register =
  (options: TestOptions) => <E>(name: string, body: () => Effect.Effect<void, E, Scope.Scope>): void => {
    const timeout = options.timeoutMillis ?? 30_000
    if (options.live === true) return it.scopedLive(name, body, timeout)
    it.scoped(
      name,
      () => Effect.suspend(body).pipe(Effect.withRandom(Random.make("laws")), Effect.withClock(VirtualClock.make())),
      timeout
    )
  }
