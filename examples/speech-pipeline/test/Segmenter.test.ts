import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Audio from "../src/Audio.js"
import { Segmenter } from "../src/Segmenter.js"

const segments = (pcm: Uint8Array) => {
  const segmenter = new Segmenter()
  const found = Audio.frames(pcm).map((frame) => segmenter.push(frame))
  return [...found, segmenter.flush()].filter((segment) => segment !== undefined)
}

describe("Segmenter", () => {
  it("finds the words of the sample, to a frame", () => {
    const found = segments(Audio.synthesise(Audio.sampleWords, Audio.sampleMillis))
    assert.deepStrictEqual(
      found.map(({ endMillis, startMillis }) => ({ startMillis, endMillis })),
      Audio.sampleWords
    )
    assert.deepStrictEqual(found.map(({ index }) => index), [0, 1, 2, 3, 4])
    for (const { peakDb } of found) assert.isTrue(peakDb > -20 && peakDb < -5)
  })

  it("finds nothing in silence, nor in steady noise", () => {
    assert.deepStrictEqual(segments(new Uint8Array(Audio.frameBytes * 500)), [])
    assert.deepStrictEqual(segments(Audio.synthesise([], 10_000)), [])
  })

  it("a word that is cut off by the end is found by flush", () => {
    const found = segments(Audio.synthesise([{ startMillis: 400, endMillis: 2_000 }], 1_000))
    assert.deepStrictEqual(found.map(({ endMillis, startMillis }) => [startMillis, endMillis]), [[400, 1_000]])
  })

  it("words of any length with pauses of half a second and more are each found once, in order", () => {
    const lengths = FastCheck.array(
      FastCheck.record({
        pause: FastCheck.integer({ min: 25, max: 60 }),
        word: FastCheck.integer({ min: 5, max: 80 })
      }),
      { minLength: 1, maxLength: 6 }
    )
    FastCheck.assert(
      FastCheck.property(lengths, FastCheck.integer(), (all, seed) => {
        let at = 0
        const words = all.map(({ pause, word }) => {
          const startMillis = at + pause * Audio.frameMillis
          at = startMillis + word * Audio.frameMillis
          return { startMillis, endMillis: at }
        })
        const found = segments(Audio.synthesise(words, at + 500, seed))
        assert.deepStrictEqual(found.map(({ endMillis, startMillis }) => ({ startMillis, endMillis })), words)
      }),
      { numRuns: 30 }
    )
  })
})

describe("Audio", () => {
  it("a WAV file comes back as its samples; what is not one says why", () => {
    const pcm = Audio.synthesise(Audio.sampleWords, 1_000)
    assert.deepStrictEqual(Audio.fromWav(Audio.toWav(pcm)), pcm)
    assert.strictEqual(Audio.fromWav(new Uint8Array(3)), "not a WAV file")
    const stereo = Audio.toWav(pcm)
    stereo[22] = 2
    assert.strictEqual(Audio.fromWav(stereo), "not 16-bit PCM, one channel, 16000 Hz")
    assert.strictEqual(Audio.fromWav(Audio.toWav(pcm).subarray(0, 36)), "a WAV file without samples")
  })

  it("loudness: full scale is about 0 dB, silence -100", () => {
    const loud = new Uint8Array(new Int16Array(320).fill(32_767).buffer)
    assert.closeTo(Audio.loudnessDb(loud), 0, 0.01)
    assert.strictEqual(Audio.loudnessDb(new Uint8Array(640)), -100)
  })
})
