/** The jobs of the bench `jobs-kill`: they count, and go on counting where they were when they are resumed. */
import * as EventLog from "@spillway/jobs/EventLog"
import * as Job from "@spillway/jobs/Job"
import * as JobRunner from "@spillway/jobs/JobRunner"
import * as SqliteStore from "@spillway/jobs/SqliteStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const Count = (name: string, onLost: Job.OnLost) =>
  Job.make(name, {
    input: Schema.Struct({ to: Schema.Int }),
    event: Schema.Int,
    output: Schema.Int,
    onLost,
    attemptsMax: 1_000_000
  })

/** Goes on after its owner was killed. */
export const Resumed = Count("resumed", "resume")

/** Is lost with its owner. */
export const Lost = Count("lost", "fail")

/** Counts; `acknowledged` is told of each event that is durable. */
const counting = (acknowledged: (jobId: string, seq: number) => void) =>
(
  { to }: { readonly to: number },
  job: Job.JobContext<number>
) =>
  Effect.gen(function*() {
    const done = yield* Stream.runCount(Stream.filter(job.history, ({ kind }) => kind === "MESSAGE"))
    for (let n = done + 1; n <= to; n++) acknowledged(job.jobId, yield* job.emit(n, { id: `count ${n}` }))
    return to
  })

/** Everything on a file. */
export const layer = (path: string, acknowledged: (jobId: string, seq: number) => void = () => {}) => {
  const work = counting(acknowledged)
  return JobRunner.layer([Job.handler(Resumed, work), Job.handler(Lost, work)], { concurrencyMax: 8 }).pipe(
    Layer.provideMerge(EventLog.layer()),
    Layer.provideMerge(SqliteStore.layer({ path })),
    // The output of the writer is what it has acknowledged.
    Layer.provideMerge(Logger.minimumLogLevel(LogLevel.None))
  )
}
