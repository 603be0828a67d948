/** `wmb compare`: two rooms' caches, key by key, as they are stored now. */
import type { Command } from 'commander';
import { driftId } from '../../consistency-checker/drift.ts';
import { count, plural } from '../../consistency-checker/report/pair.ts';
import type { Config } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { ComparedKey, CompareProgress } from '../../proto/gen/wmb/v1/checker.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, roomsOf } from '../context.ts';
import { formatTable, shorten } from '../table.ts';

interface CompareOptions extends ConfigOptions, JsonOptions {
  readonly rooms?: string;
  readonly prefix: string;
}

const HELP = `
A key whose write request is still on its way, or younger than the grace period, is lag and no difference.
Exit code 7 where keys differ.

Examples:
  wmb compare --rooms beijing,guangzhou
  wmb compare --rooms beijing,guangzhou --prefix user:7 --json`;
/** More differing keys than these are counted only. */
const KEYS_MAX = 10_000;
const PROGRESS_MS = 200;

export function addCompareCommand(program: Command, context: Context): void {
  program
    .command('compare')
    .description('compare the caches of two rooms key by key, as they are stored now')
    .option('--rooms <a,b>', 'the two rooms (default: those of a topology of two)')
    .option('--prefix <text>', 'only keys that begin so', '')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action((options: CompareOptions) => compare(context, options));
}

interface Comparison {
  readonly compared: number;
  readonly different: number;
  readonly keys: readonly ComparedKey[];
}

async function compare(context: Context, options: CompareOptions): Promise<void> {
  const config = configOf(options);
  const rooms = twoRooms(config, options.rooms);
  const ending = context.interrupted();
  const result = await Clients.with(config, context.runtime, async (clients) => {
    const [asked, peer] = rooms;
    // Without the other one's checker nothing could be read of its room: the address says whether there is one.
    clients.address(peer, 'checker');
    return read(context, clients, { asked, peer, prefix: options.prefix, ending });
  });
  if (ending.aborted) {
    context.note(`stopped after ${plural(result.compared, 'key')}`);
    process.exitCode = 130;
    return;
  }
  const differing = result.keys.filter(({ verdict }) => verdict !== 'lag').length;
  const lagging = result.keys.length - differing;
  const different = Math.max(differing, result.different - lagging);
  if (options.json) context.print(JSON.stringify({ rooms, prefix: options.prefix, ...result, different, lagging }));
  else context.print(text(context, { rooms, result, different, lagging }));
  if (different > 0)
    throw new WmbError(
      'DIFFERENCE',
      `${count(different)} of ${plural(result.compared, 'key')} ${different === 1 ? 'differs' : 'differ'} between ${rooms.join(' and ')}`,
    );
}

function twoRooms(config: Config, names: string | undefined): readonly [RoomId, RoomId] {
  const [a, b, ...others] = roomsOf(config, names ?? 'all');
  if (a === undefined || b === undefined || others.length > 0) throw new WmbError('USAGE', 'wmb compare takes two rooms: --rooms a,b');
  if (a === b) throw new WmbError('USAGE', `two rooms are compared; ${a} was named twice`);
  return [a, b];
}

interface Reading {
  readonly asked: RoomId;
  readonly peer: RoomId;
  readonly prefix: string;
  readonly ending: AbortSignal;
}

async function read(context: Context, clients: Clients, { asked, peer, prefix, ending }: Reading): Promise<Comparison> {
  const keys: ComparedKey[] = [];
  let last: CompareProgress | undefined;
  let shownMs = 0;
  try {
    for await (const progress of clients.checkerStream<CompareProgress>(asked, (client) => client.compare({ peer, prefix }), ending)) {
      last = progress;
      keys.push(...progress.keys.slice(0, KEYS_MAX - keys.length));
      const nowMs = context.runtime.monotonicMs();
      if (!context.stderrIsTTY || nowMs - shownMs < PROGRESS_MS) continue;
      shownMs = nowMs;
      process.stderr.write(`\r\x1b[K${plural(progress.compared, 'key')} compared, ${count(progress.different)} differ`);
    }
  } finally {
    if (context.stderrIsTTY) process.stderr.write('\r\x1b[K');
  }
  if (last?.done !== true && !ending.aborted)
    throw new WmbError(
      'PEER_GARBAGE',
      `the checker of ${asked} ended the comparison after ${plural(last?.compared ?? 0, 'key')} without a result`,
    );
  return { compared: last?.compared ?? 0, different: last?.different ?? 0, keys };
}

const SHOWN_COLUMNS_MAX = 60;

interface Result {
  readonly rooms: readonly [RoomId, RoomId];
  readonly result: Comparison;
  readonly different: number;
  readonly lagging: number;
}

function text({ columns }: Context, { rooms, result: { compared, keys }, different, lagging }: Result): string {
  const lag = lagging === 0 ? '' : `, ${count(lagging)} on their way`;
  const summary = `${rooms.join(' ⇄ ')}  ${plural(compared, 'key')} compared, ${different === 0 ? 'no difference' : `${count(different)} differ`}${lag}`;
  if (keys.length === 0) return summary;
  const shows = ({ sides }: ComparedKey, room: RoomId) => shorten(sides.find((side) => side.room === room)?.shows ?? '', SHOWN_COLUMNS_MAX);
  const rows = keys.map((key) => [
    key.key,
    shows(key, rooms[0]),
    shows(key, rooms[1]),
    key.verdict === 'lag' ? 'lag' : driftId(rooms, { type: 'key', name: key.key }),
  ]);
  return `${formatTable({ head: ['KEY', ...rooms, 'DRIFT'], rows, columnsMax: columns, flexible: [0, 1, 2] })}\n\n${summary}`;
}
