/** `wmb get`: a key as applications of several rooms see it, side by side. */
import type { Command } from 'commander';
import { WmbError } from '../../core/errors.ts';
import { stampMs, type Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { GetKeysResponse, KeyEntry } from '../../proto/gen/wmb/v1/admin.ts';
import { Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, roomsOf } from '../context.ts';
import { formatTable, shorten } from '../table.ts';

const CELL_COLUMNS_MAX = 60;

type RoomView = { readonly room: RoomId; readonly entry: KeyEntry } | { readonly room: RoomId; readonly error: WmbError };

export function addGetCommand(program: Command, context: Context): void {
  program
    .command('get')
    .description('print a key as applications of the rooms see it, side by side; exit code 7 when the rooms differ')
    .argument('<key>', 'the cache key')
    .option('--rooms <rooms>', 'all, or room ids separated by commas', 'all')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  wmb get unread:7\n  wmb get unread:7 --rooms beijing,guangzhou --json')
    .action(async (key: string, options: ConfigOptions & JsonOptions & { rooms: string }) => {
      if (key === '') throw new WmbError('USAGE', 'the key is empty; no cache key can be');
      const config = configOf(options);
      const rooms = roomsOf(config, options.rooms);
      const views = await Clients.with(config, context.runtime, (clients) => Promise.all(rooms.map((room) => view(clients, room, key))));
      const different = new Set(views.flatMap((seen) => ('entry' in seen ? [visible(seen.entry)] : []))).size > 1;
      context.print(options.json ? JSON.stringify(asJson(key, views, different)) : sideBySide(key, views));
      judge(key, views, different);
    });
}

async function view(clients: Clients, room: RoomId, key: string): Promise<RoomView> {
  try {
    const response = await clients.collector<GetKeysResponse>(room, (client, ...rest) => client.getKeys({ keys: [key] }, ...rest));
    const entry = response.entries[0];
    if (entry === undefined) throw new WmbError('PEER_GARBAGE', `the collector of ${room} answered without the key`);
    return { room, entry };
  } catch (error) {
    return { room, error: error as WmbError };
  }
}

/** What an application can tell apart. */
function visible({ found, type, value, elements, expireAtMs }: KeyEntry): string {
  return JSON.stringify([found, type, value, elements, expireAtMs]);
}

function judge(key: string, views: readonly RoomView[], different: boolean): void {
  const names = views.map(({ room }) => room).join(', ');
  if (different)
    throw new WmbError(
      'DIFFERENCE',
      `the key ${key} differs between the rooms ${names} (writes that are still on their way count; see wmb status)`,
    );
  for (const seen of views) if ('error' in seen) throw seen.error;
}

function asJson(key: string, views: readonly RoomView[], different: boolean): object {
  const rooms = views.map((seen) => {
    if ('error' in seen) return { room: seen.room, error: { code: seen.error.code, message: seen.error.message } };
    const { key: _key, ...entry } = seen.entry;
    return { room: seen.room, ...entry };
  });
  return { key, different, rooms };
}

function sideBySide(key: string, views: readonly RoomView[]): string {
  const columns = views.map(facts);
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  const rows = names.map((name) => {
    const cells = columns.map((column) => column.get(name) ?? (column.has('error') ? '?' : '—'));
    const same = new Set(cells.filter((cell) => cell !== '?')).size <= 1 || name === 'error' || name === 'written';
    return [name, ...cells.map((cell) => shorten(cell, CELL_COLUMNS_MAX)), same ? '' : '≠'];
  });
  return formatTable({ head: [shorten(key, CELL_COLUMNS_MAX), ...views.map(({ room }) => room), ''], rows });
}

/** Lines of one room’s column: name and text. */
function facts(seen: RoomView): ReadonlyMap<string, string> {
  if ('error' in seen) return new Map([['error', seen.error.code]]);
  const { found, type, value, elements, expireAtMs, version } = seen.entry;
  if (!found) return new Map([['type', '(nothing)']]);
  const lines = new Map([['type', type]]);
  if (type === 'string') lines.set('value', value);
  if (expireAtMs > 0) lines.set('expires', new Date(expireAtMs).toISOString());
  if (version !== '') lines.set('written', momentOf(version));
  for (const { name, value: element } of elements)
    lines.set(type === 'set' ? `{${name}}` : `[${name}]`, type === 'set' ? 'member' : element);
  return lines;
}

/** What is no version, as a damaged store may have it, shows as it is. */
export function momentOf(version: Version): string {
  return /^[0-9a-f]{28}$/.test(version) ? new Date(stampMs(version)).toISOString() : `“${version}”, which is no version`;
}
