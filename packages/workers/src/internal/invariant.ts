/**
 * Throws when a condition that the library itself guarantees does not hold. The error is a defect: nothing inside the
 * library catches it.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`spillway invariant violated: ${message}`)
}

/** Calls what a user gave; what it throws is its own affair and changes nothing here. */
export const quietly = <A>(f: (value: A) => void, value: A): void => {
  try {
    f(value)
  } catch {
    // An observer that fails observes nothing.
  }
}
