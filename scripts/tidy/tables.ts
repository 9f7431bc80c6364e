/**
 * The tables behind `tidy.test.ts`: what is allowed, and each exception with its reason.
 */

/**
 * The layers of the core, most basic first. A module imports from its own layer and from those above it in this list,
 * never from below. A name that ends in `*` stands for every module that starts so.
 */
export const layers: ReadonlyArray<ReadonlyArray<string>> = [
  [
    "Lane",
    "Message",
    "Frame",
    "Outcome",
    "CloseReason",
    "SpillwayError",
    "Limits",
    "Label",
    "internal/invariant",
    "internal/frameImpl",
    "internal/text",
    "internal/json"
  ],
  [
    "internal/ring",
    "internal/laneQueue",
    "internal/sharedBatch",
    "internal/pressure",
    "internal/slow",
    "internal/lag",
    "internal/ledger",
    "internal/budgetState",
    "internal/deadlines",
    "internal/deliveryWindow",
    "internal/histogram",
    "internal/atOnce",
    "internal/inbox",
    "internal/tokenBucket",
    "internal/turnScheduler"
  ],
  ["Overflow", "Outbox", "internal/outbox*"],
  [
    "Transport",
    "Dialer",
    "Exit",
    "Telemetry",
    "Admission",
    "internal/admissionTable",
    "Tasks",
    "TaskMetrics",
    "Breaker",
    "internal/breaker*",
    "internal/bounded",
    "internal/tasks",
    "internal/taskMetrics",
    "internal/supervise",
    "internal/gather"
  ],
  [
    "Session",
    "SessionOptions",
    "Sessions",
    "internal/session*",
    "internal/registry",
    "internal/drain",
    "internal/tally",
    "internal/inboundLimit"
  ],
  [
    "Hub",
    "internal/hub*",
    "SlowConsumers",
    "internal/slowConsumers",
    "Budget",
    "internal/budget",
    "Inspector",
    "internal/inspector",
    "Link",
    "internal/link*"
  ],
  ["Metrics", "Prometheus"]
]

/** The values of `@category`. */
export const categories: ReadonlyArray<string> = [
  "models",
  "errors",
  "constructors",
  "layers",
  "guards",
  "operations",
  "lifecycle",
  "conversions",
  "configuration",
  "metrics",
  "type ids",
  "testing"
]

export const fileLinesMax = 400
/** No reason makes a file longer than this. */
export const fileLinesHardMax = 500
export const functionLinesMax = 60

/** Files of up to `fileLinesHardMax` lines: path and reason. */
export const longFiles: Readonly<Record<string, string>> = {
  "packages/spillway/src/internal/laneQueue.ts":
    "one structure: every operation moves the same counts, and the invariants hold between them only here"
}

/** Functions of more than `functionLinesMax` lines: `path#name` and reason. */
export const longFunctions: Readonly<Record<string, string>> = {
  "packages/jobs/src/internal/sqliteWorker.ts#workerMain":
    "runs in a thread of its own from its text, so everything that it uses has to be inside of it"
}

/** What source code does not use, and what it uses instead. */
export const banned: Readonly<Record<string, string>> = {
  "Date.now": "Clock.currentTimeMillis, or a `now` that the caller passes in",
  "new Date()": "Clock or DateTime.now",
  "Math.random": "Random",
  "setTimeout": "Effect.sleep, or the deadlines of the sweeper",
  "setInterval": "Effect.repeat with a Schedule",
  "setImmediate": "Effect.yieldNow",
  "console": "Effect.log or Telemetry",
  "async function": "Effect.gen or Effect.fn"
}

/** Where a banned name may be used all the same: path, name, reason. */
export const bannedExceptions: ReadonlyArray<{
  readonly path: string
  readonly name: string
  readonly reason: string
}> = [
  {
    path: "packages/node/src/internal/equalDeadlines.ts",
    name: "setTimeout",
    reason:
      "one timer for each guarded http.Server and each upgrader, which are outside of any Effect runtime: the deadlines " +
      "of handshakes and unfinished messages have to hold even while a handler ignores interruption"
  },
  {
    path: "packages/node/src/internal/equalDeadlines.ts",
    name: "setImmediate",
    reason: "a turn of the real event loop, in which a process that was held up reads what has come meanwhile"
  },
  {
    path: "packages/testing/src/Settle.ts",
    name: "setImmediate",
    reason: "a turn of the real event loop, after all micro-tasks: exactly what it waits for"
  }
]
