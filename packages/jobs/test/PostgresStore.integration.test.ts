/**
 * The contract on PostgreSQL, and what a process that is paused in a transaction does to the others.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { afterAll, beforeAll } from "vitest"
import * as EventLog from "../src/EventLog.js"
import * as Job from "../src/Job.js"
import * as JobRunner from "../src/JobRunner.js"
import { JobStore } from "../src/JobStore.js"
import * as PostgresStore from "../src/PostgresStore.js"
import { contract } from "./contract.js"
import { binariesFor, type PostgresServer, start } from "./postgresServer.js"

const binaries = binariesFor("its contract")

if (binaries !== undefined) {
  let server: PostgresServer
  beforeAll(() => {
    server = start(binaries)
  })
  afterAll(() => server.stop())
  const client = Layer.suspend(() =>
    PgClient.layer({ host: server.folder, username: "spillway", database: "postgres", maxConnections: 4 })
  )
  const store = Layer.orDie(PostgresStore.layer(PgClient.PgClient)).pipe(Layer.provide(client))
  contract("store in PostgreSQL (A080)", store, { runs: 6 })

  describe("a client that the application has already", () => {
    const Note = Job.make("note", { input: Schema.String, event: Schema.String, output: Schema.String })
    const handlers = [Job.handler(Note, (text) => Effect.succeed(text))]
    // From the context, as any `SqlClient`: the very one that the application's own statements use.
    const jobs = Layer.fresh(JobRunner.layer(handlers, { pollInterval: "20 millis" })).pipe(
      Layer.provideMerge(EventLog.layer({ pollInterval: "20 millis" })),
      Layer.provideMerge(PostgresStore.layer(SqlClient.SqlClient)),
      Layer.provideMerge(client)
    )

    it.scopedLive("is the store's too: a job is created with what its transaction writes, or neither is", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const runner = yield* JobRunner.JobRunner
        const { get } = yield* JobStore
        yield* sql`CREATE TABLE orders (job TEXT)`
        const order = (id: string) =>
          Effect.zipLeft(sql`INSERT INTO orders VALUES (${id})`, runner.create(Note, "said", { id }))
        const undone = sql.withTransaction(Effect.zipRight(order("undone"), Effect.fail("no" as const)))
        assert.strictEqual(yield* Effect.flip(undone), "no")
        yield* sql.withTransaction(order("done"))
        const { state } = yield* runner.awaitEnd("done")
        assert.deepStrictEqual([state.status, state.result], ["SUCCEEDED", "said"])
        assert.isTrue(Option.isNone(yield* get("undone")))
        assert.deepStrictEqual(yield* sql`SELECT job FROM orders`, [{ job: "done" }])
      }).pipe(Effect.provide(jobs)))

    it.scopedLive("is made from configuration, with a URL that is not printed", () =>
      Effect.gen(function*() {
        const { kind } = yield* JobStore
        assert.strictEqual(kind, "postgres")
      }).pipe(
        Effect.provide(PostgresStore.layerConfig(({ url }) =>
          Effect.map(Layer.build(PgClient.layer({ url })), Context.get(PgClient.PgClient))
        )),
        Effect.withConfigProvider(ConfigProvider.fromMap(
          new Map([["url", `postgres://spillway@localhost/postgres?host=${encodeURIComponent(server.folder)}`]])
        ))
      ))
  })

  /** As a process that is stopped between the two halves of a transaction: the rows are locked, and nothing follows. */
  const pausedIn = (sql: PgClient.PgClient, pause: Deferred.Deferred<void>, resume: Deferred.Deferred<void>) => {
    const client: PostgresStore.Client<unknown> = {
      withTransaction: sql.withTransaction,
      unsafe: <A extends object>(text: string, params?: ReadonlyArray<any>) => {
        const held = Effect.zipRight(Deferred.succeed(pause, undefined), Deferred.await(resume))
        return Effect.zipRight(text.startsWith("UPDATE") ? held : Effect.void, sql.unsafe<A>(text, params))
      }
    }
    return client
  }

  const paused = (idleTransactionTimeout: number) =>
    Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      const [pause, resume] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const options = { idleTransactionTimeout }
      const old = yield* PostgresStore.make(pausedIn(sql, pause, resume), options)
      const other = yield* PostgresStore.make(sql, options)
      const jobId = `paused-${idleTransactionTimeout}-${process.pid}`
      yield* other.insert({ id: jobId, name: "test", input: null, createdAt: 0, queuedAt: 0 })
      const claim = (owner: string) => ({ jobId, owner, now: 0, leaseUntil: 1_000 })
      const first = yield* Effect.fork(Effect.either(old.claim(claim("old"))))
      yield* Deferred.await(pause)
      return { sql, resume, first, second: other.claim(claim("other")) }
    })

  describe("a process that is paused in a transaction", () => {
    it.scopedLive("loses its connection, so that another one takes its job over, and its transaction fails (TL12)", () =>
      Effect.gen(function*() {
        const { first, resume, second } = yield* paused(100)
        assert.deepInclude(Option.getOrThrow(yield* second), { owner: "other", generation: 1 })
        yield* Deferred.succeed(resume, undefined)
        const outcome = yield* Fiber.join(first)
        assert.isTrue(outcome._tag === "Left" && outcome.left._tag === "StoreFailed" && outcome.left.why === "closed")
      }).pipe(Effect.provide(client)))

    it.scopedLive("without that limit holds everybody up for as long as it is paused", () =>
      Effect.gen(function*() {
        const { first, resume, second, sql } = yield* paused(3_600_000)
        const waiting = yield* Effect.fork(second)
        const locks = sql`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'`
        yield* Effect.repeat(locks, { until: (rows) => rows.length > 0 })
        assert.isNull(waiting.unsafePoll())
        yield* Deferred.succeed(resume, undefined)
        assert.strictEqual((yield* Fiber.join(first))._tag, "Right")
        assert.isTrue(Option.isNone(yield* Fiber.join(waiting)), "the lease of the one that was paused holds")
      }).pipe(Effect.provide(client)))
  })
}
