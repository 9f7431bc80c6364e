/**
 * The process that is killed: runs eight jobs at a time on the file that it is given, new ones as old ones end, and says of
 * each acknowledged event so in a line of its own, before it goes on.
 */
import * as JobRunner from "@spillway/jobs/JobRunner"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Work from "./work.js"

const say = (line: string) => Fs.writeSync(1, `${line}\n`)

const program = Effect.gen(function*() {
  const runner = yield* JobRunner.JobRunner
  for (let n = 0;; n++) {
    const { queued, running } = runner.snapshot
    if (running.length + queued >= 8) {
      yield* Effect.sleep(1)
      continue
    }
    const job = n % 4 === 3 ? Work.Lost : Work.Resumed
    const { id } = yield* runner.create(job, { to: 20 + (n * 37) % 200 })
    say(`created ${id}`)
  }
})

const layer = Work.layer(process.argv[2]!, (jobId, seq) => say(`event ${jobId} ${seq}`))
Effect.runPromise(Effect.provide(program, layer)).catch((error: unknown) => {
  say(String(error))
  process.exitCode = 1
})
