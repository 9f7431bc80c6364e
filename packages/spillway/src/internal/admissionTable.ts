/**
 * Who holds how many leases, and how fast new ones may be given. Synchronous; all operations are O(1), but for clearing
 * addresses away, which is amortised.
 */
import type { Resolved } from "../Admission.js"
import { AdmissionRefused } from "../SpillwayError.js"
import { invariant } from "./invariant.js"
import { TokenBucket } from "./tokenBucket.js"

/** An address that has leases, or had one so lately that its rate is still owed. */
class Address {
  leases = 0
  constructor(readonly bucket: TokenBucket) {}
}

/** One lease. */
export class Entry {
  readonly _tag = "Entry"
  identity: string | undefined = undefined
  returned = false
  /** The scope that it was taken in no longer returns it. */
  detached = false
  constructor(readonly address: string) {}
}

/** Below so many addresses none is cleared away. */
const addressesMin = 1024

export class AdmissionTable {
  private readonly addresses = new Map<string, Address>()
  private readonly identities = new Map<string, number>()
  private readonly bucket: TokenBucket
  private leases = 0
  private clearAt = addressesMin

  constructor(private readonly options: Resolved) {
    this.bucket = new TokenBucket(options.acceptsPerSecond, options.acceptBurst)
  }

  get stats(): { readonly leases: number; readonly addresses: number; readonly identities: number } {
    return { leases: this.leases, addresses: this.addresses.size, identities: this.identities.size }
  }

  /** Takes a lease, or nothing at all: who is refused costs others neither room nor rate. */
  admit(now: number, name: string): Entry | AdmissionRefused {
    const { retryAfter, sessionsMax, sessionsPerAddressMax } = this.options
    const address = this.addresses.get(name) ?? new Address(this.newBucket())
    if (this.leases >= sessionsMax) return refused("sessions", retryAfter)
    if (address.leases >= sessionsPerAddressMax) return refused("address", retryAfter)
    const ownWait = address.bucket.millisUntilConforming(now)
    if (ownWait > 0) return refused("addressRate", ownWait)
    const wait = this.bucket.millisUntilConforming(now)
    if (wait > 0) return refused("acceptRate", wait)
    this.bucket.take(now, 1)
    address.bucket.take(now, 1)
    address.leases++
    this.leases++
    this.addresses.set(name, address)
    if (this.addresses.size >= this.clearAt) this.clear(now)
    return new Entry(name)
  }

  /** Counts the lease under an identity. A lease has at most one; a second call moves it. */
  identify(lease: Entry, identity: string): AdmissionRefused | undefined {
    if (lease.returned || lease.identity === identity) return undefined
    const count = this.identities.get(identity) ?? 0
    if (count >= this.options.sessionsPerIdentityMax) return refused("identity", this.options.retryAfter)
    this.forget(lease)
    lease.identity = identity
    this.identities.set(identity, count + 1)
    return undefined
  }

  /** Gives the lease back, once. */
  release(now: number, lease: Entry): void {
    if (lease.returned) return
    lease.returned = true
    this.leases--
    const address = this.addresses.get(lease.address)!
    address.leases--
    if (address.leases === 0 && address.bucket.isFull(now)) this.addresses.delete(lease.address)
    this.forget(lease)
  }

  private forget(lease: Entry): void {
    if (lease.identity === undefined) return
    const count = this.identities.get(lease.identity)!
    if (count === 1) this.identities.delete(lease.identity)
    else this.identities.set(lease.identity, count - 1)
    lease.identity = undefined
  }

  /** Addresses that left with their rate owed are cleared away whenever there are twice as many as the last time. */
  private clear(now: number): void {
    for (const [name, address] of this.addresses) {
      if (address.leases === 0 && address.bucket.isFull(now)) this.addresses.delete(name)
    }
    this.clearAt = Math.max(addressesMin, this.addresses.size * 2)
  }

  private newBucket(): TokenBucket {
    return new TokenBucket(this.options.acceptsPerAddressPerSecond, this.options.acceptBurst)
  }

  /** Asserts what is always true. O(addresses + identities). */
  check(): void {
    let leases = 0
    for (const address of this.addresses.values()) leases += address.leases
    invariant(leases === this.leases, "every lease is counted under one address")
    let identified = 0
    for (const count of this.identities.values()) {
      invariant(count > 0 && count <= this.options.sessionsPerIdentityMax, "an identity has leases within its bound")
      identified += count
    }
    invariant(identified <= this.leases && this.leases <= this.options.sessionsMax, "leases are within their bound")
  }
}

const refused = (limit: AdmissionRefused["limit"], retryAfterMillis: number): AdmissionRefused =>
  new AdmissionRefused({ limit, retryAfterMillis })
