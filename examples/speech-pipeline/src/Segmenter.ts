/**
 * Finds speech by its energy: no model, but the real samples. The noise floor follows the quiet frames; a frame that is
 * louder by a margin is voiced. Speech begins with a few voiced frames in a row and ends after a while of quiet ones.
 */
import * as Audio from "./Audio.js"

export interface Segment {
  readonly index: number
  readonly startMillis: number
  readonly endMillis: number
  readonly peakDb: number
}

/** dB above the noise floor. */
const marginDb = 12

/** Nothing quieter than this is speech. */
const leastDb = -50

/** Voiced frames in a row that begin a segment, and quiet ones that end it. */
const beginFrames = 3
const endFrames = 15

/** A segment that goes on for longer is cut, so that it is told while it is spoken. */
const longestFrames = 1_500

export class Segmenter {
  private floorDb = -60
  private frame = 0
  private voicedInRow = 0
  private quietInRow = 0
  private startFrame = -1
  private peakDb = -100
  private segments = 0

  /** Takes the next frame; a segment if one has ended with it. */
  push(pcm: Uint8Array): Segment | undefined {
    const db = Audio.loudnessDb(pcm)
    const isVoiced = db > Math.max(leastDb, this.floorDb + marginDb)
    // Down at once, up slowly: noise that sets in does not count as speech for ever.
    if (!isVoiced) this.floorDb = Math.min(db, this.floorDb) * 0.1 + this.floorDb * 0.9
    else if (this.startFrame < 0) this.floorDb += 0.02
    this.voicedInRow = isVoiced ? this.voicedInRow + 1 : 0
    this.quietInRow = isVoiced ? 0 : this.quietInRow + 1
    this.frame++
    if (this.startFrame < 0) {
      if (this.voicedInRow >= beginFrames) {
        this.startFrame = this.frame - beginFrames
        this.peakDb = db
      }
      return undefined
    }
    this.peakDb = Math.max(this.peakDb, db)
    const isLong = this.frame - this.startFrame >= longestFrames
    return this.quietInRow >= endFrames || isLong ? this.end() : undefined
  }

  /** What was being spoken when the audio ended. */
  flush(): Segment | undefined {
    return this.startFrame < 0 ? undefined : this.end()
  }

  private end(): Segment {
    const segment = {
      index: this.segments++,
      startMillis: this.startFrame * Audio.frameMillis,
      endMillis: (this.frame - this.quietInRow) * Audio.frameMillis,
      peakDb: Math.round(this.peakDb * 10) / 10
    }
    this.startFrame = -1
    this.voicedInRow = 0
    return segment
  }
}
