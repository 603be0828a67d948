/** `wmb repair`: brings drifts to an end, or says what would be done. */
import type { Command } from 'commander';
import type { Drift } from '../../consistency-checker/drift.ts';
import { isAlarm, plural } from '../../consistency-checker/report/pair.ts';
import { operatorName } from '../../core/config/environment.ts';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import { Clients } from '../clients.ts';
import {
  type ConfigOptions,
  type Context,
  configOf,
  configOption,
  type JsonOptions,
  jsonOption,
  roomOf,
  roomsOf,
  wholeNumber,
} from '../context.ts';
import { needAnswer, noteSilent } from '../drift/checkers.ts';
import { diffLines } from '../drift/detail.ts';
import { findDrift, readOpen, theOne } from '../drift/read.ts';
import { isDone, type RepairEnd, runRepair, type Step } from '../drift/repair.ts';
import { printable, wrap } from '../table.ts';

interface RepairOptions extends ConfigOptions, JsonOptions {
  readonly all?: boolean;
  readonly apply?: boolean;
  readonly limit?: number;
  readonly from?: string;
  readonly room: string;
}

const HELP = `
Without --apply nothing is changed: it prints what would be. Each repair is done by the checker of the wrong room, never overwrites what
was written meanwhile, is verified afterwards, and stands in \`wmb drift audit\`.
Exit code 0 when all is done, 5 when the limit kept some from it, 7 when some could not be.

Examples:
  wmb repair 1f3a
  wmb repair 1f3a --apply
  wmb repair --all --apply --limit 500
  wmb repair 1f3a --from beijing --apply`;

export function addRepairCommand(program: Command, context: Context): void {
  program
    .command('repair')
    .description('repair drifts, or, without --apply, show what a repair would change')
    .argument('[ids...]', 'ids of drifts, or their first digits')
    .option('--all', 'all that are open')
    .option('--apply', 'do it')
    .option('--limit <n>', 'change at most this many keys and write requests (default: what each room allows)', wholeNumber('--limit', 1))
    .option('--from <room>', 'the room that is right, where the checker cannot tell')
    .option('--room <rooms>', 'with --all: only drifts of which these rooms are the wrong side', 'all')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action((ids: string[], options: RepairOptions) => repair(context, ids, options));
}

async function repair(context: Context, ids: readonly string[], options: RepairOptions): Promise<void> {
  if ((options.all === true) === ids.length > 0) throw new WmbError('USAGE', 'wmb repair takes ids of drifts, or --all');
  const config = configOf(options);
  const rooms = roomsOf(config, 'all');
  const wrong = roomsOf(config, options.room);
  const from = options.from === undefined ? '' : roomOf(config, options.from);
  const ending = context.interrupted();
  const apply = options.apply === true;
  const end = await Clients.with(config, context.runtime, async (clients) => {
    const drifts = await select(context, clients, { rooms, wrong, ids, from });
    const onStep = stepPrinter(context, options.json === true);
    return runRepair(clients, { drifts, apply, limit: options.limit ?? 0, from, by: operatorName() }, { onStep, signal: ending });
  });
  finish(context, end, { apply, json: options.json === true, interrupted: ending.aborted });
}

interface Selection {
  readonly rooms: readonly RoomId[];
  readonly wrong: readonly RoomId[];
  readonly ids: readonly string[];
  readonly from: RoomId | '';
}

/** The drifts that are meant. All of them: without alarms, of which nothing can be repaired. */
async function select(context: Context, clients: Clients, { rooms, wrong, ids, from }: Selection): Promise<readonly Drift[]> {
  const open = await readOpen(clients, rooms);
  needAnswer(open);
  noteSilent(context, open.silent);
  if (ids.length === 0) {
    const target = (drift: Drift) => (from === '' ? drift.wrong : (drift.sides.find(({ room }) => room !== from)?.room ?? ''));
    return open.view.open.filter((drift) => !isAlarm(drift) && (wrong.length === rooms.length || wrong.includes(target(drift))));
  }
  const found = new Map<string, Drift>();
  for (const id of ids) {
    const isOpen = id !== '' && open.view.open.some((drift) => drift.id.startsWith(id));
    const drift = isOpen ? theOne(open.view.open, id) : (await findDrift(clients, rooms, id)).drift;
    found.set(drift.id, drift);
  }
  return [...found.values()];
}

/** Prints each step as it comes; at the terminal, how far it is. */
function stepPrinter(context: Context, json: boolean): (step: Step, total: number) => void {
  let done = 0;
  return (step, total) => {
    done += 1;
    if (context.stderrIsTTY) process.stderr.write('\r\x1b[K');
    if (!json) context.print(stepLines(step, context.columns).join('\n'));
    if (context.stderrIsTTY && done < total) process.stderr.write(`${done} of ${total}`);
  };
}

function stepLines({ room, id, subject, action, result, detail, diff }: Step, columns: number): readonly string[] {
  const where = room === '' ? '' : ` in ${room}`;
  const line = printable(`${id}  ${result}  ${action}${where}  ${subject}${detail === '' ? '' : `: ${detail}`}`);
  return [...wrap(line, columns).map((part, index) => (index === 0 ? part : `  ${part}`)), ...diffLines(diff, columns)];
}

interface Finish {
  readonly apply: boolean;
  readonly json: boolean;
  readonly interrupted: boolean;
}

function finish(context: Context, { steps, error }: RepairEnd, { apply, json, interrupted }: Finish): void {
  const counts = Object.fromEntries([...Map.groupBy(steps, ({ result }) => result)].map(([result, some]) => [result, some.length]));
  if (json) context.print(JSON.stringify({ apply, steps, counts }));
  else context.print(summary(steps, counts));
  if (!apply && !json && steps.length > 0) context.note('nothing was changed; add --apply');
  if (interrupted) {
    process.exitCode = 130;
    return;
  }
  const undone = steps.filter((step) => !isDone(step));
  if (undone.length === 0) return;
  // A limit that was reached, or a room that answered nothing at all: it is not about the drifts.
  const isSkipped = undone.every(({ result }) => result === 'skipped');
  if (error !== undefined && isSkipped && (error.code === 'REPAIR_LIMIT' || undone.length === steps.length)) throw error;
  const first = undone[0];
  throw new WmbError(
    'DIFFERENCE',
    `${undone.length} of ${plural(steps.length, 'drift')} ${apply ? 'could' : 'can'} not be repaired, the first: ${first?.id} ${first?.result}: ${first?.detail}`,
  );
}

function summary(steps: readonly Step[], counts: Readonly<Record<string, number>>): string {
  if (steps.length === 0) return 'there is nothing to repair';
  return `${plural(steps.length, 'drift')}: ${Object.entries(counts)
    .map(([result, number]) => `${number} ${result}`)
    .join(', ')}`;
}
