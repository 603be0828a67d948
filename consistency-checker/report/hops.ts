/** The order in which the hops of a write request are told. */
import type { Hop } from '../drift.ts';

/** What happens at intake, before any room's stores. */
export const AT_INTAKE: readonly string[] = ['stamped', 'logged'];

/** Intake first; then by time, whatever clocks say; what has no known moment last. */
export function hopsInOrder(hops: readonly Hop[]): readonly Hop[] {
  const rank = ({ what }: Hop) => (AT_INTAKE.includes(what) ? AT_INTAKE.indexOf(what) : AT_INTAKE.length);
  const time = ({ atMs }: Hop) => (atMs === 0 ? Number.MAX_SAFE_INTEGER : atMs);
  return [...hops].sort((a, b) => rank(a) - rank(b) || time(a) - time(b));
}
