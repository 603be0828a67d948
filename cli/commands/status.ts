/** `wmb status`: all rooms of the topology at a glance, those that do not answer included. */
import type { Command } from 'commander';
import { WmbError } from '../../core/errors.ts';
import { sleep } from '../../core/runtime.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption } from '../context.ts';
import { type RoomStatus, readStatus, type TopologyStatus } from '../status/read.ts';
import { showStatus } from '../status/show.ts';

const WATCH_MS = 1_000;
const CLEAR_SCREEN = '\x1b[H\x1b[2J';

export function addStatusCommand(program: Command, context: Context): void {
  program
    .command('status')
    .description('show daemons, links, lag, parked write requests and verification of all rooms; exit code 4 when no daemon answers')
    .option('-w, --watch', 'show it anew every second until Ctrl-C')
    .option('-l, --lanes', 'one line per partition instead of one per link and log')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  wmb status\n  wmb status --watch\n  wmb status --json | jq .rooms[].links')
    .action(async (options: StatusOptions) => {
      await Clients.with(configOf(options), context.runtime, (clients) =>
        options.watch ? watch(context, clients, options) : once(context, clients, options),
      );
    });
}

interface StatusOptions extends ConfigOptions, JsonOptions {
  readonly watch?: boolean;
  readonly lanes?: boolean;
}

async function once(context: Context, clients: Clients, options: StatusOptions): Promise<void> {
  const status = await readStatus(clients);
  context.print(options.json ? JSON.stringify(status) : showStatus(status, { ...options, columnsMax: context.columns }));
  if (status.rooms.every(allSilent)) {
    throw new WmbError('UNREACHABLE', 'no daemon of any room answers');
  }
}

function allSilent({ reship, collector, checker }: RoomStatus): boolean {
  return 'error' in reship && 'error' in collector && (checker === undefined || 'error' in checker);
}

async function watch(context: Context, clients: Clients, options: StatusOptions): Promise<void> {
  const ending = context.interrupted();
  while (!ending.aborted) {
    const status: TopologyStatus = await readStatus(clients);
    const text = options.json ? JSON.stringify(status) : showStatus(status, { ...options, columnsMax: context.columns });
    context.print(context.stdoutIsTTY && !options.json ? `${CLEAR_SCREEN}${text}` : text);
    await sleep(context.runtime, WATCH_MS, ending);
  }
}
