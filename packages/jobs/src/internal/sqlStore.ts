/** The store in a SQL database. What an append means is the shared plan; here is how jobs and events are rows. */
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { AppendRefused, StoreFailed } from "../JobError.js"
import { JobExists } from "../JobError.js"
import type { JobEvent } from "../JobEvent.js"
import * as JobState from "../JobState.js"
import type {
  Appended,
  AppendRequest,
  Claim,
  JobRecord,
  JobStoreShape,
  ListQuery,
  NewJob,
  Retention
} from "../JobStore.js"
import { recordOf } from "./memoryStore.js"
import { byteLengthOf, type Insert, isClaimable, keyOf, plan } from "./plan.js"
import { type Param, query, type Row, type Sql, type Statement, write, writes } from "./sql.js"

const terminal = "status IN ('SUCCEEDED', 'FAILED', 'CANCELLED')"
const unended = "status IN ('PENDING', 'RUNNING')"

/** Statements that make the tables where there are none. */
export const schema = (tableOptions: string): ReadonlyArray<string> => [
  `CREATE TABLE IF NOT EXISTS spillway_job (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, title TEXT, turn TEXT NOT NULL, input TEXT NOT NULL,
    created_at BIGINT NOT NULL, status TEXT NOT NULL, state TEXT NOT NULL, completed_at BIGINT, queued_at BIGINT,
    cancel_requested BIGINT NOT NULL, generation BIGINT NOT NULL, owner TEXT, lease_until BIGINT NOT NULL,
    event_bytes BIGINT NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS spillway_job_event (
    job_id TEXT NOT NULL, seq BIGINT NOT NULL, event_id TEXT, kind TEXT NOT NULL, at BIGINT NOT NULL,
    bytes BIGINT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job_id, seq)
  ) ${tableOptions}`,
  `CREATE UNIQUE INDEX IF NOT EXISTS spillway_job_event_id ON spillway_job_event (job_id, event_id)
    WHERE event_id IS NOT NULL`,
  "CREATE INDEX IF NOT EXISTS spillway_job_created ON spillway_job (created_at)",
  "CREATE INDEX IF NOT EXISTS spillway_job_unended ON spillway_job (queued_at) WHERE status IN ('PENDING', 'RUNNING')"
]

// The columns are ours and have these types; PostgreSQL hands big integers out as text.
const text = (value: unknown): string => value as string
const optional = (value: unknown): string | undefined => value === null ? undefined : value as string
const number = (value: unknown): number => Number(value)

const toRecord = (row: Row): JobRecord => ({
  id: text(row["id"]),
  name: text(row["name"]),
  title: optional(row["title"]),
  turn: text(row["turn"]),
  input: JSON.parse(text(row["input"])),
  createdAt: number(row["created_at"]),
  state: { ...JobState.initial, ...JSON.parse(text(row["state"])) },
  queuedAt: row["queued_at"] === null ? undefined : number(row["queued_at"]),
  cancelRequested: number(row["cancel_requested"]) !== 0,
  generation: number(row["generation"]),
  owner: optional(row["owner"]),
  leaseUntil: number(row["lease_until"]),
  eventBytes: number(row["event_bytes"])
})

const toEvent = (row: Row): JobEvent => ({
  jobId: text(row["job_id"]),
  seq: number(row["seq"]),
  id: optional(row["event_id"]) ?? String(number(row["seq"])),
  at: number(row["at"]),
  // Written by `plan` only.
  kind: row["kind"] as JobEvent["kind"],
  data: JSON.parse(text(row["data"]))
})

/** Columns that an append or a claim changes, and the job they belong to. */
const change = `UPDATE spillway_job SET status = ?, state = ?, completed_at = ?, queued_at = ?, cancel_requested = ?,
  generation = ?, owner = ?, lease_until = ?, event_bytes = ? WHERE id = ?`

const changeOf = (job: JobRecord): ReadonlyArray<Param> => [
  job.state.status,
  JSON.stringify(job.state),
  job.state.completedAt ?? null,
  job.queuedAt ?? null,
  job.cancelRequested ? 1 : 0,
  job.generation,
  job.owner ?? null,
  job.leaseUntil,
  job.eventBytes,
  job.id
]

const insertEvent = `INSERT INTO spillway_job_event (job_id, seq, event_id, kind, at, bytes, data)
  VALUES (?, ?, ?, ?, ?, ?, ?)`

const rowOf = ({ event, givenId, json }: Insert): ReadonlyArray<Param> => [
  event.jobId,
  event.seq,
  givenId ?? null,
  event.kind,
  event.at,
  byteLengthOf(json),
  json
]

class SqlStore {
  readonly kind: string
  readonly isShared: boolean

  constructor(private readonly sql: Sql) {
    this.kind = sql.dialect.kind
    this.isShared = sql.dialect.isShared
  }

  insert(job: NewJob): Effect.Effect<JobRecord, JobExists | StoreFailed> {
    const record = recordOf(job)
    const statement = query(
      `INSERT INTO spillway_job (id, name, title, turn, input, created_at, status, state, queued_at, cancel_requested,
        generation, lease_until, event_bytes)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING RETURNING id`,
      record.id,
      record.name,
      record.title ?? null,
      record.turn,
      JSON.stringify(record.input ?? null),
      record.createdAt,
      record.state.status,
      JSON.stringify(record.state),
      record.queuedAt ?? null
    )
    return Effect.flatMap(
      this.sql.run("create a job", statement),
      (rows): Effect.Effect<JobRecord, JobExists> =>
        rows.length === 0 ? Effect.fail(new JobExists({ jobId: job.id })) : Effect.succeed(record)
    )
  }

  get(jobId: string): Effect.Effect<Option.Option<JobRecord>, StoreFailed> {
    return Effect.map(
      this.sql.run("read a job", query("SELECT * FROM spillway_job WHERE id = ?", jobId)),
      (rows) => Option.map(Option.fromNullable(rows[0]), toRecord)
    )
  }

  list({ limit, name, offset, status }: ListQuery) {
    const filters: Array<readonly [string, Param]> = []
    if (status !== undefined) filters.push(["status = ?", status])
    if (name !== undefined) filters.push(["name = ?", name])
    const where = filters.length === 0 ? "" : ` WHERE ${filters.map(([sql]) => sql).join(" AND ")}`
    const params = filters.map(([, param]) => param)
    const page = query(
      `SELECT * FROM spillway_job${where} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?`,
      ...params,
      limit,
      offset
    )
    const count = query(`SELECT COUNT(*) AS total FROM spillway_job${where}`, ...params)
    return this.sql.transact("list jobs", [page, count], ([rows, counts]) => ({
      writes: [],
      result: { items: rows!.map(toRecord), total: number(counts![0]!["total"]) }
    }))
  }

  commit(
    batch: ReadonlyArray<AppendRequest>
  ): Effect.Effect<ReadonlyArray<Either.Either<Appended, AppendRefused>>, StoreFailed> {
    const { elements, forUpdate } = this.sql.dialect
    // In order of the ids, so that two processes that lock the same jobs do not wait for each other.
    const ids = [...new Set(batch.map(({ jobId }) => jobId))].sort()
    const given = [
      ...new Set(batch.flatMap(({ entries }) => entries.flatMap(({ id }) => id === undefined ? [] : [id])))
    ]
    const reads: Array<Statement> = [
      query(
        `SELECT * FROM spillway_job WHERE id IN ${elements} ORDER BY id ${forUpdate}`,
        JSON.stringify(ids)
      )
    ]
    if (given.length > 0) {
      reads.push(query(
        `SELECT * FROM spillway_job_event WHERE job_id IN ${elements} AND event_id IN ${elements}`,
        JSON.stringify(ids),
        JSON.stringify(given)
      ))
    }
    return this.sql.transact("append", reads, ([jobs, events = []]) => {
      const records = new Map(jobs!.map((row) => [text(row["id"]), toRecord(row)]))
      const known = new Map(events.map(toEvent).map((event) => [keyOf(event.jobId, event.id), event]))
      const { inserts, outcomes, records: changed } = plan(batch, records, known)
      const statements = [
        ...(inserts.length === 0 ? [] : [writes(insertEvent, inserts.map(rowOf))]),
        ...(changed.length === 0 ? [] : [writes(change, changed.map(changeOf))])
      ]
      return { writes: statements, result: outcomes }
    })
  }

  read(jobId: string, after: number, limits: { readonly itemsMax: number; readonly bytesMax: number }) {
    // Places have no gaps, so a range of places is a number of events; the sum over it is asked of the index's rows only.
    const statement = query(
      `SELECT * FROM spillway_job_event WHERE job_id = ? AND seq > ? AND seq <= COALESCE((
        SELECT MAX(seq) FROM (
          SELECT seq, SUM(bytes) OVER (ORDER BY seq) AS total FROM spillway_job_event
          WHERE job_id = ? AND seq > ? AND seq <= ?
        ) AS page WHERE total <= ?
      ), ?) ORDER BY seq`,
      jobId,
      after,
      jobId,
      after,
      after + limits.itemsMax,
      limits.bytesMax,
      after + 1
    )
    return Effect.map(this.sql.run("read events", statement), (rows) => rows.map(toEvent))
  }

  private changeOne<A>(
    operation: string,
    jobId: string,
    decide: (job: JobRecord | undefined) => { readonly job?: JobRecord; readonly result: A }
  ): Effect.Effect<A, StoreFailed> {
    const read = query(`SELECT * FROM spillway_job WHERE id = ? ${this.sql.dialect.forUpdate}`, jobId)
    return this.sql.transact(operation, [read], ([rows]) => {
      const row = rows![0]
      const { job, result } = decide(row === undefined ? undefined : toRecord(row))
      return { writes: job === undefined ? [] : [write(change, ...changeOf(job))], result }
    })
  }

  claim({ jobId, leaseUntil, mayTakeOver = false, now, owner }: Claim) {
    return this.changeOne<Option.Option<JobRecord>>("claim a job", jobId, (job) => {
      if (job === undefined || !isClaimable(job, now, mayTakeOver)) return { result: Option.none() }
      const claimed = { ...job, owner, leaseUntil, generation: job.generation + 1 }
      return { job: claimed, result: Option.some(claimed) }
    })
  }

  claimable(now: number, limit: number) {
    const statement = query(
      `SELECT * FROM spillway_job WHERE ${unended} AND (queued_at IS NOT NULL OR cancel_requested = 1)
        AND (owner IS NULL OR lease_until <= ?) ORDER BY COALESCE(queued_at, 0), id LIMIT ?`,
      now,
      limit
    )
    return Effect.map(this.sql.run("look for jobs", statement), (rows) => rows.map(toRecord))
  }

  renew(owner: string, leaseUntil: number) {
    const statement = query("UPDATE spillway_job SET lease_until = ? WHERE owner = ? RETURNING *", leaseUntil, owner)
    return Effect.map(this.sql.run("extend leases", statement), (rows) => rows.map(toRecord))
  }

  release(jobId: string, generation: number) {
    return Effect.asVoid(this.sql.run(
      "release a job",
      write("UPDATE spillway_job SET owner = NULL, lease_until = 0 WHERE id = ? AND generation = ?", jobId, generation)
    ))
  }

  enqueue(jobId: string, at: number) {
    const statement = query(
      "UPDATE spillway_job SET queued_at = ? WHERE id = ? AND status = 'PENDING' AND queued_at IS NULL RETURNING id",
      at,
      jobId
    )
    return Effect.map(this.sql.run("queue a job", statement), (rows) => rows.length > 0)
  }

  requestCancel(jobId: string) {
    return Effect.asVoid(this.sql.run(
      "ask for a job to be cancelled",
      write(`UPDATE spillway_job SET cancel_requested = 1 WHERE id = ? AND ${unended}`, jobId)
    ))
  }

  remove(jobId: string) {
    return this.sql.transact(
      "delete a job",
      [query("SELECT id FROM spillway_job WHERE id = ?", jobId)],
      ([rows]) => ({ writes: this.removal([jobId]), result: rows!.length > 0 })
    )
  }

  private removal(ids: ReadonlyArray<string>): ReadonlyArray<Statement> {
    if (ids.length === 0) return []
    const { elements } = this.sql.dialect
    const list = JSON.stringify(ids)
    return [
      write(`DELETE FROM spillway_job_event WHERE job_id IN ${elements}`, list),
      write(`DELETE FROM spillway_job WHERE id IN ${elements}`, list)
    ]
  }

  retain({ bytesMax, completedBefore, except }: Retention) {
    const total = query("SELECT COALESCE(SUM(event_bytes), 0) AS total FROM spillway_job")
    const ended = query(
      `SELECT id, completed_at, event_bytes FROM spillway_job WHERE ${terminal} AND id NOT IN ${this.sql.dialect.elements}
        ORDER BY completed_at, id LIMIT 1000`,
      JSON.stringify(except)
    )
    return this.sql.transact("delete old jobs", [total, ended], ([sums, rows]) => {
      let bytes = number(sums![0]!["total"])
      const gone: Array<string> = []
      for (const row of rows!) {
        if (number(row["completed_at"]) >= completedBefore && bytes <= bytesMax) break
        bytes -= number(row["event_bytes"])
        gone.push(text(row["id"]))
      }
      return { writes: this.removal(gone), result: gone }
    })
  }
}

export const make = (sql: Sql): JobStoreShape => {
  const store = new SqlStore(sql)
  return {
    kind: store.kind,
    isShared: store.isShared,
    insert: (job) => store.insert(job),
    get: (jobId) => store.get(jobId),
    list: (listQuery) => store.list(listQuery),
    commit: (batch) => store.commit(batch),
    read: (jobId, after, limits) => store.read(jobId, after, limits),
    claim: (claim) => store.claim(claim),
    claimable: (now, limit) => store.claimable(now, limit),
    renew: (owner, leaseUntil) => store.renew(owner, leaseUntil),
    release: (jobId, generation) => store.release(jobId, generation),
    enqueue: (jobId, at) => store.enqueue(jobId, at),
    requestCancel: (jobId) => store.requestCancel(jobId),
    remove: (jobId) => store.remove(jobId),
    retain: (retention) => store.retain(retention)
  }
}
