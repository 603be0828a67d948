/**
 * A row that a slave's database shows otherwise than the master's (L4), as a drift record. The master is where rows are written and its slaves follow it, so the slave is wrong. There are two exceptions,
 * in which what the slave has may be what the master lost: the slave has committed by itself, or its row carries a newer stamp.
 */
import { isStamp, type Stamp } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { Row } from '../../store/database.ts';
import type { ReplicaStatus } from '../../store/replica.ts';
import type { RowDrift } from '../../store/row-comparison.ts';
import { STAMP_COLUMN } from '../../store/statement-checks.ts';
import type { ConfirmedRow } from '../database/comparison.ts';
import { rowName } from '../database/row-name.ts';
import { type Drift, type DriftSide, driftId, type ElementDifference, type RepairPlan, type WriteTimeline } from '../drift.ts';
import { plainText, plural } from './phrases.ts';

/** Everything of it was read just now. */
export interface FoundRow {
  readonly row: ConfirmedRow;
  /** As both sides had it between two looks that gave the same hashes. */
  readonly rows: readonly [master: Row | undefined, slave: Row | undefined];
  readonly replica: ReplicaStatus;
  /** What would write it anew in the master. */
  readonly statements: readonly string[];
  /** Why that cannot be done, with what to do; empty: it can. */
  readonly refusal: string;
}

export interface DatabaseRooms {
  readonly master: RoomId;
  readonly slave: RoomId;
}

export interface RowVerdict {
  readonly wrong: RoomId | '';
  readonly why: string;
  readonly cause: 'behind-back' | 'unknown';
  readonly causeText: string;
}

const COLUMNS_MAX = 32;
const CELL_CHARACTERS_MAX = 200;
const ROW_CHARACTERS_MAX = 400;
const STATEMENT_CHARACTERS_MAX = 400;

export function judgeRow({ row, rows, replica }: FoundRow, { master, slave }: DatabaseRooms): RowVerdict {
  const shows = {
    value: `${slave} shows other values than ${master}`,
    missing: `${slave} does not have a row that ${master} has`,
    extra: `${slave} has a row that ${master} does not have`,
  }[row.kind];
  const [mine, theirs] = rows.map(stampOf);
  const equal = `${shows}, at an equal transaction id`;
  const cause = causeOf(row.kind, { mine: mine ?? '', theirs: theirs ?? '', slave });
  if (replica.state === 'diverged')
    return { ...cause, wrong: '', why: `${equal}; the database of ${slave} has gone its own way, and may have what ${master} lost` };
  if (row.kind === 'value' && (theirs ?? '') > (mine ?? ''))
    return {
      ...cause,
      wrong: '',
      why: `${equal}, with a newer stamp: ${master} may have lost a write request (a backup that was restored?)`,
    };
  return { ...cause, wrong: slave, why: `${equal}; ${master} is where rows are written, and its slaves follow it` };
}

function causeOf(
  kind: RowDrift,
  { mine, theirs, slave }: { readonly mine: Stamp; readonly theirs: Stamp; readonly slave: RoomId },
): Pick<RowVerdict, 'cause' | 'causeText'> {
  if (kind === 'value' && mine !== '' && mine === theirs) {
    const causeText = `a row is replicated as a whole, and both sides have its stamp ${mine}: it was changed afterwards, directly in the database of ${slave} and past its binlog`;
    return { cause: 'behind-back', causeText };
  }
  const causeText = `${slave} has applied every transaction of the master so far: the row was changed directly in its database and past its binlog, or replication passed over it (a filter, a skipped transaction, IDEMPOTENT)`;
  return { cause: 'unknown', causeText };
}

export interface Told extends DatabaseRooms {
  readonly firstSeenMs: number;
  readonly nowMs: number;
  readonly write: WriteTimeline | undefined;
}

export function rowDrift(found: FoundRow, { master, slave, firstSeenMs, nowMs, write }: Told): Drift {
  const subject = { type: 'row', name: rowName(found.row.table, found.row.key) } as const;
  const id = driftId([master, slave], subject);
  const differences = columnsOf(found.rows);
  const sides = [sideOf(found, 0, master), sideOf(found, 1, slave)] as const;
  const isSwapped = master > slave;
  return {
    ...{ id, level: 'L4', kind: 'row', subject, write },
    ...judgeRow(found, { master, slave }),
    sides: isSwapped ? [sides[1], sides[0]] : sides,
    elements: isSwapped ? differences.map(swapped) : differences,
    repair: repairOf(found, { master, slave, id }),
    ...{ status: 'open', firstSeenMs, confirmedMs: nowMs, closedMs: 0, note: '' },
  };
}

/** Of the write request behind the row as the master has it; empty where its table has no stamps. */
export function stampOf(row: Row | undefined): Stamp {
  const stamp = row?.[STAMP_COLUMN];
  return typeof stamp === 'string' && isStamp(stamp) ? stamp : '';
}

export function rowRepairText({ row: { kind } }: FoundRow, { master, slave }: DatabaseRooms): string {
  const how = {
    value: `writes the row anew in ${master}, unchanged`,
    missing: `deletes the row in ${master} and inserts it again, in one transaction`,
    extra: `inserts the row in ${master} and deletes it again, in one transaction`,
  }[kind];
  return `${how}; replication carries it to ${slave}, which is never written itself`;
}

/** `-` what the slave shows, `+` what it will, then the statements in the master. */
export function rowDiff({ row: { table, key }, rows, statements }: FoundRow): readonly string[] {
  const name = plainText(rowName(table, key));
  const [mine, theirs] = rows;
  const changes =
    mine === undefined || theirs === undefined
      ? [`- ${name} = ${rowText(theirs)}`, `+ ${name} = ${rowText(mine)}`]
      : columnsOf(rows).flatMap(({ name: column, values }) => [`- ${name}.${column} = ${values[1]}`, `+ ${name}.${column} = ${values[0]}`]);
  return [...changes, ...statements.map((statement) => plainText(statement, STATEMENT_CHARACTERS_MAX))];
}

function repairOf(found: FoundRow, { master, slave, id }: DatabaseRooms & { readonly id: string }): RepairPlan {
  const { wrong } = judgeRow(found, { master, slave });
  const plan = { from: wrong === '' ? '' : master, to: wrong, diff: rowDiff(found) } as const;
  const text = rowRepairText(found, { master, slave });
  if (found.refusal !== '') return { ...plan, action: 'none', command: '', text: `${text}. Not as things are: ${found.refusal}` };
  if (wrong !== '') return { ...plan, action: 'rewrite', command: `wmb repair ${id} --apply`, text };
  const remedy = found.replica.state === 'diverged' ? `${found.replica.reason}. ` : '';
  const named = `Where what ${master} has is right all the same, --from ${master}: ${text}`;
  return { ...plan, action: 'rewrite', command: `wmb repair ${id} --from ${master} --apply`, text: `${remedy}${named}` };
}

function sideOf({ row, rows }: FoundRow, side: 0 | 1, room: RoomId): DriftSide {
  return { room, shows: rowText(rows[side]), version: stampOf(rows[side]), hash: row.hashes[side].toLowerCase(), bytes: 0, expireAtMs: 0 };
}

function rowText(row: Row | undefined): string {
  if (row === undefined) return 'no such row';
  const cells = Object.entries(row).slice(0, COLUMNS_MAX);
  return plainText(cells.map(([column, cell]) => `${column} = ${cellText(cell)}`).join(', '), ROW_CHARACTERS_MAX);
}

/** Of the master and of the slave. A row that is only on one side is its `shows`. */
function columnsOf([mine, theirs]: FoundRow['rows']): readonly ElementDifference[] {
  if (mine === undefined || theirs === undefined) return [];
  const names = [...new Set([...Object.keys(mine), ...Object.keys(theirs)])].filter((name) => !isSame(mine[name], theirs[name]));
  const versions = [stampOf(mine), stampOf(theirs)] as const;
  const told = names.slice(0, COLUMNS_MAX).map((name): ElementDifference => {
    const from = startOf(mine[name], theirs[name]);
    return { name, versions, values: [cellText(mine[name], from), cellText(theirs[name], from)] };
  });
  const more = names.length - told.length;
  return more > 0 ? [...told, { name: `${plural(more, 'more column')}`, versions, values: ['…', '…'] }] : told;
}

function swapped({ name, versions, values }: ElementDifference): ElementDifference {
  return { name, versions: [versions[1], versions[0]], values: [values[1], values[0]] };
}

type Cell = Row[string] | undefined;

function isSame(a: Cell, b: Cell): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b;
}

/** Of two long texts what they differ in is shown, not what they begin with. */
function startOf(a: Cell, b: Cell): number {
  const [one, other] = [wholeText(a), wholeText(b)];
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at < CELL_CHARACTERS_MAX / 2 ? 0 : at - CELL_CHARACTERS_MAX / 4;
}

function cellText(cell: Cell, from = 0): string {
  if (cell === undefined) return 'no such column';
  const text = plainText(`${from > 0 ? '…' : ''}${wholeText(cell).slice(from)}`, CELL_CHARACTERS_MAX);
  return typeof cell === 'string' ? `"${text}"` : text;
}

function wholeText(cell: Cell): string {
  if (cell instanceof Uint8Array) return `0x${Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString('hex')}`;
  return cell === null ? 'NULL' : String(cell);
}
