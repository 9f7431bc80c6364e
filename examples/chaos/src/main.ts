/**
 * `npm start --workspace examples/chaos -- [--help] [--seed TEXT] [SCENARIO ...]`: a table of faults and recovery times, and
 * a picture of the pool over time.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Options from "./Options.js"
import { play } from "./Play.js"
import { holds, table } from "./Table.js"
import { draw } from "./Timeline.js"

const main = Effect.gen(function*() {
  const command = yield* Options.parse(process.argv.slice(2))
  if (command._tag === "Help") return yield* Console.log(Options.help)
  const result = yield* play(command.options)
  yield* (yield* FileSystem.FileSystem).writeFileString(command.out, draw(result.story, command.title))
  yield* Console.log(`${table(result)}\n\n${command.out} shows it`)
  if (!holds(result)) return yield* Effect.fail("something did not hold, see above")
})

NodeRuntime.runMain(
  main.pipe(Effect.tapError((error) => Console.error(String(error))), Effect.provide(NodeContext.layer)),
  { disableErrorReporting: true }
)
