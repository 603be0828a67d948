/**
 * What the rooms must hold after the messages of a file: computed from the file's lines, apart from the processor and everything below it, and
 * compared with what they do hold.
 *
 * Stamps are given at run time, and where two rooms write about the same thing the greater stamp decides. So they are input here: each
 * submit answers with the stamp of its write request.
 */
import type { CacheEntry, CacheValue } from '../../core/converge/effects.ts';
import type { Row } from '../../store/database.ts';

export interface Expected {
  readonly cache: ReadonlyMap<string, CacheValue>;
  /** By id. */
  readonly rows: ReadonlyMap<string, Row>;
}

interface Sent {
  readonly id: string;
  readonly stamp: string;
  readonly src: string;
  readonly dst: string;
  readonly time: string;
}

const INBOX_SIZE = 50;

/**
 * `text` is a file of lines `src dst unixtime`, `stamps` the stamp of each message by request id (`college-` and the line's number).
 * Throws where a line has no stamp: then it was never acked, and nothing can be said about it.
 */
export function expectedState(text: string, stamps: ReadonlyMap<string, string>): Expected {
  const sent = sentInStampOrder(text, stamps);
  const cache = new Map<string, CacheValue>();
  for (const [dst, messages] of groupBy(sent, (message) => message.dst)) {
    cache.set(`unread:${dst}`, hash([...groupBy(messages, (message) => message.src)].map(([src, all]) => [src, String(all.length)])));
    cache.set(`inbox:${dst}`, inbox(messages.slice(-INBOX_SIZE)));
  }
  for (const [user, meetings] of groupBy(sent.flatMap(bothSides), (meeting) => meeting.user)) {
    // Built in stamp order: of several meetings with the same other user, the last stays.
    const lastTimes = new Map(meetings.map((meeting) => [meeting.other, meeting.time]));
    cache.set(`last-contact:${user}`, hash([...lastTimes]));
    cache.set(`contacts:${user}`, { type: 'set', members: [...lastTimes.keys()].sort() });
  }
  return { cache, rows: new Map(sent.map((message) => [message.id, tableRow(message)])) };
}

function sentInStampOrder(text: string, stamps: ReadonlyMap<string, string>): readonly Sent[] {
  const sent: Sent[] = [];
  text.split('\n').forEach((line, at) => {
    const [src, dst, time] = line.trim().split(/\s+/);
    if (src === undefined || dst === undefined || time === undefined || Number.isNaN(Number(src))) return;
    const id = `college-${at + 1}`;
    const stamp = stamps.get(id);
    if (stamp === undefined) throw new Error(`line ${at + 1}: no stamp is known for ${id}: it was never acked`);
    sent.push({ id, stamp, src, dst, time });
  });
  return sent.sort((a, b) => compareText(a.stamp, b.stamp));
}

function bothSides({ src, dst, time }: Sent): { user: string; other: string; time: string }[] {
  return [
    { user: src, other: dst, time },
    { user: dst, other: src, time },
  ];
}

function hash(fields: [string, string][]): CacheValue {
  return { type: 'hash', fields: fields.sort((a, b) => compareText(a[0], b[0])) };
}

function inbox(messages: readonly Sent[]): CacheValue {
  const members = messages.map(({ id, stamp }): [string, number] => [id, Number.parseInt(stamp.slice(0, 12), 16)]);
  return { type: 'zset', members: members.sort((a, b) => a[1] - b[1] || compareText(a[0], b[0])) };
}

function tableRow({ id, src, dst, time, stamp }: Sent): Row {
  return { id, sender: Number(src), recipient: Number(dst), sent_at: Number(time), wmb_stamp: stamp };
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  return Map.groupBy(items, keyOf);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every difference between what a cache should hold and what it holds (a dump of all its keys), one sentence each. */
export function compareCache(expected: Expected, actual: Iterable<CacheEntry>): string[] {
  const differences: string[] = [];
  const found = new Set<string>();
  for (const { key, value, expireAtMs } of actual) {
    const wanted = expected.cache.get(key);
    if (found.has(key)) differences.push(`${key} is listed twice`);
    found.add(key);
    if (wanted === undefined) differences.push(`${key} should not exist`);
    else differences.push(...compareValue(key, wanted, value));
    if (expireAtMs !== 0) differences.push(`${key} should not expire, but does`);
  }
  for (const key of expected.cache.keys()) if (!found.has(key)) differences.push(`${key} is missing`);
  return differences;
}

function compareValue(key: string, wanted: CacheValue, value: CacheValue): string[] {
  if (wanted.type !== value.type) return [`${key} is a ${value.type} and should be a ${wanted.type}`];
  return compareElements(key, elementsOf(wanted), elementsOf(value));
}

/** Elements by name: fields with their values, members with their scores. */
function elementsOf(value: CacheValue): Map<string, string> {
  switch (value.type) {
    case 'string':
      return new Map([['its value', value.value]]);
    case 'hash':
      return new Map(value.fields.map(([field, text]) => [field, text]));
    case 'set':
      return new Map(value.members.map((member) => [member, 'a member']));
    case 'zset':
      return new Map(value.members.map(([member, score]) => [member, String(score)]));
  }
}

function compareElements(key: string, wanted: ReadonlyMap<string, unknown>, actual: ReadonlyMap<string, unknown>): string[] {
  const differences: string[] = [];
  for (const [name, value] of wanted) {
    if (!actual.has(name)) differences.push(`${key}: ${name} is missing (should be ${value})`);
    else if (actual.get(name) !== value) differences.push(`${key}: ${name} is ${actual.get(name)} and should be ${value}`);
  }
  for (const [name, value] of actual) if (!wanted.has(name)) differences.push(`${key}: ${name} is ${value} and should not exist`);
  return differences;
}

/** Every difference between the rows that the table `messages` should hold and those that it holds, one sentence each. */
export function compareRows(expected: Expected, actual: Iterable<Row>): string[] {
  const differences: string[] = [];
  const found = new Set<string>();
  for (const row of actual) {
    const id = String(row.id);
    const wanted = expected.rows.get(id);
    if (found.has(id)) differences.push(`row ${id} is listed twice`);
    found.add(id);
    if (wanted === undefined) differences.push(`row ${id} should not exist`);
    else differences.push(...compareElements(`row ${id}`, new Map(Object.entries(wanted)), new Map(Object.entries(row))));
  }
  for (const id of expected.rows.keys()) if (!found.has(id)) differences.push(`row ${id} is missing`);
  return differences;
}
