/**
 * A chat room: the handler of its sessions, independent of how they reach it.
 *
 * A line is archived and then told to everyone. Lines go before notices of typing, of which only the latest of each
 * member waits. Who sends what does not fit is sent away.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CloseReason from "spillway/CloseReason"
import * as Message from "spillway/Message"
import type { Session } from "spillway/Session"
import { Archive } from "./Archive.js"

const Name = Schema.NonEmptyTrimmedString.pipe(Schema.maxLength(40))

/** What a client may say. The first message of a session is `Enter`. */
const Command = Schema.Union(
  Schema.TaggedStruct("Enter", { name: Name }),
  Schema.TaggedStruct("Say", { text: Schema.NonEmptyString.pipe(Schema.maxLength(2_000)) }),
  Schema.TaggedStruct("Type", {})
)
type Command = typeof Command.Type

const decode = Message.decoder(Command)

export const Said = Message.define("Said", { fields: { by: Name, text: Schema.String }, lane: "important" })
export const Typing = Message.define("Typing", { fields: { by: Name }, lane: "bulk", key: ({ by }) => by })
export const Members = Message.define("Members", {
  fields: { names: Schema.Array(Name) },
  lane: "important",
  key: () => "members"
})

export class Room extends Context.Tag("@spillway-examples/chat-room/Room")<Room, {
  readonly members: Effect.Effect<ReadonlyArray<string>>
  readonly handler: (session: Session) => Effect.Effect<void, never, Scope.Scope>
}>() {
  static readonly layer = Layer.effect(
    Room,
    Effect.map(Archive, (archive) => {
      const members = new Map<Session, string>()
      const names = () => [...members.values()]

      // A broadcast is a loop of offers, which never wait: a slow member costs the others nothing.
      const tell = (message: Message.Message) => {
        for (const session of members.keys()) session.unsafeOffer(message)
      }

      const enter = (session: Session, name: string) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            members.set(session, name)
            tell(Members({ names: names() }))
          }),
          () =>
            Effect.sync(() => {
              members.delete(session)
              tell(Members({ names: names() }))
            })
        )

      // Told if and only if archived, whatever happens to the session in between.
      const say = (by: string, text: string) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.zipRight(restore(archive.append(by, text)), Effect.sync(() => tell(Said({ by, text }))))
        )

      const obey = (session: Session, command: Command) => {
        const name = members.get(session)
        if (command._tag === "Enter") {
          return name === undefined ? enter(session, command.name) : session.close(CloseReason.policyViolation)
        }
        if (name === undefined) return session.close(CloseReason.policyViolation)
        return command._tag === "Say" ? say(name, command.text) : Effect.sync(() => tell(Typing({ by: name })))
      }

      return {
        members: Effect.sync(names),
        handler: (session) =>
          session.runForEach(({ text }) =>
            Effect.matchEffect(decode(text), {
              onFailure: () => session.close(CloseReason.policyViolation),
              onSuccess: (command) => obey(session, command)
            })
          )
      }
    })
  )
}
