/** `wmb parked`: the parking lot of a room. */
import type { Command } from 'commander';
import { asWmbError, ERRORS, type ErrorCode, WmbError } from '../../core/errors.ts';
import { roomEntry } from '../../core/topology.ts';
import type { RoomId } from '../../core/words.ts';
import type { ListParkedResponse, ParkedOutcome, ParkedResult, ParkedWrite } from '../../proto/gen/wmb/v1/admin.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, roomOf, wholeNumber } from '../context.ts';
import { readOpen } from '../drift/read.ts';
import { outcomeName } from '../outcome.ts';
import { formatDuration, formatTable, printable, shorten } from '../table.ts';

interface ParkedOptions extends ConfigOptions, JsonOptions {
  readonly room?: string;
}

const LIST_DEFAULT = 100;
/** A retry runs processors and stores: it may take its time. */
const RETRY_MS_MAX = 60_000;
const LIST_HELP = '\nExamples:\n  wmb parked list\n  wmb parked list --room guangzhou --json';

export function addParkedCommands(program: Command, context: Context): void {
  const parked = program
    .command('parked')
    .helpCommand(false)
    .description('look at, retry or give up write requests in the parking lot of a room');
  common(parked.command('list').description('list parked write requests, oldest first'))
    .option('--limit <n>', 'list at most this many', wholeNumber('--limit', 1), LIST_DEFAULT)
    .option('--after <position>', 'list those after this position')
    .addHelpText('after', LIST_HELP)
    .action((options: ParkedOptions & { limit: number; after?: string }) => list(context, options));
  common(parked.command('show').description('show one parked write request with its payload and reason'))
    .argument('<id>', 'request id or position')
    .addHelpText('after', '\nExample:\n  wmb parked show college-17')
    .action((id: string, options: ParkedOptions) => show(context, id, options));
  addSelection(parked, context, {
    verb: 'retry',
    description: 'process parked write requests again, oldest first; those behind them follow',
  });
  addSelection(parked, context, { verb: 'discard', description: 'give parked write requests up: their receipt becomes `rejected`' });
}

function common(command: Command): Command {
  return command
    .option('--room <room>', 'the room whose parking lot is meant (default: this one)')
    .addOption(configOption())
    .addOption(jsonOption());
}

function addSelection(parked: Command, context: Context, { verb, description }: { verb: 'retry' | 'discard'; description: string }): void {
  common(parked.command(verb).description(description))
    .argument('[ids...]', 'request ids or positions')
    .option('--all', 'all of them')
    .addHelpText('after', `\nExamples:\n  wmb parked ${verb} college-17\n  wmb parked ${verb} --all --room guangzhou`)
    .action((ids: string[], options: ParkedOptions & { all?: boolean }) => select(context, { verb, ids, options }));
}

/** Runs `use` with a way to call the collector of the room that was named. */
function atRoom<T>(context: Context, options: ParkedOptions, use: (clients: Clients, room: RoomId) => Promise<T>): Promise<T> {
  const config = configOf(options);
  const room = roomOf(config, options.room);
  return Clients.with(config, context.runtime, (clients) => use(clients, room));
}

function page(clients: Clients, room: RoomId, limit: number, after: string): Promise<ListParkedResponse> {
  return clients.collector<ListParkedResponse>(room, (client, ...rest) => client.listParked({ limit, after }, ...rest));
}

async function list(context: Context, options: ParkedOptions & { limit: number; after?: string }): Promise<void> {
  await atRoom(context, options, async (clients, room) => {
    const { writes, total } = await page(clients, room, options.limit, options.after ?? '');
    if (options.json) return context.print(JSON.stringify({ room, total, writes: writes.map(parkedJson) }));
    if (total === 0) return context.print(`nothing is parked in ${room}`);
    const drifts = await parkedDrifts(clients, room);
    context.print(parkedTable(context, writes, drifts));
    if (total > writes.length) context.note(`${writes.length} of ${total}; continue with --after ${writes.at(-1)?.position}`);
  });
}

function parkedTable({ runtime, columns }: Context, writes: readonly ParkedWrite[], drifts: ReadonlyMap<string, string>): string {
  const nowMs = runtime.nowMs();
  const withDrifts = writes.some(({ position }) => drifts.has(position));
  const rows = writes.map((write) => [
    write.requestId,
    write.kind,
    shorten(write.key, 32),
    write.code,
    formatDuration(nowMs - write.parkedMs),
    String(write.attempts),
    ...(withDrifts ? [drifts.get(write.position) ?? ''] : []),
    shorten(write.message, 70),
  ]);
  const head = ['REQUEST', 'KIND', 'KEY', 'CODE', 'SINCE', 'TRIES', ...(withDrifts ? ['DRIFT'] : []), 'REASON'];
  return formatTable({ head, rows, right: [5], columnsMax: columns, flexible: [0, 2] });
}

/** Who waits for these must not wait for a checker that is away. */
const DRIFTS_MS_MAX = 1_000;
const DRIFTS_MAX = 1_000;

/** Ids of the drifts that the room's checker reports of parked write requests, by position; none where it has no checker or none answers. */
async function parkedDrifts(clients: Clients, room: RoomId): Promise<ReadonlyMap<string, string>> {
  if (roomEntry(clients.config.topology, room)?.checker === undefined) return new Map();
  const { answered } = await readOpen(clients, [room], { msMax: DRIFTS_MS_MAX, limit: DRIFTS_MAX });
  const drifts = answered.flatMap(({ answer }) => answer.drifts);
  return new Map(drifts.flatMap(({ subject, id }) => (subject.type === 'write' ? [[subject.name, id]] : [])));
}

async function show(context: Context, id: string, options: ParkedOptions): Promise<void> {
  await atRoom(context, options, async (clients, room) => {
    const write = await find(clients, room, id);
    if (options.json) return context.print(JSON.stringify({ room, ...parkedJson(write) }));
    const drift = (await parkedDrifts(clients, room)).get(write.position);
    context.print(describe(write, drift));
  });
}

async function find(clients: Clients, room: RoomId, id: string): Promise<ParkedWrite> {
  for (let after = ''; ; ) {
    const { writes } = await page(clients, room, 1_000, after);
    const write = writes.find(({ requestId, position }) => requestId === id || position === id);
    if (write !== undefined) return write;
    const last = writes.at(-1);
    if (last === undefined) throw new WmbError('NOT_FOUND', `no write request ${id} is parked in ${room}`);
    after = last.position;
  }
}

function describe(write: ParkedWrite, drift: string | undefined): string {
  const remedy = Object.hasOwn(ERRORS, write.code) ? ERRORS[write.code as ErrorCode].remedy : '';
  const lines: readonly (readonly [string, string])[] = [
    ['request', write.requestId],
    ['position', write.position],
    ['kind', write.kind],
    ['key', write.key],
    ['stamp', write.stamp],
    ['parked', `${new Date(write.parkedMs).toISOString()}, tried ${write.attempts} ${write.attempts === 1 ? 'time' : 'times'}`],
    ['reason', `${write.code}: ${write.message}`],
    ['what to do', remedy],
    ...(drift === undefined ? [] : [['drift', `${drift} (wmb drift show ${drift})`] as const]),
    ['payload', Buffer.from(write.payload).toString('utf8')],
  ];
  return lines.map(([name, value]) => `${name.padEnd(10)}  ${printable(value)}`).join('\n');
}

/** As in NDJSON write requests: text as text, other bytes as base64. */
function parkedJson({ payload, ...rest }: ParkedWrite): object {
  const bytes = Buffer.from(payload);
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? { ...rest, payloadText: text } : { ...rest, payloadBase64: bytes.toString('base64') };
}

interface Selection {
  readonly verb: 'retry' | 'discard';
  readonly ids: readonly string[];
  readonly options: ParkedOptions & { readonly all?: boolean };
}

async function select(context: Context, { verb, ids, options }: Selection): Promise<void> {
  const all = options.all === true;
  if (all === ids.length > 0) throw new WmbError('USAGE', `wmb parked ${verb} takes request ids or positions, or --all`);
  await atRoom(context, options, async (clients, room) => {
    const outcomes: ParkedOutcome[] = [];
    // Of all, the collector answers for some at a time, and says where to go on.
    for (let after: string | undefined = ''; after !== undefined; ) {
      const selection = { writes: [...ids], all, after };
      const step: ParkedResult = await clients.collector<ParkedResult>(
        room,
        (client, ...rest) => (verb === 'retry' ? client.retryParked(selection, ...rest) : client.discardParked(selection, ...rest)),
        RETRY_MS_MAX,
      );
      outcomes.push(...step.outcomes);
      after = step.next || undefined;
    }
    if (options.json)
      context.print(JSON.stringify({ room, outcomes: outcomes.map((result) => ({ ...result, outcome: outcomeName(result.outcome) })) }));
    else context.print(outcomes.length === 0 ? `nothing is parked in ${room}` : outcomes.map(outcomeLine).join('\n'));
    failOn(outcomes);
  });
}

function outcomeLine({ requestId, position, outcome, code, message }: ParkedOutcome): string {
  const reason = code === '' ? '' : `  ${code}: ${message}`;
  return printable(`${requestId || position}  ${outcomeName(outcome) || 'failed'}${reason}`);
}

/** A write request that is still parked, or was not found, makes the command fail. */
function failOn(outcomes: readonly ParkedOutcome[]): void {
  const failed = outcomes.filter(({ code, outcome }) => code !== '' && outcomeName(outcome) !== 'rejected');
  const first = failed[0];
  if (first === undefined) return;
  const code = Object.hasOwn(ERRORS, first.code) ? (first.code as ErrorCode) : asWmbError(first.message).code;
  throw new WmbError(code, `${failed.length} of ${outcomes.length} write requests failed, the first with: ${first.message}`);
}
