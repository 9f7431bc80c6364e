/** Whether one run of a pool is worse than another one by more than noise. */

export interface Run {
  readonly p95Millis: number
  readonly operationsPerSecond: number
  readonly successRatio: number
}

/** From these on a change counts as a regression; ratios of the base. */
export const limits = { p95: 0.2, throughput: 0.2, success: 0.1 } as const

/** What became worse, in words; nothing when all is well. */
export const regressions = (base: Run, now: Run): ReadonlyArray<string> => {
  const found: Array<string> = []
  const rise = now.p95Millis / base.p95Millis - 1
  const fall = 1 - now.operationsPerSecond / base.operationsPerSecond
  const loss = 1 - now.successRatio / base.successRatio
  // A hair below, because a ratio is seldom exact.
  const epsilon = 1e-9
  if (rise >= limits.p95 - epsilon) found.push(`p95 rose by ${Math.round(rise * 100)} %`)
  if (fall >= limits.throughput - epsilon) found.push(`throughput fell by ${Math.round(fall * 100)} %`)
  if (loss >= limits.success - epsilon) found.push(`success fell by ${Math.round(loss * 100)} %`)
  return found
}
