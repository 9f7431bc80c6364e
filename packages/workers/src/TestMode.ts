/**
 * Which workers a program or its tests run on, from the environment: `TEST_MODE` is `mock_adapter` (workers in memory, the
 * default), `bridge_mock` (the real codec, no process) or `full_integration` (real processes).
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { WorkerTransport } from "./WorkerTransport.js"

/**
 * The modes.
 *
 * @since 0.1.0
 * @category models
 */
export type TestMode = "mock_adapter" | "bridge_mock" | "full_integration"

/**
 * All modes; the first is the default.
 *
 * @since 0.1.0
 * @category models
 */
export const modes: ReadonlyArray<TestMode> = ["mock_adapter", "bridge_mock", "full_integration"]

const isMode = (text: string): text is TestMode => modes.some((mode) => mode === text)

/**
 * The mode that the configuration says; an unknown one is the default, with a warning in the log. `Effect.withConfigProvider`
 * changes it for a part of a program.
 *
 * @since 0.1.0
 * @category operations
 */
export const current: Effect.Effect<TestMode> = Config.option(Config.string("TEST_MODE")).pipe(
  Effect.orElseSucceed(() => Option.none<string>()),
  Effect.flatMap(Option.match({
    onNone: () => Effect.succeed<TestMode>("mock_adapter"),
    onSome: (text) =>
      isMode(text)
        ? Effect.succeed(text)
        : Effect.as(
          Effect.logWarning(`TEST_MODE is "${text}", which is none of ${modes.join(", ")}: taken as mock_adapter`),
          "mock_adapter" as const
        )
  }))
)

/**
 * The layer of the current mode.
 *
 * @example
 * import { MemoryWorkers, ProcessWorkers, ScriptedWorkers, TestMode } from "@spillway/workers"
 * import * as Effect from "effect/Effect"
 *
 * const worker = (): MemoryWorkers.Handlers => ({ echo: (args) => Effect.succeed(args) })
 *
 * const WorkersLive = TestMode.layer({
 *   mock_adapter: MemoryWorkers.layer({ worker }),
 *   bridge_mock: ScriptedWorkers.layer({ worker }),
 *   full_integration: ProcessWorkers.layer({ command: "python3", args: ["worker.py"] })
 * })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E, R>(
  layers: { readonly [M in TestMode]: Layer.Layer<WorkerTransport, E, R> }
): Layer.Layer<WorkerTransport, E, R> => Layer.unwrapEffect(Effect.map(current, (mode) => layers[mode]))
