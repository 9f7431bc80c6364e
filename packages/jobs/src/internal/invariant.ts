/**
 * Throws when a condition that the library itself guarantees does not hold. The error is a defect: nothing inside the
 * library catches it.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`spillway invariant violated: ${message}`)
}
