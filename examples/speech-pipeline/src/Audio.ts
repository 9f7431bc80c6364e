/**
 * Audio: 16-bit little-endian PCM, one channel, 16 kHz, in frames of 20 ms. A WAV file that is made up here has words of
 * known length at known times, so that what is found in it can be checked.
 */

export const sampleRate = 16_000

export const frameMillis = 20

export const frameSamples = (sampleRate * frameMillis) / 1_000

export const frameBytes = frameSamples * 2

/** Loudness of samples against full scale, in dB; silence is -100. */
export const loudnessDb = (pcm: Uint8Array): number => {
  const view = new DataView(pcm.buffer, pcm.byteOffset, pcm.byteLength)
  let energy = 0
  for (let at = 0; at + 1 < pcm.byteLength; at += 2) {
    const sample = view.getInt16(at, true) / 32_768
    energy += sample * sample
  }
  const mean = energy / Math.max(1, pcm.byteLength >> 1)
  return mean === 0 ? -100 : Math.max(-100, 10 * Math.log10(mean))
}

/** A stretch of speech, in milliseconds from the start. */
export interface Word {
  readonly startMillis: number
  readonly endMillis: number
}

/** A small generator with a seed: the noise of a recording is part of the recording. */
const noise = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x8000_0000 - 1
  }
}

/** Words of a hummed vowel over faint noise. */
export const synthesise = (words: ReadonlyArray<Word>, totalMillis: number, seed = 1): Uint8Array => {
  const samples = Math.round((totalMillis * sampleRate) / 1_000)
  const pcm = new Uint8Array(samples * 2)
  const view = new DataView(pcm.buffer)
  const random = noise(seed)
  for (let i = 0; i < samples; i++) {
    const millis = (i * 1_000) / sampleRate
    const isVoiced = words.some(({ endMillis, startMillis }) => millis >= startMillis && millis < endMillis)
    const turn = (2 * Math.PI * i) / sampleRate
    const voice = isVoiced ? 0.3 * Math.sin(140 * turn) + 0.1 * Math.sin(280 * turn) + 0.05 * Math.sin(2_100 * turn) : 0
    view.setInt16(i * 2, Math.round((voice + 0.003 * random()) * 32_767), true)
  }
  return pcm
}

const headerBytes = 44

/** A WAV file around samples. */
export const toWav = (pcm: Uint8Array): Uint8Array => {
  const wav = new Uint8Array(headerBytes + pcm.byteLength)
  const view = new DataView(wav.buffer)
  const text = (at: number, value: string) => wav.set(new TextEncoder().encode(value), at)
  text(0, "RIFF")
  view.setUint32(4, headerBytes - 8 + pcm.byteLength, true)
  text(8, "WAVEfmt ")
  view.setUint32(16, 16, true)
  view.setUint16(20, 1, true)
  view.setUint16(22, 1, true)
  view.setUint32(24, sampleRate, true)
  view.setUint32(28, sampleRate * 2, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  text(36, "data")
  view.setUint32(40, pcm.byteLength, true)
  wav.set(pcm, headerBytes)
  return wav
}

/** The samples of a WAV file, or what is wrong with it. Chunks other than the two needed are skipped. */
export const fromWav = (wav: Uint8Array): Uint8Array | string => {
  const view = new DataView(wav.buffer, wav.byteOffset, wav.byteLength)
  const text = (at: number) => new TextDecoder("latin1").decode(wav.subarray(at, at + 4))
  if (wav.byteLength < 12 || text(0) !== "RIFF" || text(8) !== "WAVE") return "not a WAV file"
  let isSuitable = false
  for (let at = 12; at + 8 <= wav.byteLength;) {
    const name = text(at)
    const size = view.getUint32(at + 4, true)
    const body = at + 8
    if (name === "fmt " && size >= 16 && body + 16 <= wav.byteLength) {
      const format = [
        view.getUint16(body, true),
        view.getUint16(body + 2, true),
        view.getUint32(body + 4, true),
        view.getUint16(body + 14, true)
      ]
      isSuitable = format.join() === [1, 1, sampleRate, 16].join()
    }
    if (name === "data") {
      return isSuitable
        ? wav.subarray(body, Math.min(body + size, wav.byteLength))
        : `not 16-bit PCM, one channel, ${sampleRate} Hz`
    }
    at = body + size + (size & 1)
  }
  return "a WAV file without samples"
}

/** Whole frames; the last one is filled up with silence. */
export const frames = (pcm: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(pcm.byteLength / frameBytes) }, (_, index) => {
    const frame = new Uint8Array(frameBytes)
    frame.set(pcm.subarray(index * frameBytes, (index + 1) * frameBytes))
    return frame
  })

/** What `replay` plays when it is given no file: five words in nine seconds. */
export const sampleWords: ReadonlyArray<Word> = [
  { startMillis: 500, endMillis: 1_100 },
  { startMillis: 1_800, endMillis: 2_900 },
  { startMillis: 3_700, endMillis: 4_100 },
  { startMillis: 5_000, endMillis: 6_600 },
  { startMillis: 7_400, endMillis: 8_200 }
]

export const sampleMillis = 9_000
