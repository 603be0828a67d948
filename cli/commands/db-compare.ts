/** `wmb db compare`: this slave room's database against the master room's, row by row where digests differ, and the repair through the master. */
import { type Command, Option } from 'commander';
import { compareDatabases } from '../../consistency-checker/database/comparison.ts';
import { repairRows } from '../../consistency-checker/database/repair.ts';
import { keyName } from '../../consistency-checker/database/row-name.ts';
import { WmbError } from '../../core/errors.ts';
import { roomEntry } from '../../core/topology.ts';
import type { DifferingRow } from '../../store/row-comparison.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, wholeNumber } from '../context.ts';
import { databaseSides } from '../wiring.ts';
import { type UserOptions, userOf, withUser } from './server-user.ts';

interface CompareOptions extends ConfigOptions, UserOptions, JsonOptions {
  readonly table?: readonly string[];
  readonly chunkRows: number;
  readonly limit: number;
  readonly repair?: boolean;
  readonly apply?: boolean;
}

/** The slave is given so long to come as far as the master when a row is looked at again. */
const BEHIND_MS_MAX = 30_000;

const MEANINGS = { value: 'other values', missing: 'missing in the slave', extra: 'only in the slave' } as const;

export function addCompareDatabases(db: Command, context: Context): void {
  withUser(db.command('compare'))
    .description('compare this slave room’s database with the master room’s, while both are in use; names each row that differs')
    .addOption(new Option('--table <name...>', 'only these tables'))
    .addOption(new Option('--chunk-rows <n>', 'rows per digest').argParser(wholeNumber('--chunk-rows', 1)).default(10_000))
    .addOption(new Option('--limit <n>', 'end after so many rows that differ').argParser(wholeNumber('--limit', 1)).default(1_000))
    .addOption(new Option('--repair', 'print the statements that would write these rows anew in the master; replication carries them over'))
    .addOption(new Option('--apply', 'run them, and look at the rows again'))
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  wmb db compare --config guangzhou.yaml\n  wmb db compare --table messages --repair --apply --config guangzhou.yaml',
    )
    .action((options: CompareOptions) => compare(context, options));
}

async function compare(context: Context, options: CompareOptions): Promise<void> {
  const config = configOf(options);
  if (roomEntry(config.topology, config.room.id)?.database !== 'slave') {
    throw new WmbError('USAGE', `room ${config.room.id} has no slave database: compare in a slave room, with its configuration`);
  }
  const sides = await databaseSides({ config, user: userOf(options), runtime: context.runtime });
  try {
    const rows = await findRows(context, options, sides);
    if (options.repair === true || options.apply === true) await repair(context, { sides, rows, dryRun: options.apply !== true });
    else if (rows.length > 0) throw new WmbError('DIFFERENCE', `${rows.length} rows differ; --repair shows what would write them anew`);
  } finally {
    await Promise.all([sides.master.close(), sides.slave.close()]);
  }
}

type Sides = Awaited<ReturnType<typeof databaseSides>>;

async function findRows(
  context: Context,
  { table, chunkRows, limit, json }: CompareOptions,
  sides: Sides,
): Promise<readonly DifferingRow[]> {
  const rows: DifferingRow[] = [];
  const compared = compareDatabases({ ...sides, tables: table, chunkRows, rowsMax: limit, behindMsMax: BEHIND_MS_MAX });
  for await (const one of compared) {
    rows.push(...one.differing);
    if (json) {
      const differing = one.differing.map(({ key, kind }) => ({ key: keyName(key), kind }));
      context.print(JSON.stringify({ table: one.table, chunks: one.chunks, differing, unsettled: one.unsettled }));
      continue;
    }
    const unsettled = one.unsettled === 0 ? '' : `, ${one.unsettled} rows changed between two looks`;
    context.print(`${one.table}: ${one.chunks} chunks, ${one.differing.length} rows differ${unsettled}`);
    for (const { key, kind } of one.differing) context.print(`  ${keyName(key)}: ${MEANINGS[kind]}`);
  }
  return rows;
}

async function repair(
  context: Context,
  { sides, rows, dryRun }: { sides: Sides; rows: readonly DifferingRow[]; dryRun: boolean },
): Promise<void> {
  for await (const line of repairRows({ ...sides, behindMsMax: BEHIND_MS_MAX, dryRun }, rows)) context.print(line);
  if (dryRun && rows.length > 0) context.note('This was a dry run: nothing was done. With --apply the statements run in the master.');
}
