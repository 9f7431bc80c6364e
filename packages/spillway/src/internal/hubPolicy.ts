/** Policies of topics, made ready: what a policy does to a message, and under which name it keeps one. */
import * as Duration from "effect/Duration"
import type { Options, Selector, TopicPolicy } from "../Hub.js"
import * as Message from "../Message.js"

export interface Policy {
  /** The message as the policy wants it; the same one where it has nothing to say. */
  treat(topic: string, message: Message.Message): Message.Message
  /** The name to retain it under, or `undefined`. */
  retainName(message: Message.Message): string | undefined
}

export type PolicyOf = (topic: string) => Policy

/** As it is, but conflated within its topic. */
export const withTopicKey = (topic: string, message: Message.Message): Message.Message =>
  Message.fromFrame(message.frame, {
    lane: message.lane,
    key: `${topic}\n${message.key ?? ""}`,
    maxAge: message.maxAgeMillis
  })

const nothing: Policy = { treat: (_, message) => message, retainName: () => undefined }

const ready = (policy: TopicPolicy): Policy => {
  const { conflate, lane, maxAge, retain } = policy
  const maxAgeMillis = maxAge === undefined ? undefined : Duration.toMillis(maxAge)
  const isSilent = lane === undefined && maxAgeMillis === undefined && conflate !== "topic"
  return {
    treat: (topic, message) => {
      if (isSilent) return message
      const options = { lane: lane ?? message.lane, key: message.key, maxAge: maxAgeMillis ?? message.maxAgeMillis }
      const treated = Message.fromFrame(message.frame, options)
      return conflate === "topic" ? withTopicKey(topic, treated) : treated
    },
    retainName: (message) => retain === "last" ? "" : retain === "last by key" ? message.key ?? "" : undefined
  }
}

const matches = (selector: Selector, topic: string): boolean =>
  typeof selector === "string" ? selector === topic : topic.startsWith(selector.prefix)

export const policyOf = (policies: NonNullable<Options["policies"]>): PolicyOf => {
  const all = policies.map(({ policy, topics }) => ({ topics, policy: ready(policy) }))
  return (topic) => all.find(({ topics }) => matches(topics, topic))?.policy ?? nothing
}
