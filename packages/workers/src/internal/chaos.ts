/** A transport whose links are remembered, so that they can be told to have faults. */
import * as Effect from "effect/Effect"
import type { ChaosShape, Counts } from "../Chaos.js"
import { SpawnFailed } from "../WorkerError.js"
import type { LinkFault, WorkerLink, WorkerTransportShape } from "../WorkerTransport.js"

const kinds: ReadonlyArray<LinkFault["_tag"]> = [
  "kill",
  "hang",
  "slow",
  "corrupt",
  "tear",
  "partition",
  "exhaustMemory"
]

export const make = (
  inner: WorkerTransportShape
): { readonly transport: WorkerTransportShape; readonly chaos: ChaosShape } => {
  const links = new Map<string, WeakRef<WorkerLink>>()
  /** The counts of every link that was ever hurt. */
  const hurt = new Set<WorkerLink["faults"]>()
  let refusals = 0
  let refused = 0
  const spawn = (workerId: string) =>
    Effect.suspend(() => {
      if (refusals > 0) {
        refusals--
        refused++
        return new SpawnFailed({ workerId, why: "refused by the chaos kit" })
      }
      return Effect.tap(inner.spawn(workerId), (link) => void links.set(workerId, new WeakRef(link)))
    })
  return {
    transport: {
      spawn,
      get processes() {
        return inner.processes
      }
    },
    chaos: {
      inject: (workerId, fault) =>
        Effect.sync(() => {
          const link = links.get(workerId)?.deref()
          if (link === undefined) return false
          hurt.add(link.faults)
          link.inject(fault)
          return true
        }),
      refuseSpawn: (starts) => Effect.sync(() => void (refusals += starts)),
      happened: Effect.sync((): Counts => {
        const counts = {
          kill: 0,
          hang: 0,
          slow: 0,
          corrupt: 0,
          tear: 0,
          partition: 0,
          exhaustMemory: 0,
          refuseSpawn: refused
        }
        for (const faults of hurt) for (const kind of kinds) counts[kind] += faults[kind] ?? 0
        return counts
      })
    }
  }
}
