/** The database of `PostgresStore`, on a client that knows transactions. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { StoreFailed } from "../JobError.js"
import type { Client } from "../PostgresStore.js"
import type { Dialect, Param, Row, Sql, Statement } from "./sql.js"

export const dialect: Dialect = {
  kind: "postgres",
  isShared: true,
  elements: "(SELECT json_array_elements_text(CAST(? AS json)))",
  forUpdate: "FOR UPDATE",
  tableOptions: ""
}

/** No statement has a question mark that is not a parameter. */
const numbered = (sql: string): string => {
  let place = 0
  return sql.replace(/\?/g, () => `$${++place}`)
}

/** The code of PostgreSQL in an error of a client, which wraps it. */
const codeOf = (error: unknown, depth = 0): string => {
  if (typeof error !== "object" || error === null || depth > 4) return ""
  const { cause, code } = error as { readonly code?: unknown; readonly cause?: unknown }
  return typeof code === "string" ? code : codeOf(cause, depth + 1)
}

const whyOf = (code: string): StoreFailed["why"] =>
  code === "53100" || code === "53400"
    ? "full"
    : code.startsWith("58")
    ? "io"
    : code === "40P01" || code === "55P03" || code === "40001"
    ? "busy"
    : code.startsWith("08") || code.startsWith("57P") || code === "25P03" || code.startsWith("ECONN")
    ? "closed"
    : "other"

/** `pg` says in words, without a code, that a connection is gone. */
const isGone = (error: unknown, depth = 0): boolean => {
  if (typeof error !== "object" || error === null || depth > 4) return false
  const { cause, message } = error as { readonly message?: unknown; readonly cause?: unknown }
  return (typeof message === "string" && /not queryable|connection terminated/i.test(message)) ||
    isGone(cause, depth + 1)
}

const failure = (operation: string) => (cause: unknown) =>
  cause instanceof StoreFailed
    ? cause
    : new StoreFailed({ operation, why: isGone(cause) ? "closed" : whyOf(codeOf(cause)), cause })

/**
 * A transaction, with typed failures. Its `ROLLBACK` on a connection that is gone is a defect of the client's, which hides
 * the failure that it follows: for whoever asked it is that failure.
 */
const transaction = <A, E>(client: Client<E>, operation: string, body: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const failed: Array<unknown> = []
    return client.withTransaction(Effect.tapError(body, (error) => Effect.sync(() => failed.push(error)))).pipe(
      Effect.mapError(failure(operation)),
      Effect.catchSomeDefect((defect) =>
        failed.length === 0 && !isGone(defect)
          ? Option.none()
          : Option.some(Effect.fail(failure(operation)(failed[0] ?? defect)))
      )
    )
  })

/** Rows in one statement: PostgreSQL has at most 65,535 parameters. */
const rowsMax = 500

/** One statement for many rows, where it inserts. */
const expand = ({ many, sql }: Statement): ReadonlyArray<readonly [sql: string, params: ReadonlyArray<Param>]> => {
  const values = /VALUES\s*(\([?,\s]+\))\s*$/.exec(sql)
  if (values === null || many.length === 1) return many.map((params) => [numbered(sql), params] as const)
  const head = sql.slice(0, values.index)
  const chunks: Array<readonly [string, ReadonlyArray<Param>]> = []
  for (let at = 0; at < many.length; at += rowsMax) {
    const rows = many.slice(at, at + rowsMax)
    chunks.push([numbered(`${head}VALUES ${rows.map(() => values[1]).join(", ")}`), rows.flat()])
  }
  return chunks
}

const execute = <E>(client: Client<E>, statement: Statement): Effect.Effect<ReadonlyArray<Row>, E> =>
  Effect.map(
    Effect.forEach(expand(statement), ([sql, params]) => client.unsafe<Row>(sql, params)),
    (all) => all.flat()
  )

/**
 * Holds for the rest of a transaction: a process that is paused in it, or whose machine is gone, would keep its rows locked
 * for as long as the connection lives, and nobody could take its jobs over.
 */
const limit = (idleTransactionTimeout: number): string =>
  `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(idleTransactionTimeout)}`

export const sqlOf = <E>(client: Client<E>, idleTransactionTimeout: number): Sql => ({
  dialect,
  run: (operation, statement) => Effect.mapError(execute(client, statement), failure(operation)),
  transact: (operation, reads, decide) =>
    transaction(
      client,
      operation,
      Effect.gen(function*() {
        yield* client.unsafe(limit(idleTransactionTimeout))
        const rows: Array<ReadonlyArray<Row>> = []
        for (const read of reads) rows.push(yield* execute(client, read))
        const { result, writes } = decide(rows)
        for (const write of writes) yield* execute(client, write)
        return result
      })
    )
})

/** Any number that nobody else is likely to lock. */
const lock = 7_747_552_910

/** Makes the tables, one process at a time: `IF NOT EXISTS` alone fails when two do it at once. */
export const migrate = <E>(client: Client<E>, schema: ReadonlyArray<string>): Effect.Effect<void, StoreFailed> =>
  transaction(
    client,
    "make the tables",
    Effect.gen(function*() {
      yield* client.unsafe(`SELECT pg_advisory_xact_lock(${lock})`)
      for (const sql of schema) yield* client.unsafe(sql)
    })
  )
