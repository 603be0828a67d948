/** All of one drift, laid out for a person. */
import type { Drift, DriftSide, ElementDifference, WriteTimeline } from '../../consistency-checker/drift.ts';
import { hopsInOrder } from '../../consistency-checker/report/hops.ts';
import { causeText, kindText } from '../../consistency-checker/report/kinds.ts';
import { ago, isAlarm } from '../../consistency-checker/report/pair.ts';
import type { Topology } from '../../core/config/types.ts';
import { parseStamp, stampMs } from '../../core/stamp.ts';
import { displayWidth, formatDuration, formatFields, formatTable, printable, wrap } from '../table.ts';

export interface DetailOptions {
  readonly columnsMax: number;
  /** Clock of this machine. */
  readonly nowMs: number;
  readonly topology: Topology;
}

export function driftDetail(drift: Drift, options: DetailOptions): string {
  const parts = [
    heading(drift, options),
    formatFields(facts(drift, options), options),
    sidesTable(drift, options),
    elementsTable(drift, options),
    writePart(drift, options),
    repairPart(drift, options),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function heading({ id, kind, level, status, confirmedMs, closedMs }: Drift, { columnsMax, nowMs }: DetailOptions): string {
  const since = status === 'open' ? `open, found ${ago(nowMs - confirmedMs)}` : `${status} ${ago(nowMs - closedMs)}`;
  const meaning = kindText(kind);
  return wrap(`drift ${id}: ${kind}${meaning === '' ? '' : `, ${meaning}`} (${level}); ${since}`, columnsMax).join('\n');
}

function facts(drift: Drift, { nowMs }: DetailOptions): readonly (readonly [string, string])[] {
  const { subject, wrong, why, cause, causeText: text, firstSeenMs, confirmedMs, closedMs, note } = drift;
  const names = { key: 'key', write: 'write', lane: 'lane', row: 'row' };
  return [
    [names[subject.type] ?? 'subject', subject.name],
    isAlarm(drift) ? ['why', why] : ['wrong', `${wrong || 'cannot be told'}${why === '' ? '' : `: ${why}`}`],
    ['cause', `${cause}: ${text || causeText(cause)}`],
    ['first seen', moment(firstSeenMs, nowMs)],
    ['confirmed', moment(confirmedMs, nowMs)],
    ['closed', moment(closedMs, nowMs)],
    ['note', note],
  ];
}

/** `2026-11-22T20:15:44.123Z (4 s ago)`; empty for 0. */
export function moment(ms: number, nowMs: number): string {
  return ms === 0 ? '' : `${iso(ms)} (${ago(nowMs - ms)})`;
}

export function iso(ms: number): string {
  return ms > 0 && ms < 8.64e15 ? new Date(ms).toISOString() : '';
}

function sidesTable({ sides, wrong, subject }: Drift, { columnsMax, topology }: DetailOptions): string {
  const title = ({ room }: DriftSide) => (room === wrong ? `${room} (wrong)` : room);
  const row = (name: string, text: (side: DriftSide) => string): string[] => [name, text(sides[0]), text(sides[1])];
  const rows = [row('', title), row('shows', ({ shows }) => shows)];
  if (subject.type === 'key' || subject.type === 'row')
    rows.push(
      row('written', ({ version }) => (version === '' ? '—' : iso(stampMs(version)) || version)),
      row('by', ({ version }) => (version === '' ? '—' : writerRoom(version, topology))),
      row('version', ({ version }) => version || '—'),
      row('hash', ({ hash }) => hash || '—'),
    );
  if (subject.type === 'key')
    rows.push(
      row('bytes', ({ bytes, version }) => (version === '' && bytes === 0 ? '—' : String(bytes))),
      row('expires', ({ expireAtMs, version }) => iso(expireAtMs) || (version === '' ? '—' : 'never')),
    );
  return sideBySide(rows, columnsMax);
}

/** The room where a version was stamped. */
function writerRoom(version: string, topology: Topology): string {
  const { writer } = parseStamp(version);
  return topology.rooms.find(({ number }) => number === writer >>> 24)?.id ?? 'an unknown room';
}

function elementsTable({ elements, sides, subject }: Drift, { columnsMax, topology }: DetailOptions): string {
  if (elements.length === 0) return '';
  const side = ({ versions, values }: ElementDifference, index: 0 | 1) => {
    const version = versions[index];
    if (subject.type === 'row') return values[index] ?? '';
    if (version === '') return 'not there';
    return `${values[index] === null ? 'deleted' : JSON.stringify(values[index])}, ${iso(stampMs(version)) || version} by ${writerRoom(version, topology)}`;
  };
  const rows = elements.map((element) => [element.name || '(the key)', side(element, 0), side(element, 1)]);
  return sideBySide([[subject.type === 'row' ? 'column' : 'element', sides[0].room, sides[1].room], ...rows], columnsMax);
}

const NAME_COLUMNS_MAX = 24;
const GAP = 2;

/** A name and two texts in each row, all wrapped within their columns. */
function sideBySide(rows: readonly (readonly string[])[], columnsMax: number): string {
  const told = rows.map((row) => row.map(printable));
  const nameWidth = Math.min(NAME_COLUMNS_MAX, Math.max(...told.map(([name = '']) => displayWidth(name))));
  const width = Math.max(10, Math.floor((columnsMax - nameWidth - 2 * GAP) / 2));
  const pad = (text: string, columns: number) => text + ' '.repeat(Math.max(0, columns - displayWidth(text)));
  return told
    .flatMap(([name = '', mine = '', theirs = '']) => {
      const cells = [wrap(name, nameWidth), wrap(mine, width), wrap(theirs, width)];
      const height = Math.max(...cells.map((lines) => lines.length));
      return Array.from({ length: height }, (_, index) => {
        const [first = '', second = '', third = ''] = cells.map((lines) => lines[index] ?? '');
        return `${pad(first, nameWidth + GAP)}${pad(second, width + GAP)}${third}`.trimEnd();
      });
    })
    .join('\n');
}

function writePart({ write }: Drift, options: DetailOptions): string {
  if (write === undefined) return '';
  const { requestId, position, stamp, kind, key } = write;
  const fields = formatFields(
    [
      ['write', requestId],
      ['position', position],
      ['kind', kind],
      ['key', key],
      ['stamp', stamp],
    ],
    options,
  );
  return `${fields}\n\n${hopsTable(write, options.columnsMax)}`;
}

/** One row for each hop. Position and stamp of the write request stand above it already. */
export function hopsTable({ hops, stamp, position }: Pick<WriteTimeline, 'hops' | 'stamp' | 'position'>, columnsMax: number): string {
  const startMs = stamp === '' ? 0 : stampMs(stamp);
  const rows = hopsInOrder(hops).map(({ room, what, atMs, detail }) => [
    iso(atMs) || '—',
    sinceStamp(atMs, startMs),
    room,
    what,
    detail === stamp || detail === position ? '' : detail,
  ]);
  return formatTable({ head: ['TIME', 'AFTER', 'ROOM', 'WHAT', 'DETAIL'], rows, right: [1], columnsMax });
}

/** `+12 ms`; below zero where the room's clock is behind that of the origin. */
function sinceStamp(atMs: number, startMs: number): string {
  if (atMs === 0 || startMs === 0) return '';
  return `${atMs < startMs ? '−' : '+'}${formatDuration(Math.abs(atMs - startMs))}`;
}

function repairPart({ repair, status }: Drift, options: DetailOptions): string {
  const { action, from, to, text, diff, command } = repair;
  const way = [from === '' ? '' : ` from ${from}`, to === '' ? '' : ` to ${to}`].join('');
  const lines = [
    formatFields([['repair', `${action}${way}${text === '' ? '' : `: ${text}`}`]], options),
    ...diffLines(diff, options.columnsMax),
  ];
  if (status === 'open' && command !== '') lines.push(formatFields([['command', command]], options));
  return lines.join('\n');
}

/** The dry-run's lines, `- old` and `+ new`, indented; long ones wrapped under themselves. */
export function diffLines(diff: readonly string[], columnsMax: number): readonly string[] {
  return diff.flatMap((line) => wrap(printable(line), columnsMax - 6).map((part, index) => `${index === 0 ? '    ' : '      '}${part}`));
}
