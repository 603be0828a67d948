/**
 * Repair of a slave's rows through the master: the master writes each row anew, unchanged, and replication carries it over. The slave itself is never written. What was
 * repaired is looked at again, at an equal transaction id.
 */
import { WmbError } from '../../core/errors.ts';
import type { ComparableDatabase, DifferingRow, RowRepair } from '../../store/row-comparison.ts';
import { confirm, type Sides } from './comparison.ts';
import { keyName } from './row-name.ts';

export interface RepairOptions extends Sides {
  readonly master: ComparableDatabase & RowRepair;
  readonly dryRun: boolean;
}

/** One line for each statement, and one for what came of a row. */
export async function* repairRows(options: RepairOptions, rows: readonly DifferingRow[]): AsyncGenerator<string> {
  const { master, slave, dryRun } = options;
  const refusal = dryRun ? undefined : await whyNotTaken(slave, rows);
  if (refusal !== undefined) throw new WmbError('NOT_FOUND', refusal);
  for (const row of rows) {
    const slaveRow = row.kind === 'extra' ? await slave.row(row.table, row.key) : undefined;
    for (const statement of await master.repair(row, slaveRow, dryRun)) yield statement;
    if (dryRun) continue;
    const { differing } = await confirm(options, row.table, [row.key]);
    yield `${row.table} ${keyName(row.key)}: ${differing.length === 0 ? 'repaired' : 'differs still'}`;
  }
}

/** Why the slave would not take what the master writes of these rows; undefined: it would. */
export async function whyNotTaken(slave: ComparableDatabase, rows: readonly DifferingRow[]): Promise<string | undefined> {
  if (rows.every(({ kind }) => kind === 'value') || (await slave.overwrites())) return undefined;
  return (
    'rows that are missing or too many on the slave can be written through the master only while the slave overwrites: SET GLOBAL replica_exec_mode = ' +
    "'IDEMPOTENT' there (MariaDB: slave_exec_mode), repair, and set it back to 'STRICT'"
  );
}
