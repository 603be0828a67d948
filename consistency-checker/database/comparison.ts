/**
 * Master against slave database (L4), while both are written. Chunks are compared by digests, and where those differ the rows by their hashes. What differs then may only be on
 * its way: replication is behind, or the row was written between two reads. So a row is confirmed at an equal transaction id, without a lock:
 *
 *     master: hash of the row ─▶ master: position ─▶ slave: waits until it has come there ─▶ slave: hash of the row ─▶ master: hash of the row
 *
 * Where both hashes of the master are the same and the slave's is not, the slave shows something that the master did not show at any moment that the slave can be at; unless the row was written there
 * and back in between, so it has to be so at several looks.
 */
import { WmbError } from '../../core/errors.ts';
import type { ComparableDatabase, DifferingRow, RowHash, RowKey, RowRange } from '../../store/row-comparison.ts';
import { keyName } from './row-name.ts';

export interface Sides {
  readonly master: ComparableDatabase;
  readonly slave: ComparableDatabase;
  /** How long the slave may take to come as far as the master. */
  readonly behindMsMax: number;
}

export interface ComparisonOptions extends Sides {
  /** Of these only; undefined: all. */
  readonly tables?: readonly string[] | undefined;
  readonly chunkRows: number;
  /** Rows that are named; behind so many the comparison ends. */
  readonly rowsMax: number;
}

export interface ComparedTable {
  readonly table: string;
  readonly chunks: number;
  readonly differing: readonly DifferingRow[];
  /** Rows that changed between two looks; they are not called different. */
  readonly unsettled: number;
}

const LOOKS = 3;
const CONFIRM_ROWS = 500;

/** Table by table. STORE_UNAVAILABLE where the slave does not come as far; NOT_FOUND where it lacks a table; SCHEMA_INVALID where that has other columns. */
export async function* compareDatabases(options: ComparisonOptions): AsyncGenerator<ComparedTable> {
  const { master, slave } = options;
  const [all, theirs] = await Promise.all([master.tables(), slave.tables()]);
  const wanted = options.tables ?? all;
  let left = options.rowsMax;
  for (const table of wanted) {
    if (!all.includes(table)) throw new WmbError('NOT_FOUND', `the master’s database has no table ${table}`);
    if (!theirs.includes(table)) throw new WmbError('NOT_FOUND', `the slave’s database has no table ${table}, which the master’s has`);
    const unlike = await unlikeShapes(options, table);
    if (unlike !== '') throw new WmbError('SCHEMA_INVALID', unlike);
    const compared = await compareTable(options, table, left);
    left -= compared.differing.length;
    yield compared;
    if (left <= 0) return;
  }
}

/** How a table of both is another one in the slave; empty: it is not. The hash of a row is over its columns, so every row would differ. */
export async function unlikeShapes({ master, slave }: Pick<Sides, 'master' | 'slave'>, table: string): Promise<string> {
  const [mine, theirs] = [await master.shape(table), await slave.shape(table)];
  if (mine === theirs) return '';
  return `table ${table} is another one in the slave’s database (${theirs}) than in the master’s (${mine}): change it there as it was changed in the master`;
}

async function compareTable(options: ComparisonOptions, table: string, rowsMax: number): Promise<ComparedTable> {
  const differing: ConfirmedRow[] = [];
  let [chunks, unsettled] = [0, 0];
  let after: RowKey | undefined;
  do {
    const found: ComparedChunk = await compareChunk(options, table, after);
    differing.push(...found.differing);
    unsettled += found.unsettled;
    chunks += 1;
    after = found.upTo;
  } while (after !== undefined && differing.length < rowsMax);
  return { table, chunks, differing: differing.slice(0, rowsMax), unsettled };
}

export interface ComparedChunk extends Found {
  /** Its last row; undefined: it was the table's last chunk. */
  readonly upTo: RowKey | undefined;
}

/** The rows of a table behind `after`; undefined: its first ones. */
export async function compareChunk(
  options: Pick<ComparisonOptions, keyof Sides | 'chunkRows'>,
  table: string,
  after: RowKey | undefined,
): Promise<ComparedChunk> {
  const { master, slave, chunkRows } = options;
  const upTo = await master.boundary(table, after, chunkRows);
  const range = { table, after, upTo };
  const [mine, theirs] = await Promise.all([master.digest(range), slave.digest(range)]);
  return { upTo, ...(mine === theirs ? { differing: [], unsettled: 0 } : await differingRows(options, range)) };
}

/** A row that differs, and by what that is known. */
export interface ConfirmedRow extends DifferingRow {
  /** The master's and the slave's; empty: no such row. */
  readonly hashes: readonly [master: string, slave: string];
}

export interface Found {
  readonly differing: readonly ConfirmedRow[];
  readonly unsettled: number;
}

async function differingRows(options: Sides, range: RowRange): Promise<Found> {
  const [mine, theirs] = await Promise.all([options.master.hashes(range), options.slave.hashes(range)]);
  const [own, other] = [byKey(mine), byKey(theirs)];
  const suspects = [...new Map([...own, ...other])]
    .filter(([name]) => own.get(name)?.hash !== other.get(name)?.hash)
    .map(([, { key }]) => key);
  const differing: ConfirmedRow[] = [];
  let unsettled = 0;
  for (let from = 0; from < suspects.length; from += CONFIRM_ROWS) {
    const found = await confirm(options, range.table, suspects.slice(from, from + CONFIRM_ROWS));
    differing.push(...found.differing);
    unsettled += found.unsettled;
  }
  return { differing, unsettled };
}

/**
 * Which of these rows differ: those that do in the same way at every look. One that is written between two looks, there and back perhaps, is unsettled; a write carries the whole row over, so it will
 * be equal by that.
 */
export async function confirm(options: Sides, table: string, keys: readonly RowKey[]): Promise<Found> {
  const known = new Map<string, ConfirmedRow>();
  let open = keys;
  let unsettled = 0;
  for (let look = 0; look < LOOKS && open.length > 0; look += 1) {
    const differing: RowKey[] = [];
    for (const { key, before, slave, after } of await lookAt(options, table, open)) {
      const row: ConfirmedRow = { table, key, kind: kindOf(before, slave), hashes: [before ?? '', slave ?? ''] };
      const isCalm = before === after && isSameDifference(known.get(keyName(key)) ?? row, row);
      if (!isCalm) unsettled += 1;
      else if (before !== slave) differing.push(key);
      known.set(keyName(key), row);
    }
    open = differing;
  }
  return { differing: open.flatMap((key) => known.get(keyName(key)) ?? []), unsettled };
}

export function isSameDifference({ hashes: a }: ConfirmedRow, { hashes: b }: ConfirmedRow): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

interface Look {
  readonly key: RowKey;
  /** Hashes; undefined: no such row. */
  readonly before: string | undefined;
  readonly slave: string | undefined;
  readonly after: string | undefined;
}

async function lookAt({ master, slave, behindMsMax }: Sides, table: string, keys: readonly RowKey[]): Promise<readonly Look[]> {
  const before = byKey(await master.hashesOf(table, keys));
  const position = await master.position();
  if (!(await slave.reaches(position, behindMsMax))) {
    throw new WmbError(
      'STORE_UNAVAILABLE',
      `the slave’s database did not come as far as the master’s within ${behindMsMax} ms; compare again when it follows (wmb status)`,
    );
  }
  const theirs = byKey(await slave.hashesOf(table, keys));
  const after = byKey(await master.hashesOf(table, keys));
  return keys.map((key) => {
    const name = keyName(key);
    return { key, before: before.get(name)?.hash, slave: theirs.get(name)?.hash, after: after.get(name)?.hash };
  });
}

function kindOf(master: string | undefined, slave: string | undefined): DifferingRow['kind'] {
  if (master === undefined) return 'extra';
  return slave === undefined ? 'missing' : 'value';
}

function byKey(rows: readonly RowHash[]): Map<string, RowHash> {
  return new Map(rows.map((row) => [keyName(row.key), row]));
}
