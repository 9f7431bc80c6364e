/**
 * One session: its requests, one after the other, on the worker that holds its index.
 *
 * The index is warm state: it lives in the worker's process and is gone with it. The gateway keeps the texts of a session
 * up to `REBUILD_BYTES`. When the worker has ended (`Gone`, `WorkerCrashed`, `ProtocolViolation`) or does not have the
 * version that the session means (`Cold`), the index is built anew on another one, the client is told (`Rebound`), and the
 * request is tried again: both kinds change nothing when they are done twice. Beyond that bound the client is told
 * `StateLost` and goes on with an empty index. A request that is too slow for its worker is not tried again, since it would
 * cost the next one too: it is `Failed`, and the index is built anew for the next request.
 */
import type { WorkerError } from "@spillway/workers/WorkerError"
import * as WorkerPool from "@spillway/workers/WorkerPool"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import { Board, type Tally } from "./Board.js"
import * as Protocol from "./Protocol.js"
import { Settings, type SettingsShape } from "./Settings.js"

const Summary = Schema.Struct({ worker: Schema.String, documents: Schema.Number })
const AddReply = Schema.Struct({ ...Summary.fields, words: Schema.Number })
const SearchReply = Schema.Struct({
  ...Summary.fields,
  total: Schema.Number,
  hits: Schema.Array(Schema.Tuple(Schema.String, Schema.Number))
})
const ProgressReply = Schema.Struct({ done: Schema.Number, of: Schema.Number })
const isProgress = Schema.is(ProgressReply)

type Failure = WorkerError | ParseResult.ParseError

interface Own {
  readonly session: Session
  readonly lease: WorkerPool.SessionLease
  readonly settings: SettingsShape
  readonly tally: Tally
  /** Texts that the index was made from. */
  version: number
  /** These texts, in order; `undefined`: too many to keep. */
  journal: Array<readonly [name: string, text: string]> | undefined
  chars: number
  worker: string
  /** When the gateway learned that the index is gone. */
  coldSince: number | undefined
}

/** Whether the index is where the session thinks it is. */
const isLoss = (error: Failure): boolean =>
  error._tag === "Gone" || error._tag === "WorkerCrashed" || error._tag === "ProtocolViolation"
  || error._tag === "OperationTimeout" || (error._tag === "RemoteError" && error.type === "Cold")

const ask = <A, I>(
  { lease, version }: Own,
  command: string,
  args: object,
  reply: Schema.Schema<A, I>,
  onProgress?: (value: unknown) => void
): Effect.Effect<A, Failure> =>
  Effect.flatMap(
    lease.execute(command, { session: lease.sessionId, version, ...args }, { onProgress }),
    Schema.decodeUnknown(reply)
  )

/** Builds the index anew, on whatever worker the session gets, and tells the client. */
const rebuild = (own: Own, since: number) =>
  Effect.gen(function*() {
    const { journal, session, tally, worker: from } = own
    // A session is told once that its worker is gone, and bound with the next operation.
    const { worker: to } = yield* Effect.retry(
      ask(own, "load", { documents: journal ?? [] }, Summary),
      { times: 2, while: (error) => error._tag === "Gone" }
    )
    own.worker = to
    own.coldSince = undefined
    if (journal !== undefined) {
      const millis = (yield* Clock.currentTimeMillis) - since
      tally.rebound(millis)
      return yield* session.send(Protocol.Rebound({ from, to, documents: own.version, millis }))
    }
    tally.stateLost()
    const documents = own.version
    own.version = 0
    own.chars = 0
    own.journal = []
    return yield* session.send(Protocol.StateLost({ from, to, documents }))
  })

const add = (own: Own, { id, name, text }: typeof Protocol.Add.Type) =>
  Effect.map(
    ask(own, "add", { name, text }, AddReply, (value) => {
      if (isProgress(value)) own.session.unsafeOffer(Protocol.Progress({ id, ...value }))
    }),
    ({ documents, words, worker }) => {
      own.version++
      own.chars += text.length
      own.worker = worker
      if (own.chars <= own.settings.rebuildBytes) own.journal?.push([name, text])
      else own.journal = undefined
      return Protocol.Added({ id, name, words, documents, worker, isRebuildable: own.journal !== undefined })
    }
  )

const search = (own: Own, { id, word }: typeof Protocol.Search.Type) =>
  Effect.map(ask(own, "search", { word }, SearchReply), ({ documents, hits, total, worker }) => {
    own.worker = worker
    return Protocol.Found({ id, word, total, hits, documents, worker })
  })

const attempt = (own: Own, request: Protocol.Request, left: number): Effect.Effect<Message.Message, Failure> =>
  Effect.suspend(() => own.coldSince === undefined ? Effect.void : rebuild(own, own.coldSince)).pipe(
    Effect.zipRight(Effect.suspend(() => request._tag === "Add" ? add(own, request) : search(own, request))),
    Effect.tapError((error) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (isLoss(error)) own.coldSince ??= now
      })
    ),
    Effect.catchIf(
      (error) => isLoss(error) && error._tag !== "OperationTimeout" && left > 1,
      () => attempt(own, request, left - 1)
    )
  )

const failed = (id: number, error: string, message: string) =>
  Protocol.Failed({ id, error, message: message.slice(0, 500) })

/** Answers a request: a result, or why there is none. */
const answer = (own: Own, request: Protocol.Request) => {
  const { session, settings, tally } = own
  tally.request()
  if (request._tag === "Add" && own.chars + request.text.length > settings.sessionBytes) {
    tally.failure("SessionFull")
    const message = `a session may upload ${settings.sessionBytes} characters`
    return session.send(failed(request.id, "SessionFull", message))
  }
  return attempt(own, request, settings.attempts).pipe(
    Effect.tap(() => Effect.sync(() => tally.result())),
    Effect.catchAll((error) =>
      Effect.sync(() => {
        tally.failure(error._tag)
        return failed(request.id, error._tag, error.message)
      })
    ),
    Effect.onInterrupt(() => Effect.sync(() => tally.abandon())),
    Effect.flatMap((message) => session.send(message))
  )
}

/** Lets the worker forget the session while there is still a binding that says which one. */
const forgetAtEnd = ({ lease }: Own) =>
  Effect.addFinalizer(() =>
    Effect.ignore(lease.execute("forget", { session: lease.sessionId }, { checkoutTimeout: "500 millis" }))
  )

export const handler = (session: Session) =>
  Effect.gen(function*() {
    const { tally } = yield* Board
    const lease = yield* (yield* WorkerPool.WorkerPool).session(session.id)
    const own: Own = {
      session,
      lease,
      settings: yield* Settings,
      tally,
      version: 0,
      journal: [],
      chars: 0,
      worker: "",
      coldSince: undefined
    }
    yield* Effect.acquireRelease(Effect.sync(() => tally.opened(1)), () => Effect.sync(() => tally.opened(-1)))
    yield* forgetAtEnd(own)
    yield* session.send(Protocol.Opened({ session: session.id }))
    yield* session.runForEach(({ text }) =>
      Effect.matchEffect(Protocol.decodeRequest(text), {
        onFailure: (error) => session.send(failed(0, "BadRequest", error.explanation)),
        onSuccess: (request) => answer(own, request)
      })
    )
  })
