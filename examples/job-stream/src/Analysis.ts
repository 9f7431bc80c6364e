/**
 * The work: read the text files of a folder, or a text, and say what is in them. In stages, each file an event with an id,
 * so that an attempt after a restart goes on with the files that are left.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Job from "@spillway/jobs/Job"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const Input = Schema.Union(
  Schema.Struct({ directory: Schema.NonEmptyString }),
  Schema.Struct({ text: Schema.NonEmptyString })
)

/** What was found in one file: a partial result. */
const FileDone = Schema.Struct({
  path: Schema.String,
  bytes: Schema.Int,
  lines: Schema.Int,
  words: Schema.Int,
  longestLine: Schema.Int,
  often: Schema.Array(Schema.Tuple(Schema.String, Schema.Int))
})
type FileDone = typeof FileDone.Type

const Report = Schema.Struct({
  files: Schema.Int,
  bytes: Schema.Int,
  lines: Schema.Int,
  words: Schema.Int,
  kinds: Schema.Array(Schema.Tuple(Schema.String, Schema.Int)),
  largest: Schema.Array(Schema.Tuple(Schema.String, Schema.Int)),
  often: Schema.Array(Schema.Tuple(Schema.String, Schema.Int))
})
type Report = typeof Report.Type

export const Analyse = Job.make("analyse", { input: Input, event: FileDone, output: Report, maxDuration: "10 minutes" })

/** What was asked for is not below the folder that this server may read. */
export class Forbidden extends Data.TaggedError("Forbidden")<{ readonly directory: string }> {
  override get message(): string {
    return `${this.directory} is outside of what may be read`
  }
}

const filesMax = 20_000
const fileBytesMax = 1_000_000
const skipped = new Set(["node_modules", ".git", "dist", ".tmp", "coverage"])

const sorted = (counts: ReadonlyMap<string, number>, most: number): Array<[string, number]> =>
  [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, most)

const add = (counts: Map<string, number>, key: string, count: number): void => {
  counts.set(key, (counts.get(key) ?? 0) + count)
}

export const analyseText = (path: string, text: string): FileDone => {
  const counts = new Map<string, number>()
  let words = 0
  for (const [word] of text.toLowerCase().matchAll(/[\p{L}_][\p{L}\p{N}_]{2,}/gu)) {
    words++
    add(counts, word, 1)
  }
  const lines = text.split("\n")
  return {
    path,
    bytes: Buffer.byteLength(text),
    lines: lines.length,
    words,
    longestLine: lines.reduce((longest, line) => Math.max(longest, line.length), 0),
    often: sorted(counts, 20)
  }
}

export const report = (files: ReadonlyArray<FileDone>): Report => {
  const kinds = new Map<string, number>()
  const often = new Map<string, number>()
  for (const { often: words, path } of files) {
    add(kinds, /\.[A-Za-z0-9]+$/.exec(path)?.[0] ?? "other", 1)
    for (const [word, count] of words) add(often, word, count)
  }
  const sum = (of: (file: FileDone) => number) => files.reduce((total, file) => total + of(file), 0)
  return {
    files: files.length,
    bytes: sum(({ bytes }) => bytes),
    lines: sum(({ lines }) => lines),
    words: sum(({ words }) => words),
    kinds: sorted(kinds, 10),
    largest: sorted(new Map(files.map(({ bytes, path }) => [path, bytes])), 10),
    often: sorted(often, 25)
  }
}

/** The files below a folder, in a fixed order. */
const scan = (root: string) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const found: Array<string> = []
    const walk = (folder: string): Effect.Effect<void, import("@effect/platform/Error").PlatformError> =>
      Effect.gen(function*() {
        const names = [...(yield* files.readDirectory(folder))].sort()
        for (const name of names) {
          if (found.length >= filesMax || skipped.has(name)) continue
          const full = path.join(folder, name)
          const info = yield* Effect.option(files.stat(full))
          if (Option.isNone(info)) continue
          if (info.value.type === "Directory") yield* walk(full)
          else if (info.value.type === "File" && info.value.size <= fileBytesMax) found.push(path.relative(root, full))
        }
      })
    yield* walk(root)
    return found
  })

/** What earlier attempts have finished. */
const finished = (job: Job.JobContext<FileDone>) =>
  Stream.runFold(job.history, new Map<string, FileDone>(), (done, { data, kind }) => {
    if (kind === "MESSAGE") {
      const file = Schema.decodeUnknownSync(FileDone)(data)
      done.set(file.path, file)
    }
    return done
  })

const analyseFiles = (root: string, paths: ReadonlyArray<string>, job: Job.JobContext<FileDone>) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const done = yield* finished(job)
    if (done.size > 0) yield* job.log(`${done.size} files were done before; going on with the rest`)
    for (const [index, name] of paths.entries()) {
      if (done.has(name)) continue
      const text = yield* Effect.option(files.readFileString(path.join(root, name)))
      if (Option.isNone(text) || text.value.includes("\u0000")) {
        yield* job.log(`${name}: not a text`)
        continue
      }
      const file = analyseText(name, text.value)
      done.set(name, file)
      yield* job.emit(file, { id: `file ${name}` })
      yield* job.log(`${name}: ${file.lines} lines`)
      yield* job.progress(0.1 + 0.8 * (index + 1) / paths.length, { stage: "analyse" })
    }
    return [...done.values()]
  })

/** The handler. `readable` is the folder below which folders may be read. */
export const handler = (readable: string, analyse: typeof Analyse = Analyse) =>
  Job.handler(analyse, (input, job) =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      if ("text" in input) {
        yield* job.progress(0.5, { stage: "analyse" })
        const file = analyseText("text", input.text)
        yield* job.emit(file, { id: "file text" })
        return report([file])
      }
      const root = path.resolve(readable, input.directory)
      const below = path.relative(path.resolve(readable), root)
      if (below.startsWith("..") || path.isAbsolute(below)) {
        return yield* new Forbidden({ directory: input.directory })
      }
      yield* job.progress(0, { stage: "scan" })
      const paths = yield* scan(root)
      yield* job.progress(0.05, { stage: "index", message: `${paths.length} files` })
      const files = yield* analyseFiles(root, paths, job)
      yield* job.progress(0.95, { stage: "report" })
      return report(files)
    }))
