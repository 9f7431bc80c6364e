/**
 * Labels of metrics: names that are part of a program, not of its traffic.
 *
 * A registry of metrics never forgets a series, so a label that is made from an id, an address or anything else that a
 * peer sends is a leak. A `Label` is made once, from a string literal; a string that is known only at run time does not
 * compile. What gets past the compiler meets a bound: names have a fixed form, and a process has at most `labelsMax`.
 *
 * @since 0.1.0
 */
import { invariant } from "./internal/invariant.js"

/**
 * Type id of a label.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("spillway/Label")

/**
 * Type id of a label.
 *
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A value of the `label` of a metric. Equal names are the same object.
 *
 * @since 0.1.0
 * @category models
 */
export interface Label<out Name extends string = string> {
  readonly [TypeId]: TypeId
  readonly name: Name
}

/**
 * `Name` itself when it is a string literal or a union of some, `never` when it is `string` or a template with an open
 * part.
 *
 * @since 0.1.0
 * @category models
 */
export type Literal<Name extends string> = {} extends { readonly [N in Name]: 1 } ? never : Name

/**
 * Most labels that a process can make.
 *
 * @since 0.1.0
 * @category configuration
 */
export const labelsMax = 256

const form = /^[a-zA-Z][a-zA-Z0-9_]{0,63}$/

/** All labels of the process, by name. */
const all = new Map<string, Label>()

/**
 * A label from a string literal of letters, digits and underscores that starts with a letter, at most 64 characters.
 *
 * **Errors** None are typed. A name of another form, or more than `labelsMax` names in one process, is a defect.
 *
 * @example
 * import { Label } from "spillway"
 *
 * const listen = Label.make("listen")
 *
 * assert.strictEqual(listen.name, "listen")
 * assert.strictEqual(listen, Label.make("listen"))
 *
 * // @ts-expect-error a string that is known only at run time is not a label
 * const fromOutside = (id: string) => Label.make(id)
 *
 * assert.throws(() => fromOutside("user 42"))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <const Name extends string>(name: Name & Literal<Name>): Label<Name> => {
  const known = all.get(name)
  // The table is keyed by the name, so what it holds has that name; the compiler cannot see it.
  if (known !== undefined) return known as Label<Name>
  invariant(form.test(name), "a label is a literal of letters, digits and underscores, of at most 64 characters")
  invariant(all.size < labelsMax, `a process has at most ${labelsMax} labels; is one made from traffic?`)
  const label = Object.freeze<Label<Name>>({ [TypeId]: TypeId, name })
  all.set(name, label)
  return label
}

/**
 * Whether a value is a label.
 *
 * @since 0.1.0
 * @category guards
 */
export const isLabel = (u: unknown): u is Label => typeof u === "object" && u !== null && TypeId in u
