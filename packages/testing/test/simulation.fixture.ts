/** Prints the event trace of one seed. */
import * as Effect from "effect/Effect"
import * as Simulation from "../src/Simulation.js"

const report = Effect.runPromise(
  Simulation.run({ seed: Number(process.argv[2]), sessions: 10, duration: "20 seconds", keepTrace: true })
)
void report.then(({ fingerprint, trace }) => process.stdout.write(`${[...trace, fingerprint].join("\n")}\n`))
