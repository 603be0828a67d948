/** What the kinds and causes of drifts mean, in words for people. */
import type { DriftCause, DriftKind } from '../drift.ts';

const KINDS: Readonly<Record<DriftKind, string>> = {
  stuck: 'nothing comes through any more (an alarm: nothing is known to differ)',
  lost: 'one room applied a write request, the other never did',
  parked: 'a write request waits in a parking lot',
  duplicated: 'one room took a write request for a duplicate, the other applied it',
  missing: 'one room does not show what the other shows',
  stale: 'one room shows an older version',
  extra: 'one room shows what should not be there',
  value: 'the rooms show different values of the same version',
  row: 'a slave’s database does not have a row as the master’s has it',
};

const CAUSES: Readonly<Record<DriftCause, string>> = {
  'missed-apply': 'the receipt says that it was applied, and its effects are not there',
  'behind-back': 'changed directly in the store, not by a write request',
  parked: 'it waits in the parking lot',
  'given-up': 'an operator discarded it or accepted its loss',
  'duplicate-window': 'the request id came again',
  path: 'a path between the rooms',
  unknown: 'not known',
};

/** Empty for a kind that only a newer checker knows. */
export function kindText(kind: string): string {
  return Object.hasOwn(KINDS, kind) ? KINDS[kind as DriftKind] : '';
}

export function causeText(cause: string): string {
  return Object.hasOwn(CAUSES, cause) ? CAUSES[cause as DriftCause] : '';
}

/** Kinds in the order in which a report tells them: the worst first. */
export const KIND_ORDER: readonly string[] = [
  'lost',
  'missing',
  'stale',
  'extra',
  'value',
  'row',
  'duplicated',
  'parked',
  'stuck',
] satisfies readonly DriftKind[];
