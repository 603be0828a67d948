/** `wmb trace`: the way of one write request through all rooms, with times. */
import type { Command } from 'commander';
import type { Hop } from '../../consistency-checker/drift.ts';
import { AT_INTAKE } from '../../consistency-checker/report/hops.ts';
import { WmbError } from '../../core/errors.ts';
import { parsePosition, type RoomId } from '../../core/words.ts';
import type { TraceResponse, WriteTimeline } from '../../proto/gen/wmb/v1/checker.ts';
import { Clients } from '../clients.ts';
import {
  type ConfigOptions,
  type Context,
  configOf,
  configOption,
  type JsonOptions,
  jsonOption,
  pageColumns,
  roomsOf,
} from '../context.ts';
import { type Answers, askRooms, needAnswer, type Silent } from '../drift/checkers.ts';
import { hopsTable } from '../drift/detail.ts';
import { awayText, whyText } from '../drift/read.ts';
import { formatFields, shorten } from '../table.ts';

/** A write log is read from its end back: a request id far back takes its time. */
const TRACE_MS_MAX = 30_000;
const PAYLOAD_COLUMNS_MAX = 400;
const HELP = `
Times are the wall clocks of the rooms; AFTER is counted from the stamp.

Examples:
  wmb trace college-17
  wmb trace beijing/3@0f6a4c1e9b2d7a85:1042.17 --json`;

export function addTraceCommand(program: Command, context: Context): void {
  program
    .command('trace')
    .description('show the way of one write request: when it was stamped and logged, and what each room did with it')
    .argument('<write>', 'request id or position')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action((write: string, options: ConfigOptions & JsonOptions) => trace(context, write, options));
}

export interface Traced {
  readonly write: WriteTimeline | undefined;
  readonly payload: Buffer;
  readonly hops: readonly Hop[];
}

async function trace(context: Context, write: string, options: ConfigOptions & JsonOptions): Promise<void> {
  const config = configOf(options);
  const traced = await Clients.with(config, context.runtime, (clients) => follow(clients, roomsOf(config, 'all'), write));
  context.print(options.json ? JSON.stringify(traceJson(traced)) : traceText(context, traced, write));
}

/** All rooms are asked by what was given; then those that know only positions, by the position that the origin found. */
async function follow(clients: Clients, rooms: readonly RoomId[], write: string): Promise<Traced> {
  const ask = (text: string) => (room: RoomId) =>
    clients.checker<TraceResponse>(room, (client, ...rest) => client.trace({ write: text }, ...rest), TRACE_MS_MAX);
  const first = await askRooms(rooms, ask(write));
  // What its origin does not have does not exist, unless another room has its receipt: then the origin has lost it, or removed it long ago.
  const atOrigin = first.silent.find(({ room, error }) => error.code === 'NOT_FOUND' && room === parsePosition(write)?.origin);
  if (atOrigin !== undefined && !first.answered.some(({ answer }) => answer.hops.some(({ what }) => what !== 'waiting')))
    throw atOrigin.error;
  const missing = first.silent.filter(({ error }) => error.code === 'NOT_FOUND').map(({ room }) => room);
  const answers: Answers<TraceResponse> = {
    answered: first.answered,
    silent: first.silent.filter(({ error }) => error.code !== 'NOT_FOUND'),
  };
  if (missing.length === 0) needAnswer(answers);
  const origin = answers.answered.find(({ answer }) => answer.write !== undefined)?.answer;
  const position = origin?.write?.position ?? '';
  const without = [...missing, ...answers.answered.filter(({ answer }) => answer.hops.length === 0).map(({ room }) => room)];
  const second = position === '' || position === write ? undefined : await askRooms(without, ask(position));
  const told = [...answers.answered, ...(second?.answered ?? [])];
  const own = told.flatMap(({ answer }) => answer.hops);
  // What the origin says of a room counts where the room does not speak for itself.
  const ofOrigin = (origin?.write?.hops ?? []).filter(
    ({ room, what }) => AT_INTAKE.includes(what) || !own.some((hop) => hop.room === room),
  );
  const hops = [...ofOrigin, ...own];
  if (hops.length === 0) throw notFound(write, answers.silent);
  return {
    write: origin?.write,
    payload: origin?.payload ?? Buffer.alloc(0),
    hops: [...hops, ...unknownHops(rooms, hops, [...answers.silent, ...(second?.silent ?? [])])],
  };
}

/** Rooms of which nothing is known: why. */
function unknownHops(rooms: readonly RoomId[], hops: readonly Hop[], silent: readonly Silent[]): readonly Hop[] {
  return rooms
    .filter((room) => !hops.some((hop) => hop.room === room && !AT_INTAKE.includes(hop.what)))
    .map((room) => {
      const error = silent.find((one) => one.room === room)?.error;
      return { room, what: 'unknown', atMs: 0, detail: error === undefined ? 'its checker says nothing of it' : whyText(error) };
    });
}

function notFound(write: string, silent: readonly Silent[]): WmbError {
  const what = parsePosition(write) === undefined ? 'a write request with the request id' : 'a write request at';
  return new WmbError(
    'NOT_FOUND',
    `no room knows ${what} “${write}”${awayText(silent)}; it was never acked, or it is older than what the write logs keep (log.retention)`,
  );
}

function traceJson({ write, payload, hops }: Traced): object {
  const { hops: _own, ...fields } = write ?? { hops: [] };
  return { write: write === undefined ? undefined : fields, payload: payload.toString('utf8'), hops };
}

function traceText(context: Context, { write, payload, hops }: Traced, asked: string): string {
  const fields = formatFields(
    [
      ['request', write?.requestId ?? asked],
      ['position', write?.position ?? ''],
      ['kind', write?.kind ?? ''],
      ['key', write?.key ?? ''],
      ['stamp', write?.stamp ?? ''],
      ['payload', shorten(payload.toString('utf8'), PAYLOAD_COLUMNS_MAX)],
      ['note', write === undefined ? 'its origin’s write log does not have it any more, or could not be asked' : ''],
    ],
    { columnsMax: pageColumns(context) },
  );
  return `${fields}\n\n${hopsTable({ hops, stamp: write?.stamp ?? '', position: write?.position ?? '' }, context.columns)}`;
}
