/** Real worker processes under sessions on real sockets, and what is left when they are killed. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { Dialer } from "spillway/Dialer"
import * as Message from "spillway/Message"
import { Sessions } from "spillway/Sessions"
import { assert, describe, it } from "vitest"
import * as Client from "../src/Client.js"
import * as Protocol from "../src/Protocol.js"
import * as Remote from "../src/Remote.js"
import { isThere, python, run, start, until } from "./support.js"

const dial = (url: string) =>
  Effect.gen(function*() {
    const session = yield* (yield* Sessions).scoped(yield* (yield* Dialer).dial(url))
    const next = Effect.flatMap(
      session.receive,
      (inbound) => Message.decoder(Protocol.Reply)(Option.getOrThrow(inbound).text)
    )
    /** Everything up to the reply of that kind. */
    const heard = (tag: Protocol.Reply["_tag"]): Effect.Effect<ReadonlyArray<Protocol.Reply>> =>
      Effect.flatMap(Effect.orDie(next), (reply) =>
        reply._tag === tag ? Effect.succeed([reply]) : Effect.map(heard(tag), (rest) => [reply, ...rest]))
    return {
      session,
      heard,
      ask: (request: Protocol.Request) =>
        session.send(Message.jsonOf(request))
    }
  })

/** Without progress, which may come after the end of its request. */
const tagsOf = (replies: ReadonlyArray<Protocol.Reply>) =>
  replies.map(({ _tag }) => _tag).filter((tag) => tag !== "Progress")

const add = (id: number, text: string) => Protocol.Add.make({ id, name: `text ${id}`, text })
const search = (id: number, word: string) => Protocol.Search.make({ id, word })

const languages = python === undefined ? ["node" as const] : ["node" as const, "python" as const]

describe("sessions on workers", () => {
  it.each(languages)(
    "A131 A136 A138 %s workers killed under load: each request is answered, each index is right, no process is left",
    (worker) =>
      run(Effect.gen(function*() {
        const gateway = yield* start({ worker })
        const kills = 4
        let goesOn = true
        const load = yield* Effect.fork(
          Client.runMany(8, { url: gateway.url, wordsPerText: 300, goesOn: Effect.sync(() => goesOn) })
        )
        const killed: Array<number> = []
        for (let kill = 1; kill <= kills; kill++) {
          const before = (yield* gateway.read).requests.results
          yield* until(Effect.map(gateway.read, ({ requests }) => requests.results > before + 10))
          for (const { goneMillis, pid } of yield* Remote.kill(gateway.settings, 1)) {
            assert.isNotNull(goneMillis)
            assert.isFalse(isThere(pid))
            killed.push(pid)
          }
          // The place of the dead worker has another one.
          yield* until(Effect.map(gateway.read, ({ poolRecoveryMillis }) => poolRecoveryMillis.length >= kill))
        }
        yield* until(Effect.map(gateway.read, ({ rebinds }) => rebinds > 0))
        goesOn = false
        const outcome = yield* Fiber.join(load)
        const metrics = yield* Effect.promise(() =>
          fetch(`http://127.0.0.1:${gateway.settings.port}/metrics`, { headers: { connection: "close" } })
            .then((response) => response.text())
        )
        assert.match(metrics, /spillway_worker_removals_total\{[^}]*cause="exited"[^}]*\} [1-9]/)
        assert.strictEqual(new Set(killed).size, kills)
        assert.strictEqual(outcome.requests, outcome.results)
        assert.deepStrictEqual(outcome.failed, {})
        assert.deepStrictEqual([outcome.unanswered, outcome.wrong, outcome.statesLost], [0, 0, 0])
        assert.isAbove(outcome.rebinds, 0)
        assert.isAbove(outcome.progress, 0)
        const { affinity, kills: counted, rebinds, requests, sessionRecoveryMillis } = yield* gateway.read
        assert.strictEqual(counted, kills)
        assert.strictEqual(rebinds, outcome.rebinds)
        assert.isAbove(sessionRecoveryMillis.length, 0)
        assert.isAbove(affinity.hits, affinity.misses)
        assert.deepStrictEqual([requests.taken, requests.open], [outcome.requests, 0])
        yield* gateway.stop
        assert.isAtLeast(gateway.pids.size, 3 + kills)
        assert.deepStrictEqual([...gateway.pids].filter(isThere), [])
      }))
  )

  it("A131 an index that the gateway cannot build anew is told as lost, and the session goes on with an empty one", () =>
    run(Effect.gen(function*() {
      const gateway = yield* start({ workers: 1, rebuildBytes: 10 })
      const client = yield* dial(gateway.url)
      yield* client.ask(add(1, "a text of more than ten"))
      const added = (yield* client.heard("Added")).at(-1)
      assert.isTrue(added?._tag === "Added" && !added.isRebuildable && added.words === 6)
      yield* Remote.kill(gateway.settings, 1)
      yield* client.ask(search(2, "text"))
      const replies = yield* client.heard("Found")
      const lost = replies.find(({ _tag }) => _tag === "StateLost")
      assert.isTrue(lost?._tag === "StateLost" && lost.documents === 1 && lost.from !== lost.to)
      const found = replies.at(-1)
      assert.isTrue(found?._tag === "Found" && found.total === 0)
      yield* client.ask(add(3, "a text"))
      const again = (yield* client.heard("Added")).at(-1)
      assert.isTrue(again?._tag === "Added" && again.isRebuildable && again.documents === 1)
    })))

  it("a session whose index is gone, without its process having ended, is told the same way", () =>
    run(Effect.gen(function*() {
      const gateway = yield* start({ workers: 1 })
      const client = yield* dial(gateway.url)
      const opened = (yield* client.heard("Opened")).at(-1)
      yield* client.ask(add(1, "warm warm"))
      yield* client.heard("Added")
      // As a worker does that has too many sessions.
      const session = opened?._tag === "Opened" ? opened.session : ""
      assert.isTrue(yield* gateway.pool.execute("forget", { session }))
      yield* client.ask(search(2, "warm"))
      const replies = yield* client.heard("Found")
      assert.deepStrictEqual(tagsOf(replies), ["Rebound", "Found"])
      const found = replies.at(-1)
      assert.isTrue(found?._tag === "Found" && found.total === 2)
    })))

  it("A131 without versions and with affinity as a hint, a search after a kill is wrong and nobody is told", () =>
    run(Effect.gen(function*() {
      const { pids, pool } = yield* start({ workers: 1 })
      const naive = { session: "s", affinity: "hint" } as const
      yield* pool.execute("load", { session: "s", documents: [["one", "warm"]] }, naive)
      const [pid] = pids
      process.kill(pid!, "SIGKILL")
      yield* until(Effect.map(pool.workers, (workers) => workers.some((worker) => worker.pid !== pid)))
      yield* pool.awaitFull
      const answer = yield* pool.execute("search", { session: "s", word: "warm", version: 0 }, naive)
      assert.deepInclude(answer, { total: 0 })
    })))

  it("A129 an operation that is too slow for its worker fails with its own tag, and the index is there for the next", () =>
    run(Effect.gen(function*() {
      const gateway = yield* start({ workers: 1, pace: 1000, operationTimeout: Duration.millis(500) })
      const client = yield* dial(gateway.url)
      // Nothing to pause for: a text without words is done at once.
      yield* client.ask(add(1, ""))
      yield* client.heard("Added")
      yield* client.ask(add(2, "slow"))
      const failed = (yield* client.heard("Failed")).at(-1)
      assert.isTrue(failed?._tag === "Failed" && failed.id === 2 && failed.error === "OperationTimeout")
      yield* client.ask(search(3, "slow"))
      const replies = yield* client.heard("Found")
      assert.deepStrictEqual(tagsOf(replies), ["Rebound", "Found"])
      const found = replies.at(-1)
      assert.isTrue(found?._tag === "Found" && found.documents === 1 && found.total === 0)
    })))

  it("A130 a client that leaves in the middle of a request costs nobody a worker, and is counted", () =>
    run(Effect.gen(function*() {
      const gateway = yield* start({ workers: 1, pace: 1000 })
      const other = yield* dial(gateway.url)
      yield* other.ask(add(1, ""))
      yield* other.heard("Added")
      yield* Effect.scoped(
        Effect.flatMap(
          dial(gateway.url),
          (client) => Effect.zipRight(client.ask(add(1, "word ".repeat(250))), client.heard("Progress"))
        )
      )
      yield* until(Effect.map(gateway.read, ({ requests }) => requests.abandoned === 1))
      // It still works for who has left, as it has to; then it has its next request, and its old index.
      yield* other.ask(search(2, "word"))
      const replies = yield* other.heard("Found")
      assert.deepStrictEqual(tagsOf(replies), ["Found"])
      const { requests, rebinds } = yield* gateway.read
      assert.deepInclude(requests, { taken: 3, results: 2, failed: {}, abandoned: 1, open: 0 })
      assert.deepStrictEqual([rebinds, gateway.pids.size], [0, 1])
    })))

  it("what is no request, and what is more than a session may upload, is a typed failure", () =>
    run(Effect.gen(function*() {
      const gateway = yield* start({ workers: 1, sessionBytes: 5 })
      const client = yield* dial(gateway.url)
      yield* client.session.send(Message.jsonOf({ _tag: "Nonsense" }))
      const bad = (yield* client.heard("Failed")).at(-1)
      assert.isTrue(bad?._tag === "Failed" && bad.error === "BadRequest" && bad.id === 0)
      yield* client.ask(add(7, "too long"))
      const full = (yield* client.heard("Failed")).at(-1)
      assert.isTrue(full?._tag === "Failed" && full.error === "SessionFull" && full.id === 7)
    })))

  it("the switch answers pages of other sites with 403, and is not there when it is off", () =>
    run(Effect.gen(function*() {
      const post = (port: number, origin?: string) =>
        Effect.promise(() =>
          fetch(`http://127.0.0.1:${port}/chaos/kill`, {
            method: "POST",
            headers: { connection: "close", ...(origin === undefined ? {} : { origin }) }
          }).then(({ status }) => status)
        )
      const on = yield* start({ workers: 1 })
      const off = yield* start({ workers: 1, chaos: false })
      assert.strictEqual(yield* post(on.settings.port, "http://example.org"), 403)
      assert.strictEqual(yield* post(off.settings.port), 404)
      assert.deepStrictEqual([...on.pids, ...off.pids].filter(isThere), [...on.pids, ...off.pids])
      const page = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${on.settings.port}/`, { headers: { connection: "close" } }).then((page) => page.text())
      )
      assert.include(page, "page.js")
      assert.strictEqual(yield* post(on.settings.port, `http://127.0.0.1:${on.settings.port}`), 200)
    })))
})
