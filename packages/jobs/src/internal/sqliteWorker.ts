/**
 * What runs in the worker thread of the SQLite store. A commit takes milliseconds of a disk's time, which the event loop of
 * the server does not have.
 *
 * The function is started from its text, so that it runs the same from sources and from a build: it may use nothing but
 * what it is given.
 */
import type * as WorkerThreads from "node:worker_threads"

export interface WorkerData {
  readonly path: string
  /** Path of the module `libsql`, or `node:sqlite`. */
  readonly driver: string
  readonly pragmas: ReadonlyArray<string>
  readonly schema: ReadonlyArray<string>
  readonly timeoutMillis: number
}

export interface Request {
  readonly id: number
  readonly statements: ReadonlyArray<{
    readonly sql: string
    readonly many: ReadonlyArray<ReadonlyArray<string | number | null>>
    readonly returns: boolean
  }>
}

export interface Reply {
  readonly id: number
  readonly rows?: ReadonlyArray<ReadonlyArray<unknown>>
  readonly error?: { readonly code: string; readonly message: string }
}

interface Prepared {
  readonly all: (params: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
  readonly run: (params: ReadonlyArray<unknown>) => void
}

interface Connection {
  readonly exec: (sql: string) => void
  readonly prepare: (sql: string) => Prepared
  readonly close: () => void
}

export const workerMain = (load: (module: string) => any): void => {
  const { parentPort, workerData } = load("node:worker_threads") as typeof WorkerThreads
  const { driver, path, pragmas, schema, timeoutMillis } = workerData as WorkerData
  const port = parentPort!

  const open = (): Connection => {
    if (driver === "node:sqlite") {
      const database = new (load(driver).DatabaseSync)(path)
      database.exec(`PRAGMA busy_timeout = ${timeoutMillis}`)
      return {
        exec: (sql) => database.exec(sql),
        prepare: (sql) => {
          const statement = database.prepare(sql)
          return { all: (params) => statement.all(...params), run: (params) => statement.run(...params) }
        },
        close: () => database.close()
      }
    }
    // A single argument that is not an array aborts the process in this binding: parameters always go as an array.
    const database = new (load(driver))(path, { timeout: timeoutMillis })
    return {
      exec: (sql) => database.exec(sql),
      prepare: (sql) => {
        const statement = database.prepare(sql)
        return { all: (params) => statement.all([...params]), run: (params) => statement.run([...params]) }
      },
      close: () => database.close()
    }
  }

  let connection: Connection | undefined
  let prepared = new Map<string, Prepared>()

  const close = (): void => {
    prepared = new Map()
    const old = connection
    connection = undefined
    old?.close()
  }

  const connect = (): Connection => {
    if (connection !== undefined) return connection
    const fresh = open()
    try {
      // Takes the lock of the file, which the process then holds until it ends, however it ends.
      for (const sql of [...pragmas, "BEGIN IMMEDIATE", ...schema, "COMMIT"]) fresh.exec(sql)
    } catch (error) {
      fresh.close()
      throw error
    }
    connection = fresh
    return fresh
  }

  const statementOf = (sql: string): Prepared => {
    let statement = prepared.get(sql)
    if (statement === undefined) {
      if (prepared.size >= 200) prepared = new Map()
      statement = connect().prepare(sql)
      prepared.set(sql, statement)
    }
    return statement
  }

  const plain = new Set(["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"])

  const run = ({ statements }: Request): ReadonlyArray<ReadonlyArray<unknown>> =>
    statements.map(({ many, returns, sql }) => {
      if (plain.has(sql)) {
        connect().exec(sql)
        return []
      }
      const statement = statementOf(sql)
      if (returns) return many.flatMap((params) => [...statement.all(params)])
      for (const params of many) statement.run(params)
      return []
    })

  port.on("message", (request: Request | "close") => {
    if (request === "close") {
      close()
      port.close()
      return
    }
    const { id } = request
    try {
      port.postMessage({ id, rows: run(request) }, [])
    } catch (error) {
      const { code, errcode, message } = error as { code?: unknown; errcode?: unknown; message?: unknown }
      port.postMessage({ id, error: { code: String(errcode ?? code ?? ""), message: String(message) } }, [])
    }
  })
}
