/** Drifts as a table, and how the pairs of rooms stand above it. */
import type { Drift } from '../../consistency-checker/drift.ts';
import { ago, isAlarm, type PairView, pairName, plural, verificationText } from '../../consistency-checker/report/pair.ts';
import type { RoomId } from '../../core/words.ts';
import { displayWidth, formatTable, printable, wrap } from '../table.ts';

export interface ListOptions {
  readonly columnsMax: number;
  /** Clock of this machine. */
  readonly nowMs: number;
  /** Whether drifts of several statuses are in the list. */
  readonly withStatus: boolean;
}

const SUBJECT = 2;

export function driftTable(drifts: readonly Drift[], { columnsMax, nowMs, withStatus }: ListOptions): string {
  const head = ['ID', 'KIND', 'SUBJECT', 'WRONG', 'CAUSE', 'SINCE', ...(withStatus ? ['STATUS'] : [])];
  const rows = drifts.map((drift) => [
    drift.id,
    drift.kind,
    drift.subject.name,
    isAlarm(drift) ? '' : drift.wrong || '?',
    drift.cause,
    ago(nowMs - drift.confirmedMs),
    ...(withStatus ? [drift.status] : []),
  ]);
  return formatTable({ head, rows, columnsMax, flexible: [SUBJECT] });
}

/** One line for each pair of rooms, long reasons wrapped beneath. */
export function pairLines(pairs: readonly PairView[], columnsMax: number): readonly string[] {
  const width = Math.max(0, ...pairs.map((pair) => displayWidth(pairName(pair))));
  return pairs.flatMap((pair) => {
    const name = pairName(pair);
    const space = ' '.repeat(width - displayWidth(name) + 2);
    const [first = '', ...others] = wrap(printable(verificationText(pair)), columnsMax - width - 2);
    return [`${name}${space}${first}`, ...others.map((line) => ' '.repeat(width + 2) + line)];
  });
}

/** One line for each slave's database, wrapped. */
export function databaseLines(
  databases: readonly { readonly room: RoomId; readonly text: string }[],
  columnsMax: number,
): readonly string[] {
  return databases.flatMap(({ room, text }) =>
    wrap(printable(`database of ${room}: ${text}`), columnsMax - 2).map((line, index) => (index === 0 ? line : `  ${line}`)),
  );
}

/** `3 drifts and 1 alarm are open`. */
export function openText(open: readonly Drift[], unlisted = 0): string {
  const alarms = open.filter(isAlarm).length;
  const drifts = open.length - alarms + unlisted;
  const parts = [...(drifts > 0 || alarms === 0 ? [plural(drifts, 'drift')] : []), ...(alarms > 0 ? [plural(alarms, 'alarm')] : [])];
  return `${parts.join(' and ')} ${drifts + alarms === 1 ? 'is' : 'are'} open`;
}
