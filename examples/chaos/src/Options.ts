/** What the command line says. */
import * as MemoryWorkers from "@spillway/workers/MemoryWorkers"
import * as ProcessWorkers from "@spillway/workers/ProcessWorkers"
import * as ScriptedWorkers from "@spillway/workers/ScriptedWorkers"
import type { WorkerTransportShape } from "@spillway/workers/WorkerTransport"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import { parseArgs } from "node:util"
import { type Options as PlayOptions, type ScenarioName, scenarioNames } from "./Play.js"

export class BadArgument extends Data.TaggedError("BadArgument")<{ readonly why: string }> {
  override get message(): string {
    return `${this.why}; see --help`
  }
}

const reference = (file: string) => createRequire(import.meta.url).resolve(`@spillway/workers/workers/${file}`)

const handlers = (): MemoryWorkers.Handlers => ({ echo: (args) => Effect.succeed(args) })

const transports: { readonly [layer: string]: (python: string) => WorkerTransportShape } = {
  memory: () => MemoryWorkers.make({ worker: handlers, startTime: "50 millis" }),
  scripted: () => ScriptedWorkers.make({ worker: handlers, startTime: "50 millis" }),
  node: () => ProcessWorkers.make({ command: process.execPath, args: [reference("reference.mjs")] }),
  python: (python) => ProcessWorkers.make({ command: python, args: ["-I", "-S", reference("reference.py")] })
}

const defaults = { seed: "1", layer: "node", size: "4", rate: "40", out: "chaos.svg", python: "python3" } as const

export const help = [
  "Usage: node dist/main.js [options] [SCENARIO ...]",
  "",
  "Runs scenarios of @spillway/workers/Chaos on a pool under load, prints what became of each, and draws the pool over time.",
  "",
  `  --seed TEXT     which workers are hit (${defaults.seed})`,
  `  --layer NAME    workers: ${
    Object.keys(transports).join(", ")
  }; the last two are real processes (${defaults.layer})`,
  `  --size COUNT    workers of the pool (${defaults.size})`,
  `  --rate COUNT    operations per second of the load (${defaults.rate})`,
  `  --out FILE      where the picture goes (${defaults.out})`,
  `  --python FILE   the interpreter (${defaults.python})`,
  "  --help",
  "",
  `Scenarios (default all): ${scenarioNames.join(", ")}`,
  "",
  "Exits with 0 when every fault has really happened, the pool was whole again after each, and no operation was lost."
].join("\n")

export type Command =
  | { readonly _tag: "Help" }
  | { readonly _tag: "Play"; readonly options: PlayOptions; readonly out: string; readonly title: string }

const isScenario = (name: string): name is ScenarioName => scenarioNames.some((known) => known === name)

const parsed = (args: ReadonlyArray<string>) =>
  Effect.try({
    try: () =>
      parseArgs({
        args: [...args],
        allowPositionals: true,
        options: {
          help: { type: "boolean", short: "h" },
          seed: { type: "string", default: defaults.seed },
          layer: { type: "string", default: defaults.layer },
          size: { type: "string", default: defaults.size },
          rate: { type: "string", default: defaults.rate },
          out: { type: "string", default: defaults.out },
          python: { type: "string", default: defaults.python }
        }
      }),
    catch: (error) => new BadArgument({ why: error instanceof Error ? error.message.split(". ")[0]! : String(error) })
  })

const count = (name: string, text: string, most: number) =>
  /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= most
    ? Effect.succeed(Number(text))
    : new BadArgument({ why: `--${name} is a whole number from 1 to ${most}` })

export const parse = (args: ReadonlyArray<string>): Effect.Effect<Command, BadArgument> =>
  Effect.gen(function*() {
    const { positionals, values } = yield* parsed(args)
    if (values.help === true) return { _tag: "Help" }
    const unknown = positionals.find((name) => !isScenario(name))
    if (unknown !== undefined) return yield* new BadArgument({ why: `there is no scenario ${unknown}` })
    const transport = Object.hasOwn(transports, values.layer) ? transports[values.layer] : undefined
    if (transport === undefined) return yield* new BadArgument({ why: `there is no layer ${values.layer}` })
    const size = yield* count("size", values.size, 64)
    const named = positionals.filter(isScenario)
    const options: PlayOptions = {
      seed: values.seed,
      size,
      scenarios: named.length === 0 ? scenarioNames : named,
      operationsPerSecond: yield* count("rate", values.rate, 1000),
      transport: transport(values.python)
    }
    return { _tag: "Play", options, out: values.out, title: `${size} ${values.layer} workers, seed ${values.seed}` }
  })
