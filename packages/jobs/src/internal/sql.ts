/**
 * What a SQL store needs of a database: single statements, and transactions in two steps (read, decide, write). Written
 * with `?` for parameters, in the part of SQL that SQLite and PostgreSQL share; `Dialect` has the rest.
 */
import type * as Effect from "effect/Effect"
import type { StoreFailed } from "../JobError.js"

export type Param = string | number | null

export type Row = { readonly [column: string]: unknown }

/** A statement, run once for each list of parameters. Only with `returns` its rows are asked for. */
export interface Statement {
  readonly sql: string
  readonly many: ReadonlyArray<ReadonlyArray<Param>>
  readonly returns: boolean
}

export const query = (sql: string, ...params: ReadonlyArray<Param>): Statement => ({
  sql,
  many: [params],
  returns: true
})

export const write = (sql: string, ...params: ReadonlyArray<Param>): Statement => ({
  sql,
  many: [params],
  returns: false
})

export const writes = (sql: string, many: ReadonlyArray<ReadonlyArray<Param>>): Statement => ({
  sql,
  many,
  returns: false
})

/** What a transaction writes once it has read, and what it returns once that is durable. */
export interface Decision<A> {
  readonly writes: ReadonlyArray<Statement>
  readonly result: A
}

export interface Dialect {
  readonly kind: string
  readonly isShared: boolean
  /** Lists the elements of a parameter that is a JSON array of texts; goes after `IN`. */
  readonly elements: string
  /** Ends a `SELECT` of jobs that are about to be changed. */
  readonly forUpdate: string
  /** Ends the creation of the table of events. */
  readonly tableOptions: string
}

export interface Sql {
  readonly dialect: Dialect
  /** One transaction of one statement. */
  run(operation: string, statement: Statement): Effect.Effect<ReadonlyArray<Row>, StoreFailed>
  /**
   * One transaction: `reads` first (the rows of each), then what `decide` says. When anything fails nothing has happened,
   * but for a failure of the commit itself, after which everything or nothing has.
   */
  transact<A>(
    operation: string,
    reads: ReadonlyArray<Statement>,
    decide: (rows: ReadonlyArray<ReadonlyArray<Row>>) => Decision<A>
  ): Effect.Effect<A, StoreFailed>
}
