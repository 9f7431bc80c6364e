import { assert, describe, it } from "@effect/vitest"
import * as VirtualClock from "@spillway/testing/VirtualClock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Admission from "../src/Admission.js"
import { AdmissionTable, type Entry } from "../src/internal/admissionTable.js"
import type { AdmissionRefused } from "../src/SpillwayError.js"
import * as Telemetry from "../src/Telemetry.js"

const noLimits: Admission.Options = {
  sessionsMax: Infinity,
  sessionsPerAddressMax: Infinity,
  sessionsPerIdentityMax: Infinity,
  acceptsPerSecond: Infinity,
  acceptsPerAddressPerSecond: Infinity
}

const resolved = (options: Admission.Options): Admission.Resolved =>
  Either.getOrThrow(Admission.resolve({ ...noLimits, ...options }))

const test = (
  name: string,
  options: Admission.Options,
  body: (admission: Admission.AdmissionShape) => Effect.Effect<void, AdmissionRefused, Scope.Scope>
) =>
  it.scoped(name, () =>
    Admission.make({ ...noLimits, ...options }).pipe(
      Effect.flatMap(body),
      Effect.provide(Telemetry.layerNoop),
      Effect.withClock(VirtualClock.make())
    ))

/** Asks, and says which limit refused. */
const limitOf = (effect: Effect.Effect<unknown, AdmissionRefused, Scope.Scope>) =>
  Effect.map(Effect.either(effect), (result) => Either.isLeft(result) ? result.left.limit : "none")

describe("limits", () => {
  test(
    "sessions in all: one more is refused, and told when to come back",
    { sessionsMax: 2, retryAfter: "7 seconds" },
    (
      admission
    ) =>
      Effect.gen(function*() {
        yield* admission.admit("a")
        yield* admission.admit("b")
        const refused = yield* Effect.flip(admission.admit("c"))
        assert.deepInclude(refused, { limit: "sessions", retryAfterMillis: 7_000 })
      }).pipe(Effect.catchAll((unexpected) => Effect.die(unexpected)))
  )

  test(
    "sessions of one address: other addresses still come in",
    { sessionsPerAddressMax: 1 },
    (admission) =>
      Effect.gen(function*() {
        yield* admission.admit("a")
        assert.strictEqual(yield* limitOf(admission.admit("a")), "address")
        assert.strictEqual(yield* limitOf(admission.admit("b")), "none")
      })
  )

  test(
    "sessions of one identity, from any address",
    { sessionsPerIdentityMax: 2 },
    (admission) =>
      Effect.gen(function*() {
        for (const address of ["a", "b"]) yield* (yield* admission.admit(address)).identify("me")
        const third = yield* admission.admit("c")
        assert.strictEqual(yield* limitOf(third.identify("me")), "identity")
        assert.strictEqual(third.identity, undefined)
        yield* third.identify("you")
        assert.strictEqual(third.identity, "you")
        assert.deepInclude(yield* admission.stats, { leases: 3, addresses: 3, identities: 2 })
      })
  )

  test("accept rate: the burst at once, then one each time that the rate allows", {
    acceptsPerSecond: 10,
    acceptBurst: "1 second"
  }, (admission) =>
    Effect.gen(function*() {
      for (let i = 0; i < 11; i++) yield* admission.admit(`${i}`)
      const refused = yield* Effect.flip(admission.admit("next")).pipe(Effect.orDie)
      assert.deepInclude(refused, { limit: "acceptRate", retryAfterMillis: 100 })
      yield* TestClock.adjust("99 millis")
      assert.strictEqual(yield* limitOf(admission.admit("next")), "acceptRate")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* limitOf(admission.admit("next")), "none")
      assert.strictEqual(yield* limitOf(admission.admit("another")), "acceptRate")
    }))

  test("RC1 an address that floods is refused by its own rate and takes nothing from that of others", {
    acceptsPerSecond: 10,
    acceptsPerAddressPerSecond: 1,
    acceptBurst: "1 second"
  }, (admission) =>
    Effect.gen(function*() {
      for (let i = 0; i < 1000; i++) yield* Effect.either(admission.admit("flood"))
      for (let i = 0; i < 9; i++) assert.strictEqual(yield* limitOf(admission.admit(`${i}`)), "none")
      const { admitted, refused } = yield* admission.stats
      assert.deepStrictEqual([admitted, refused.addressRate, refused.acceptRate], [11, 998, 0])
    }))
})

describe("a lease", () => {
  test("is given back with its scope, whatever the exit", { sessionsMax: 1 }, (admission) =>
    Effect.gen(function*() {
      for (const end of [Effect.void, Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        const exit = yield* Effect.exit(Effect.scoped(Effect.zipRight(Effect.orDie(admission.admit("a")), end)))
        assert.strictEqual(Exit.isSuccess(exit), end === Effect.void)
        assert.deepInclude(yield* admission.stats, { leases: 0 })
      }
    }))

  test(
    "that was detached outlives its scope, and is given back once",
    { sessionsMax: 2 },
    (admission) =>
      Effect.gen(function*() {
        const giveBack = yield* Effect.scoped(
          Effect.flatMap(admission.admit("a"), (lease) => Effect.as(lease.identify("me"), lease.detach()))
        )
        yield* admission.admit("b")
        assert.deepInclude(yield* admission.stats, { leases: 2, identities: 1 })
        giveBack()
        giveBack()
        assert.deepInclude(yield* admission.stats, { leases: 1, identities: 0 })
      })
  )

  test(
    "moved to another identity leaves the first",
    { sessionsPerIdentityMax: 1 },
    (admission) =>
      Effect.gen(function*() {
        const lease = yield* admission.admit("a")
        yield* lease.identify("me")
        yield* lease.identify("me")
        yield* lease.identify("you")
        assert.strictEqual(yield* limitOf((yield* admission.admit("b")).identify("me")), "none")
      })
  )
})

const command = FastCheck.record({
  does: FastCheck.constantFrom("admit", "admit", "identify", "release"),
  address: FastCheck.nat(3),
  identity: FastCheck.nat(3),
  lease: FastCheck.nat(20),
  wait: FastCheck.nat(50)
})

describe("the table", () => {
  it.prop(
    "agrees with a naive list of leases after every command, and refuses only at a limit",
    [FastCheck.array(command, { maxLength: 200 })],
    ([commands]) => {
      const table = new AdmissionTable(
        resolved({ sessionsMax: 8, sessionsPerAddressMax: 4, sessionsPerIdentityMax: 3 })
      )
      const leases: Array<Entry> = []
      let now = 0
      for (const { address, does, identity, lease: index, wait } of commands) {
        now += wait
        if (does === "admit") {
          const ofAddress = leases.filter((lease) => lease.address === `${address}`).length
          const expected = leases.length >= 8 ? "sessions" : ofAddress >= 4 ? "address" : "none"
          const entry = table.admit(now, `${address}`)
          assert.strictEqual(entry._tag === "Entry" ? "none" : entry.limit, expected)
          if (entry._tag === "Entry") leases.push(entry)
        } else if (leases.length > 0) {
          const lease = leases[index % leases.length]!
          if (does === "identify") {
            const others = leases.filter((other) => other !== lease && other.identity === `${identity}`).length
            assert.strictEqual(table.identify(lease, `${identity}`)?.limit, others >= 3 ? "identity" : undefined)
          } else {
            table.release(now, lease)
            table.release(now, lease)
            leases.splice(leases.indexOf(lease), 1)
          }
        }
        table.check()
        assert.deepStrictEqual(table.stats, {
          leases: leases.length,
          addresses: new Set(leases.map((lease) => lease.address)).size,
          identities: new Set(leases.flatMap((lease) => lease.identity ?? [])).size
        })
      }
    }
  )

  it("forgets addresses that have left once their rate is paid: 200,000 of them leave a few thousand at most", () => {
    const table = new AdmissionTable(resolved({ acceptsPerAddressPerSecond: 1, acceptBurst: 1 }))
    let most = 0
    for (let i = 0; i < 200_000; i++) {
      const entry = table.admit(i, `${i}`)
      if (entry._tag === "Entry") table.release(i, entry)
      most = Math.max(most, table.stats.addresses)
    }
    // Each owes its rate for a second, so a thousand are always needed.
    assert.isAtLeast(most, 1000)
    assert.isAtMost(most, 4096)
  })
})

describe("options", () => {
  it("name the one that is not usable", () => {
    const bad: ReadonlyArray<Admission.Options> = [
      { sessionsMax: 0 },
      { sessionsPerAddressMax: 1.5 },
      { sessionsPerIdentityMax: NaN },
      { acceptsPerSecond: 0 },
      { acceptsPerAddressPerSecond: -1 },
      { acceptBurst: 0 },
      { retryAfter: Infinity }
    ]
    for (const options of bad) {
      const error = Either.getOrThrow(Either.flip(Admission.resolve(options)))
      assert.deepStrictEqual([error.module, error.key], ["Admission", Object.keys(options)[0]])
    }
  })

  it.effect("come from configuration, with defaults for the rest", () =>
    Effect.gen(function*() {
      const read = yield* Admission.config.pipe(
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["sessionsMax", "12"], ["retryAfter", "3 seconds"]])))
      )
      const all = yield* Admission.resolve(read)
      assert.deepStrictEqual(all, { ...Admission.defaults, sessionsMax: 12, retryAfter: 3_000 })
    }))

  it.effect("defaults are usable and consistent", () =>
    Effect.gen(function*() {
      const {
        acceptsPerAddressPerSecond,
        acceptsPerSecond,
        sessionsMax,
        sessionsPerAddressMax,
        sessionsPerIdentityMax
      } = yield* Admission.resolve()
      assert.isAtMost(sessionsPerIdentityMax, sessionsPerAddressMax)
      assert.isAtMost(sessionsPerAddressMax, sessionsMax)
      assert.isAtMost(acceptsPerAddressPerSecond, acceptsPerSecond)
    }))

  it.scoped("refusals are counted by limit in telemetry", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const base = yield* Telemetry.Telemetry
      const telemetry = { ...base, admissionRefused: (limit: string) => void told.push(limit) }
      const admission = yield* Effect.provideService(
        Admission.make({ ...noLimits, sessionsMax: 1 }),
        Telemetry.Telemetry,
        telemetry
      )
      yield* admission.admit("a")
      yield* Effect.flip(admission.admit("b"))
      assert.deepStrictEqual(told, ["sessions"])
    }).pipe(Effect.provide(Layer.orDie(Telemetry.layerNoop))))
})
