/** What the demo does to one room behind WMB's back, and what the checkers have to say of it. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { bucketOf } from '../../../core/converge/bucket.ts';
import { formatStamp, versionOf } from '../../../core/stamp.ts';
import { Wait, type WriteRequest } from '../../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from '../../../test/harness/clients.ts';
import { LOST_SENDER } from './faulty-collector.ts';

/** A drift that was made. */
export interface Damage {
  /** The cache key, or the position of a write request. */
  readonly subject: string;
  /** The room that is wrong. */
  readonly room: string;
  readonly kind: string;
  readonly cause: string;
}

export interface LostFrame {
  /** Lines of the file's format, to be expected in every room. */
  readonly lines: readonly string[];
  readonly stamps: ReadonlyMap<string, string>;
  readonly damages: readonly Damage[];
}

const RECIPIENTS = [1_000_020, 1_000_021, 1_000_022];
const SENT_AT = 1_082_040_961;

/** Submits three messages as one frame; the faulty collector of `room` swallows their effects. `lineCount`: lines of the file so far. */
export async function loseFrame(origin: RoomClients, room: string, lineCount: number): Promise<LostFrame> {
  const lines = RECIPIENTS.map((to) => `${LOST_SENDER} ${to} ${SENT_AT}`);
  const writes: WriteRequest[] = RECIPIENTS.map((to, index) => ({
    requestId: `college-${lineCount + index + 1}`,
    kind: 'message',
    key: `user:${LOST_SENDER}`,
    payload: Buffer.from(JSON.stringify({ from: LOST_SENDER, to, at: SENT_AT })),
    traceparent: '',
  }));
  const { results } = await origin.submit({ writes, wait: Wait.WAIT_EVERYWHERE, deadlineMs: 60_000, batchId: 0 });
  const refused = results.find((result) => result.error !== undefined);
  if (refused !== undefined)
    throw new Error(`${refused.requestId} was not applied everywhere: ${refused.error?.code} ${refused.error?.message}`);
  const touched = RECIPIENTS.flatMap((to) => [`unread:${to}`, `inbox:${to}`, `last-contact:${to}`, `contacts:${to}`]);
  const keys = [...touched, `last-contact:${LOST_SENDER}`, `contacts:${LOST_SENDER}`];
  return {
    lines,
    stamps: new Map(results.map(({ requestId, stamp }) => [requestId, stamp])),
    damages: keys.map((subject) => ({ subject, room, kind: 'missing', cause: 'missed-apply' })),
  };
}

/** Changes the cache of a room as somebody with a database shell would, while its collector runs. */
export function tamper({ room }: RoomClients): readonly Damage[] {
  const database = new DatabaseSync(join(room.directory, 'cache', 'cache.db'), { timeout: 5_000 });
  try {
    const keys = (like: string) =>
      database
        .prepare(SETTLED_KEYS)
        .all(like)
        .map((row) => String(row['key']));
    const [deleted = '', alsoDeleted = ''] = keys('contacts:%');
    const [changed = ''] = keys('last-contact:%');
    const [counted = ''] = keys('unread:%');
    for (const key of [deleted, alsoDeleted]) {
      database.prepare('DELETE FROM keys WHERE key = ?').run(key);
      database.prepare('DELETE FROM elements WHERE key = ?').run(key);
    }
    for (const key of [changed, counted]) database.prepare(RAISE_ONE_VALUE).run(key, key);
    database.prepare(MAKE_KEY).run(MADE, bucketOf(MADE), versionOf(formatStamp({ ms: Date.now(), counter: 0, writer: 1 << 24 }), 0));
    const behind = { room: room.id, cause: 'behind-back' };
    return [
      { ...behind, subject: deleted, kind: 'missing' },
      { ...behind, subject: alsoDeleted, kind: 'missing' },
      { ...behind, subject: changed, kind: 'value' },
      { ...behind, subject: counted, kind: 'value' },
      { ...behind, subject: MADE, kind: 'extra' },
    ];
  } finally {
    database.close();
  }
}

const MADE = 'made:by-hand';
/** Counters among them have been folded into their fields. */
const SETTLED_KEYS = `SELECT key FROM keys WHERE key LIKE ? AND NOT EXISTS (SELECT 1 FROM increments WHERE increments.key = keys.key)
  AND EXISTS (SELECT 1 FROM elements WHERE elements.key = keys.key AND value IS NOT NULL) ORDER BY key LIMIT 2`;
const RAISE_ONE_VALUE =
  'UPDATE elements SET value = CAST(value + 1 AS TEXT) WHERE key = ? AND name = (SELECT min(name) FROM elements WHERE key = ? AND value IS NOT NULL)';
const MAKE_KEY = `INSERT INTO keys (key, bucket, type, kill, version, value, expire_at, parts, timeline) VALUES (?, ?, 1, '', ?, 'hello', 0, 0, NULL)`;
