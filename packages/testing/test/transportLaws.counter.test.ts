import { assert, describe, it } from "@effect/vitest"
import type { LawHarness } from "@spillway/testing/LawHarness"
import * as TransportLaws from "@spillway/testing/TransportLaws"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Frame from "spillway/Frame"
import type { Connection, ConnectionEnd, ConnectionEvents } from "spillway/Transport"
import { harness } from "./utils/memoryHarness.js"

type LawName = keyof typeof TransportLaws.all
type Wrap = (inner: Connection) => Partial<Connection>

/** The connection with some of its members replaced. */
const replaced = (inner: Connection, members: Wrap): Connection =>
  Object.create(
    {
      kind: inner.kind,
      protocol: inner.protocol,
      remoteAddress: inner.remoteAddress,
      attach: (events) => inner.attach(events),
      cork: () => inner.cork(),
      write: (frame, seq) => inner.write(frame, seq),
      uncork: () => inner.uncork(),
      get bufferedBytes() {
        return inner.bufferedBytes
      },
      get writeProgress() {
        return inner.writeProgress
      },
      pause: () => inner.pause(),
      resume: () => inner.resume(),
      ping: (payload) => inner.ping(payload),
      close: (code, reason) => inner.close(code, reason),
      terminate: () => inner.terminate()
    } satisfies Connection,
    Object.getOwnPropertyDescriptors(members(inner))
  ) as Connection

const forwarding = (events: ConnectionEvents): ConnectionEvents => ({
  onMessage: (data, binary) => events.onMessage(data, binary),
  onFlushed: () => events.onFlushed(),
  onPong: (payload) => events.onPong(payload),
  onClose: (end) => events.onClose(end)
})

/** A transport that tells its session other things than the real one. */
const telling =
  (change: (events: ConnectionEvents, inner: Connection) => Partial<ConnectionEvents>): Wrap => (inner) => ({
    attach: (events) => inner.attach({ ...forwarding(events), ...change(events, inner) })
  })

/** Calls back later, but without time passing. */
const soon = (f: () => void) => queueMicrotask(f)

const reorders = telling((events) => {
  let held: Uint8Array | undefined
  return {
    onMessage: (data, binary) => {
      if (held === undefined) {
        held = data
        return
      }
      events.onMessage(data, binary)
      events.onMessage(held, binary)
      held = undefined
    }
  }
})

const pools = telling((events) => {
  const pool = new Uint8Array(100_000)
  return {
    onMessage: (data, binary) => {
      pool.set(data)
      events.onMessage(pool.subarray(0, data.byteLength), binary)
    }
  }
})

const losesEarly: Wrap = (inner) => ({
  attach: (events) => {
    let attaching = true
    inner.attach({
      ...forwarding(events),
      onMessage: (data, binary) => attaching ? undefined : events.onMessage(data, binary)
    })
    attaching = false
  }
})

const pausesWithoutSocket: Wrap = (inner) => {
  let paused = false
  let kept: Array<() => void> = []
  return {
    ...telling((events) => ({
      onMessage: (data, binary) =>
        paused ? void kept.push(() => events.onMessage(data, binary)) : events.onMessage(data, binary)
    }))(inner),
    pause: () => {
      paused = true
    },
    resume: () => {
      paused = false
      const all = kept
      kept = []
      for (const deliver of all) deliver()
    }
  }
}

const losesWhilePaused: Wrap = (inner) => {
  let paused = false
  return {
    ...telling((events) => ({ onMessage: (data, binary) => paused ? undefined : events.onMessage(data, binary) }))(
      inner
    ),
    pause: () => {
      paused = true
    },
    resume: () => {
      paused = false
    }
  }
}

const closesLate: Wrap = (inner) => {
  let messages = 0
  let close = () => {}
  return {
    ...telling((events) => ({
      onMessage: (data, binary) => {
        events.onMessage(data, binary)
        if (++messages === 5) close()
      }
    }))(inner),
    close: (code, reason) => {
      close = () => inner.close(code, reason)
    }
  }
}

const pongsAtOnce = (when: (f: () => void) => void): Wrap => (inner) => {
  let events: ConnectionEvents | undefined
  return {
    attach: (given) => {
      events = given
      inner.attach({ ...forwarding(given), onPong: () => {} })
    },
    ping: () => {
      inner.ping()
      when(() => events?.onPong())
    }
  }
}

const gathers = (release: (frames: Array<() => void>, inner: Connection) => void): Wrap => (inner) => {
  let frames: Array<() => void> = []
  return {
    write: (frame, seq) => {
      frames.push(() => inner.write(frame, seq))
    },
    uncork: () => {
      const all = frames
      frames = []
      release(all, inner)
      return inner.uncork()
    }
  }
}

const writing =
  (change: (frame: Frame.Frame, seq: number) => readonly [Frame.Frame, number] | undefined): Wrap => (inner) => ({
    write: (frame, seq) => {
      const changed = change(frame, seq)
      if (changed !== undefined) inner.write(...changed)
    }
  })

const memoizes = (): Wrap => {
  const cache = new WeakMap<Frame.Frame, Frame.Frame>()
  return writing((frame, seq) => {
    const cached = cache.get(frame) ?? Frame.fromBytes(Frame.toBytes(frame, seq), frame)
    cache.set(frame, cached)
    return [cached, 0]
  })
}

const flushesEarly: Wrap = (inner) => {
  let events: ConnectionEvents | undefined
  return {
    attach: (given) => {
      events = given
      inner.attach({ ...forwarding(given), onFlushed: () => {} })
    },
    uncork: () => {
      const taken = inner.uncork()
      if (!taken) soon(() => events?.onFlushed())
      return taken
    }
  }
}

const ending = (change: (end: ConnectionEnd) => ConnectionEnd) =>
  telling((events) => ({ onClose: (end) => events.onClose(change(end)) }))

const countsWrites: Wrap = (inner) => {
  let writes = 0
  return {
    write: (frame, seq) => {
      writes++
      inner.write(frame, seq)
    },
    get writeProgress() {
      return writes
    }
  }
}

const closesOnlyWhenReading: Wrap = (inner) => {
  let paused = false
  return {
    pause: () => {
      paused = true
      inner.pause()
    },
    resume: () => {
      paused = false
      inner.resume()
    },
    close: (code, reason) => {
      if (!paused) inner.close(code, reason)
    }
  }
}

const throwsAfterEnd: Wrap = (inner) => {
  let over = false
  return {
    ...telling((events) => ({
      onClose: (end) => {
        over = true
        events.onClose(end)
      }
    }))(inner),
    ping: () => {
      if (over) throw new Error("WebSocket is not open")
      inner.ping()
    }
  }
}

/** For each law, transports that break it. */
const doubles: Readonly<Record<LawName, Readonly<Record<string, Wrap>>>> = {
  inOrder: {
    "swaps neighbours": reorders,
    "tells binary as text": telling((events) => ({ onMessage: (data) => events.onMessage(data, false) }))
  },
  bytesAreTheReceivers: { "reuses one buffer": pools },
  keptUntilAttached: { "loses what came before attach": losesEarly },
  endKeptUntilAttached: {
    "loses what came before attach": losesEarly,
    "never reports the end": telling(() => ({ onClose: () => {} }))
  },
  pauseStopsDelivery: {
    "does not pause": () => ({ pause: () => {} }),
    "loses messages while paused": losesWhilePaused,
    "never resumes": () => ({ resume: () => {} })
  },
  pauseHidesControl: { "pauses messages only": pausesWithoutSocket },
  droppedAfterClose: { "delivers until the close frame is out": closesLate },
  pongIsReported: {
    "tells no pong": telling(() => ({ onPong: () => {} })),
    "tells a pong twice": telling((events) => ({ onPong: () => (events.onPong(), events.onPong()) })),
    "tells a pong for every ping": pongsAtOnce(soon)
  },
  pongReturnsPayload: {
    "forgets what a ping carried": telling((events) => ({ onPong: () => events.onPong() })),
    "returns what the first ping carried": telling((events) => {
      let first: Uint8Array | undefined
      return { onPong: (payload) => events.onPong(first ??= payload) }
    })
  },
  pingOvertakesNothing: { "sends pings ahead": pongsAtOnce(soon) },
  oneCorkInOrder: {
    "writes in reverse": gathers((frames) => frames.reverse().forEach((write) => write())),
    "fills in no number": writing((frame) => [frame, 0]),
    "sends binary as text": writing((frame, seq) => [Frame.fromBytes(Frame.toBytes(frame, seq), { binary: false }), 0])
  },
  frameIsNotChanged: { "keeps the bytes of a sequenced frame": memoizes() },
  largeFrame: {
    "cuts large frames": writing((frame, seq) => [
      frame.byteLength < 65_536 ? frame : Frame.fromBytes(frame.data.subarray(0, 65_536), frame),
      seq
    ])
  },
  uncorkTellsWhatIsLeft: {
    "says that everything was taken": (inner) => ({ uncork: () => (inner.uncork(), true) }),
    "says that nothing is left": () => ({ bufferedBytes: 0 }),
    "says that nothing was taken": (inner) => ({ uncork: () => (inner.uncork(), false) })
  },
  bufferedBytesIsExact: {
    "counts twice": (inner) => ({
      get bufferedBytes() {
        return inner.bufferedBytes * 2
      }
    }),
    "counts no more than 64 KiB": (inner) => ({
      get bufferedBytes() {
        return Math.min(65_536, inner.bufferedBytes)
      }
    })
  },
  flushedOnce: {
    "tells it twice": telling((events) => ({ onFlushed: () => (events.onFlushed(), events.onFlushed()) })),
    "tells it before": flushesEarly,
    "never tells it": telling(() => ({ onFlushed: () => {} }))
  },
  progressIffTaken: {
    "never changes": () => ({ writeProgress: 1 }),
    "counts writes": countsWrites
  },
  nothingLostWhenClogged: {
    "drops what does not fit": (inner) =>
      writing((frame, seq) => inner.bufferedBytes > 200_000 ? undefined : [frame, seq])(inner)
  },
  classified: {
    "tells no code as 1006": ending((end) =>
      end._tag === "PeerClose" && end.code === 1005 ? { ...end, code: 1006 } : end
    ),
    "tells a reset as an end of stream": ending((end) => end._tag === "PeerReset" ? { _tag: "PeerEof" } : end),
    "tells an end of stream as a close": ending((end) =>
      end._tag === "PeerEof" ? { _tag: "PeerClose", code: 1006, reason: "" } : end
    ),
    "loses reasons": ending((end) => end._tag === "PeerClose" ? { ...end, reason: "" } : end)
  },
  codeArrives: {
    "closes without the reason": (inner) => ({ close: (code) => inner.close(code, "") }),
    "always closes with 1000": (inner) => ({ close: (_, reason) => inner.close(1000, reason) }),
    "tells its own close as the peer's": ending(() => ({ _tag: "PeerClose", code: 1000, reason: "" }))
  },
  answersClose: {},
  writesBeforeClose: {
    "closes before what was written": gathers((frames, inner) =>
      soon(() => {
        inner.cork()
        for (const write of frames) write()
        inner.uncork()
      })
    ),
    "terminates": (inner) => ({ close: () => inner.terminate() })
  },
  closeBehindBacklog: {
    "terminates when bytes are left": (inner) => ({
      close: (code, reason) => inner.bufferedBytes > 0 ? inner.terminate() : inner.close(code, reason)
    })
  },
  closeResumes: { "stays paused": closesOnlyWhenReading },
  terminateEnds: {
    "does not terminate": () => ({ terminate: () => {} }),
    "terminates later": (inner) => ({ terminate: () => soon(() => inner.terminate()) })
  },
  closedOnce: {
    "tells the end twice": telling((events) => ({ onClose: (end) => (events.onClose(end), events.onClose(end)) })),
    "tells a terminate after the end": (inner) => {
      let events: ConnectionEvents | undefined
      return {
        attach: (given) => inner.attach(forwarding(events = given)),
        terminate: () => (inner.terminate(), soon(() => events?.onClose({ _tag: "Local" })))
      }
    }
  },
  silentAfterEnd: {
    "tells a flush after the end": telling((events) => ({
      onClose: (end) => (events.onClose(end), events.onFlushed())
    })),
    "goes on delivering": (inner) => {
      let events: ConnectionEvents | undefined
      return {
        attach: (given) => inner.attach(forwarding(events = given)),
        terminate: () => (inner.terminate(), soon(() => events?.onMessage(new Uint8Array(1), true)))
      }
    }
  },
  harmlessAfterEnd: { "throws": throwsAfterEnd },
  neverNested: {
    "tells a pong inside ping": pongsAtOnce((f) => f()),
    "tells the end inside close": (inner) => ({ close: () => inner.terminate() })
  }
}

const caught = (name: LawName, double: LawHarness) =>
  Effect.gen(function*() {
    const exit = yield* Effect.exit(TransportLaws.all[name].check({ ...double, patience: "500 millis" }))
    assert.isTrue(Exit.isFailure(exit), "the law did not notice")
    if (Exit.isFailure(exit)) {
      const failure = Cause.failureOption(exit.cause)
      assert.isTrue(Option.isSome(failure) && failure.value instanceof TransportLaws.LawViolation, String(exit.cause))
    }
  })

TransportLaws.laws(
  "a double that changes nothing",
  Effect.map(harness(), (inner) => ({
    ...inner,
    connect: Effect.map(inner.connect, ({ client, connection }) => ({
      client,
      connection: replaced(connection, telling(() => ({})))
    }))
  }))
)

describe("a transport is caught that", () => {
  for (const [name, wraps] of Object.entries(doubles) as Array<[LawName, Readonly<Record<string, Wrap>>]>) {
    for (const [what, wrap] of Object.entries(wraps)) {
      it.scoped(`${what} (${name})`, () =>
        Effect.gen(function*() {
          const inner = yield* harness()
          yield* caught(name, {
            ...inner,
            connect: Effect.map(inner.connect, ({ client, connection }) => ({
              client,
              connection: replaced(connection, wrap)
            }))
          })
        }).pipe(Effect.withClock(VirtualClock.make())))
    }
  }

  it.scoped("breaks the connection instead of answering a close frame (answersClose)", () =>
    Effect.gen(function*() {
      const inner = yield* harness()
      yield* caught("answersClose", {
        ...inner,
        connect: Effect.map(inner.connectMemory, ({ client, connection }) => ({
          connection,
          client: {
            ...client,
            close: (code, reason) => Effect.zipRight(client.close(code, reason), client.resetAfter(0))
          }
        }))
      })
    }))
})
