/**
 * Repair of a slave's rows through the master: the master writes each row anew, unchanged, and replication carries it over. The slave itself is never written. What was
 * repaired is looked at again, at an equal transaction id.
 */
import { WmbError } from '../../core/errors.ts';
import type { ComparableDatabase, DifferingRow, RowRepair } from '../../store/row-comparison.ts';
import { confirm, keyName, type Sides } from './comparison.ts';

export interface RepairOptions extends Sides {
  readonly master: ComparableDatabase & RowRepair;
  readonly dryRun: boolean;
}

/** One line for each statement, and one for what came of a row. */
export async function* repairRows(options: RepairOptions, rows: readonly DifferingRow[]): AsyncGenerator<string> {
  const { master, slave, dryRun } = options;
  const needsMode = rows.some(({ kind }) => kind !== 'value') && !(await slave.overwrites());
  if (needsMode && !dryRun) {
    throw new WmbError(
      'NOT_FOUND',
      'rows that are missing or too many on the slave can be written through the master only while the slave overwrites: SET GLOBAL replica_exec_mode = ' +
        "'IDEMPOTENT' there (MariaDB: slave_exec_mode), repair, and set it back to 'STRICT'",
    );
  }
  for (const row of rows) {
    const slaveRow = row.kind === 'extra' ? await slave.row(row.table, row.key) : undefined;
    for (const statement of await master.repair(row, slaveRow, dryRun)) yield statement;
    if (dryRun) continue;
    const { differing } = await confirm(options, row.table, [row.key]);
    yield `${row.table} ${keyName(row.key)}: ${differing.length === 0 ? 'repaired' : 'differs still'}`;
  }
}
