/**
 * The whole pipeline on real sockets while its links are cut, the webhook hangs and the pusher is restarted: nothing that
 * was admitted is lost, nothing is left behind, and the gauge is the number of live sockets.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Audio from "../src/Audio.js"
import { type Heard, replay } from "../src/Replay.js"
import { clientLayer, eventually, listener, pusher, settings, webhook } from "./support.js"

const clients = 5
const words = Audio.sampleWords.slice(0, 3)
const pcm = Audio.synthesise(words, 4_600)

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "speech-pipeline-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

const post = (port: number, path: string) =>
  Effect.promise(() => fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", headers: { connection: "close" } }))

interface Counts {
  readonly hanging: number
  readonly answered: number
}

const counts = (port: number): Effect.Effect<Counts> =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/counts`, { headers: { connection: "close" } })
    return await response.json() as Counts
  })

/** Places in the audio where all clients wait until the test lets them go on. */
const makeStops = (atMillis: ReadonlyArray<number>) =>
  Effect.map(Effect.forEach(atMillis, () => Deferred.make<void>()), (gates) => {
    let opened = 0
    const closed = (now: number) => gates[atMillis.filter((at) => now >= at).length - 1]
    return {
      before: (now: number) => {
        const gate = closed(now)
        return gate === undefined ? Effect.void : Deferred.await(gate)
      },
      goOn: Effect.suspend(() => Deferred.succeed(gates[opened++]!, undefined))
    }
  })

/** What the pusher has on its disk for each session: the audio in one piece, and the other files. */
const stored = (folder: string) =>
  Fs.readdirSync(folder).map((session) => {
    const files = Fs.readdirSync(Path.join(folder, session)).sort()
    const read = (name: string) => Fs.readFileSync(Path.join(folder, session, name))
    return {
      audio: Buffer.concat(files.filter((name) => /^audio.*pcm$/.test(name)).map(read)),
      transcripts: files.filter((name) => name.startsWith("transcript")).map((name) =>
        JSON.parse(read(name).toString())
      ),
      samples: files.filter((name) => name.startsWith("speakerSample")).length,
      parts: files.filter((name) => name.endsWith(".part")).length
    }
  })

it.scopedLive("A109 A110 A118 A120 links cut, a webhook that hangs, a pusher that restarts: no ghost, nothing admitted is lost", () =>
  Effect.gen(function*() {
    const folder = yield* temporaryFolder
    const hook = yield* webhook
    const values = settings(folder, { webhookPort: hook.port })
    const first = yield* pusher({ ...values, taskGrace: values.linkBackoff })
    const pusherValues = { ...values, pusherPort: first.port, taskGrace: values.linkBackoff }
    const server = yield* listener({ ...values, pusherPort: first.port })

    // The gauge against the sockets, all the time. A socket may be a moment ahead of its session or behind it.
    let disagreements = 0
    let worst = 0
    const watching = yield* Effect.fork(Effect.forever(Effect.zipRight(
      Effect.sleep("10 millis"),
      Effect.sync(() => {
        let open = 0
        server.sessions.unsafeForEach(() => open++)
        disagreements = open === server.sockets.size ? 0 : disagreements + 1
        worst = Math.max(worst, disagreements)
      })
    )))

    const heard: Array<Heard> = []
    const stops = yield* makeStops([1_500, 3_400, 4_000])
    const playing = yield* Effect.replicateEffect(
      Effect.fork(replay({
        url: `ws://127.0.0.1:${server.port}/listen`,
        pcm,
        speed: 4,
        before: stops.before,
        onHeard: (what) => Effect.sync(() => void heard.push(what))
      })),
      clients
    )
    const of = (type: Heard["type"]) => heard.filter((what) => what.type === type).length
    const isServed = () => first.sockets.size === clients && server.sockets.size === clients
    yield* eventually("everybody is served and has said a word", () => isServed() && of("segment") === clients)
    assert.strictEqual(server.sessions.size, clients)

    // 1. Every link is cut, and comes back.
    const links = [...first.sockets]
    for (const socket of links) socket.resetAndDestroy()
    yield* eventually("links are back", () => isServed() && links.every((socket) => !first.sockets.has(socket)))

    // 2. The webhook hangs: its callers do, and nobody else.
    yield* post(hook.port, "/mode/hang")
    const before = of("stored")
    yield* stops.goOn
    yield* eventually(
      "words are heard and stored",
      () => of("segment") === 2 * clients && of("stored") > before + clients
    )
    yield* eventually("the webhook really hangs", () => hook.sockets.size >= clients)
    assert.strictEqual((yield* counts(hook.port)).hanging, clients)

    // 3. The pusher is restarted on the same port, with its hung calls, while clients go on.
    yield* first.stop
    yield* eventually("the old pusher has no socket", () => first.sockets.size === 0)
    yield* stops.goOn
    yield* Effect.sleep("150 millis")
    const second = yield* pusher(pusherValues)
    yield* eventually("links are back at the new pusher", () => second.sockets.size === clients)
    yield* post(hook.port, "/mode/answer")
    yield* stops.goOn

    const reports = yield* Effect.forEach(playing, Fiber.join)
    assert.deepStrictEqual(reports.map(({ exit }) => exit._tag), Array.from(reports, () => "ClosedByServer"))
    yield* eventually("no session is left", () => server.sessions.size === 0)
    yield* eventually("no socket is left", () => server.sockets.size === 0 && second.sockets.size === 0)
    yield* Fiber.interrupt(watching)
    assert.isAtMost(worst, 100, "gauge and sockets differed for longer than a moment")

    const ledger = yield* server.ledger.read
    const chunks = Math.ceil(Audio.frames(pcm).length / values.chunkFrames)
    const items = chunks + 2 * words.length
    assert.deepStrictEqual(ledger, {
      admitted: clients * items,
      stored: clients * items,
      lost: 0,
      usedMillis: clients * Audio.frames(pcm).length * Audio.frameMillis
    })
    const sessions = stored(folder)
    assert.strictEqual(sessions.length, clients)
    for (const { audio, parts, samples, transcripts } of sessions) {
      assert.isTrue(audio.equals(Buffer.from(pcm)), "the audio on disk is what was played")
      // The samples are younger than their two minutes: the gate was skipped at the end.
      assert.deepStrictEqual([transcripts.length, samples, parts], [words.length, words.length, 0])
      assert.deepStrictEqual(
        transcripts.map(({ endMillis, startMillis }) => ({ startMillis, endMillis })),
        words
      )
    }
    assert.isAtLeast((yield* counts(hook.port)).answered, 1)
  }).pipe(Effect.provide(clientLayer)))

it.scopedLive("A109 a pusher that never comes back costs what the grace says, and what was admitted is counted as lost", () =>
  Effect.gen(function*() {
    const folder = yield* temporaryFolder
    const hook = yield* webhook
    const values = settings(folder, { webhookPort: hook.port })
    const dead = yield* pusher(values)
    yield* dead.stop
    const server = yield* listener({ ...values, pusherPort: dead.port, taskGrace: values.linkDegradedFor })
    yield* replay({
      url: `ws://127.0.0.1:${server.port}/listen`,
      pcm,
      speed: 40,
      onHeard: () => Effect.void
    })
    yield* eventually("no session and no socket is left", () => server.sessions.size === 0 && server.sockets.size === 0)
    const { admitted, lost, stored: kept } = yield* server.ledger.read
    assert.isAbove(admitted, 0)
    assert.deepStrictEqual([lost, kept], [admitted, 0])
  }).pipe(Effect.provide(clientLayer)))
