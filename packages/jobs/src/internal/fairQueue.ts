/**
 * Jobs that wait for a place, by whose turn it is: the turns go round, and within one the jobs are in order. A turn with a
 * thousand jobs delays one with a single job by one place. Synchronous.
 */
export class FairQueue {
  /** In the order in which turns come; a turn is in here while it has jobs. */
  private readonly turns = new Map<string, Set<string>>()
  private readonly turnOf = new Map<string, string>()

  /** `noted` is told of each job that comes or goes. */
  constructor(private readonly noted: (change: 1 | -1) => void = () => {}) {}

  get size(): number {
    return this.turnOf.size
  }

  has(jobId: string): boolean {
    return this.turnOf.has(jobId)
  }

  /** `false` when it waits already. */
  add(jobId: string, turn: string): boolean {
    if (this.turnOf.has(jobId)) return false
    this.turnOf.set(jobId, turn)
    this.noted(1)
    const jobs = this.turns.get(turn)
    if (jobs === undefined) this.turns.set(turn, new Set([jobId]))
    else jobs.add(jobId)
    return true
  }

  remove(jobId: string): boolean {
    const turn = this.turnOf.get(jobId)
    if (turn === undefined) return false
    this.turnOf.delete(jobId)
    this.noted(-1)
    const jobs = this.turns.get(turn)!
    jobs.delete(jobId)
    if (jobs.size === 0) this.turns.delete(turn)
    return true
  }

  /** Takes the first job of the next turn, which then goes to the end. */
  take(): string | undefined {
    for (const [turn, jobs] of this.turns) {
      for (const jobId of jobs) {
        this.remove(jobId)
        if (this.turns.delete(turn)) this.turns.set(turn, jobs)
        return jobId
      }
    }
    return undefined
  }

  clear(): void {
    for (const jobId of [...this.turnOf.keys()]) this.remove(jobId)
  }
}
