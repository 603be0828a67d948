/** `wmb drift list|show|watch|audit`: what the checkers of all rooms have found, and what was done about it. */
import { writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { Drift } from '../../consistency-checker/drift.ts';
import { reportPage } from '../../consistency-checker/report/html.ts';
import { isAlarm } from '../../consistency-checker/report/pair.ts';
import { WmbError } from '../../core/errors.ts';
import type { ListAuditResponse } from '../../proto/gen/wmb/v1/checker.ts';
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
  wholeNumber,
} from '../context.ts';
import { askRooms, needAnswer, noteSilent, type Silent } from '../drift/checkers.ts';
import { driftDetail, iso } from '../drift/detail.ts';
import { databaseLines, driftTable, openText, pairLines } from '../drift/list.ts';
import { type DriftView, findDrift, readDrifts, readOpen, type StatusFilter } from '../drift/read.ts';
import { watchDrifts } from '../drift/watch.ts';
import { formatTable } from '../table.ts';

type CommonOptions = ConfigOptions & JsonOptions & { readonly room: string };
type ListOptions = CommonOptions & { readonly status: StatusFilter; readonly limit: number; readonly html?: string };

const LIST_DEFAULT = 100;
const LIST_HELP = `
Exit code 7 where drifts or alarms are open, 0 where none are, 4 where no checker answers.

Examples:
  wmb drift list
  wmb drift list --status all --json
  wmb drift list --html drifts.html`;
const SHOW_HELP = '\nThe first digits of an id are enough where no other begins so.\n\nExample:\n  wmb drift show 1f3a';
const WATCH_HELP = '\nExamples:\n  wmb drift watch\n  wmb drift watch --json | jq .id';
const AUDIT_HELP = '\nExamples:\n  wmb drift audit\n  wmb drift audit --limit 10 --json';

export function addDriftCommands(program: Command, context: Context): void {
  const drift = program
    .command('drift')
    .helpCommand(false)
    .description('look at differences between rooms that are no lag, and at what was done about them');
  common(drift.command('list').description('how the rooms stand with each other, and what differs; newest first'))
    .addOption(new Option('--status <status>', 'which ones').choices(['open', 'repaired', 'healed', 'all']).default('open'))
    .option('--limit <n>', 'list at most this many', wholeNumber('--limit', 1), LIST_DEFAULT)
    .option('--html <file>', 'write all of it as one HTML page')
    .addHelpText('after', LIST_HELP)
    .action((options: ListOptions) => list(context, options));
  common(
    drift.command('show').description('show all of one drift: both sides, the wrong one and why, the write request behind it, the repair'),
  )
    .argument('<id>', 'id of the drift')
    .addHelpText('after', SHOW_HELP)
    .action((id: string, options: CommonOptions) => show(context, id, options));
  common(drift.command('watch').description('print what is open, and then every change, a line each, until Ctrl-C'))
    .addHelpText('after', WATCH_HELP)
    .action((options: CommonOptions) => watch(context, options));
  common(drift.command('audit').description('list the repairs that were done, by whom, and what came of them; newest first'))
    .option('--limit <n>', 'list at most this many', wholeNumber('--limit', 1), LIST_DEFAULT)
    .addHelpText('after', AUDIT_HELP)
    .action((options: CommonOptions & { limit: number }) => audit(context, options));
}

function common(command: Command): Command {
  return command
    .option('--room <rooms>', 'whose checkers are asked: all, or room ids separated by commas', 'all')
    .addOption(configOption())
    .addOption(jsonOption());
}

async function list(context: Context, options: ListOptions): Promise<void> {
  const config = configOf(options);
  const rooms = roomsOf(config, options.room);
  const { view, drifts } = await Clients.with(config, context.runtime, async (clients) => {
    const open = await readOpen(clients, rooms);
    needAnswer(open);
    if (options.status === 'open') return { view: open.view, drifts: open.view.open };
    const other = await readDrifts(clients, rooms, { status: options.status, limit: options.limit });
    // A record that one room still calls open is not shown as repaired by what another room says, or the other way round.
    return { view: open.view, drifts: other.drifts.filter(({ status }) => options.status === 'all' || status === options.status) };
  });
  noteSilent(context, view.silent);
  const shown = drifts.slice(0, options.limit);
  if (options.html !== undefined) writePage(context, { file: options.html, view, drifts: shown });
  if (options.json) context.print(JSON.stringify(listJson(view, shown)));
  else if (options.html === undefined) context.print(listText(context, view, { ...options, shown, found: drifts.length }));
  const repairable = !view.open.every(isAlarm);
  if (view.open.length > 0)
    throw new WmbError(
      'DIFFERENCE',
      `${openText(view.open, view.unlisted)}; see \`wmb drift show ID\`${repairable ? ' and `wmb repair --all`' : ''}`,
    );
}

function listText(
  { columns, runtime }: Context,
  { pairs, databases, unlisted }: DriftView,
  { status, shown, found }: ListOptions & { readonly shown: readonly Drift[]; readonly found: number },
): string {
  const lines = [...pairLines(pairs, columns), ...databaseLines(databases, columns)];
  if (shown.length > 0) lines.push('', driftTable(shown, { columnsMax: columns, nowMs: runtime.nowMs(), withStatus: status !== 'open' }));
  const all = found + (status === 'open' ? unlisted : 0);
  if (all > shown.length) lines.push(`${shown.length} of ${all}; see more with --limit`);
  return lines.join('\n');
}

function listJson({ pairs, databases, open, unlisted, silent }: DriftView, drifts: readonly Drift[]): object {
  return { pairs, databases, open: open.length + unlisted, drifts, silent: silent.map(silentJson) };
}

function silentJson({ room, error: { code, message } }: Silent): object {
  return { room, error: { code, message } };
}

function writePage(context: Context, { file, view, drifts }: { file: string; view: DriftView; drifts: readonly Drift[] }): void {
  const notes = view.silent.map(({ room, error }) => `${room} could not be asked: ${error.code}: ${error.message}`);
  const page = reportPage({ madeMs: context.runtime.nowMs(), pairs: view.pairs, databases: view.databases, drifts, notes });
  try {
    writeFileSync(file, page);
  } catch (cause) {
    throw new WmbError('USAGE', `${file} cannot be written (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
  context.note(`${file} written`);
}

async function show(context: Context, id: string, options: CommonOptions): Promise<void> {
  const config = configOf(options);
  const rooms = roomsOf(config, options.room);
  const { drift, silent } = await Clients.with(config, context.runtime, (clients) => findDrift(clients, rooms, id));
  noteSilent(context, silent);
  const { runtime, print } = context;
  print(
    options.json
      ? JSON.stringify(drift)
      : driftDetail(drift, { columnsMax: pageColumns(context), nowMs: runtime.nowMs(), topology: config.topology }),
  );
}

async function watch(context: Context, options: CommonOptions): Promise<void> {
  const config = configOf(options);
  const rooms = roomsOf(config, options.room);
  const ending = context.interrupted();
  await Clients.with(config, context.runtime, (clients) => watchDrifts(context, { clients, rooms, json: options.json === true, ending }));
}

async function audit(context: Context, options: CommonOptions & { limit: number }): Promise<void> {
  const config = configOf(options);
  const rooms = roomsOf(config, options.room);
  const { limit } = options;
  const answers = await Clients.with(config, context.runtime, (clients) =>
    askRooms(rooms, (room) => clients.checker<ListAuditResponse>(room, (client, ...rest) => client.listAudit({ limit }, ...rest))),
  );
  needAnswer(answers);
  noteSilent(context, answers.silent);
  const all = answers.answered.flatMap(({ room, answer }) => answer.entries.map((entry) => ({ room, ...entry })));
  const entries = all.sort((a, b) => b.atMs - a.atMs).slice(0, limit);
  if (options.json) return context.print(JSON.stringify({ entries, silent: answers.silent.map(silentJson) }));
  if (entries.length === 0) return context.print('nothing has been repaired');
  const rows = entries.map(({ atMs, room, driftId, action, subject, result, by, detail }) => [
    iso(atMs).replace(/\.\d+/, ''),
    room,
    driftId,
    action,
    subject,
    result,
    by,
    detail,
  ]);
  const head = ['AT', 'ROOM', 'DRIFT', 'ACTION', 'SUBJECT', 'RESULT', 'BY', 'DETAIL'];
  context.print(formatTable({ head, rows, columnsMax: context.columns, flexible: [4] }));
}
