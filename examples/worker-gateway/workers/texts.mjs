/**
 * The worker: an index of texts for each session, which grows with every text and lives in this process only. It is the
 * reference worker of @spillway/workers with four more commands.
 *
 * A session's index has a version, the number of texts that it was made from, and every request says which one it means.
 * Where this process has another one, or none, the answer is `Cold` and nothing was done: whoever asked builds it anew.
 */
import { commands, refused } from "@spillway/workers/workers/reference.mjs"

const worker = process.env.SPILLWAY_WORKER_ID
const paceMillis = Number(process.env.PACE_MILLIS ?? 0)
const sessionsMax = Number(process.env.SESSIONS_MAX ?? 1000)
const sliceWords = 100
const hitsMax = 10

/** Version, words by text, and counts by word and text, of each session. The one used longest ago comes first. */
const states = new Map()

const pause = () => new Promise((resolve) => setTimeout(resolve, paceMillis))

const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []

const use = (session, state) => {
  states.delete(session)
  states.set(session, state)
  // Memory has a bound: who is put out is cold, and is told so.
  for (const [oldest] of states) if (states.size > sessionsMax) states.delete(oldest)
}

const stateOf = (session, version) => {
  const state = states.get(session) ?? { version: 0, texts: new Map(), index: new Map() }
  if (state.version !== version) throw refused("Cold", `version ${state.version} is here, not ${version}`)
  use(session, state)
  return state
}

const take = (state, name, words) => {
  for (const word of state.texts.get(name) ?? []) state.index.get(word)?.delete(name)
  for (const word of words) {
    const counts = state.index.get(word) ?? new Map()
    counts.set(name, (counts.get(name) ?? 0) + 1)
    state.index.set(word, counts)
  }
  state.texts.set(name, words)
  state.version++
}

const summary = ({ texts, version }) => ({ worker, version, documents: texts.size })

Object.assign(commands, {
  add: async ({ name, session, text, version }, progress) => {
    const state = stateOf(session, version)
    const words = wordsOf(text)
    for (let done = 0; done < words.length; done += sliceWords) {
      // One slice after the other is the work.
      // oxlint-disable-next-line no-await-in-loop
      await progress({ done, of: words.length })
      // oxlint-disable-next-line no-await-in-loop
      if (paceMillis > 0) await pause()
    }
    take(state, name, words)
    return { ...summary(state), words: words.length }
  },
  search: ({ session, version, word }) => {
    const state = stateOf(session, version)
    const counts = [...state.index.get(word.toLowerCase()) ?? []]
    const total = counts.reduce((sum, [, count]) => sum + count, 0)
    const hits = counts.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, hitsMax)
    return { ...summary(state), total, hits }
  },
  load: ({ documents, session }) => {
    const state = { version: 0, texts: new Map(), index: new Map() }
    for (const [name, text] of documents) take(state, name, wordsOf(text))
    use(session, state)
    return summary(state)
  },
  forget: ({ session }) => states.delete(session)
})
