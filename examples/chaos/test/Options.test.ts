import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { assert, describe, it } from "vitest"
import * as Options from "../src/Options.js"
import { scenarioNames } from "../src/Play.js"

const parse = (...args: ReadonlyArray<string>) => Effect.runSync(Effect.either(Options.parse(args)))

describe("the command line", () => {
  it("without arguments: all scenarios, four real workers, seed 1", () => {
    const command = Either.getOrThrow(parse())
    assert.isTrue(command._tag === "Play")
    if (command._tag !== "Play") return
    assert.deepInclude(command.options, { seed: "1", size: 4, scenarios: scenarioNames })
    assert.strictEqual(command.title, "4 node workers, seed 1")
  })

  it("scenarios by name, a seed, a layer", () => {
    const command = Either.getOrThrow(parse("--seed", "x", "--layer", "memory", "hang", "singleKill"))
    assert.isTrue(command._tag === "Play")
    if (command._tag !== "Play") return
    assert.deepInclude(command.options, { seed: "x", scenarios: ["hang", "singleKill"] })
  })

  it("what it does not know is one line that says so", () => {
    for (const args of [["nonsense"], ["--layer", "steam"], ["--layer", "toString"], ["--size", "0"], ["--bad"]]) {
      const result = parse(...args)
      assert.isTrue(Either.isLeft(result), args.join(" "))
      assert.match(
        Either.merge(result) instanceof Options.BadArgument ? String(Either.merge(result)) : "",
        /see --help$/
      )
    }
  })

  it("the help names every scenario", () => {
    for (const name of scenarioNames) assert.include(Options.help, name)
  })
})
