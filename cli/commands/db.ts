/** `wmb db`: what a database on a server needs before the daemons may use it. */
import { type Command, Option } from 'commander';
import type { Config } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import { roomEntry } from '../../core/topology.ts';
import { type ConfigOptions, type Context, configOf, configOption } from '../context.ts';
import { databaseAdministration } from '../wiring.ts';
import { addCompareDatabases } from './db-compare.ts';
import { type UserOptions, userOf, withUser } from './server-user.ts';

export function addDbCommands(program: Command, context: Context): void {
  const db = program.command('db').helpCommand(false).description('prepare databases on MySQL or MariaDB');
  withUser(db.command('init'))
    .description('make WMB’s own tables, and those of the schema file, where they are missing; in the master room')
    .addOption(new Option('--dry-run', 'print what would be done, and do nothing'))
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb db init --config beijing.yaml --user root --password-env MYSQL_ROOT_PASSWORD')
    .action((options: ConfigOptions & UserOptions & { readonly dryRun?: boolean }) => init(context, options, options.dryRun === true));
  withUser(db.command('replicate'))
    .description('make this slave room’s server follow the master room’s, by global transaction ids, and read-only')
    .addOption(new Option('--dry-run', 'print what would be done, and do nothing (the default)').conflicts('apply'))
    .addOption(new Option('--apply', 'do it'))
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  wmb db replicate --apply --config guangzhou.yaml --user root --password-env MYSQL_ROOT_PASSWORD')
    .action((options: ConfigOptions & UserOptions & { readonly apply?: boolean }) => replicate(context, options, options.apply !== true));
  addCompareDatabases(db, context);
}

async function init(context: Context, options: ConfigOptions & UserOptions, dryRun: boolean): Promise<void> {
  const config = configOf(options);
  if (roleOf(config) !== 'master') {
    throw new WmbError(
      'USAGE',
      `room ${config.room.id} is not the master room: its database gets its tables by replication (wmb db replicate)`,
    );
  }
  const database = databaseAdministration({ config, user: userOf(options), runtime: context.runtime });
  await tell(context, database.init(dryRun), dryRun);
}

async function replicate(context: Context, options: ConfigOptions & UserOptions, dryRun: boolean): Promise<void> {
  const config = configOf(options);
  if (roleOf(config) !== 'slave') throw new WmbError('USAGE', `room ${config.room.id} has no slave database, which could follow another`);
  const database = databaseAdministration({ config, user: userOf(options), runtime: context.runtime });
  await tell(context, database.replicate(dryRun), dryRun);
}

async function tell(context: Context, lines: AsyncIterable<string>, dryRun: boolean): Promise<void> {
  for await (const line of lines) context.print(line);
  if (dryRun) context.note('This was a dry run: nothing was done.');
}

function roleOf({ topology, room }: Config) {
  return roomEntry(topology, room.id)?.database;
}
