/** Every way in which a session can end, as data: what is set up, what happens, and what the ending must be. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import type { Way, WayContext, WayHandler } from "../SessionLaws.js"

const important = (text: string) => Message.text(text, { lane: "important" })
const critical = (text: string) => Message.text(text, { lane: "critical" })
const payload = (bytes: number) => "x".repeat(bytes)

const off = Duration.infinity
const nothing = () => Effect.void
const close = ({ session }: { readonly session: Session }) => session.close()
const hang = Effect.never
const ignores = Effect.uninterruptible(Effect.never)

const task =
  (kind: "lifetime" | "finite" | "completion", effect: Effect.Effect<unknown, string>): WayHandler => (session) =>
    Effect.zipRight(session.fork("worker", kind, Effect.zipRight(Effect.sleep(1), effect)), Effect.never)

const finalizer = (effect: Effect.Effect<unknown>): WayHandler => () =>
  Effect.zipRight(Effect.addFinalizer(() => effect), Effect.never)

const reader: WayHandler = (session) => session.runForEach(() => Effect.void)

const tick = ({ pass }: WayContext) => pass(1)

/** Fills what lies below the lanes: the peer stops reading and one message fills socket and process buffers. */
const clog = ({ client, session }: WayContext) =>
  Effect.zipRight(client.stall, session.send(important(payload(600_000))))

/** What a task of `task` does a millisecond after its start. */
const crashed = { cause: tick, tag: "Crashed", code: 1011, tookMillis: 1 } as const

/** The server closes the session. */
const closed = { cause: close, tag: "ClosedByServer", code: 1000 } as const

const peer: ReadonlyArray<Way> = [
  { name: "the peer closes with 1000", cause: ({ client }) => client.close(1000), tag: "Disconnected", code: 1000 },
  { name: "the peer closes with 1001", cause: ({ client }) => client.close(1001), tag: "Disconnected", code: 1001 },
  { name: "the peer closes without a code", cause: ({ client }) => client.close(), tag: "Disconnected", code: 1005 },
  { name: "the peer ends the stream", cause: ({ client }) => client.eof, tag: "Disconnected", code: 1006 },
  { name: "the peer resets", cause: ({ client }) => client.reset, tag: "Disconnected", code: 1006 },
  {
    name: "the peer resets in the middle of a frame",
    needs: "resetMidFrame",
    cause: ({ faults }) => faults.resetMidFrame,
    tag: "Disconnected",
    code: 1006
  },
  {
    name: "the peer breaks a limit",
    needs: "violate",
    cause: ({ faults }) => faults.violate(1009, "too big"),
    tag: "Disconnected",
    code: 1009
  },
  {
    name: "the peer is gone without a sign (no data)",
    options: { pingInterval: off },
    needs: "halfOpen",
    cause: ({ faults }) => faults.halfOpen,
    tag: "ReceiveTimeout",
    tookMillis: 302_000,
    close: "cut"
  },
  {
    name: "the peer never answers a close",
    stalled: true,
    cause: close,
    tag: "ClosedByServer",
    tookMillis: 2_000,
    close: "cut"
  }
]

const handlers: ReadonlyArray<Way> = [
  {
    name: "the handler returns",
    handler: () => Effect.sleep(1),
    cause: tick,
    tag: "Completed",
    code: 1000,
    tookMillis: 1
  },
  { name: "the handler returns at once", handler: () => Effect.void, cause: nothing, tag: "Completed", code: 1000 },
  { name: "the handler fails", handler: () => Effect.fail("no"), cause: nothing, tag: "Crashed", code: 1011 },
  { name: "the handler dies", handler: () => Effect.die("no"), cause: nothing, tag: "Crashed", code: 1011 },
  {
    name: "the handler throws before it returns an effect",
    handler: () => {
      throw new Error("no")
    },
    cause: nothing,
    tag: "Crashed",
    code: 1011
  },
  {
    name: "the handler interrupts itself",
    handler: () => Effect.interrupt,
    cause: nothing,
    tag: "LifetimeDone",
    code: 1001
  },
  { name: "the handler never returns", cause: close, tag: "ClosedByServer", code: 1000 },
  { name: "the handler reads to the end", handler: reader, cause: close, tag: "ClosedByServer", code: 1000 },
  {
    name: "the handler has read and then never returns",
    handler: (session) => Effect.zipRight(session.receive, Effect.never),
    cause: (context) => Effect.zipRight(context.client.send("hello"), Effect.zipRight(context.pass(0), close(context))),
    tag: "ClosedByServer",
    code: 1000,
    tookMillis: 1_000
  },
  {
    name: "the handler ignores interruption",
    handler: () => ignores,
    ...closed,
    tookMillis: 5_000,
    stuck: ["handler"],
    forced: 1,
    tasks: "cut"
  }
]

const tasks: ReadonlyArray<Way> = [
  {
    name: "a lifetime task ends",
    handler: task("lifetime", Effect.void),
    cause: tick,
    tag: "LifetimeDone",
    code: 1001,
    tookMillis: 1
  },
  {
    name: "a completion task ends",
    handler: task("completion", Effect.void),
    cause: tick,
    tag: "Completed",
    code: 1000,
    tookMillis: 1
  },
  {
    name: "a finite task ends, then the peer closes",
    handler: task("finite", Effect.void),
    cause: (context) => Effect.zipRight(tick(context), context.client.close(1000)),
    tag: "Disconnected",
    code: 1000,
    tookMillis: 1
  },
  {
    name: "a finite task crashes",
    handler: task("finite", Effect.fail("no")),
    ...crashed
  },
  {
    name: "A108 a lifetime task crashes",
    handler: task("lifetime", Effect.die("no")),
    ...crashed
  },
  {
    name: "a task hangs",
    handler: task("lifetime", hang),
    ...closed,
    tookMillis: 30_000,
    forced: 1,
    tasks: "cut"
  },
  {
    name: "A109 a task hangs and the peer resets",
    handler: task("lifetime", hang),
    cause: ({ client }) => client.reset,
    tag: "Disconnected",
    code: 1006,
    tookMillis: 30_000,
    forced: 1,
    tasks: "cut"
  },
  {
    name: "a task ignores interruption",
    handler: task("lifetime", ignores),
    ...closed,
    tookMillis: 35_000,
    stuck: ["worker"],
    forced: 1,
    tasks: "cut"
  },
  {
    name: "a task waits for a delivery when the peer resets",
    handler: (session) =>
      Effect.zipRight(session.fork("worker", "finite", session.deliver(important(payload(300_000)))), Effect.never),
    stalled: true,
    cause: ({ client }) => client.reset,
    tag: "Disconnected",
    code: 1006,
    tasks: "done"
  },
  {
    name: "a task waits for room when the peer resets",
    options: { outboxItemsMax: 1 },
    handler: (session) =>
      Effect.zipRight(
        session.fork("worker", "finite", Effect.repeatN(session.send(critical(payload(300_000))), 9)),
        Effect.never
      ),
    stalled: true,
    cause: ({ client }) => client.reset,
    tag: "Disconnected",
    code: 1006,
    tasks: "done"
  }
]

const finalizers: ReadonlyArray<Way> = [
  {
    name: "a finalizer hangs",
    handler: finalizer(hang),
    ...closed,
    tookMillis: 5_000,
    finalizers: "cut",
    abandonedFinalizers: 1
  },
  {
    name: "a finalizer hangs and ignores interruption",
    handler: finalizer(ignores),
    ...closed,
    tookMillis: 5_000,
    finalizers: "cut",
    abandonedFinalizers: 1
  },
  {
    name: "a finalizer hangs in its own interruption",
    handler: finalizer(Effect.onInterrupt(hang, () => hang)),
    ...closed,
    tookMillis: 5_000,
    finalizers: "cut",
    abandonedFinalizers: 1
  },
  { name: "a finalizer dies", handler: finalizer(Effect.die("no")), cause: close, tag: "ClosedByServer", code: 1000 },
  {
    name: "a finalizer throws",
    handler: finalizer(Effect.sync(() => {
      throw new Error("no")
    })),
    cause: close,
    tag: "ClosedByServer",
    code: 1000
  },
  {
    name: "a finalizer waits for the exit of its own session",
    handler: (session) => Effect.zipRight(Effect.addFinalizer(() => session.awaitExit), Effect.never),
    ...closed,
    tookMillis: 5_000,
    finalizers: "cut"
  },
  {
    name: "a fiber of the handler's scope ignores interruption",
    handler: () => Effect.zipRight(Effect.forkScoped(ignores), Effect.never),
    ...closed,
    tookMillis: 5_000,
    finalizers: "cut",
    stuck: ["forkScoped"],
    forced: 1,
    strayFibers: 1
  }
]

const timers: ReadonlyArray<Way> = [
  {
    name: "no traffic for the idle timeout",
    options: { idleTimeout: "30 seconds", pingInterval: off },
    cause: nothing,
    tag: "IdleTimeout",
    code: 1001,
    tookMillis: 30_000
  },
  {
    name: "A107 nothing heard for 300 s",
    options: { pingInterval: off },
    cause: nothing,
    tag: "ReceiveTimeout",
    code: 1011,
    tookMillis: 300_000
  },
  {
    name: "the handler reads nothing for 300 s while the inbox is full",
    options: { inboxItemsMax: 1 },
    cause: ({ client }) => client.send("1"),
    tag: "ReceiveTimeout",
    code: 1011,
    tookMillis: 300_000
  },
  {
    name: "A032 no byte is written for 5 s",
    cause: clog,
    tag: "SendTimeout",
    tookMillis: 7_000,
    close: "cut"
  },
  {
    name: "a stalled peer where slow consumers are disconnected",
    options: { slowConsumer: "disconnect" },
    cause: clog,
    tag: "SlowConsumer",
    tookMillis: 8_000,
    close: "cut"
  },
  {
    name: "a lane overflows whose policy is to disconnect",
    policy: { lanes: { critical: { whenFull: "disconnect" } } },
    options: { outboxItemsMax: 1 },
    cause: ({ session }) =>
      Effect.sync(() => {
        for (let i = 0; i < 3; i++) session.unsafeOffer(critical(payload(10)))
      }),
    tag: "SlowConsumer",
    code: 4008
  }
]

const server: ReadonlyArray<Way> = [
  {
    name: "the application closes with its own code",
    cause: ({ session }) => session.close({ code: 4100, reason: "mine" }),
    tag: "ClosedByServer",
    code: 4100
  },
  {
    name: "the application closes with a code that may not be sent",
    cause: ({ session }) => session.close({ code: 1006, reason: "é".repeat(200) }),
    tag: "ClosedByServer",
    code: 1011
  },
  {
    name: "the server drains without announcement",
    cause: ({ sessions }) => Effect.forkDaemon(sessions.drain()),
    tag: "ServerDraining",
    code: 1001
  },
  {
    name: "the server drains with an announcement",
    cause: ({ sessions }) =>
      Effect.forkDaemon(sessions.drain({ announce: (notice) => Message.jsonOf(notice, { lane: "control" }) })),
    tag: "ServerDraining",
    code: 4001,
    tookMillis: 2_000
  },
  {
    name: "the server drains with an announcement that throws",
    cause: ({ sessions }) =>
      Effect.forkDaemon(sessions.drain({
        announce: () => {
          throw new Error("no")
        }
      })),
    tag: "ServerDraining",
    code: 1001
  },
  {
    name: "the server hurries a task that hangs",
    handler: task("lifetime", hang),
    cause: (context) => Effect.zipRight(close(context), Effect.zipRight(context.pass(1), context.sessions.hurry)),
    tag: "ClosedByServer",
    code: 1000,
    tookMillis: 251,
    forced: 1,
    tasks: "cut"
  },
  {
    name: "the server hurries a task and a finalizer that ignore interruption, and a peer that never closes",
    handler: (session) =>
      Effect.all([Effect.addFinalizer(() => ignores), session.fork("worker", "lifetime", ignores), Effect.never]),
    stalled: true,
    cause: (context) => Effect.zipRight(close(context), context.sessions.hurry),
    tag: "ClosedByServer",
    tookMillis: 1_000,
    stuck: ["worker"],
    forced: 1,
    tasks: "cut",
    finalizers: "cut",
    close: "cut",
    abandonedFinalizers: 1
  }
]

export const all: ReadonlyArray<Way> = [...peer, ...handlers, ...tasks, ...finalizers, ...timers, ...server]
