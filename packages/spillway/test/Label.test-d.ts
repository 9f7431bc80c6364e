import { Effect } from "effect"
import { Label, TaskMetrics, Tasks } from "spillway"
import { describe, expectTypeOf, it } from "vitest"

declare const id: string
declare const userId: `user_${string}`
declare const either: "listen" | "pusher"

describe("A104 labels", () => {
  it("are made from literals, and from nothing else", () => {
    expectTypeOf(Label.make("listen")).toEqualTypeOf<Label.Label<"listen">>()
    expectTypeOf(Label.make(either)).toEqualTypeOf<Label.Label<"listen" | "pusher">>()
    // @ts-expect-error a string of run time
    Label.make(id)
    // @ts-expect-error a template with an open part
    Label.make(userId)
    // @ts-expect-error a concatenation
    Label.make("listen" + id)
  })

  it("are what metrics and utilities take, not strings", () => {
    const label = Label.make("listen")
    TaskMetrics.drainTimeouts(label)
    // @ts-expect-error a string is not a label
    TaskMetrics.drainTimeouts("listen")
    // @ts-expect-error a reason of another set
    TaskMetrics.supervisorExits(label, "bored")
    // @ts-expect-error a string is not a label
    void Tasks.gatherWithLogging([], { label: "listen" })
    // @ts-expect-error nor is something that looks like one
    void Tasks.drainTasks([], { mode: "grace", label: { name: "listen" } })
  })
})

describe("types of results", () => {
  it("keep failures and requirements", () => {
    const label = Label.make("listen")
    const gathered = Tasks.gatherWithLogging([Effect.succeed(1), Effect.fail("no" as const)], { label })
    type Results = Effect.Effect.Success<typeof gathered>
    expectTypeOf<Results[number]["index"]>().toEqualTypeOf<number>()
    expectTypeOf<Effect.Effect.Error<typeof gathered>>().toEqualTypeOf<never>()
  })
})
