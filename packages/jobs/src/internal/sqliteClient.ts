/** The main thread's side of the SQLite store: one request at a time, transactions in order, a handle that is reopened. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"
import { StoreFailed } from "../JobError.js"
import { within } from "./bounded.js"
import type { Decision, Dialect, Row, Sql, Statement } from "./sql.js"
import { type Reply, type Request, type WorkerData, workerMain } from "./sqliteWorker.js"

/** Runs statements in order, outside of any transaction of its own; the seam at which tests inject failures. */
export interface Executor {
  readonly execute: (
    operation: string,
    statements: ReadonlyArray<Statement>,
    reopen: boolean
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, StoreFailed>
}

export const dialect: Dialect = {
  kind: "sqlite",
  isShared: false,
  elements: "(SELECT value FROM json_each(?))",
  forUpdate: "",
  tableOptions: "WITHOUT ROWID"
}

/** By SQLite's primary result codes, as names or as numbers (extended codes keep the primary one in the low byte). */
const whyOf = ({ code, message }: { readonly code: string; readonly message: string }): StoreFailed["why"] => {
  const primary = Number(code) & 0xff
  if (primary === 13 || code.startsWith("SQLITE_FULL") || /disk is full|ENOSPC/i.test(message)) return "full"
  if (primary === 10 || code.startsWith("SQLITE_IOERR") || /disk I\/O|EIO/i.test(message)) return "io"
  const isLocked = primary === 5 || primary === 6 || /^SQLITE_(BUSY|LOCKED)/.test(code)
  return isLocked || /is locked/i.test(message) ? "busy" : "other"
}

const begin: Statement = { sql: "BEGIN IMMEDIATE", many: [[]], returns: false }
const commit: Statement = { sql: "COMMIT", many: [[]], returns: false }
const rollback: Statement = { sql: "ROLLBACK", many: [[]], returns: false }

/** Some failures end the transaction by themselves, and then there is nothing to undo. */
const isOver = ({ cause }: StoreFailed): boolean => /no transaction is active/.test(JSON.stringify(cause ?? ""))

/** The database on an executor. */
export const sqlOf = (executor: Executor): Effect.Effect<Sql> =>
  Effect.map(Effect.makeSemaphore(1), (mutex) => {
    // What a failed commit or rollback leaves of the handle is unknown: it is closed before the next use.
    let isDubious = false
    const execute = (operation: string, statements: ReadonlyArray<Statement>) =>
      Effect.suspend(() => {
        const reopen = isDubious
        isDubious = false
        return Effect.tapError(executor.execute(operation, statements, reopen), ({ why }) =>
          Effect.sync(() => {
            isDubious ||= reopen || why === "io"
          }))
      })
    const undo = (operation: string) =>
      Effect.suspend(() =>
        // A handle that is closed anyway undoes what it has not committed.
        isDubious
          ? Effect.void
          : Effect.catchAll(execute(operation, [rollback]), (error) =>
            Effect.sync(() => {
              isDubious ||= !isOver(error)
            }))
      )
    const alone = <A>(effect: Effect.Effect<A, StoreFailed>) => Effect.uninterruptible(mutex.withPermits(1)(effect))
    const run: Sql["run"] = (operation, statement) =>
      alone(Effect.map(execute(operation, [statement]), ([rows]) => rows!))
    const transact = <A>(
      operation: string,
      reads: ReadonlyArray<Statement>,
      decide: (rows: ReadonlyArray<ReadonlyArray<Row>>) => Decision<A>
    ): Effect.Effect<A, StoreFailed> =>
      alone(
        Effect.gen(function*() {
          const [, ...rows] = yield* execute(operation, [begin, ...reads])
          const { result, writes } = decide(rows)
          yield* execute(operation, [...writes, commit])
          return result
        }).pipe(Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : undo(operation)))
      )
    return { dialect, run, transact }
  })

export const libsqlPath = (): string => createRequire(import.meta.url).resolve("libsql")

/** A worker thread with one connection. Released, it has answered what it was asked, and closed the file. */
export const worker = (data: WorkerData): Effect.Effect<Executor, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({ current: new Thread(data) })),
      (threads) => Effect.suspend(() => threads.current.close)
    ),
    (threads) => ({
      execute: (operation, statements, reopen) => {
        if (!reopen) return Effect.suspend(() => threads.current.execute(operation, statements))
        // A connection with prepared statements is closed for good only when its thread has ended.
        const renew = Effect.map(Effect.suspend(() => threads.current.close), () => {
          threads.current = new Thread(data)
        })
        return Effect.zipRight(renew, Effect.suspend(() => threads.current.execute(operation, statements)))
      }
    })
  )

class Thread {
  private readonly worker: Worker
  private readonly waiting = new Map<number, (reply: Reply) => void>()
  private next = 0
  private gone: string | undefined = undefined
  private onGone: (() => void) | undefined = undefined

  constructor(data: WorkerData) {
    // Some compilers name functions through this helper, of which the text of one function knows nothing.
    const helper = "const __name = (value) => value"
    this.worker = new Worker(`${helper}\n;(${workerMain.toString()})(require)`, { eval: true, workerData: data })
    this.worker.on("message", (reply: Reply) => {
      const answer = this.waiting.get(reply.id)
      this.waiting.delete(reply.id)
      answer?.(reply)
    })
    this.worker.on("error", (error) => this.fail(String(error)))
    this.worker.on("exit", () => {
      this.fail("the worker thread has ended")
      this.onGone?.()
    })
  }

  private fail(why: string): void {
    this.gone ??= why
    const answers = [...this.waiting]
    this.waiting.clear()
    for (const [id, answer] of answers) answer({ id, error: { code: "", message: why } })
  }

  execute(operation: string, statements: ReadonlyArray<Statement>) {
    return Effect.async<ReadonlyArray<ReadonlyArray<Row>>, StoreFailed>((resume) => {
      if (this.gone !== undefined) {
        return resume(Effect.fail(new StoreFailed({ operation, why: "closed", cause: this.gone })))
      }
      const id = this.next++
      this.waiting.set(id, ({ error, rows }) =>
        resume(
          error === undefined
            // What the worker posts for this request.
            ? Effect.succeed(rows as ReadonlyArray<ReadonlyArray<Row>>)
            : Effect.fail(new StoreFailed({ operation, why: whyOf(error), cause: error }))
        ))
      const request: Request = { id, statements }
      this.worker.postMessage(request, [])
    })
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const ended = Effect.async<void>((resume) => {
      if (this.gone !== undefined) return resume(Effect.void)
      this.onGone = () => resume(Effect.void)
      this.worker.postMessage("close", [])
    })
    return Effect.flatMap(
      within(ended, 5_000),
      (isClosed) => isClosed ? Effect.void : Effect.promise(() => this.worker.terminate())
    )
  })
}
