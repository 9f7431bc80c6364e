/**
 * Whether an outbox is under pressure: on above one mark, off at or below a lower one, unchanged in between.
 *
 * ```
 * calm ── fill > pressureAt ──▶ pressed
 *   ◀── fill <= pressureEnd ──
 * ```
 */

export interface PressureMarks {
  /** Fill ratio above which pressure begins; at exactly this ratio it does not. */
  readonly pressureAt: number
  /** Fill ratio at or below which pressure ends. */
  readonly pressureEnd: number
}

export class Pressure {
  isPressed = false
  /** How many times pressure began. */
  crossings = 0

  constructor(private readonly marks: PressureMarks) {}

  /** Notes the fill ratio after an offer or a take. Returns whether the state changed. */
  update(fillRatio: number): boolean {
    if (this.isPressed) {
      if (fillRatio > this.marks.pressureEnd) return false
      this.isPressed = false
      return true
    }
    if (fillRatio <= this.marks.pressureAt) return false
    this.isPressed = true
    this.crossings++
    return true
  }
}
